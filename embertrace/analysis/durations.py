"""Durations of calls in nanoseconds: their quantiles, exactly, and how sure those are.

They are integers, of 64 bits where all fit (clocks may claim anything), so that no order of events changes a digit.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from embertrace.analysis.results import NAN
from embertrace.analysis.statistics import UNDEFINED, Interval, Spread, wilson_of_clusters
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted
from embertrace.analysis.trees import Trees


class Durations:
    """Nanoseconds, all of them, as they are or as parts were merged."""

    def __init__(self) -> None:
        self._parts: list[Array] = []

    def add_all(self, nanoseconds: Array) -> None:
        self._parts.append(nanoseconds)

    def merge(self, other: Durations) -> None:
        self._parts += other._parts

    def quantiles(self, *wanted: float) -> list[float]:
        """Quantiles, between their two neighbours as numpy does it; NaN of none."""
        return quantiles(np.concatenate(self._parts), *wanted) if self._parts else [NAN for _ in wanted]


def quantiles(values: Array, *wanted: float) -> list[float]:
    """Quantiles of integers, between their two neighbours as numpy does it; NaN of none."""
    places = [Fraction(q) * (len(values) - 1) for q in wanted]
    if not len(values):
        return [NAN for _ in wanted]
    near = {min(math.floor(place) + step, len(values) - 1) for place in places for step in (0, 1)}
    ordered = np.partition(values, sorted(near))
    found = []
    for place in places:
        below = math.floor(place)
        low, high = int(ordered[below]), int(ordered[min(below + 1, len(values) - 1)])
        found.append(float(low + (high - low) * (place - below)))
    return found


def quantile_interval(values: Array, units: Array, q: float) -> Interval:
    """Woodruff's interval of a quantile (1952): the quantiles at both ends of the interval of the share q.

    `units` are the codes of the values' units. The share of values up to the quantile is a proportion, so the ends are
    Wilson's at n/deff: what a bootstrap over units comes to, without its draws.
    """
    codes, n = counted(units)
    if len(codes) < 2:
        return UNDEFINED
    (bound,) = quantiles(values, q)
    below = np.bincount(units[(values <= bound).astype(bool)], minlength=int(codes[-1]) + 1)[codes]
    width = int(n.max()) + 1
    clusters, times = counted(n * width + below)
    pairs = zip(clusters.tolist(), times.tolist(), strict=True)
    spread = Spread.of_integers(((code // width, code % width, often) for code, often in pairs), 1)
    low, high = quantiles(values, *wilson_of_clusters(spread, Fraction(q)))
    return low, high


def integers(values: list[int]) -> Array:
    """As 64 bits where they fit."""
    try:
        return np.array(values, np.int64)
    except OverflowError:
        return np.array(values, object)


def durations_of(trees: Trees, places: Array) -> Array:
    """Those of calls whose ends say how long they took."""
    exact = trees.shape.duration_ns
    if exact is not None:
        return exact[places]
    found = [trees.at(place).duration_ns for place in places.tolist()]
    return integers([nanoseconds for nanoseconds in found if nanoseconds is not None])


def total(values: Array) -> int:
    """The sum, exactly."""
    if values.dtype == object or not len(values) or len(values) * float(np.abs(values).max()) < 1 << 62:
        return int(values.sum()) if len(values) else 0
    return sum(values.tolist())
