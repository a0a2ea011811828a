"""Traces as single numbers, and which part of the events each belongs to. With arrays.

Rules:
- A trace's key mixes both halves of its id. Two traces with one key are divided alike: that costs nothing but place.
- Events without a trace have the key NO_KEY together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embertrace.analysis.table.column import Array
from embertrace.wire.columns import NO_TRACE

NO_KEY = 0
NOBODY = -1
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
"""Of splitmix64: each bit of a key hangs on all bits of an id."""


def keys_of(traces: Array, flags: Array) -> Array:
    """The keys of events with such traces (two halves each) and flags."""
    keys = _mixed(_mixed(traces[:, 0]) + traces[:, 1])
    keys[(flags & NO_TRACE) != 0] = NO_KEY
    return keys


def key_of(trace: bytes | None) -> int:
    """The key of one trace id of 16 bytes; of None, that of events without one."""
    if trace is None:
        return NO_KEY
    halves = np.frombuffer(trace, ">u8").astype(np.uint64).reshape(1, 2)
    return int(keys_of(halves, np.zeros(1, np.uint8))[0])


def _mixed(numbers: Array) -> Array:
    for shift, factor in _STEPS:
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers


def among(keys: Array, known: Array) -> Array:
    """Of each key whether it is among `known`, which is sorted."""
    if not len(known):
        return np.zeros(len(keys), bool)
    found: Array = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return found


def has(known: Array, key: int) -> bool:
    """Whether a key is among `known`, which is sorted."""
    return bool(among(np.array([key], np.uint64), known)[0])


class Owners:
    """To which part (by number) a trace went; each to one."""

    def __init__(self) -> None:
        self._keys, self._parts = np.empty(0, np.uint64), np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, keys: Array, part: int) -> None:
        """These, sorted and not yet put anywhere, went to `part`."""
        at = np.searchsorted(self._keys, keys)
        self._keys = np.insert(self._keys, at, keys)
        self._parts = np.insert(self._parts, at, part)

    def of(self, keys: Array) -> Array:
        """The part of each; NOBODY where it went to none."""
        if not len(self._keys):
            return np.full(len(keys), NOBODY, np.int32)
        new = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))[: len(keys)]
        at = np.minimum(np.searchsorted(self._keys, keys[new]), len(self._keys) - 1)
        found = np.where(self._keys[at] == keys[new], self._parts[at], NOBODY)
        return np.repeat(found, np.diff(np.append(new, len(keys))))

    def drop(self, part: int) -> None:
        """Forget what went to a part: its events are gone."""
        stay = self._parts != part
        self._keys, self._parts = self._keys[stay], self._parts[stay]


Stretch = tuple[int, int, int]
"""Events of one producer (by number) in a row: first seq, count."""


def emitted_in(stretches: Sequence[Stretch]) -> tuple[Array, Array]:
    """Of each event in stretches the producer's number and the seq."""
    producers, firsts, counts = (np.array(part, np.int64) for part in zip(*stretches, strict=True))
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(producers, counts), np.repeat(firsts, counts) + within


def stretches_of(producers: Array, seqs: Array) -> list[Stretch]:
    """The other way: events, in their order, as stretches."""
    if not len(seqs):
        return []
    on = (producers[1:] == producers[:-1]) & (seqs[1:] == seqs[:-1] + 1)
    starts = np.flatnonzero(np.append(True, ~on))
    counts = np.diff(np.append(starts, len(seqs)))
    return list(zip(producers[starts].tolist(), seqs[starts].tolist(), counts.tolist(), strict=True))
