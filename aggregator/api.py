"""The questions an aggregator answers: a table {name: function}. No sockets; all doors serve the same table.

Each function takes the state and plain parameters, returns plain data, and raises QueryError with one sentence for
what it can't answer. Results are bounded: lists of events come in pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from aggregator.recent import Recent
from embertrace.analysis import Forest
from embertrace.analysis.results import plain
from embertrace.analysis.verbs import answer
from embertrace.analysis.window import DEFAULT_WINDOW, check_window, rates
from embertrace.errors import QueryError
from embertrace.recording import Damage, Record, Recording
from embertrace.recording.plant import plant, sign_of
from embertrace.wire.batch import BATCH
from embertrace.wire.event import BadEvent, iter_events, pack_event

PAGE_BYTES = 4 * 1024 * 1024
"""One page of events: a few batches, well under the answer's limit."""
MAX_LOSSES = 5
"""Of a snapshot: enough to know where to look; the question of that name has all."""
MAX_POSITION = (1 << 63) - 1
"""As far as a file reaches on any system."""


class State:
    """What the analyst knows: the forest of what it followed, and the recording itself for the events."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.forest = Forest()
        self.recent = Recent(recording)
        self.position = 0

    def extend(self, items: list[Record] | list[Damage], position: int) -> None:
        """Take in what the follower read; `position` is where it has got to."""
        for item in items:
            plant(self.forest, item)
            if isinstance(item, Record):
                self.recent.trail.take(item)
        self.position = position


Method = Callable[[State, Mapping[str, Any]], Any]


def ping(state: State, params: Mapping[str, Any]) -> Any:
    """Whether anybody is there."""
    return "pong"


def info(state: State, params: Mapping[str, Any]) -> Any:
    """The recording, and how far it was followed."""
    counts = {
        "recording": state.recording.id,
        "name": state.recording.name,
        "directory": str(state.recording.directory),
        "position": state.position,
        "events": state.forest.events,
        "producers": state.forest.producers,
        "gaps": state.forest.gaps,
        "undecodable": state.forest.undecodable,
        "removed_segments": state.recording.removed().segments,
    }
    return plain(counts)  # gaps that were declared may add up to more than 64 bits


def query(state: State, params: Mapping[str, Any]) -> Any:
    """One question of the analysis: {verb, filters, options}."""
    return answer(state.forest, params)


def snapshot(state: State, params: Mapping[str, Any]) -> Any:
    """What the last `window` events say (see embertrace.analysis.window), with `info` and the worst `losses`.

    The cost of an answer depends on the window alone, and not on what was recorded before it.
    """
    size = check_window(params.get("window", DEFAULT_WINDOW))
    now = time.time()
    window = state.recent.window(state.position, size)
    losses = sorted(state.forest.losses, key=lambda loss: (-loss.events, loss.producer, loss.reason))
    return {
        "info": info(state, params),
        "losses": plain([loss.to_row() for loss in losses[:MAX_LOSSES]]),
        "window": {"size": size, "events": len(window.arrivals)},
        "rates": plain(rates(window.arrivals, window.complete_since, now)._asdict()),
        **window.overview.to_data(),
    }


def runs(state: State, params: Mapping[str, Any]) -> Any:
    """All runs in the recording."""
    return answer(state.forest, {"verb": "runs"})


def progress(state: State, params: Mapping[str, Any]) -> Any:
    """How far a run is: counts of calls, open, lost, missing, roots, events."""
    run = params.get("run")
    if run is not None and not isinstance(run, str):
        raise QueryError(f"run is {run!r}; it must be a run's id")
    return plain(state.forest.progress(run))


def events(state: State, params: Mapping[str, Any]) -> Any:
    """A page of events from position `start` on: {events, undecodable, signs, next, position}.

    `events` are [[producer, seq, packed], …]; `signs` are [[kind, producer, received_ns, first seq, events, about], …]:
    what the recording's other records (see recording-format.md) say of the producers. `next` is where the next page
    starts, nil after the last. `position` is how far the recording was followed: where the next question goes on once
    `next` is nil. `since_ns` instead of `start` begins with the segment in which that time (Unix nanoseconds) lies.
    """
    page: dict[str, Any] = {
        "events": [], "undecodable": 0, "signs": [], "next": None, "position": state.position,
    }  # fmt: skip
    taken = 0
    for record in state.recording.records(_start(state, params), state.position):
        if isinstance(record, Record):
            if taken >= PAGE_BYTES:
                return {**page, "next": record.position}
            _add_to_page(page, record)
            taken += len(record.payload)
    return page


def _start(state: State, params: Mapping[str, Any]) -> int:
    start, since = params.get("start", 0), params.get("since_ns")
    if not isinstance(start, int) or not 0 <= start <= MAX_POSITION:
        raise QueryError(f"start is {start!r}; it must be a position in the recording, 0 for its beginning")
    if since is None:
        return start
    if not isinstance(since, int):
        raise QueryError(f"since_ns is {since!r}; it must be Unix nanoseconds")
    return max(start, state.recording.base_at(since))


def _add_to_page(page: dict[str, Any], record: Record) -> None:
    if record.kind != BATCH:
        page["signs"].append(list(sign_of(record)))
        return
    seq = record.first_seq
    for event in iter_events(record.payload, record.count):
        if isinstance(event, BadEvent):
            page["undecodable"] += event.lost
            seq += event.lost
        else:
            page["events"].append([record.producer, seq, pack_event(event)])
            seq += 1


METHODS: dict[str, Method] = {
    "ping": ping,
    "info": info,
    "query": query,
    "snapshot": snapshot,
    "runs": runs,
    "progress": progress,
    "events": events,
}


def call(state: State, method: str, params: Mapping[str, Any]) -> Any:
    """The answer of one method. Raises QueryError."""
    if method not in METHODS:
        raise QueryError(f"there is no method {method!r}; known are {', '.join(METHODS)}")
    return METHODS[method](state, params)
