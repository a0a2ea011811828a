"""Columns that grow by appending, each as wide as its widest value needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FIRST = 64
_BLOCK = 1 << 15
_UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)


class Column:
    """Values of one type. What `values` gave stays as it was, however the column grows."""

    def __init__(self, dtype: Any, width: int = 1) -> None:
        self._shape = (width,) if width > 1 else ()
        self._values: Array = np.empty((0, *self._shape), dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> Array:
        return self._values[: self._length]

    @property
    def nbytes(self) -> int:
        return self._values[: self._length].nbytes

    def extend(self, values: Array) -> None:
        """Append them, in order."""
        end = self._length + len(values)
        self.reserve(end)
        self._values[self._length : end] = values
        self._length = end

    def grow(self, length: int, fill: int) -> None:
        """Append `fill` until the column is that long."""
        if length > self._length:
            self.reserve(length)
            self._values[self._length : length] = fill
            self._length = length

    def reserve(self, length: int) -> None:
        """Room for so many values, before they come. Pages that are not yet written cost no memory."""
        if length > len(self._values):
            grown = np.empty((max(length, _FIRST, len(self._values) * 3 // 2), *self._shape), self._values.dtype)
            grown[: self._length] = self.values
            self._values = grown


class NarrowColumn(Column):
    """Unsigned integers, kept in as many bytes as the largest takes."""

    def __init__(self) -> None:
        super().__init__(np.uint8)

    def extend(self, values: Array) -> None:
        largest = int(values.max()) if len(values) else 0
        if largest > np.iinfo(self._values.dtype).max:
            wider = np.empty(len(self._values), next(kind for kind in _UNSIGNED if largest <= np.iinfo(kind).max))
            wider[: self._length] = self.values
            self._values = wider
        super().extend(values)


def blocks(length: int) -> Iterator[slice]:
    """So many places in stretches, for whoever makes one long array of another in several steps.

    What the steps give lies in the processor's cache then, and no memory is taken that was not there before: that costs
    several times as much as a step does.
    """
    return (slice(start, min(start + _BLOCK, length)) for start in range(0, length, _BLOCK))
