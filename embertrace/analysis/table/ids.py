"""Ids of 64 bits to small numbers, given out in the order in which ids are first met: a hash table in numpy arrays.

Open addressing with linear probing, many ids at once: each round looks at one place for every id still looking, so a
batch takes as many rounds as its longest chain. The table is at most half full. Hashing is seeded for each table, so
that nobody can choose ids which chain.
"""

from __future__ import annotations

import secrets

import numpy as np

from embertrace.analysis.table.column import Array, Column

_FIRST_BITS = 10
_EMPTY = -1
NONE = -1
"""The number of an id that is not in the table."""


class DenseIds:
    """Numbers 0, 1, 2, … for ids. `ids` leads back."""

    def __init__(self) -> None:
        self._column = Column(np.uint64)
        self._factor = np.uint64(secrets.randbits(64) | 1)
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
        numbers = np.full(len(ids), NONE, np.int64)
        looking = np.arange(len(ids))
        places = self._home(ids)
        known = self.ids
        while len(looking):
            held = self._table[places]
            here = held >= 0
            hit = here.copy()
            hit[here] = known[held[here]] == ids[looking[here]]
            numbers[looking[hit]] = held[hit]
            on = here & ~hit
            looking, places = looking[on], (places[on] + 1) & self._mask
        return numbers

    def add(self, ids: Array) -> Array:
        """As `find`; ids that are not there are put in, and numbered in their order."""
        numbers = self.find(ids)
        missing = np.flatnonzero(numbers == NONE)
        if len(missing):
            fresh, first, inverse = np.unique(ids[missing], return_index=True, return_inverse=True)
            order = np.argsort(first, kind="stable")
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order)) + len(self)
            numbers[missing] = rank[inverse]
            self._insert(fresh[order])
        return numbers

    def _insert(self, fresh: Array) -> None:
        start = len(self)
        self._column.extend(fresh)
        if 2 * len(self) > len(self._table):
            self._resize(int(2 * len(self)).bit_length() + 1)
        else:
            self._place(np.arange(start, len(self)))

    def _resize(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._mask = (1 << bits) - 1
        self._table = np.full(1 << bits, _EMPTY, np.int32)
        self._place(np.arange(len(self)))

    def _place(self, numbers: Array) -> None:
        places = self._home(self.ids[numbers])
        while len(numbers):
            free = self._table[places] == _EMPTY
            self._table[places[free]] = numbers[free]
            on = self._table[places] != numbers
            numbers, places = numbers[on], (places[on] + 1) & self._mask

    def _home(self, ids: Array) -> Array:
        mixed = (ids ^ self._mix) * self._factor
        return (mixed >> self._shift).astype(np.int64)
