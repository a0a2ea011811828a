"""The events of one producer that are not yet acknowledged, in order, numbered, and bounded. Pure.

Rules:
- `append` numbers every event, from 1. One that no longer fits is dropped: its seq is burned, counted, and remembered
  as a hole, so that whoever reads the stream learns exactly what is missing.
- `cut` reads a batch (or a hole) from any seq still held and changes nothing; `trim` forgets what is acknowledged.
- What is held lies in runs of consecutive events and holes. Runs are short, so that trimming moves little.

Not thread-safe: its owner holds a lock around it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

RUN_EVENTS = 4096
"""Events of one run: trimming its front moves at most 32 KB of references."""


class Batch(NamedTuple):
    """Consecutive events as one payload."""

    first_seq: int
    events: int
    payload: bytes


class Hole(NamedTuple):
    """Consecutive seqs whose events were dropped."""

    first_seq: int
    events: int


class _Run:
    """Consecutive seqs from `first` on: `events`, or where that is None a hole of `size`."""

    __slots__ = ("events", "first", "size")

    def __init__(self, first: int, events: list[bytes] | None) -> None:
        self.first = first
        self.events = events
        self.size = 0

    @property
    def last(self) -> int:
        return self.first + self.size - 1


class Spool:
    """Held events of one producer. `oldest` is the first seq it holds (or will hold), `next` the one given out next."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.next = 1
        self.held_bytes = 0
        self.dropped = 0
        self._runs: deque[_Run] = deque()

    @property
    def oldest(self) -> int:
        return self._runs[0].first if self._runs else self.next

    def append(self, packed: bytes) -> int:
        """Take in one event; its seq, also where it had to be dropped."""
        seq = self.next
        self.next = seq + 1
        run = self._runs[-1] if self._runs else None
        if self.held_bytes + len(packed) > self.capacity_bytes:
            self.dropped += 1
            if run is None or run.events is not None:
                run = _Run(seq, None)
                self._runs.append(run)
        else:
            self.held_bytes += len(packed)
            if run is None or run.events is None or run.size >= RUN_EVENTS:
                run = _Run(seq, [])
                self._runs.append(run)
            assert run.events is not None
            run.events.append(packed)
        run.size += 1
        return seq

    def cut(self, from_seq: int, max_bytes: int, max_events: int) -> Batch | Hole | None:
        """What comes next from `from_seq`: a batch within both limits (one event at least), a hole, or nothing.

        `from_seq` must not be below `oldest`.
        """
        events: list[bytes] = []
        size = 0
        for run in self._runs:
            if run.last < from_seq:
                continue
            if run.events is None:
                return _batch(from_seq, events) if events else Hole(from_seq, run.last - from_seq + 1)
            for packed in run.events[max(0, from_seq - run.first) :]:
                if events and (size + len(packed) > max_bytes or len(events) >= max_events):
                    return _batch(from_seq, events)
                events.append(packed)
                size += len(packed)
            if run.last >= from_seq + len(events):
                break
        return _batch(from_seq, events) if events else None

    def trim(self, mark: int) -> None:
        """Forget everything up to `mark`."""
        while self._runs and self._runs[0].last <= mark:
            run = self._runs.popleft()
            self.held_bytes -= sum(map(len, run.events or ()))
        if self._runs and self._runs[0].first <= mark:
            run = self._runs[0]
            gone = mark - run.first + 1
            if run.events is not None:
                self.held_bytes -= sum(map(len, run.events[:gone]))
                del run.events[:gone]
            run.first += gone
            run.size -= gone


def _batch(first_seq: int, events: list[bytes]) -> Batch:
    return Batch(first_seq, len(events), b"".join(events))
