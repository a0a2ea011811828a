"""Every event that a forest keeps, as a row of columns; links, context and data stay packed behind them.

Rules:
- A row holds what its event said, to the last bit: `event` gives the event back.
- Ids of calls (its own, its parent's, the one it follows) are numbers here, one numbering for all; NO_CALL is id 0.
- Times stand as they were given, integers or the bits of floats; `times` makes nanoseconds of them. What no column
  holds (integers beyond 64 bits, of events made by hand) is cut to what fits there, and stands exactly in `far`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from embertrace.analysis.table.column import Array, Column, NarrowColumn, blocks
from embertrace.analysis.table.ids import DenseIds
from embertrace.analysis.table.names import Names
from embertrace.analysis.table.tails import Tails
from embertrace.event import CALL
from embertrace.wire.columns import (
    DURATION,
    FLOAT_DURATION,
    FLOAT_STAMP,
    NO_TRACE,
    Columns,
    columns_of,
    unpack_tail,
)
from embertrace.wire.event import RawEvent, to_nanoseconds

NO_CALL = 0
"""The number of the id 0, which names no call."""
_INT64 = np.iinfo(np.int64)
_UINT64 = (1 << 64) - 1
FARTHEST_S = 9.2e9
"""Seconds that fit 64 bits as nanoseconds, in either direction."""


class EventTable:
    """Rows of events, and whom they came from."""

    def __init__(self) -> None:
        self.names, self.ids = Names(), DenseIds()
        self.producers: list[bytes] = []
        self.kind, self.flags = Column(np.uint8), Column(np.uint8)
        self.stamp, self.duration_bits = Column(np.int64), NarrowColumn()
        self.trace = Column(np.uint64, 2)
        self.call, self.parent, self.follows = Column(np.int32), Column(np.int32), Column(np.int32)
        self.attempt, self.parent_attempt = NarrowColumn(), NarrowColumn()
        self.slot, self.slots, self.name = NarrowColumn(), NarrowColumn(), NarrowColumn()
        self.far: dict[int, RawEvent] = {}
        self._out_of_range = False
        """Whether nanoseconds of some time don't fit 64 bits: then `times` are not exact, and `origin` alone is."""
        self._numbers: dict[bytes, int] = {}
        self.tails = Tails()
        self._stretch_row, self._stretch_seq = Column(np.int64), Column(np.int64)
        self._stretch_producer = Column(np.int32)

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, without payloads."""
        own = (value.nbytes for value in vars(self).values() if isinstance(value, Column | DenseIds))
        return sum(own) + self.tails.at.nbytes

    @property
    def payload_bytes(self) -> int:
        return self.tails.nbytes

    def reserve(self, length: int) -> None:
        """Room for so many rows like those that are here. Columns that grow are copied again and again."""
        for value in vars(self).values():
            if isinstance(value, Column) and len(value) == len(self):
                value.reserve(length)
        self.tails.at.reserve(length)
        self.ids.reserve(len(self.ids) * length // max(1, len(self)))

    def producer(self, code: bytes) -> int:
        """The number of a producer, new or known."""
        number = self._numbers.get(code)
        if number is None:
            number = self._numbers[code] = len(self.producers)
            self.producers.append(code)
        return number

    def append(
        self, columns: Columns, stretches: Sequence[tuple[int, int, int]], far: Mapping[int, RawEvent] | None = None
    ) -> None:
        """Take in events. `stretches` are (producer's number, first seq, count): whose events they are, in order.

        `far` are, by place, those of which columns hold only what comes nearest.
        """
        at = len(self)
        self.far.update({at + place: event for place, event in (far or {}).items()})
        for producer, seq, count in stretches:
            if not self._goes_on(producer, seq, at):
                self._stretch_row.extend(np.array([at]))
                self._stretch_seq.extend(np.array([seq]))
                self._stretch_producer.extend(np.array([producer]))
            at += count
        assert at == len(self) + len(columns.kind)
        for name in ("kind", "flags", "trace", "attempt", "parent_attempt", "slot", "slots", "name"):
            getattr(self, name).extend(getattr(columns, name))
        self.stamp.extend(columns.stamp)
        given = columns.stamp[(columns.flags & FLOAT_STAMP) != 0].view(np.float64)
        self._out_of_range |= bool((np.abs(given) > FARTHEST_S).any())
        self.duration_bits.extend(columns.duration.view(np.uint64))
        self.ids.add(columns.call_id[columns.kind == CALL].astype(np.uint64, copy=False))  # others find theirs there
        self.call.extend(self._numbered(columns.call_id))
        self.parent.extend(self._numbered(columns.parent))
        self.follows.extend(self._numbered(columns.follows))
        self.tails.append(columns.tail_length, columns.tails)

    def _numbered(self, ids: Array) -> Array:
        """The numbers of call ids; most events have no parent, or follow nothing."""
        some = np.flatnonzero(ids)
        if len(some) == len(ids):
            return self.ids.add(ids.astype(np.uint64, copy=False))
        numbers = np.full(len(ids), NO_CALL, np.int32)
        numbers[some] = self.ids.add(ids[some].astype(np.uint64, copy=False))
        return numbers

    def side_by_side(
        self, events: Sequence[RawEvent], stretches: list[tuple[int, int, int]]
    ) -> tuple[Columns, list[tuple[int, int, int]], dict[int, RawEvent]]:
        """Single events, whatever their fields hold, as `append` takes them."""
        names = [self.names.number((event.operator_id, event.operator_type, event.stage)) for event in events]
        fitting = [_fitting(event) for event in events]
        far = {place: event for place, event in enumerate(events) if fitting[place] is not event}
        return columns_of(fitting, names), stretches, far

    def columns(self, rows: Array, names: Names) -> Columns:
        """The events of rows, side by side, as another table with these names takes them in."""
        renamed = np.array([names.number(triple) for triple in self.names.triples], np.int32)
        tails = list(self.tails.of_rows(rows))
        return Columns(
            kind=self.kind.values[rows],
            stamp=self.stamp.values[rows],
            flags=self.flags.values[rows],
            trace=self.trace.values[rows],
            call_id=self.ids.ids[self.call.values[rows]],
            parent=self.ids.ids[self.parent.values[rows]],
            attempt=self.attempt.values[rows],
            parent_attempt=self.parent_attempt.values[rows],
            slot=self.slot.values[rows],
            name=renamed[self.name.values[rows]],
            duration=self.duration_bits.values[rows].astype(np.uint64).view(np.int64),
            slots=self.slots.values[rows],
            follows=self.ids.ids[self.follows.values[rows]],
            tail_length=np.fromiter(map(len, tails), np.int64, len(tails)),
            tails=b"".join(tails),
        )

    def _goes_on(self, producer: int, seq: int, row: int) -> bool:
        if not len(self._stretch_row):
            return False
        same = self._stretch_producer.values[-1] == producer
        return bool(same and self._stretch_seq.values[-1] + row - self._stretch_row.values[-1] == seq)

    # What rows say.

    def emitted(self, rows: Array) -> tuple[Array, Array]:
        """Of each row the producer's number and the seq."""
        stretch = np.searchsorted(self._stretch_row.values, rows, "right") - 1
        seqs = self._stretch_seq.values[stretch] + (rows - self._stretch_row.values[stretch])
        return self._stretch_producer.values[stretch], seqs

    def times(self, rows: Array) -> Array:
        """Nanoseconds, as near as 64 bits come."""
        stamps = self.stamp.values[rows]
        given = (self.flags.values[rows] & FLOAT_STAMP) != 0
        if given.any():
            seconds = stamps[given].view(np.float64)
            seconds = np.where(np.abs(seconds) < 1e12, seconds, 0)  # as `to_nanoseconds` has it
            stamps[given] = np.rint(np.clip(seconds, -FARTHEST_S, FARTHEST_S) * 1e9).astype(np.int64)
        return stamps

    def origin(self, row: int) -> tuple[int, bytes, int]:
        """When, who, seq: exactly."""
        stretch = int(np.searchsorted(self._stretch_row.values, row, "right")) - 1
        seq = int(self._stretch_seq.values[stretch]) + row - int(self._stretch_row.values[stretch])
        producer = self.producers[self._stretch_producer.values[stretch]]
        return self.nanoseconds(row), producer, seq

    def origins(self, rows: Array) -> Iterator[tuple[int, bytes, int]]:
        """As `origin`, of many rows."""
        times = self.times(rows).tolist() if self.is_exact else map(self.nanoseconds, rows.tolist())
        producers, seqs = self.emitted(rows)
        return zip(times, map(self.producers.__getitem__, producers.tolist()), seqs.tolist(), strict=True)

    def nanoseconds(self, row: int) -> int:
        return to_nanoseconds(self._timestamp(row))

    def _timestamp(self, row: int) -> int | float:
        if row in self.far:
            return self.far[row].timestamp
        stamp = self.stamp.values[row]
        return float(stamp.view(np.float64)) if self.flags.values[row] & FLOAT_STAMP else int(stamp)

    @property
    def is_exact(self) -> bool:
        """Whether `times` are what the events say, to the nanosecond."""
        return not self.far and not self._out_of_range

    def are_in_order(self, rows: Array) -> bool:
        """Whether each of the rows has a later time than the one before, as the events say exactly."""
        last = _INT64.min
        for part in blocks(len(rows)) if self.is_exact else ():
            times = self.times(rows[part])
            if times[0] <= last or (times[1:] <= times[:-1]).any():
                return False
            last = times[-1]
        return self.is_exact

    def in_order(self, rows: Array) -> Array:
        """The places of rows in the order of their origins."""
        if not self.is_exact:
            return np.array(sorted(range(len(rows)), key=lambda at: self.origin(int(rows[at]))), np.int64)
        times = self.times(rows)
        if (times[1:] > times[:-1]).all():
            return np.arange(len(rows))
        order = np.argsort(times, kind="stable")
        sorted_times = times[order]
        if (sorted_times[1:] != sorted_times[:-1]).all():
            return order
        producers, seqs = self.emitted(rows)
        ranked = sorted(range(len(self.producers)), key=self.producers.__getitem__)
        rank = np.empty(len(ranked), np.int64)
        rank[ranked] = np.arange(len(ranked))
        return np.lexsort((seqs, rank[producers], times))

    def call_id(self, number: int) -> int:
        return int(self.ids.ids[number])

    def duration(self, row: int) -> int | float | None:
        flags = int(self.flags.values[row])
        if not flags & DURATION:
            return None
        bits = np.uint64(self.duration_bits.values[row])
        return float(bits.view(np.float64)) if flags & FLOAT_DURATION else int(bits.view(np.int64))

    def event(self, row: int) -> RawEvent:
        """The event of a row, as it was."""
        if row in self.far:
            return self.far[row]
        links, context, data = unpack_tail(self.tails.of_row(row))
        operator_id, operator_type, stage = self.names.triples[self.name.values[row]]
        return RawEvent(
            int(self.kind.values[row]),
            self._timestamp(row),
            self.trace_id(row),
            self.call_id(self.call.values[row]),
            self.call_id(self.parent.values[row]),
            int(self.attempt.values[row]),
            int(self.parent_attempt.values[row]),
            int(self.slot.values[row]),
            operator_id,
            operator_type,
            stage,
            self.duration(row),
            int(self.slots.values[row]),
            self.call_id(self.follows.values[row]),
            links,
            context,
            data,
        )

    def trace_id(self, row: int) -> bytes | None:
        if self.flags.values[row] & NO_TRACE:
            return None
        return bytes(self.trace.values[row].astype(">u8").tobytes())


def _fitting(event: RawEvent) -> RawEvent:
    """The event itself, or one as near to it as columns hold."""
    changed: dict[str, Any] = {}
    for name in ("timestamp", "duration"):
        value = getattr(event, name)
        if isinstance(value, int) and not _INT64.min <= value <= _INT64.max:
            changed[name] = max(_INT64.min, min(value, _INT64.max))
    for name in ("call_id", "parent_call_id", "attempt", "parent_attempt", "slot", "slots", "follows"):
        value = getattr(event, name)
        if not 0 <= value <= _UINT64:
            changed[name] = max(0, min(value, _UINT64))
    return event._replace(**changed) if changed else event
