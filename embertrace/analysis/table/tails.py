"""The tails of rows (links, context and data), packed as they came: pieces of bytes, and where in them each begins."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from embertrace.analysis.table.column import Array, NarrowColumn
from embertrace.analysis.table.counting import in_groups
from embertrace.wire.spans import PADDING, copied

MOST_BYTES = 8 * 1024 * 1024
"""Of tails looked at together. Whoever looks at them takes several times as much memory, and a table that was copied
from another has all its tails in one piece."""


class Tails:
    """By row. `nbytes` is what the tails themselves take, `at` where each begins among all."""

    def __init__(self) -> None:
        self.at = NarrowColumn()
        self.nbytes = 0
        self._pieces: list[bytes] = []
        self._froms: list[int] = []

    def append(self, lengths: Array, tails: bytes) -> None:
        """Take in the tails of the next rows, one behind the other."""
        self.at.extend((np.cumsum(lengths) - lengths + self.nbytes).astype(np.uint64))
        self._pieces.append(tails)
        self._froms.append(self.nbytes)
        self.nbytes += len(tails)

    def of_row(self, row: int) -> bytes:
        at = int(self.at.values[row])
        end = int(self.at.values[row + 1]) if row + 1 < len(self.at) else self.nbytes
        piece = bisect_right(self._froms, at) - 1
        base = self._froms[piece]
        return self._pieces[piece][at - base : end - base]

    def of_rows(self, rows: Array) -> Iterator[bytes]:
        """As `of_row`, of many."""
        pieces, starts, ends = self._places(rows)
        places = zip(pieces.tolist(), starts.tolist(), ends.tolist(), strict=True)
        return (self._pieces[number][start:end] for number, start, end in places)

    def packed(self, rows: Array) -> Iterator[tuple[Array, bytes, Array, Array]]:
        """The tails of many rows, some MiB at once, in pieces as they were taken in: which of the rows, a buffer with
        PADDING behind them, where each starts in it, and how long it is."""
        pieces, starts, ends = self._places(rows)
        order = in_groups(pieces)
        parts = np.cumsum((ends - starts)[order]) // MOST_BYTES
        begins = np.flatnonzero((np.diff(pieces[order], prepend=-1) != 0) | (np.diff(parts, prepend=0) != 0)).tolist()
        for start, end in pairwise([*begins, len(rows)]):
            places = order[start:end]
            lengths = ends[places] - starts[places]
            joined = copied(self._pieces[pieces[places[0]]], starts[places], lengths)
            yield places, joined + bytes(PADDING), np.cumsum(lengths) - lengths, lengths

    def _places(self, rows: Array) -> tuple[Array, Array, Array]:
        """Of each row which piece its tail is in, and from where to where."""
        last = len(self.at) - 1
        starts, ends = (self.at.values[each].astype(np.int64) for each in (rows, np.minimum(rows + 1, last)))
        ends[rows == last] = self.nbytes
        froms = np.array(self._froms, np.int64)
        pieces = np.searchsorted(froms, starts, "right") - 1
        return pieces, starts - froms[pieces], ends - froms[pieces]
