"""Replay: a recording's event stream, sent again to an aggregator or into a sink.

    rewrite   what changes in the events where another run or time is asked for
    stream    one recorded producer as something the delivery protocol can send from
    sender    the sockets

The original producers, seqs and gaps are sent, so replaying twice changes nothing. `as_` makes a new run of fresh
producers instead.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from embertrace import collect, keys
from embertrace.analysis import Forest
from embertrace.errors import QueryError
from embertrace.event import CALL, OperatorEvent
from embertrace.lineage import Lineage, to_operator_event
from embertrace.playback.rewrite import NewRun, rewrite
from embertrace.playback.sender import Sender
from embertrace.recording import BEGIN, CLOCK, END, Damage, Record, Recording
from embertrace.recording.plant import plant
from embertrace.wire.batch import BATCH, GAP, gap_reason
from embertrace.wire.clock import unpack_offset
from embertrace.wire.control import whereabouts
from embertrace.wire.event import BadEvent, RawEvent, iter_events, pack_event

Progress = Callable[[int, int], None]
Target = str | Callable[[OperatorEvent], object] | Any


@dataclasses.dataclass(slots=True)
class ReplayResult:
    """What a replay did: events sent, events the aggregator had already, seqs declared lost, bytes skipped."""

    events: int = 0
    already_there: int = 0
    gaps: int = 0
    undecodable: int = 0
    damaged_bytes: int = 0
    run: str | None = None

    def to_data(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        told = [f"{self.events} events replayed"]
        named = {
            "already there": self.already_there,
            "in gaps": self.gaps,
            "undecodable": self.undecodable,
            "damaged bytes skipped": self.damaged_bytes,
        }
        told += [f"{count} {what}" for what, count in named.items() if count]
        return ", ".join(told) + (f", as run {self.run}" if self.run else "")


def replay(
    recording: str | os.PathLike[str],
    *,
    to: Target,
    speed: float | Literal["max"] = 1.0,
    as_: str | None = None,
    retime: Literal["now"] | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> ReplayResult:
    """Send a recording again: to an aggregator (an endpoint), or into a sink (a callable that takes events).

    `speed` is a multiple of the recorded pace, or "max". `as_` makes it a new run of that name. `retime="now"` shifts
    all timestamps by one constant, so that the first event is now. A sink may also have `put(packed: bytes)`. An
    aggregator that asks for a key gets that of EMBERTRACE_KEY. Raises RecordingError, AggregatorError, SecurityError,
    and QueryError where `as_` would make one run of several.
    """
    source = Recording.open(pathlib.Path(recording))
    end = max(1, source.end())
    run = NewRun.named(_checked(source, as_), clock) if as_ is not None else None
    result = ReplayResult(run=run.id if run is not None else None)
    plan = _Plan(source, run, _shift(source, clock) if retime == "now" else 0, result)
    pace = _Pace(speed, clock, sleep)
    for record in _to_aggregator(plan, to) if isinstance(to, str) else _to_sink(plan, to):
        pace.wait(record.received_ns)
        if progress is not None:
            progress(record.position, end)
    return result


class _Plan:
    """The records of a replay, as they are to be sent."""

    def __init__(self, source: Recording, run: NewRun | None, shift_ns: int, result: ReplayResult) -> None:
        self.source = source
        self.run = run
        self.shift_ns = shift_ns
        self.result = result

    @property
    def changes(self) -> bool:
        return self.run is not None or self.shift_ns != 0

    def records(self) -> Iterator[Record]:
        """The recorded records; damage is counted and left out."""
        for record in self.source.records():
            if isinstance(record, Damage):
                self.result.damaged_bytes += record.length
            else:
                yield record

    def events(self, record: Record) -> Iterator[tuple[int, RawEvent | BadEvent]]:
        """(seq, event) of a batch, rewritten."""
        seq = record.first_seq
        for event in iter_events(record.payload, record.count):
            if isinstance(event, BadEvent):
                yield seq, event
                seq += event.lost
            else:
                yield seq, rewrite(event, self.run, self.shift_ns)
                seq += 1


def _to_aggregator(plan: _Plan, endpoint: str) -> Iterator[Record]:
    """Send each record before it is yielded; everything is acknowledged when the iteration ends."""
    fresh: dict[bytes, bytes] = {}
    ended: dict[bytes, None] = {}
    with Sender(endpoint, keys.load(collect.settings.key)) as sender:
        for record in plan.records():
            yield record
            producer = record.producer
            if plan.run is not None:
                producer = fresh.setdefault(record.producer, secrets.token_bytes(16))
            if record.kind == END:
                ended[producer] = None
            elif record.kind == BEGIN:
                sender.introduce(producer, whereabouts(record.payload))
            elif record.kind == CLOCK and (offset := unpack_offset(record.payload)) is not None:
                sender.tell_offset(producer, offset)
            elif record.kind in (BATCH, GAP):
                ended.pop(producer, None)  # it was only believed to be gone
                _send(plan, sender, producer, record)
        for producer in ended:
            sender.end(producer)
        sender.finish()


def _send(plan: _Plan, sender: Sender, producer: bytes, record: Record) -> None:
    if record.kind == GAP:
        plan.result.gaps += record.count
        sender.send(producer, record.first_seq, record.count, None, gap_reason(record.payload))
        return
    payload = record.payload
    if plan.changes:
        found = list(plan.events(record))
        if any(isinstance(event, BadEvent) for _, event in found):
            _send_around_bad(plan, sender, producer, found)
            return
        payload = b"".join(pack_event(event) for _, event in found)
    already = sender.send(producer, record.first_seq, record.count, payload)
    plan.result.already_there += already
    plan.result.events += record.count - already


def _send_around_bad(
    plan: _Plan, sender: Sender, producer: bytes, found: list[tuple[int, RawEvent | BadEvent]]
) -> None:
    """What can't be decoded can't be rewritten: it is declared lost in its place."""
    for seq, event in found:
        if isinstance(event, BadEvent):
            if event.lost:
                plan.result.undecodable += event.lost
                sender.send(producer, seq, event.lost, None, "could not be decoded when it was rewritten")
        else:
            already = sender.send(producer, seq, 1, pack_event(event))
            plan.result.already_there += already
            plan.result.events += 1 - already


def _to_sink(plan: _Plan, sink: Any) -> Iterator[Record]:
    """Hand each event of a record over, after it is yielded."""
    put = getattr(sink, "put", None)
    lineage = Lineage() if put is not None else _lineage(plan)
    for record in plan.records():
        yield record
        if record.kind == GAP:
            plan.result.gaps += record.count
        if record.kind != BATCH:
            continue
        for seq, event in plan.events(record):
            if isinstance(event, BadEvent):
                plan.result.undecodable += event.lost
                continue
            if put is not None:
                put(pack_event(event))
            else:
                sink(to_operator_event(event, lineage.context(event), record.producer, seq))
            plan.result.events += 1


def _lineage(plan: _Plan) -> Lineage:
    """All calls of the recording: an event may be recorded before its parent's, and still has its full context."""
    lineage = Lineage()
    for item in plan.source.records():
        if isinstance(item, Record) and item.kind == BATCH:
            for _, event in plan.events(item):
                if isinstance(event, RawEvent) and event.type == CALL:
                    lineage.observe(event)
    return lineage


