"""Ids of 64 bits to small numbers, given out as ids are first met: a hash table in numpy arrays.

Open addressing with linear probing, many ids at once: each round looks at one place for every id still looking, so a
batch takes as many rounds as its longest chain. The table is at most half full. Hashing is seeded for each table, so
that nobody can choose ids which chain.
"""

from __future__ import annotations

import secrets

import numpy as np

from embertrace.analysis.table.column import Array, Column

_FIRST_BITS = 10
_EMPTY, _CLAIM = -1, -2
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
        """As `find`; ids that are not there are put in."""
        numbers = self.find(ids)
        missing = np.flatnonzero(numbers == NONE)
        if len(missing):
            numbers[missing] = self._insert(ids[missing])
        return numbers

    def _insert(self, ids: Array) -> Array:
        """Put in ids that are not there, some of them several times.

        Each claims the first free place on its way, and looks there again: one of those with the same id has it, and
        speaks for all of them; who finds another id goes on.
        """
        if 2 * (len(self) + len(ids)) > len(self._table):
            self._resize((2 * (len(self) + len(ids))).bit_length())
        speaker, place = np.empty(len(ids), np.int64), np.empty(len(ids), np.int64)
        looking, places = np.arange(len(ids)), self._home(ids)
        while len(looking):
            free = self._table[places] == _EMPTY
            self._table[places[free]] = _CLAIM - looking[free]
            claimant = _CLAIM - self._table[places].astype(np.int64)
            hit = (claimant >= 0) & (ids[np.maximum(claimant, 0)] == ids[looking])
            speaker[looking[hit]], place[looking[hit]] = claimant[hit], places[hit]
            looking, places = looking[~hit], (places[~hit] + 1) & self._mask
        speaks = speaker == np.arange(len(ids))
        numbers = np.cumsum(speaks) - 1 + len(self)
        self._table[place[speaks]] = numbers[speaks]
        self._column.extend(ids[speaks])
        return numbers[speaker]

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
