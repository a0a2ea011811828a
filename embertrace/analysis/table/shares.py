"""What rows say of sampling: the share of all items that is recorded, and how many calls a filter kept out.

Rules:
- Rows that say nothing of it, which is most of them, take no place; theirs is share 1, and nothing withheld.
- Share 0 is that of items that were not chosen: such rows are here because a call raised.
"""

from __future__ import annotations

import numpy as np

from embertrace.analysis.table.column import Array, Column

WHOLE = 1.0
"""The share where everything is recorded."""


class Shares:
    """By row, ascending. `is_sampled`: whether any share is not 1; `is_filtered`: whether anything was withheld."""

    def __init__(self) -> None:
        self._row, self._share, self._withheld = Column(np.int32), Column(np.float64), Column(np.int64)
        self.is_sampled = self.is_filtered = False

    @property
    def nbytes(self) -> int:
        return self._row.nbytes + self._share.nbytes + self._withheld.nbytes

    def extend(self, rows: Array, shares: Array, withheld: Array) -> None:
        """Take in what rows say, all of them behind those before."""
        says = np.flatnonzero((shares != WHOLE) | (withheld > 0))
        if len(says):
            self._row.extend(rows[says])
            self._share.extend(shares[says])
            self._withheld.extend(withheld[says])
            self.is_sampled |= bool((shares[says] != WHOLE).any())
            self.is_filtered |= bool((withheld[says] > 0).any())

    def of_rows(self, rows: Array) -> Array:
        """The share that each row says."""
        return self._read(self._share, rows, WHOLE)

    def withheld(self, rows: Array) -> Array:
        """How many calls each row says were withheld."""
        return self._read(self._withheld, rows, 0)

    @property
    def withholding(self) -> Array:
        """The rows that say of any."""
        found: Array = self._row.values[self._withheld.values > 0]
        return found

    def _read(self, column: Column, rows: Array, otherwise: float) -> Array:
        found = np.full(len(rows), otherwise, column.values.dtype)
        known = self._row.values
        if len(known):
            at = np.minimum(np.searchsorted(known, rows), len(known) - 1)
            says = np.flatnonzero(known[at] == rows)
            found[says] = column.values[at[says]]
        return found