def _shift(source: Recording, clock: Callable[[], float]) -> int:
    """Nanoseconds from the first recorded event to now."""
    for item in source.records():
        if isinstance(item, Record) and item.kind == BATCH:
            for event in iter_events(item.payload, item.count):
                if isinstance(event, RawEvent):
                    first = event.timestamp
                    return int(clock() * 1e9) - (first if isinstance(first, int) else int(first * 1e9))
    return 0


def _checked(source: Recording, name: str) -> str:
    """`name`, if the recording holds one run at most."""
    forest = Forest()
    for record in source.records():
        plant(forest, record)
    runs = [run["name"] if run.get("name") else run["id"] for run in forest.runs()]
    if len(runs) > 1:
        raise QueryError(f"{source.directory} holds {len(runs)} runs ({', '.join(runs)}); one name can't stand for all")
    return name


class _Pace:
    """Waits so that records go out as far apart as they came in, `speed` times as fast."""

    def __init__(
        self, speed: float | Literal["max"], clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        if speed != "max" and not speed > 0:
            raise ValueError(f"speed is {speed!r}; it must be a positive number, or 'max'")
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._began: float | None = None
        self._first_ns = 0

    def wait(self, received_ns: int) -> None:
        if self._speed == "max":
            return
        if self._began is None:
            self._began, self._first_ns = self._clock(), received_ns
        due = self._began + (received_ns - self._first_ns) / 1e9 / self._speed
        delay = due - self._clock()
        if delay > 0:
            self._sleep(delay)


__all__ = ["ReplayResult", "replay"]
