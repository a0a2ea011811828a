"""What events brought along: run, item and tags, each text once; rows without a context take no place.

A number is given to each run id, each packed item and each packed tags map, in the order in which they are first met;
NOTHING is none. An item or tags map that is empty or can't be read is none, as if it had not been sent.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from embertrace.analysis.table.column import Array, Column
from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.shares import Shares
from embertrace.lineage import unpack_mapping
from embertrace.wire.columns import CONTEXT, context_of
from embertrace.wire.context import Added, pack_context, unpack_context

NOTHING = 0


class Mappings:
    """Packed maps by number.

    Maps that begin with a text under "key" and go on alike are many, and differ in that text alone: once one of them
    was read, the others need only be looked at.
    """

    def __init__(self) -> None:
        self.packed: list[bytes] = [b""]
        self._numbers: dict[bytes, int] = {b"": NOTHING}
        self._read: set[tuple[int, bytes]] = set()

    def number(self, packed: bytes) -> int:
        number = self._numbers.get(packed)
        if number is None:
            number = NOTHING
            if self._is_filled(packed):
                number = len(self.packed)
                self.packed.append(packed)
            self._numbers[packed] = number
        return number

    def mapping(self, number: int) -> dict[str, Any]:
        """The map with a number; empty for NOTHING."""
        return unpack_mapping(self.packed[number]) if number else {}

    def _is_filled(self, packed: bytes) -> bool:
        end = end_of_key(packed)
        if not end:
            return bool(unpack_mapping(packed))
        kind = packed[0], packed[end:]
        if kind not in self._read:
            if not unpack_mapping(packed):
                return False
            if len(self._read) < MOST_KINDS:
                self._read.add(kind)
        return True


MOST_KINDS = 10_000
"""Where maps go on in that many ways, looking is no shorter than reading."""
_KEY, _ITEM = b"\xa3key", b"\xa4item\xc4"

Around = tuple[int, int, bool, float, int]
"""Numbers of run and tags, whether it is a member; the share, and what was withheld."""


def end_of_key(packed: bytes) -> int:
    """Where the key ends in an item that begins with one of short ASCII text; else 0."""
    if packed[1:5] != _KEY or len(packed) < 6 or not 0xA0 <= packed[5] < 0xC0 or not 0x80 < packed[0] < 0x90:
        return 0
    end = 6 + (packed[5] & 0x1F)
    plain = end <= len(packed) and packed[6:end].isascii() and _KEY not in packed[end:]
    return end if plain else 0


class Contexts:
    """The contexts of a table's rows. `runs`, `items` and `tags` lead from numbers to what they stand for.

    `shares` has what they say of sampling.
    """

    def __init__(self, events: EventTable) -> None:
        self._events = events
        self._row = Column(np.int32)
        self._run, self._item, self._tags = Column(np.int32), Column(np.int32), Column(np.int32)
        self._member = Column(bool)
        self._seen = 0
        self._around: dict[tuple[bytes, bytes], Around] = {}
        """What contexts say beside an item, by the bytes before and behind it."""
        self.runs: list[str | None] = [None]
        self._run_numbers: dict[str | None, int] = {None: NOTHING}
        self.items, self.tags = Mappings(), Mappings()
        self.shares = Shares()

    @property
    def nbytes(self) -> int:
        columns = (self._row, self._run, self._item, self._tags, self._member, self.shares)
        return sum(column.nbytes for column in columns)

    def catch_up(self) -> None:
        """Read the contexts of the rows that came since."""
        rows = np.flatnonzero(self._events.flags.values[self._seen :] & CONTEXT) + self._seen
        self._seen = len(self._events)
        if not len(rows):
            return
        runs, items, tags, members = array("i"), array("i"), array("i"), array("b")
        shares, withheld = array("d"), array("q")
        for tail in self._events.tails(rows):
            item, (run, own_tags, member, share, kept_out) = self._read(tail)
            runs.append(run)
            items.append(item)
            tags.append(own_tags)
            members.append(member)
            shares.append(share)
            withheld.append(kept_out)
        self._row.extend(rows)
        self.shares.extend(rows, np.array(shares), np.array(withheld))
        for column, values in ((self._run, runs), (self._item, items), (self._tags, tags), (self._member, members)):
            column.extend(np.array(values))

    def _read(self, tail: bytes) -> tuple[int, Around]:
        """The number of the item, and what else a tail's context says. Of those that differ in their items alone one
        is read."""
        context = context_of(tail)
        start = context.find(_ITEM) + len(_ITEM) + 1
        if start <= len(_ITEM) or start >= len(context) or context.find(_ITEM, start) >= 0:
            added = unpack_context(context)
            return self.items.number(added.item), self._beside_item(added)
        end = start + context[start - 1]
        around = context[:start], context[end:]
        known = self._around.get(around)
        if known is not None:
            return self.items.number(context[start:end]), known
        added = unpack_context(context)
        beside = self._beside_item(added)
        if added.item == context[start:end] and pack_context(added) == context and len(self._around) < MOST_KINDS:
            self._around[around] = beside
        return self.items.number(added.item), beside

    def _beside_item(self, added: Added) -> Around:
        run = self._run_numbers.get(added.run)
        if run is None:
            run = self._run_numbers[added.run] = len(self.runs)
            self.runs.append(added.run)
        return run, self.tags.number(added.tags), added.member, added.share, added.withheld

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
