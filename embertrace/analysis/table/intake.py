"""The way into the table: batches and single events wait until there are enough of them, and are read together.

Rules:
- (producer, seq) names an event; a second sighting is ignored, whichever of the two waits longer.
- A batch that can't be read at once is read event by event; what is no event there is counted, and costs itself alone.
- What `keeps` refuses was seen and is counted like any other event, but takes no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from embertrace.analysis.known import Known
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.contexts import Contexts
from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.executions import Executions
from embertrace.analysis.table.items import Items
from embertrace.analysis.table.texts import Texts
from embertrace.analysis.table.traces import Stretch, emitted_in, stretches_of
from embertrace.event import METRIC
from embertrace.wire.columns import Columns, decode
from embertrace.wire.event import BadEvent, RawEvent, iter_events

ENOUGH_BYTES = 2 * 1024 * 1024
"""Some ten thousand events: their columns stay in the processor's cache while they are read."""
ENOUGH_EVENTS = 4096
SINGLE_BYTES = 1000
"""About what a single event takes as a Python object, until it is read."""

Keeps = Callable[[Columns], Array]
"""Says of events, side by side, which of them are kept."""


class Waiting(NamedTuple):
    """A batch that was not read yet."""

    producer: bytes
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose: it is the format's word
    payload: bytes


