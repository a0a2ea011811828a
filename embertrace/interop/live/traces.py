"""Traces that are held until they can be sent: which events are of which, and when one is due. Pure.

Rules:
- A trace is due once all calls that began in it have ended and nothing came for QUIET_S: then whatever belongs together
  is there, and it is sent as an offline export would. One that goes on is due every PARTIAL_S for what has ended.
- A trace at rest is kept for KEEP_S, so that what comes late finds its parents; then it is let go.
- No more than MAX_EVENTS are held. Beyond, traces at rest are let go early. If that does not do, all are made due, and
  of what was sent only the beginnings of calls that go on are kept. If that is still too many, the oldest are let go:
  their open calls count as `unfinished`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from embertrace.event import CALL, METRIC
from embertrace.lineage import CallKey
from embertrace.wire.event import RawEvent

QUIET_S = 1.0
"""Processes deliver within milliseconds of each other; a score is often given just after its call."""
PARTIAL_S = 30.0
"""A trace of hours is seen as it grows, and is not gone through more often than that."""
KEEP_S = 60.0
"""What a process delivers late because its network was away comes within this, or stands without its parents."""
MAX_EVENTS = 200_000
"""Some 200 MB at worst ordinary payloads; a process that follows must not grow with what it follows."""
PORTION_EVENTS = 20_000
"""Gone through at a time: a fraction of a second."""
PRUNE_EVENTS = 5_000
"""A trace larger than this loses what was sent of it at once, not only after it came to rest."""

Placed = tuple[bytes, int, RawEvent]
"""Producer, seq, event."""


@dataclasses.dataclass(slots=True)
class Trace:
    """The events of one trace. `open` are calls begun and not ended, each with its producer; `sent` those sent."""

    position: int
    """Where the first record with an event of it lies."""
    changed_at: float
    flushed_at: float
    dirty: bool = True
    events: list[Placed] = dataclasses.field(default_factory=list)
    open: dict[CallKey, bytes] = dataclasses.field(default_factory=dict)
    ended: set[CallKey] = dataclasses.field(default_factory=set)
    sent: set[CallKey] = dataclasses.field(default_factory=set)

    def add(self, producer: bytes, seq: int, event: RawEvent, now: float) -> None:
        self.events.append((producer, seq, event))
        self.changed_at, self.dirty = now, True
        if event.type == METRIC:
            return
        key = event.call_id, event.attempt
        if event.type != CALL:
            self.ended.add(key)
            self.open.pop(key, None)
        elif key not in self.ended:
            self.open[key] = producer

    def is_due(self, now: float) -> bool:
        at_rest = not self.open and now - self.changed_at >= QUIET_S
        return self.dirty and (at_rest or now - self.flushed_at >= PARTIAL_S)

    def is_over(self, now: float) -> bool:
        return not self.dirty and not self.open and now - self.changed_at >= KEEP_S

    def calls(self) -> Iterator[CallKey]:
        """The executions that events of it name."""
        return ((event.call_id, event.attempt) for _, _, event in self.events)

    def prune(self) -> None:
        """Keep of the calls that go on what they began with, and nothing else."""
        self.events = [placed for placed in self.events if (placed[2].call_id, placed[2].attempt) in self.open]
        self.ended.clear()
        self.sent &= self.open.keys()


class Traces:
    """The traces that are held, by their ids. `unfinished` counts calls that were let go before they ended."""

    def __init__(self) -> None:
        self.held: dict[bytes, Trace] = {}
        self.events = 0
        self.unfinished = 0

    def add(self, producer: bytes, seq: int, event: RawEvent, position: int, now: float) -> None:
        """Take in one event of a call, or a score."""
        name = trace_name(event, producer)
        trace = self.held.get(name)
        if trace is None:
            trace = self.held[name] = Trace(position, now, now)
        trace.add(producer, seq, event, now)
        self.events += 1

    def end(self, producer: bytes, now: float) -> None:
        """A producer is gone: its open calls will not end."""
        for trace in self.held.values():
            lost = [key for key, begun_by in trace.open.items() if begun_by == producer]
            for key in lost:
                del trace.open[key]
            if lost:
                trace.changed_at, trace.dirty = now, True

    def due(self, now: float) -> list[Trace]:
        """The traces to send now, oldest first, as many as make a portion; those that are over are let go."""
        for name in [name for name, trace in self.held.items() if trace.is_over(now)]:
            self._let_go(name)
        self._make_room()
        if self.events > MAX_EVENTS:
            return list(_portion(self._pressed()))
        return list(_portion(trace for trace in self.held.values() if trace.is_due(now)))

    def rest(self) -> list[Trace]:
        """As `due`, whatever the time: before the end."""
        return list(_portion(trace for trace in self.held.values() if trace.dirty))

    def flushed(self, traces: Iterable[Trace], now: float) -> None:
        """What has ended in these traces was sent, or will be."""
        for trace in traces:
            trace.dirty, trace.flushed_at = False, now
            if len(trace.events) > PRUNE_EVENTS or self.events > MAX_EVENTS:
                before = len(trace.events)
                trace.prune()
                self.events -= before - len(trace.events)

    def position(self, followed: int) -> int:
        """From where on the recording is needed again, if this is forgotten; `followed` is where it was read up to."""
        needed = (trace.position for trace in self.held.values() if trace.dirty or trace.open)
        return min(needed, default=followed)

    def _make_room(self) -> None:
        """Let go of traces at rest before their time, the oldest first, as far as that is needed."""
        for name in list(self.held) if self.events > MAX_EVENTS else ():
            trace = self.held[name]
            if not trace.dirty and not trace.open:
                self._let_go(name)
            if self.events <= MAX_EVENTS:
                break

    def _pressed(self) -> Iterator[Trace]:
        """Those that can be sent; and where nothing can, room is made."""
        for name in list(self.held):
            trace = self.held[name]
            if trace.dirty and len(trace.events) > len(trace.open):
                yield trace
            elif self.events > MAX_EVENTS:
                self.unfinished += len(trace.open)
                self._let_go(name)

    def _let_go(self, name: bytes) -> None:
        self.events -= len(self.held.pop(name).events)


def trace_name(event: RawEvent, producer: bytes) -> bytes:
    """What holds an event together with others: its trace, or for those of none its producer."""
    return event.trace_id if event.trace_id is not None else producer


def _portion(traces: Iterable[Trace]) -> Iterator[Trace]:
    events = 0
    for trace in traces:
        yield trace
        events += len(trace.events)
        if events >= PORTION_EVENTS:
            return
