"""What events brought along: run, item and tags, each text once; rows without a context take no place.

A number is given to each run id, each packed item and each packed tags map, in the order in which they are first met;
NOTHING is none. An item or tags map that is empty or can't be read is none, as if it had not been sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from embertrace.analysis.table.column import Array, Column
from embertrace.analysis.table.events import EventTable
from embertrace.lineage import unpack_mapping
from embertrace.wire.columns import CONTEXT, unpack_tail
from embertrace.wire.context import Added, unpack_context

NOTHING = 0


class Mappings:
    """Packed maps by number."""

    def __init__(self) -> None:
        self.packed: list[bytes] = [b""]
        self._numbers: dict[bytes, int] = {b"": NOTHING}

    def number(self, packed: bytes) -> int:
        number = self._numbers.get(packed)
        if number is None:
            number = NOTHING
            if unpack_mapping(packed):
                number = len(self.packed)
                self.packed.append(packed)
            self._numbers[packed] = number
        return number

    def mapping(self, number: int) -> dict[str, Any]:
        """The map with a number; empty for NOTHING."""
        return unpack_mapping(self.packed[number]) if number else {}


class Contexts:
    """The contexts of a table's rows. `runs`, `items` and `tags` lead from numbers to what they stand for."""

    def __init__(self, events: EventTable) -> None:
        self._events = events
        self._row = Column(np.int32)
        self._run, self._item, self._tags = Column(np.int32), Column(np.int32), Column(np.int32)
        self._member = Column(bool)
        self._seen = 0
        self.runs: list[str | None] = [None]
        self._run_numbers: dict[str | None, int] = {None: NOTHING}
        self.items, self.tags = Mappings(), Mappings()

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in (self._row, self._run, self._item, self._tags, self._member))

    def catch_up(self) -> None:
        """Read the contexts of the rows that came since."""
        rows = np.flatnonzero(self._events.flags.values[self._seen :] & CONTEXT) + self._seen
        self._seen = len(self._events)
        if not len(rows):
            return
        found = [self._numbered(unpack_context(unpack_tail(tail)[1])) for tail in self._events.tails(rows)]
        runs, items, tags, members = zip(*found, strict=True)
        self._row.extend(rows)
        for column, values in ((self._run, runs), (self._item, items), (self._tags, tags), (self._member, members)):
            column.extend(np.array(values))

    def _numbered(self, added: Added) -> tuple[int, int, int, bool]:
        run = self._run_numbers.get(added.run)
        if run is None:
            run = self._run_numbers[added.run] = len(self.runs)
            self.runs.append(added.run)
        return run, self.items.number(added.item), self.tags.number(added.tags), added.member

    def of_rows(self, rows: Array) -> tuple[Array, Array, Array, Array]:
        """Of each row the numbers of its run, item and tags, and whether it is a member."""
        found = [np.zeros(len(rows), np.int32) for _ in range(3)]
        members = np.ones(len(rows), bool)
        places = np.flatnonzero(self._events.flags.values[rows] & CONTEXT)
        at = np.searchsorted(self._row.values, rows[places])
        for numbers, column in zip(found, (self._run, self._item, self._tags), strict=True):
            numbers[places] = column.values[at]
        members[places] = self._member.values[at]
        return found[0], found[1], found[2], members
