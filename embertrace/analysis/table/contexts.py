"""What events brought along: run, item and tags, each text once; rows without a context take no place.

A number is given to each run id, each packed item and each packed tags map (see `mappings`); NOTHING is none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embertrace.analysis.table.column import Array, Column
from embertrace.analysis.table.counting import firsts, together
from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.mappings import NOTHING, FewMappings, Mappings
from embertrace.analysis.table.shares import Shares
from embertrace.wire.columns import CONTEXT, NO_LINKS, context_of
from embertrace.wire.context import Added, pack_context, unpack_context
from embertrace.wire.cursor import BINARY, NIL
from embertrace.wire.spans import PADDING, alike, words_at

_ITEM = b"\xa4item\xc4"
_FIRST_OF_ITEM, _SIX_BYTES = np.uint64(int.from_bytes(_ITEM, "little")), np.uint64(0xFFFFFFFFFFFF)

Beside = tuple[int, int, bool, float, int]
"""What a context says beside its item: numbers of run and tags, whether it is a member; share, what was withheld."""
_ALONE = -1
"""In the place of what a context says beside its item, where it has to be read by itself."""


class _Parted(NamedTuple):
    """Of the tails with a short context that has one item: which they are, where the context starts and stops, and
    where between them the item's bytes start and end."""

    row: Array
    start: Array
    item: Array
    end: Array
    stop: Array


def _parted(buffer: bytes, starts: Array) -> _Parted:
    """`starts` ascend."""
    bytes_, words = np.frombuffer(buffer, np.uint8), words_at(buffer)
    has_none = (bytes_[starts] == NIL) | (bytes_[starts] == NO_LINKS)
    start = starts + 3
    stop = np.where(has_none & (bytes_[starts + 1] == BINARY), start + bytes_[starts + 2], start)
    at = np.flatnonzero(bytes_ == _ITEM[0])
    at = at[at < len(buffer) - PADDING]
    at = at[(words[at] & _SIX_BYTES) == _FIRST_OF_ITEM]
    row = np.searchsorted(starts, at, "right") - 1
    inside = (at >= start[row]) & (at + len(_ITEM) < stop[row])
    at, row = at[inside], row[inside]
    once = np.bincount(row, minlength=len(starts))[row] == 1
    item = at + len(_ITEM) + 1
    end = item + bytes_[item - 1]
    fits = once & (end <= stop[row])
    row = row[fits]
    return _Parted(row, start[row], item[fits], end[fits], stop[row])


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
        self.runs: list[str | None] = [None]
        self._run_numbers: dict[str | None, int] = {None: NOTHING}
        self.items, self.tags = Mappings(), FewMappings()
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
        items, beside = np.empty(len(rows), np.int32), np.empty(len(rows), np.int64)
        known: dict[Beside, int] = {}
        for places, buffer, starts, lengths in self._events.tails.packed(rows):
            items[places], beside[places] = self._read(buffer, starts, lengths, known)
        run, tags, member, share, withheld = (np.array(each)[beside] for each in zip(*known, strict=True))
        self._row.extend(rows)
        self.shares.extend(rows, share, withheld)
        for column, values in ((self._run, run), (self._item, items), (self._tags, tags), (self._member, member)):
            column.extend(values)

    def _read(self, buffer: bytes, starts: Array, lengths: Array, known: dict[Beside, int]) -> tuple[Array, Array]:
        """What the contexts of tails say: numbers of items, and of what else they say in `known`, which grows.

        Of those that differ in their items alone one is read.
        """
        items, beside = np.empty(len(starts), np.int32), np.full(len(starts), _ALONE)
        parts = _parted(buffer, starts)
        kinds = together(
            alike(buffer, parts.start, parts.item - parts.start), alike(buffer, parts.end, parts.stop - parts.end)
        )
        first = firsts(kinds)
        of_kind = np.full(len(first), _ALONE)
        for at in np.flatnonzero(first == np.arange(len(first))).tolist():
            context = buffer[parts.start[at] : parts.stop[at]]
            added = unpack_context(context)
            if added.item == buffer[parts.item[at] : parts.end[at]] and pack_context(added) == context:
                of_kind[at] = known.setdefault(self._beside_item(added), len(known))
        beside[parts.row] = of_kind[first]
        by_kind = np.flatnonzero(of_kind[first] != _ALONE)
        items[parts.row[by_kind]] = self.items.numbers(buffer, parts.item[by_kind], (parts.end - parts.item)[by_kind])
        alone = np.flatnonzero(beside == _ALONE)
        if not len(alone):
            return items, beside
        items[alone], beside[alone] = self._read_alone(
            [context_of(buffer[starts[row] : starts[row] + lengths[row]]) for row in alone.tolist()], known
        )
        return items, beside

    def _read_alone(self, contexts: list[bytes], known: dict[Beside, int]) -> tuple[Array, Array]:
        """As `_read`, each distinct one by itself."""
        read = {context: unpack_context(context) for context in contexts}
        items = dict(zip(read, self.items.numbers_of([added.item for added in read.values()]).tolist(), strict=True))
        beside = {context: known.setdefault(self._beside_item(added), len(known)) for context, added in read.items()}
        return (
            np.array([items[context] for context in contexts], np.int32),
            np.array([beside[context] for context in contexts], np.int64),
        )

    def _beside_item(self, added: Added) -> Beside:
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
