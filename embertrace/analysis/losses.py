"""Events that are known to be missing: how many of all, and where they were lost. What every answer says of its base.

Rules:
- A gap is what a producer (or who records it) declared: so many events that will not come. Overlapping reports of the
  same events count once. An event that nobody can decode is missing too.
- Bytes that were damaged in a recording are told apart: how many events they held, nobody knows.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

NAMED = 3
"""So many places are named in a note; `losses()` has all of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    """Events of one producer that were lost for one reason."""

    producer: bytes
    host: str
    pid: int
    events: int
    reason: str

    @property
    def where(self) -> str:
        return f"at {self.host}, process {self.pid}" if self.host else f"at producer {self.producer.hex()[:8]}"

    def to_row(self) -> dict[str, Any]:
        return {
            "producer": self.producer.hex(),
            "host": self.host,
            "pid": self.pid,
            "events": self.events,
            "reason": self.reason,
        }


class Gaps:
    """The declared gaps of one producer."""

    def __init__(self) -> None:
        self._spans: dict[tuple[int, int], str] = {}

    def add(self, first_seq: int, count: int, reason: str) -> None:
        """`count` events from `first_seq` on will not come. The same gap has the same reason in any order."""
        span = (first_seq, count)
        self._spans[span] = min(reason, self._spans.get(span, reason))

    def by_reason(self) -> Counter[str]:
        """How many events each reason took; of overlapping spans the first one's counts."""
        found: Counter[str] = Counter()
        reached = 0
        for (first, count), reason in sorted(self._spans.items()):
            found[reason] += max(0, first + count - max(first, reached))
            reached = max(reached, first + count)
        return +found


def note(events: int, losses: Iterable[Loss], undecodable: int) -> str | None:
    """One sentence for an answer from `events` events; None where nothing is known to be missing."""
    largest = sorted(losses, key=lambda loss: (-loss.events, loss.producer, loss.reason))
    missing = sum(loss.events for loss in largest) + undecodable
    if not missing:
        return None
    told = [f"{loss.events} {loss.reason} {loss.where}" for loss in largest[:NAMED]]
    rest = largest[NAMED:]
    if rest:
        told.append(f"{sum(loss.events for loss in rest)} elsewhere")
    if undecodable:
        told.append(f"{undecodable} undecodable")
    return f"based on {_share(events, events + missing)} of events: {', '.join(told)}"


def _share(part: int, whole: int) -> str:
    """Cut, never rounded up: what lacks one event of a million is not 100%."""
    tenths = part * 1000 // whole
    return f"{tenths // 10}.{tenths % 10}%"
