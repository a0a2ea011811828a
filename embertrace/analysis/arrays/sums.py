"""Exact sums of shares per unit, from arrays: integers over one denominator.

Units stand here as codes, whose `Units` leads back from them; so that a million observations are a few arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np

from embertrace.analysis.statistics import Spread
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted
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

    def spread(self) -> Spread:
        """The units as clusters of observations."""
        least = int(self.numerator.min()) if len(self.n) else 0
        width = int(self.numerator.max()) - least + 1 if len(self.n) else 1
        codes, times = counted(self.n * width + (self.numerator - least))
        clusters = zip(codes.tolist(), times.tolist(), strict=True)
        return Spread.of_integers(((c // width, c % width + least, often) for c, often in clusters), self.denominator)

    def by_unit(self) -> dict[Unit, tuple[int, Fraction]]:
        """Of each unit how many observations it has, and their sum."""
        rows = zip(self.code.tolist(), self.n.tolist(), self.numerator.tolist(), strict=True)
        return {self.units.unit(code): (n, Fraction(total, self.denominator)) for code, n, total in rows}


def sums_of(trees: Trees, places: Array, numerator: Array, denominator: Array) -> Sums | None:
    """The sums of shares of calls by their units; None where no integer of 53 bits holds them."""
    whole = math.lcm(*counted(denominator)[0].tolist())
    if whole * max(1, len(places)) >= _EXACT:
        return None  # before numerators are scaled
    binary = bool(((numerator == 0) | (numerator == denominator)).all())
    units = units_of_calls(trees)
    return sums_by_unit(units, units.codes(places), numerator * (whole // denominator), whole, binary)


def sums_by_unit(
    units: Units, codes: Array, numerator: Array, whole: int, binary: bool, apart: bool = False
) -> Sums | None:
    """The sums of shares of which numerators over `whole` and units are given, as `sums_of` has them; `apart`: no two
    are of one unit."""
    if whole * max(1, len(codes)) >= _EXACT:
        return None
    if apart:
        return Sums(units, codes, np.ones(len(codes), np.int64), numerator, whole, binary)
    return _sums(units, codes, np.bincount(codes), numerator, whole, binary)


Observed = tuple[Alike, int, Fraction]
"""Of each of some calls: so many observations, and their sum, which is at most as many in size."""


def sums_of_alike(observed: Sequence[Observed]) -> Sums | None:
    """As `sums_of`, of what many calls have in common; all of the same units."""
    whole = math.lcm(*(total.denominator for _, _, total in observed))
    if whole * sum(alike.times * n for alike, n, _ in observed) >= _EXACT:
        return None
    times = [alike.times for alike, _, _ in observed]
    scaled = np.array([total.numerator * (whole // total.denominator) for _, _, total in observed], np.int64)
    codes = np.concatenate([alike.codes for alike, _, _ in observed])
    each = np.repeat(np.array([n for _, n, _ in observed], np.int64), times)
    n = np.bincount(codes, weights=each).astype(np.int64)
    binary = all(n == 1 and total in (0, 1) for _, n, total in observed)
    return _sums(observed[0][0].units, codes, n, np.repeat(scaled, times), whole, binary)


def _sums(units: Units, codes: Array, n: Array, scaled: Array, whole: int, binary: bool) -> Sums:
    totals = np.bincount(codes, weights=scaled).astype(np.int64)
    found = np.flatnonzero(n)
    return Sums(units, found, n[found], totals[found], whole, binary)
