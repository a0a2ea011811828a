"""Exact sums of shares per unit, from arrays: integers over one denominator."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.items import NONE, Unit
from embertrace.analysis.trees import Trees
from embertrace.payload import canonical

_EXACT = 1 << 53
"""Integers up to here are exact as floats, which is what counting with weights adds up."""


class Sums(NamedTuple):
    """Observations by unit: their units' codes, how many there are of each, and the sums' numerators."""

    trees: Trees
    unit: Array
    n: Array
    numerator: Array
    denominator: int
    binary: bool
    """Whether each observation was 0 or 1."""
    keyed: int
    """Codes below this are units of items; from here on each call is its own."""

    def clusters(self) -> Counter[tuple[int, Fraction]]:
        """How many units there are with so many observations of that sum."""
        width = int(self.numerator.max()) + 1 if len(self.n) else 1
        codes, times = counted(self.n * width + self.numerator)
        return Counter(
            {
                (code // width, Fraction(code % width, self.denominator)): often
                for code, often in zip(codes.tolist(), times.tolist(), strict=True)
            }
        )

    def by_unit(self) -> dict[Unit, tuple[int, Fraction]]:
        """Of each unit how many observations it has, and their sum."""
        rows = zip(self.unit.tolist(), self.n.tolist(), self.numerator.tolist(), strict=True)
        return {self._unit(code): (n, Fraction(total, self.denominator)) for code, n, total in rows}

    def _unit(self, code: int) -> Unit:
        if code < self.keyed:
            return "item", self.trees.items.codes[code]
        return "call", canonical(self.trees.at(code - self.keyed).call_id)


def sums_of(trees: Trees, places: Array, numerator: Array, denominator: Array) -> Sums | None:
    """The sums of shares of calls by their units; None where no integer of 53 bits holds them."""
    whole = math.lcm(*counted(denominator)[0].tolist())
    if whole * max(1, len(places)) >= _EXACT:
        return None
    codes, keyed = _codes(trees, places)
    scaled = numerator * (whole // denominator)
    n = np.bincount(codes)
    totals = np.bincount(codes, weights=scaled).astype(np.int64)
    units = np.flatnonzero(n)
    binary = bool(((numerator == 0) | (numerator == denominator)).all())
    return Sums(trees, units, n[units], totals[units], whole, binary, keyed)


def _codes(trees: Trees, places: Array) -> tuple[Array, int]:
    """A number for the unit of each call: that of its item's unit; behind all of those, a call is its own."""
    units = trees.items.unit()[trees.shape.item[places]].astype(np.int64)
    keyed = len(trees.items.codes)
    return np.where(units == NONE, places + keyed, units), keyed
