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


def last_of_each(keys: Array) -> tuple[Array, Array]:
    """Of each distinct key where it stands last, and how often it stands; in the order of the keys."""
    _, first_from_behind, counts = np.unique(keys[::-1], return_index=True, return_counts=True)
    return len(keys) - 1 - first_from_behind, counts


def dense(numbers: Array) -> Array:
    """For integers ≥ 0 as many numbers 0, 1, 2, … as there are distinct ones; equal ones have equal numbers."""
    if not len(numbers):
        return numbers.astype(np.int64)
    largest = int(numbers.max())
    if largest < 4 * len(numbers) + _ROOM:
        occurs = np.zeros(largest + 1, np.int64)
        occurs[numbers] = 1
        found: Array = (np.cumsum(occurs) - 1)[numbers]
        return found
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def together(first: Array, *others: Array) -> Array:
    """One number for the numbers (≥ 0) in each place of several arrays; equal only where all of them are."""
    found = dense(first)
    for numbers in others:
        if len(numbers):
            numbers = dense(numbers)
            found = dense(found * (int(numbers.max()) + 1) + numbers)
    return found