class Intake:
    """What came, as a table, its executions and its contexts. `flush` before looking at them.

    `known` is where events are counted, and whence they came; `keeps` says which of them take a row (None: all).
    """

    def __init__(self, known: Known | None = None, keeps: Keeps | None = None) -> None:
        self.known = Known() if known is None else known
        self.events = EventTable()
        self.executions = Executions(self.events)
        self.contexts = Contexts(self.events)
        self.texts = Texts(self.events)
        self.items = Items(self.contexts)
        self._keeps = keeps
        self._batches: list[Waiting] = []
        self._batch_bytes = self._expected = 0
        self._single: list[tuple[bytes, int, RawEvent]] = []

    def expect(self, length: int) -> None:
        """So many bytes of batches will come: once the first of them were read, room is made for all."""
        self._expected = length

    @property
    def waits(self) -> bool:
        """Whether something was not read yet."""
        return bool(self._batches or self._single)

    @property
    def nbytes(self) -> int:
        """Bytes of the table with its payloads, of what was read of them and kept, and of what waits."""
        events = self.events
        return (
            events.nbytes
            + events.payload_bytes
            + self.executions.nbytes
            + self.contexts.nbytes
            + self.texts.nbytes
            + self.items.nbytes
            + self._batch_bytes
            + len(self._single) * SINGLE_BYTES
        )

    def add(self, producer: bytes, seq: int, event: RawEvent) -> None:
        self._single.append((producer, seq, event))
        if len(self._single) >= ENOUGH_EVENTS:
            self.flush()

    def add_batch(self, producer: bytes, first_seq: int, count: int, payload: bytes) -> None:
        self._batches.append(Waiting(producer, first_seq, count, payload))
        self._batch_bytes += len(payload)
        if self._batch_bytes >= ENOUGH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Read all that waits."""
        if not self._batches and not self._single:
            return
        start = len(self.events)
        batches, taken = self._batches, self._batch_bytes
        self._batches, self._batch_bytes = [], 0
        if batches:
            self._take_batches(batches)
        single, self._single = self._single, []
        self._take_events(single)
        self.executions.add(start)
        if self._expected > taken > 0:
            length = int(len(self.events) * self._expected / taken)
            self.events.reserve(length)
            self.executions.reserve(length)
        self._expected = 0

    def adopt(self, other: EventTable, rows: Array) -> None:
        """Take over rows of another table, without counting them; those whose events were seen here already stay there.

        `rows` ascend.
        """
        start = len(self.events)
        producers, seqs = other.emitted(rows)
        codes = other.producers
        new = [
            bool(self.known.meet(codes[producer]).add(seq, 1))
            for producer, seq in zip(producers.tolist(), seqs.tolist(), strict=True)
        ]
        self._copy(other, rows[np.array(new, bool)])
        self.executions.add(start)

    def carry(self, other: EventTable, rows: Array) -> None:
        """As `adopt`, of events that are known to be seen."""
        start = len(self.events)
        self._copy(other, rows)
        self.executions.add(start)

    def _copy(self, other: EventTable, rows: Array) -> None:
        if not len(rows):
            return
        producers, seqs = other.emitted(rows)
        numbers = np.array([self.events.producer(code) for code in other.producers], np.int64)
        far = {place: other.far[int(rows[place])] for place in np.flatnonzero(np.isin(rows, list(other.far))).tolist()}
        self.events.append(other.columns(rows, self.events.names), stretches_of(numbers[producers], seqs), far)

    def kept_rows(self) -> list[int]:
        """The rows of events that count: begins and ends of executions, and metrics; in the order of their origins."""
        begins, ends = self.executions.begin.values, self.executions.end.values
        metrics = np.flatnonzero(self.events.kind.values == METRIC)
        rows = np.concatenate([begins[begins >= 0], ends[ends >= 0], metrics]).astype(np.int64)
        found: list[int] = rows[self.events.in_order(rows)].tolist()
        return found

    def _take_batches(self, batches: list[Waiting]) -> None:
        columns, good = decode(
            [batch.payload for batch in batches], [batch.count for batch in batches], self.events.names.of_packed
        )
        self._take_columns(columns, [batch for batch, fine in zip(batches, good.tolist(), strict=True) if fine])
        for batch, fine in zip(batches, good.tolist(), strict=True):
            if not fine:
                self._take_events(self._one_by_one(batch))

    def _take_columns(self, columns: Columns, batches: list[Waiting]) -> None:
        stretches: list[Stretch] = []
        fresh = np.ones(len(columns.kind), bool)
        at = 0
        for batch in batches:
            number = self.events.producer(batch.producer)
            spans = self.known.meet(batch.producer).add(batch.first_seq, batch.count)
            stretches += [(number, first, end - first) for first, end in spans]
            if spans != [(batch.first_seq, batch.first_seq + batch.count)]:
                fresh[at : at + batch.count] = False
                for first, end in spans:
                    fresh[at + first - batch.first_seq : at + end - batch.first_seq] = True
            at += batch.count
        self._put(columns if fresh.all() else columns.take(fresh), stretches, {})

    def _put(self, columns: Columns, stretches: list[Stretch], far: dict[int, RawEvent]) -> None:
        """Count distinct events, and give rows to those that are kept; `far` are those by place that fit no column."""
        self.known.events += len(columns.kind)
        self.known.unplaced += int(((columns.kind != METRIC) & (columns.call_id == 0)).sum())
        if self._keeps is not None and stretches:
            kept = self._keeps(columns)
            if not kept.all():
                producers, seqs = emitted_in(stretches)
                stretches = stretches_of(producers[kept], seqs[kept])
                columns, places = columns.take(kept), np.cumsum(kept) - 1
                far = {int(places[place]): event for place, event in far.items() if kept[place]}
        self.events.append(columns, stretches, far)

    def _one_by_one(self, batch: Waiting) -> Iterator[tuple[bytes, int, RawEvent]]:
        seq = batch.first_seq
        for event in iter_events(batch.payload, batch.count):
            if isinstance(event, BadEvent):
                self.known.undecodable += event.lost
                seq += event.lost
            else:
                yield batch.producer, seq, event
                seq += 1

    def _take_events(self, placed: Iterable[tuple[bytes, int, RawEvent]]) -> None:
        events: list[RawEvent] = []
        stretches: list[Stretch] = []
        for producer, seq, event in placed:
            if self.known.meet(producer).add(seq, 1):
                number = self.events.producer(producer)
                if stretches and stretches[-1][0] == number and sum(stretches[-1][1:]) == seq:
                    stretches[-1] = (number, stretches[-1][1], stretches[-1][2] + 1)
                else:
                    stretches.append((number, seq, 1))
                events.append(event)
        if events:
            self._put(*self.events.side_by_side(events, stretches))
