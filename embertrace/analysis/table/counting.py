"""How often numbers occur, and with what: counted where they are dense, sorted only where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from embertrace.analysis.table.column import Array

_ROOM = 1024
_FEW = 8
_SHORT = 1 << 16
"""Numpy sorts integers of 16 bits by their digits, longer ones by comparing them."""


def _is_dense(largest: int, length: int) -> bool:
    """Whether a table of all numbers up to the largest is worth its room."""
    return largest < 4 * length + _ROOM


def counted(numbers: Array) -> tuple[Array, Array]:
    """The distinct ones of integers ≥ 0, ascending, and how often each occurs."""
    if not len(numbers):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if _is_dense(int(numbers.max()), len(numbers)):
        times = np.bincount(numbers)
        values = np.flatnonzero(times)
        return values, times[values]
    values, times = np.unique(numbers, return_counts=True)
    return values, times


def grouped(keys: Array, values: Array) -> Iterator[tuple[int, Array]]:
    """The values of each key that occurs, in their order. Few keys are looked for one by one, many are sorted."""
    found, times = counted(keys)
    if len(found) <= _FEW:
        yield from ((key, values[np.flatnonzero(keys == key)]) for key in found.tolist())
        return
    order = in_groups(keys)
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
    if _is_dense(largest, len(numbers)):
        occurs = np.zeros(largest + 1, np.int64)
        occurs[numbers] = 1
        found: Array = (np.cumsum(occurs) - 1)[numbers]
        return found
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def together(first: Array, *others: Array) -> Array:
    """One number for the numbers (≥ 0) in each place of several arrays; equal only where all of them are."""
    found, most = first.astype(np.int64), len(first)
    if not most:
        return found
    width = int(found.max()) + 1
    for numbers in others:
        span = int(numbers.max()) + 1
        if not _is_dense(width * span, most):
            found, numbers = dense(found), dense(numbers)
            width, span = int(found.max()) + 1, int(numbers.max()) + 1
        found = found * span + numbers.astype(np.int64)
        width *= span
    return dense(found)


def firsts(numbers: Array) -> Array:
    """Of each of integers ≥ 0 where an equal one stands first."""
    if not len(numbers):
        return np.zeros(0, np.int64)
    largest = int(numbers.max())
    if _is_dense(largest, len(numbers)):
        by_number = np.empty(largest + 1, np.int64)
        by_number[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # of several assignments the last one counts
        return by_number[numbers]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    found: Array = first[inverse]
    return found


def first_of_each(numbers: Array) -> tuple[Array, Array, Array]:
    """The distinct ones of integers ≥ 0, ascending, where each stands first, and how often it stands."""
    if len(numbers) and numbers.min() == numbers.max():
        return numbers[:1], np.zeros(1, np.int64), np.array([len(numbers)])
    values, first, times = np.unique(numbers, return_index=True, return_counts=True)
    return values, first, times


def each_once(numbers: Array, read: Callable[[int], int]) -> Array:
    """What `read` makes of integers ≥ 0; of equal ones it is asked once."""
    values, _ = counted(numbers)
    found = np.fromiter(map(read, values.tolist()), np.int64, len(values))
    if not len(values) or not _is_dense(int(values[-1]), len(numbers)):
        return found[np.searchsorted(values, numbers)]
    table = np.zeros(int(values[-1]) + 1, np.int64)
    table[values] = found
    return table[numbers]


def in_groups(numbers: Array) -> Array:
    """The places of equal integers ≥ 0 side by side: by number, and those of a number in their order."""
    is_short = len(numbers) and int(numbers.max()) < _SHORT
    order: Array = np.argsort(numbers.astype(np.uint16) if is_short else numbers, kind="stable")
    return order
