"""Exact sums of shares per unit, from arrays: integers over one denominator.

Units stand here as codes, whose `Units` leads back from them; so that a million observations are a few arrays.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np

from embertrace.analysis.statistics import Spread
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, dense, together
from embertrace.analysis.table.items import NONE, Unit
from embertrace.analysis.trees import Trees
from embertrace.payload import canonical

_EXACT = 1 << 53
"""Integers up to here are exact as floats, which is what counting with weights adds up."""


class Units(Protocol):
    """Units by their codes, which are integers ≥ 0."""

    def unit(self, code: int) -> Unit: ...


class UnitsOfCalls:
    """The units of calls: of their items; where an item has none, a call is its own, by a code above all others."""

    def __init__(self, trees: Trees) -> None:
        self._trees, self._of_items = trees, trees.items.unit()
        self._keyed = len(trees.items.codes)

    def codes(self, places: Array) -> Array:
        """The code of the unit of each call."""
        units = self._of_items[self._trees.shape.item[places]].astype(np.int64)
        return np.where(units == NONE, places + self._keyed, units)

    def unit(self, code: int) -> Unit:
        if code < self._keyed:
            return "item", self._trees.items.codes[code]
        return "call", canonical(self._trees.at(code - self._keyed).call_id)

    def __reduce__(self) -> tuple[type[KnownUnits], tuple[list[bytes], Array, Array]]:
        """As a state travels: without the trees."""
        alone = np.flatnonzero(self._of_items[self._trees.shape.item] == NONE)
        numbers = self._trees.table.call.values[self._trees.shape.first_row[alone]]
        return KnownUnits, (self._trees.items.codes[: self._keyed], alone, self._trees.table.ids.ids[numbers])


class KnownUnits:
    """The same units for those to whom the codes were given, long after the trees are gone."""

    def __init__(self, codes: list[bytes], places: Array, call_ids: Array) -> None:
        self._codes, self._places, self._call_ids = codes, places, call_ids

    def unit(self, code: int) -> Unit:
        if code < len(self._codes):
            return "item", self._codes[code]
        return "call", canonical(int(self._call_ids[np.searchsorted(self._places, code - len(self._codes))]))


def units_of_calls(trees: Trees) -> UnitsOfCalls:
    """Those of all calls of these trees; one and the same, whoever asks."""
    return trees.once(UnitsOfCalls)


@dataclass(frozen=True, slots=True)
class Alike:
    """The units of calls of which a question says the same, one code for each call."""

    units: Units
    codes: Array

    @property
    def times(self) -> int:
        return len(self.codes)


class Sums(NamedTuple):
    """Observations by unit: their codes, how many observations each has, and the sums' numerators."""

    units: Units
    code: Array
    n: Array
    numerator: Array
    denominator: int
    binary: bool
    """Whether each observation was 0 or 1."""

    def _clusters(self) -> Iterator[tuple[int, int, int]]:
        """Each (observations, numerator) that units have, and how many have it."""
        least = int(self.numerator.min(initial=0))
        width = int(self.numerator.max(initial=0)) - least + 1
        codes, times = counted(self.n * width + (self.numerator - least))
        return ((c // width, c % width + least, often) for c, often in zip(codes.tolist(), times.tolist(), strict=True))

    def spread(self) -> Spread:
        """The units as clusters of observations."""
        return Spread.of_integers(self._clusters(), self.denominator)

    def clusters(self) -> Counter[tuple[int, Fraction]]:
        """The same, with how many units have so many observations of that sum."""
        return Counter({(n, Fraction(total, self.denominator)): often for n, total, often in self._clusters()})

    def by_unit(self) -> dict[Unit, tuple[int, Fraction]]:
        """Of each unit how many observations it has, and their sum."""
        rows = zip(self.code.tolist(), self.n.tolist(), self.numerator.tolist(), strict=True)
        return {self.units.unit(code): (n, Fraction(total, self.denominator)) for code, n, total in rows}


def shares_by_pattern(
    units: Units, codes: Array, pattern: Array, numerator: Array, denominator: Array, apart: bool = False
) -> Sums | None:
    """The sums of shares by their units, where `pattern` says which of few shares each is; `apart`: no two are of one
    unit. None where no integer of 53 bits holds them."""
    whole = math.lcm(*counted(denominator)[0].tolist())
    if whole * max(1, len(codes)) >= _EXACT:
        return None  # before numerators are scaled
    binary = bool(((numerator == 0) | (numerator == denominator)).all())
    return shares_by_unit(units, codes, (numerator * (whole // denominator)).take(pattern), whole, binary, apart)


def shares_by_unit(units: Units, codes: Array, numerator: Array, whole: int, binary: bool, apart: bool = False) -> Sums:
    """The same of shares that are given as numerators over `whole`, which 53 bits hold all together."""
    if apart:
        return Sums(units, codes, np.ones(len(codes), np.int64), numerator, whole, binary)
    return _sums(units, codes, np.bincount(codes), numerator, whole, binary)


def _sums(units: Units, codes: Array, n: Array, scaled: Array, whole: int, binary: bool) -> Sums:
    totals = np.bincount(codes, weights=scaled).astype(np.int64)
    found = np.flatnonzero(n)
    return Sums(units, found, n[found], totals[found], whole, binary)


Observed = tuple[Alike, int, Fraction]
"""Of each of some calls: so many observations, and their sum."""


class SumsOfAlike(NamedTuple):
    """Observations by unit: their codes, and which of `each` (how many observations, their sum) each has."""

    units: Units
    code: Array
    which: Array
    each: list[tuple[int, Fraction]]

    def spread(self) -> Spread:
        """The units as clusters of observations."""
        whole = math.lcm(*(total.denominator for _, total in self.each))
        times = np.bincount(self.which, minlength=len(self.each)).tolist()
        scaled = ((n, total.numerator * (whole // total.denominator)) for n, total in self.each)
        return Spread.of_integers(((n, y, often) for (n, y), often in zip(scaled, times, strict=True)), whole)

    def clusters(self) -> Counter[tuple[int, Fraction]]:
        """The same, with how many units have so many observations of that sum."""
        found: Counter[tuple[int, Fraction]] = Counter()
        for cluster, often in zip(self.each, np.bincount(self.which, minlength=len(self.each)).tolist(), strict=True):
            found[cluster] += often
        return found

    def by_unit(self) -> dict[Unit, tuple[int, Fraction]]:
        """Of each unit how many observations it has, and their sum."""
        found = map(self.each.__getitem__, self.which.tolist())
        return dict(zip(map(self.units.unit, self.code.tolist()), found, strict=True))


def sums_of_alike(observed: Sequence[Observed]) -> SumsOfAlike:
    """The sums of what many calls have in common; all of the same units.

    Of few units each is added up: most have seen the same as others.
    """
    codes = np.concatenate([alike.codes for alike, _, _ in observed])
    kinds = np.repeat(np.arange(len(observed)), [alike.times for alike, _, _ in observed])
    own = [(n, total) for _, n, total in observed]
    units, found = observed[0][0].units, counted(codes)[0]
    if len(found) == len(codes):  # a unit for each observation
        return SumsOfAlike(units, codes, kinds, own)
    pairs, often = counted(codes * len(own) + kinds)
    unit, kind = np.divmod(pairs, len(own))
    said = together(kind, often)
    size = np.bincount(unit)[found]
    start = np.cumsum(size) - size
    which = np.zeros(len(found), np.int64)
    for step in range(int(size.max(initial=0))):
        on = np.flatnonzero(size > step)
        above = int(which.max()) + 1  # those who saw no more keep their numbers
        which[on] = above + together(which[on], said[start[on] + step])
    which = dense(which)
    one_of_each = np.empty(int(which.max(initial=-1)) + 1, np.int64)
    one_of_each[which] = np.arange(len(which))
    each = []
    for first, count in zip(start[one_of_each].tolist(), size[one_of_each].tolist(), strict=True):
        seen = [(own[kind[at]], int(often[at])) for at in range(first, first + count)]
        each.append((sum(n * by for (n, _), by in seen), sum((total * by for (_, total), by in seen), Fraction(0))))
    return SumsOfAlike(units, found, which, each)
