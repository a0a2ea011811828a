"""Where in a recording a table's rows came from: positions, noted now and then."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from embertrace.analysis.table.column import Array


class Marks:
    """Rows from a mark on, up to the next mark, came from its position on, up to the next one's position."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._positions: list[int] = []
        self._ends: list[int] = []

    @property
    def last(self) -> int:
        """The position of the last mark; there must be one."""
        return self._positions[-1]

    def put(self, row: int, position: int) -> None:
        """What comes next gets `row`, and comes from `position` on. Both never go down."""
        if self._rows and self._ends[-1] < 0:
            self._ends[-1] = position
        if self._rows and self._rows[-1] == row:
            self._drop_last()
        self._rows.append(row)
        self._positions.append(position)
        self._ends.append(_STILL)

    def _drop_last(self) -> None:
        self._rows.pop()
        self._positions.pop()
        self._ends.pop()

    def stretches(self, rows: Array, end: int) -> list[tuple[int, int]]:
        """The stretches (start, end) of positions that hold all events of some rows; the last mark's is up to `end`."""
        places = np.unique(np.searchsorted(np.array(self._rows), rows, "right") - 1).tolist()
        return joined(
            (self._positions[place], end if self._ends[place] == _STILL else self._ends[place]) for place in places
        )

    def carried(self, stays: Array, end: int) -> Marks:
        """The marks of a table that has only those rows (ascending) of this one's, at position `end`."""
        found = Marks()
        at = np.searchsorted(stays, np.array(self._rows, np.int64)).tolist()
        for place, (row, following) in enumerate(zip(at, [*at[1:], len(stays)], strict=True)):
            if row < following:
                found._rows.append(row)
                found._positions.append(self._positions[place])
                found._ends.append(end if self._ends[place] == _STILL else self._ends[place])
        return found


_STILL = -1
"""The end of a mark that is still the last."""


def joined(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
