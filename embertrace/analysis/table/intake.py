"""The way into the table: batches and single events wait until there are enough of them, and are read together.

Rules:
- (producer, seq) names an event; a second sighting is ignored, whichever of the two waits longer.
- A batch that can't be read at once is read event by event; what is no event there is counted, and costs itself alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from embertrace.analysis.table.contexts import Contexts
from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.executions import Executions
from embertrace.analysis.table.items import Items
from embertrace.analysis.table.seqs import Seqs
from embertrace.analysis.table.texts import Texts
from embertrace.event import METRIC
from embertrace.wire.columns import Columns, decode
from embertrace.wire.event import BadEvent, RawEvent, iter_events

ENOUGH_BYTES = 2 * 1024 * 1024
"""Some ten thousand events: their columns stay in the processor's cache while they are read."""
ENOUGH_EVENTS = 4096

Stretch = tuple[int, int, int]
"""Events of one producer (by number) in a row: first seq, count."""


class Waiting(NamedTuple):
    """A batch that was not read yet."""

    producer: bytes
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose: it is the format's word
    payload: bytes


class Intake:
    """What came, as a table, its executions and its contexts. `flush` before looking at them.

    `distinct` counts events, `undecodable` those nobody could read, `unplaced` calls and results without a call id.
    """

    def __init__(self) -> None:
        self.events = EventTable()
        self.executions = Executions(self.events)
        self.contexts = Contexts(self.events)
        self.texts = Texts(self.events)
        self.items = Items(self.contexts)
        self.distinct = self.undecodable = self.unplaced = 0
        self._seen: dict[bytes, Seqs] = {}
        self._batches: list[Waiting] = []
        self._batch_bytes = 0
        self._single: list[tuple[bytes, int, RawEvent]] = []

    @property
    def producers(self) -> int:
        return len(self._seen)

    def meet(self, producer: bytes) -> Seqs:
        """The seqs seen of a producer, which is known from now on."""
        return self._seen.setdefault(producer, Seqs())

    def last_seq(self, producer: bytes) -> int:
        return self._seen[producer].last

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
        batches, self._batches, self._batch_bytes = self._batches, [], 0
        if batches:
            self._take_batches(batches)
        single, self._single = self._single, []
        self._take_events(single)
        rows = slice(start, None)
        kinds, calls = self.events.kind.values[rows], self.events.call.values[rows]
        self.distinct += len(kinds)
        self.unplaced += int(((kinds != METRIC) & (calls == 0)).sum())
        self.executions.add(start)

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
            spans = self.meet(batch.producer).add(batch.first_seq, batch.count)
            stretches += [(number, first, end - first) for first, end in spans]
            if spans != [(batch.first_seq, batch.first_seq + batch.count)]:
                fresh[at : at + batch.count] = False
                for first, end in spans:
                    fresh[at + first - batch.first_seq : at + end - batch.first_seq] = True
            at += batch.count
        self.events.append(columns if fresh.all() else columns.take(fresh), stretches)

    def _one_by_one(self, batch: Waiting) -> Iterator[tuple[bytes, int, RawEvent]]:
        seq = batch.first_seq
        for event in iter_events(batch.payload, batch.count):
            if isinstance(event, BadEvent):
                self.undecodable += event.lost
                seq += event.lost
            else:
                yield batch.producer, seq, event
                seq += 1

    def _take_events(self, placed: Iterable[tuple[bytes, int, RawEvent]]) -> None:
        events: list[RawEvent] = []
        stretches: list[Stretch] = []
        for producer, seq, event in placed:
            if self.meet(producer).add(seq, 1):
                number = self.events.producer(producer)
                if stretches and stretches[-1][0] == number and sum(stretches[-1][1:]) == seq:
                    stretches[-1] = (number, stretches[-1][1], stretches[-1][2] + 1)
                else:
                    stretches.append((number, seq, 1))
                events.append(event)
        if events:
            self.events.append_events(events, stretches)
