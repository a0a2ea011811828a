"""How often numbers occur, and with what: counted where they are dense, sorted only where they are not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embertrace.analysis.table.column import Array

_ROOM = 1024
_FEW = 8


def counted(numbers: Array) -> tuple[Array, Array]:
    """The distinct ones of integers ≥ 0, ascending, and how often each occurs."""
    if not len(numbers):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if int(numbers.max()) < 4 * len(numbers) + _ROOM:
        times = np.bincount(numbers)
        values = np.flatnonzero(times)
        return values, times[values]
    values, times = np.unique(numbers, return_counts=True)
    return values, times


def grouped(keys: Array, values: Array) -> Iterator[tuple[int, Array]]:
    """The values of each key that occurs, in their order. Few keys are looked for one by one, many are sorted."""
    found, times = counted(keys)
    if len(found) <= _FEW:
        yield from ((key, values[keys == key]) for key in found.tolist())
        return
    order = np.argsort(keys, kind="stable")
    start = 0
    for key, count in zip(found.tolist(), times.tolist(), strict=True):
        yield key, values[order[start : start + count]]
        start += count
