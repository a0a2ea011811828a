"""How the aggregator fares, as a picture that other threads may look at: made in the analyst's loop, never changed.
Pure.

So whoever asks hears at once, also while the loop is in the middle of a heavy question; `at` says how old the picture
is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from aggregator.api import State


class Gauges(NamedTuple):
    """`at` is monotonic; `counters` is what is counted of the recording, `ingest` what its process last said of
    itself."""

    at: float
    position: int
    durable: int
    events: int
    bytes: int
    undecodable: int
    damaged_bytes: int
    removed_segments: int
    producers: int
    connected: int
    delay_s: float | None
    lost: Mapping[str, int]
    ingest: Mapping[str, Any]

    @property
    def behind(self) -> int:
        """Bytes that are recorded, and not yet part of the answers."""
        return max(0, self.durable - self.position)


def read_gauges(state: State, now: float) -> Gauges:
    """The picture at `now` (monotonic)."""
    forest, roll = state.forest, state.roll
    lost: Counter[str] = Counter()
    for loss in forest.losses:
        lost[_kind_of(loss.reason)] += loss.events
    return Gauges(
        at=now,
        position=state.position,
        durable=state.recording.synced(),
        events=forest.events,
        bytes=roll.bytes,
        undecodable=forest.undecodable,
        damaged_bytes=forest.damaged_bytes,
        removed_segments=forest.removed_segments,
        producers=len(roll.known),
        connected=roll.connected,
        delay_s=roll.worst_delay_s,
        lost=dict(lost),
        ingest=state.ingest,
    )


def _kind_of(reason: str) -> str:
    """A reason as one of few words: it is text from outside, and a label of a metric must not grow without bound."""
    return "dropped" if reason.startswith("dropped") else "not held" if reason.startswith("no longer held") else "other"
