"""What was seen how often, and of which units: a partial state for questions that have to look at all of it at the end.

Rules:
- Equal things are one kind, whichever part of the events they came from; kinds stand in an order of their own. So what
  is made of them is the same, digit for digit, however the events were divided.
- Units are codes until parts are merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, dense
from embertrace.analysis.table.items import Unit

K = TypeVar("K", bound=Hashable)


class Registered:
    """Units that were given numbers as they were met."""

    def __init__(self) -> None:
        self._numbers: dict[Unit, int] = {}
        self._units: list[Unit] = []

    def numbers(self, alike: Alike) -> Array:
        codes, inverse = np.unique(alike.codes, return_inverse=True)
        numbers = [self._number(alike.units.unit(code)) for code in codes.tolist()]
        found: Array = np.array(numbers, np.int64)[inverse]
        return found

    def _number(self, unit: Unit) -> int:
        number = self._numbers.get(unit)
        if number is None:
            number = self._numbers[unit] = len(self._units)
            self._units.append(unit)
        return number

    def unit(self, code: int) -> Unit:
        return self._units[code]


class _Numbered:
    """Things that are units themselves."""

    def unit(self, code: int) -> Unit:
        return "item", code.to_bytes(8, "big")


def each_its_own(count: int) -> list[Alike]:
    """So many things, each of a unit of its own."""
    units = _Numbered()
    return [Alike(units, np.array([code])) for code in range(count)]


class Gathered(Generic[K]):
    """Kinds of things with the units of each. `order` gives what they are sorted by."""

    def __init__(self, order: Callable[[K], Any]) -> None:
        self._order = order
        self._kinds: dict[K, list[Alike]] = {}
        self.left_out: Counter[str] = Counter()

    def add(self, kind: K, alike: Alike) -> None:
        self._kinds.setdefault(kind, []).append(alike)

    def merge(self, other: Gathered[K]) -> Gathered[K]:
        units = Registered()
        merged: dict[K, list[Alike]] = {}
        for part in (self, other):
            for kind, seen in part._kinds.items():
                merged.setdefault(kind, []).extend(Alike(units, units.numbers(alike)) for alike in seen)
        self._kinds = merged
        self.left_out.update(other.left_out)
        return self

    @property
    def total(self) -> int:
        """How many things, not kinds."""
        return sum(alike.times for seen in self._kinds.values() for alike in seen)

    def __iter__(self) -> Iterator[tuple[K, Alike]]:
        """Each kind with all its units, in order."""
        for kind in sorted(self._kinds, key=self._order):
            seen = self._kinds[kind]
            yield kind, seen[0] if len(seen) == 1 else Alike(seen[0].units, np.concatenate([one.codes for one in seen]))


def distinct_units(seen: Sequence[Alike]) -> int:
    """How many units several have together."""
    return len(counted(np.concatenate([alike.codes for alike in seen]))[0]) if seen else 0


class Population(NamedTuple):
    """What units are: rows with a number per column, and how many units are like each."""

    rows: Sequence[Sequence[float]] | Array
    times: Sequence[int] | Array


def sums_by_unit(rows: Sequence[tuple[Alike, Sequence[float]]]) -> Population:
    """Each unit's rows added up, one row for each thing seen."""
    if not rows:
        return Population(np.zeros((0, 0)), [])
    table, times = np.array([row for _, row in rows], float), [alike.times for alike, _ in rows]
    unit = dense(np.concatenate([alike.codes for alike, _ in rows]))
    units = int(unit.max(initial=-1)) + 1
    if units == len(unit):  # of each unit one thing was seen
        return Population(table, times)
    sums = [np.bincount(unit, np.repeat(column, times)) for column in table.T]
    return Population(np.stack(sums, axis=1), [1] * units)
