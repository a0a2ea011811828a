"""Who sent what is recorded: one entry per producer, kept up to date from the records themselves. Pure.

`delay_s` is how long the oldest event of a producer's last batch had been on its way when it was received: by the
clocks of both, and corrected by what is known of the difference between them (the middle of its bounds).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from embertrace.recording import BATCH, BEGIN, CLOCK, END, GAP, Record
from embertrace.wire.batch import gap_reason
from embertrace.wire.clock import unpack_offset
from embertrace.wire.control import whereabouts
from embertrace.wire.event import RawEvent, iter_events, to_nanoseconds


@dataclasses.dataclass(slots=True)
class Producer:
    """What the recording says of one producer. Times are Unix nanoseconds of the aggregator's clock."""

    id: bytes
    host: str = ""
    pid: int = 0
    begun_ns: int | None = None
    heard_ns: int = 0
    events: int = 0
    bytes: int = 0
    lost: int = 0
    ended: bool = False
    why: str | None = None
    """Why it ended, where it did not say so itself."""
    oldest_ns: int | None = None
    """When the oldest event of its last batch happened, by its own clock."""
    received_ns: int = 0
    offset_ns: int = 0

    @property
    def delay_s(self) -> float | None:
        """See above; None where nothing came yet."""
        return None if self.oldest_ns is None else (self.received_ns - self.oldest_ns - self.offset_ns) / 1e9

    def to_row(self) -> dict[str, Any]:
        return {
            "producer": self.id.hex(),
            "host": self.host,
            "pid": self.pid,
            "status": "ended" if self.ended else "connected",
            "why": self.why,
            "begun": None if self.begun_ns is None else self.begun_ns / 1e9,
            "heard": self.heard_ns / 1e9,
            "events": self.events,
            "bytes": self.bytes,
            "lost": self.lost,
            "delay_s": self.delay_s,
        }


class Roll:
    """All producers of a recording, in the order in which they appeared, and how many events each reason took."""

    def __init__(self) -> None:
        self.known: dict[bytes, Producer] = {}
        self.bytes = 0

    def take(self, record: Record) -> None:
        """One record."""
        one = self.known.get(record.producer)
        if one is None:
            one = self.known[record.producer] = Producer(record.producer)
        one.heard_ns = record.received_ns
        _TAKERS.get(record.kind, _take_nothing)(one, record)
        self.bytes += len(record.payload)

    @property
    def connected(self) -> int:
        return sum(not one.ended for one in self.known.values())

    @property
    def worst_delay_s(self) -> float | None:
        """The longest delay among those that are connected; None where nobody sent anything yet."""
        delays = (one.delay_s for one in self.known.values() if not one.ended)
        return max((delay for delay in delays if delay is not None), default=None)


def _take_batch(one: Producer, record: Record) -> None:
    one.events += record.count
    one.bytes += len(record.payload)
    one.ended = False
    first = next(iter_events(record.payload, record.count), None)
    if isinstance(first, RawEvent):
        one.oldest_ns, one.received_ns = to_nanoseconds(first.timestamp), record.received_ns


def _take_gap(one: Producer, record: Record) -> None:
    one.lost += record.count


def _take_begin(one: Producer, record: Record) -> None:
    if one.begun_ns is None:
        one.begun_ns = record.received_ns
    host, pid = whereabouts(record.payload)
    one.host, one.pid = host or one.host, pid or one.pid
    one.ended, one.why = False, None


def _take_end(one: Producer, record: Record) -> None:
    one.ended = True
    one.why = gap_reason(record.payload) if record.payload else None


def _take_clock(one: Producer, record: Record) -> None:
    offset = unpack_offset(record.payload)
    if offset is not None:
        one.offset_ns = (offset.low_ns + offset.high_ns) // 2


def _take_nothing(one: Producer, record: Record) -> None:
    """A kind of record that says nothing of its producer."""


_TAKERS = {BATCH: _take_batch, GAP: _take_gap, BEGIN: _take_begin, END: _take_end, CLOCK: _take_clock}


def order(one: Producer) -> tuple[bool, int]:
    """Producers to be looked at first: those that are connected, the ones heard last ahead."""
    return one.ended, -one.heard_ns
