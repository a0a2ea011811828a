"""Ids of 64 bits to small numbers, given out as ids are first met: a hash table in numpy arrays.

Open addressing, many ids at once: each round looks at one place for every id still looking, so a batch takes as many
rounds as its longest chain. The table is at most half full. Hashing is seeded for each table, so that nobody can choose
ids which chain.

Ids that a process draws one after the other lie side by side: BLOCK of them share a line of the processor's cache, and
whoever finds another's id in its place goes on to the next place of the next line: a way that leads through the whole
table, also for ids that are all alike in their lowest bits (those of a producer that counts in floats are). The id 0
names no call and has the number 0, so that 0 in the table is a free place: one comparison tells what was found from
what was not.
"""

from __future__ import annotations

import secrets

import numpy as np

from embertrace.analysis.table.column import Array, Column

_FIRST_BITS = 10
_BLOCK_BITS = 4
BLOCK = 1 << _BLOCK_BITS
_ON = BLOCK + 1
"""How far on the next place to look at is. Odd, as the table's size is a power of two: so each place is looked at."""
_FREE, _CLAIM = 0, -1
NONE = -1
"""The number of an id that is not in the table."""


class DenseIds:
    """Numbers 0, 1, 2, … for ids. `ids` leads back."""

    def __init__(self) -> None:
        self._column = Column(np.uint64)
        self._column.extend(np.zeros(1, np.uint64))
        self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(2)]
        self._mix = np.uint64(secrets.randbits(64))
        self._resize(_FIRST_BITS)

    def __len__(self) -> int:
        return len(self._column)

    @property
    def ids(self) -> Array:
        return self._column.values

    @property
    def nbytes(self) -> int:
        return self._column.nbytes + self._table.nbytes

    def find(self, ids: Array) -> Array:
        """The number of each id; NONE for those that are not there."""
        numbers, _ = self._seek(ids)
        return numbers

    def add(self, ids: Array) -> Array:
        """As `find`; ids that are not there are put in."""
        numbers, places = self._seek(ids)
        missing = np.flatnonzero(numbers == NONE)
        if len(missing):
            numbers[missing] = self._insert(ids[missing], places[missing])
        return numbers

    def _seek(self, ids: Array) -> tuple[Array, Array]:
        """The number of each id, or NONE; and the place where it was found, or a free one on its way."""
        known = self.ids
        places = self._home(ids)
        numbers: Array = self._table[places]
        looking = np.flatnonzero(known[numbers] != ids)
        while len(looking):
            found = numbers[looking]
            ends = found == _FREE
            numbers[looking[ends]] = NONE
            looking = looking[~ends]
            on = (places[looking] + _ON) & self._mask
            places[looking] = on
            found = numbers[looking] = self._table[on]
            looking = looking[known[found] != ids[looking]]
        numbers[ids == 0] = 0
        return numbers, places

    def reserve(self, length: int) -> None:
        """Room for so many ids together, before they come."""
        self._column.reserve(length)
        self._make_room(length)

    def _make_room(self, length: int) -> bool:
        """Whether there was too little: then ids have other places now."""
        is_full = 2 * length > len(self._table)
        if is_full:
            self._resize((2 * length).bit_length())
        return is_full

    def _insert(self, ids: Array, place: Array) -> Array:
        """Put in ids that are not there, some of them several times; for each a free place on its way.

        Each claims the first free place on its way, and looks there again: one of those with the same id has it, and
        speaks for all of them; who finds another id goes on.
        """
        if self._make_room(len(self) + len(ids)):
            place = self._home(ids)
        table, own = self._table, np.arange(len(ids))
        speaker = own.copy()
        looking, places = own, place
        while len(looking):
            free = table[places] == _FREE
            table[places[free]] = _CLAIM - looking[free]
            claimant = _CLAIM - table[places].astype(np.int64)
            claimed = np.maximum(claimant, 0)
            on = (claimant < 0) | (ids[claimed] != ids[looking])
            speaker[looking] = claimed
            looking, places = looking[on], (places[on] + _ON) & self._mask
            place[looking] = places
        speaks = np.flatnonzero(speaker == own)
        numbers = np.empty(len(ids), np.int32)
        numbers[speaks] = np.arange(len(self), len(self) + len(speaks))
        table[place[speaks]] = numbers[speaks]
        self._column.extend(ids[speaks])
        return numbers[speaker]

    def _resize(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits + _BLOCK_BITS)
        self._mask = (1 << bits) - 1
        self._table = np.zeros(1 << bits, np.int32)
        numbers = np.arange(1, len(self), dtype=np.int32)
        places = self._home(self.ids[1:])
        while len(numbers):
            free = self._table[places] == _FREE
            self._table[places[free]] = numbers[free]
            on = self._table[places] != numbers
            numbers, places = numbers[on], (places[on] + _ON) & self._mask

    def _home(self, ids: Array) -> Array:
        mixed = ((ids >> np.uint64(_BLOCK_BITS)) ^ self._mix) * self._factors[0]
        mixed = (mixed ^ (mixed >> np.uint64(32))) * self._factors[1]
        line = (mixed >> self._shift) << np.uint64(_BLOCK_BITS)
        return (line | (ids & np.uint64(BLOCK - 1))).astype(np.int64)
