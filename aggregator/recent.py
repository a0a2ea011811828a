"""The last events of a recording: where they lie, and what they say (see embertrace.analysis.window).

Nothing of them is kept but where their batches begin; who asks for a snapshot has the last ones read once more. So a
reader that looks on every second costs as much with a thousand events as with a billion, and none costs nothing.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from embertrace.analysis import Forest
from embertrace.analysis.window import MAX_WINDOW, Arrival, Overview, overview
from embertrace.event import ERROR, RESULT
from embertrace.recording import Record, Recording
from embertrace.recording.plant import plant
from embertrace.wire.batch import BATCH
from embertrace.wire.event import BadEvent, RawEvent, iter_events

NEVER = float("-inf")


class Mark(NamedTuple):
    """A batch: where it begins, how many events it has, when it came (Unix nanoseconds)."""

    position: int
    events: int
    received_ns: int


class Begin(NamedTuple):
    """Where to read the last events from, and since when (Unix seconds) there are no others."""

    position: int
    complete_since: float


class Trail:
    """The batches that hold the last MAX_WINDOW events: at most so many marks."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque()
        self._events = 0
        self._left_behind = NEVER

    def take(self, record: Record) -> None:
        """A record that was followed, in the order of the recording."""
        if record.kind != BATCH or not record.count:
            return
        self._marks.append(Mark(record.position, record.count, record.received_ns))
        self._events += record.count
        while self._events - self._marks[0].events >= MAX_WINDOW:
            gone = self._marks.popleft()
            self._events -= gone.events
            self._left_behind = gone.received_ns / 1e9

    def begin(self, window: int) -> Begin | None:
        """Where the last `window` events begin; None where there are none."""
        left, found = window, None
        for mark in reversed(self._marks):
            if left == 0 and found is not None:
                return Begin(found.position, mark.received_ns / 1e9)
            found, left = mark, left - mark.events
            if left < 0:  # the window begins in the middle of it
                return Begin(mark.position, mark.received_ns / 1e9)
        return Begin(found.position, self._left_behind) if found is not None else None


class Window(NamedTuple):
    """The last events as they were at a position: when each came, and what they say together."""

    arrivals: list[Arrival]
    complete_since: float
    overview: Overview


def read_window(recording: Recording, trail: Trail, position: int, size: int) -> Window:
    """The last `size` events before `position`, read from the recording."""
    begin = trail.begin(size)
    forest = Forest()
    last: deque[tuple[Arrival, bytes, int, RawEvent]] = deque(maxlen=size)
    for record in recording.records(begin.position, position) if begin is not None else ():
        if not isinstance(record, Record):
            continue
        if record.kind != BATCH:
            plant(forest, record)
            continue
        seq = record.first_seq
        for event in iter_events(record.payload, record.count):
            if isinstance(event, BadEvent):
                seq += event.lost
                continue
            arrival = Arrival(record.received_ns / 1e9, event.type in (RESULT, ERROR))
            last.append((arrival, record.producer, seq, event))
            seq += 1
    for _, producer, seq, event in last:
        forest.add(producer, seq, event)
    return Window(
        [arrival for arrival, *_ in last], begin.complete_since if begin is not None else NEVER, overview(forest)
    )


class Recent:
    """The window that was read last, until something new comes: several who look on cost as much as one."""

    def __init__(self, recording: Recording) -> None:
        self.trail = Trail()
        self._recording = recording
        self._kept: tuple[tuple[int, int], Window] | None = None

    def window(self, position: int, size: int) -> Window:
        """The last `size` events before `position`, up to which the trail was laid."""
        if self._kept is None or self._kept[0] != (position, size):
            self._kept = (position, size), read_window(self._recording, self.trail, position, size)
        return self._kept[1]
