"""Partial states of questions: exact sums that can be merged, in any order, without changing a digit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Protocol, Self

from embertrace.analysis.arrays.sums import Alike, Observed, Sums, SumsOfAlike, sums_of_alike
from embertrace.analysis.results import NAN, Estimate
from embertrace.analysis.statistics import NO_SPREAD, SHARES, Interval, Spread, t_of_clusters, wilson_of_clusters
from embertrace.analysis.table.items import Unit


class State(Protocol):
    """What one part of the events says to a question."""

    def merge(self, other: Self) -> Self:
        """Both parts together. Neither is used again."""
        ...


class Tally:
    """The observations of a mean: per unit, how many and their exact sum; and what was left out, by reason.

    `failed` are attempts that gave no answer: they count in `of_attempted` only, as 0 or what `failed_worth` adds up.
    `hints` counts what notes say.
    """

    def __init__(self, bounds: Interval = SHARES) -> None:
        self.bounds = bounds
        self._units: dict[Unit, tuple[int, Fraction]] = {}
        self._sums: list[Sums | SumsOfAlike] = []
        self._alike: list[Observed] = []
        self.binary = True
        self.failed = 0
        self.failed_worth = Fraction(0)
        self.left_out: Counter[str] = Counter()
        self.hints: Counter[str] = Counter()

    @property
    def units(self) -> dict[Unit, tuple[int, Fraction]]:
        """Of each unit how many observations it has, and their sum."""
        self._add_up()
        sums, self._sums = self._sums, []
        for part in sums:
            if self._units:
                self._add_units(part.by_unit())
            else:
                self._units = part.by_unit()
        return self._units

    def clusters(self) -> Counter[tuple[int, Fraction]]:
        """How many units there are with so many observations of that sum."""
        self._add_up()
        if len(self._sums) == 1 and not self._units:
            return self._sums[0].clusters()
        return Counter(self.units.values())

    @property
    def spread(self) -> Spread:
        """The units as clusters of observations."""
        self._add_up()
        if len(self._sums) == 1 and not self._units:
            return self._sums[0].spread()
        return Spread.of(self.units.values())

    def add_sums(self, sums: Sums) -> None:
        """Add many observations at once."""
        if len(sums.n):
            self._sums.append(sums)
            self.binary = self.binary and sums.binary

    def add_alike(self, alike: Alike, value: Fraction) -> None:
        """Add the same observation of each of several calls."""
        self._alike.append((alike, 1, value))
        self.binary = self.binary and value in (0, 1)

    def add_many_alike(self, alike: Alike, n: int, total: Fraction) -> None:
        """`n` binary observations, of which `total` are 1, of each of several calls."""
        if n:
            self._alike.append((alike, n, total))

    def _add_up(self) -> None:
        observed, self._alike = self._alike, []
        if observed:
            self._sums.append(sums_of_alike(observed))

    def _add_units(self, units: Mapping[Unit, tuple[int, Fraction]]) -> None:
        mine = self.units
        for unit, (n, total) in units.items():
            known, sum_of_known = mine.get(unit, (0, Fraction(0)))
            mine[unit] = n + known, total + sum_of_known

    def add(self, unit: Unit, value: Fraction) -> None:
        units = self.units
        n, total = units.get(unit, (0, Fraction(0)))
        units[unit] = n + 1, total + value
        self.binary = self.binary and value in (0, 1)

    def leave_out(self, reason: str, times: int = 1, *, failed: bool = False, worth: Fraction = Fraction(0)) -> None:
        """`failed`: as attempts that failed, each counting as `worth` in `of_attempted`."""
        self.left_out[reason] += times
        if failed:
            self.add_failed(times, worth)

    def add_failed(self, times: int, worth: Fraction) -> None:
        self.failed += times
        self.failed_worth += times * worth

    def merge(self, other: Tally) -> Tally:
        self._add_units(other.units)
        self.binary = self.binary and other.binary
        self.failed += other.failed
        self.failed_worth += other.failed_worth
        self.left_out.update(other.left_out)
        self.hints.update(other.hints)
        return self

    def finish(self, notes: Iterable[str] = ()) -> Estimate:
        """The mean over observations, its interval over units. NaN with n = 0 of nothing."""
        spread = self.spread
        n = spread.n
        if not n:
            attempted = float(self.failed_worth / self.failed) if self.failed else NAN
            return Estimate(NAN, of_attempted=attempted, left_out=self.left_out, notes=notes)
        interval = wilson_of_clusters(spread) if self.binary else t_of_clusters(spread, self.bounds)
        if math.isnan(interval[0]) and spread.units > 1:
            notes = [*notes, NO_SPREAD]
        return Estimate(
            spread.mean,
            n=n,
            items=spread.units,
            interval=interval,
            of_attempted=float((spread.total + self.failed_worth) / (n + self.failed)) if self.failed else spread.mean,
            left_out=self.left_out,
            notes=notes,
        )


class Tallies:
    """Tallies by name, and what was left out before a name was known."""

    def __init__(self) -> None:
        self.by_name: dict[str, Tally] = {}
        self.left_out: Counter[str] = Counter()

    def named(self, name: str) -> Tally:
        if name not in self.by_name:
            self.by_name[name] = Tally()
        return self.by_name[name]

    def merge(self, other: Tallies) -> Tallies:
        for name, tally in other.by_name.items():
            self.by_name[name] = self.by_name[name].merge(tally) if name in self.by_name else tally
        self.left_out.update(other.left_out)
        return self
