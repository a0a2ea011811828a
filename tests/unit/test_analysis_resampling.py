"""The bootstrap and the permutation test against what is known of them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from embertrace.analysis.gathered import Population
from embertrace.analysis.resampling import ALIKE, RARELY_DEFINED, bootstrap, permutation_p
from embertrace.analysis.statistics import Z95


def one_by_one(units: Sequence[Sequence[float]]) -> Population:
    return Population(units, [1] * len(units))


def mean(sums: Any) -> Any:
    return sums[:, 1] / sums[:, 0]


@pytest.mark.parametrize(
    "values", [[n % 7 for n in range(700)], [n * 0.37 % 1 for n in range(300)]], ids=["few", "many"]
)
def test_the_bootstrap_of_a_mean_is_its_normal_interval(values: list[float]) -> None:
    """Few distinct values are drawn as counts, many one by one; both as often as they should be."""
    n, centre = len(values), math.fsum(values) / len(values)
    half = Z95 * math.sqrt(math.fsum((value - centre) ** 2 for value in values) / n / n)
    low, high = bootstrap(one_by_one([(1, value) for value in values]), mean).interval
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=half / 10)


def test_the_order_of_units_does_not_matter() -> None:
    units = [(1.0, n * 0.37 % 1) for n in range(100)]
    mixed = units[:]
    random.Random(1).shuffle(mixed)
    assert bootstrap(one_by_one(units), mean) == bootstrap(one_by_one(mixed), mean)


def test_units_that_are_alike_may_be_given_together() -> None:
    units = [(1.0, 2.0), (1.0, 3.0), (1.0, 2.0), (1.0, 1.0), (1.0, 2.0)]
    together = Population([(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)], [1, 3, 1])
    assert bootstrap(one_by_one(units), mean) == bootstrap(together, mean)


def test_what_has_no_interval() -> None:
    why = [((), []), ((), [(1, 2)]), (RARELY_DEFINED.notes, [(0, 1), (0, 2)]), (ALIKE.notes, [(1, 3), (1, 3)])]
    for notes, units in why:
        drawn = bootstrap(one_by_one(units), mean)
        assert all(math.isnan(end) for end in drawn.interval) and drawn.notes == notes


def test_permutations_of_two_orders() -> None:
    """Six choices of the first place in both orders: of C(6, 3) = 20 assignments, two are as extreme."""
    credits = [[1, 0]] * 3 + [[0, 1]] * 3
    orders = [[0, 1]] * 3 + [[1, 0]] * 3
    assert permutation_p([(credits, orders)]) == pytest.approx(2 / 20, abs=0.01)
    assert permutation_p([(credits, [[0, 1], [1, 0]] * 3)]) == pytest.approx(1.0, abs=0.15)
    assert math.isnan(permutation_p([]))
