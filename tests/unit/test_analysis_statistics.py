"""Intervals and tests against published values."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from embertrace.analysis.statistics import (
    Spread,
    bonett_price,
    mcnemar_p,
    quantile,
    sign_flip_p,
    t_of_clusters,
    t_quantile,
    wilson,
    wilson_of_clusters,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_published(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_edges() -> None:
    assert wilson(20, 20) == pytest.approx((1 - 0.1611, 1), abs=5e-5)
    assert wilson(20, 20)[1] == 1.0
    assert all(math.isnan(bound) for bound in wilson(0, 0))


@pytest.mark.parametrize(
    ("df", "value"),
    [(1, 12.706204736432), (2, 4.302652729911), (5, 2.570581835636), (10, 2.228138851965), (30, 2.042272456301),
     (120, 1.979930405052), (10_000, 1.960201239), (1_000_000, 1.9599663566)],
)  # fmt: skip
def test_student_quantiles(df: int, value: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(value, rel=2e-8)
    assert t_quantile(0.025, df) == pytest.approx(-value, rel=2e-8)


def test_mcnemar_and_bonett_price() -> None:
    assert mcnemar_p(86, 150) == pytest.approx(3.716e-5, rel=1e-3)
    assert mcnemar_p(150, 86) == mcnemar_p(86, 150)
    assert bonett_price(86, 150, 1600) == pytest.approx((-0.0587, -0.0212), abs=5e-5)
    assert mcnemar_p(0, 0) == 1
    assert all(math.isnan(bound) for bound in bonett_price(0, 0, 0))


def mcnemar_by_definition(b: int, c: int) -> float:
    n = b + c
    tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(min(b, c) + 1))
    return float(min(Fraction(1), 2 * tail))


def test_mcnemar_is_the_sum_of_binomials_to_the_last_digit() -> None:
    small = [(b, c) for b in range(45) for c in range(45)]
    large = [(b, n - b) for n in (127, 128, 300, 1074, 1200, 2500) for b in (0, 1, 7, n // 4, n // 2 - 1, n // 2)]
    for b, c in small + large:
        assert mcnemar_p(b, c) == mcnemar_p(c, b) == mcnemar_by_definition(b, c), (b, c)


@pytest.mark.timeout(30)
def test_mcnemar_of_a_million_pairs() -> None:
    """About the normal distribution there; a sum over separate binomials would take hours."""
    normal = math.erfc((2000 - 1) / math.sqrt(2 * 1_000_000))  # with the correction for continuity
    assert mcnemar_p(499_000, 501_000) == pytest.approx(normal, rel=1e-5)
    assert mcnemar_p(499_999, 500_001) == pytest.approx(0.9992, abs=1e-4)
    assert mcnemar_p(0, 1_000_000) == 0


def test_t_of_single_observations_is_the_textbook_interval() -> None:
    spread = Spread.of([(1, Fraction(x)) for x in (1, 2, 3, 4, 5)])
    half = 2.7764451052 * math.sqrt(2.5 / 5)
    assert t_of_clusters(spread) == pytest.approx((3 - half, 3 + half))
    assert t_of_clusters(spread, (1.5, 4.5)) == (1.5, 4.5)


def test_clusters_that_agree_count_once_each() -> None:
    alike = Spread.of(5 * [(4, Fraction(4)), (4, Fraction(0))])
    low, high = wilson_of_clusters(alike)
    deff = Fraction(39, 9)
    assert (low, high) == pytest.approx(wilson(20 / deff, 40 / deff))
    assert wilson_of_clusters(Spread.of(5 * [(4, Fraction(4))])) == wilson(5, 5)
    assert wilson_of_clusters(Spread.of([*3 * [(1, Fraction(1))], (1, Fraction(0))])) == wilson(3, 4)


def test_sign_flips() -> None:
    one = Fraction(1)
    assert sign_flip_p([one] * 20) < 0.001
    assert sign_flip_p([one, -one] * 10) == 1.0
    assert sign_flip_p([0 * one] * 2) == 1.0
    assert math.isnan(sign_flip_p([]))
    # three differences: 8 sign patterns, two of them as extreme as 3
    assert sign_flip_p([one] * 3) == pytest.approx(0.25, abs=0.02)
    for scale in (1, Fraction(2) ** 1500, Fraction(2) ** -1500):
        assert sign_flip_p([Fraction(n, 10) * scale for n in (3, 1, 5)]) == sign_flip_p([3 * one, one, 5 * one])


def test_quantiles_lie_between_neighbours() -> None:
    counts = {1: 1, 2: 1, 3: 1, 4: 1}
    assert (quantile(counts, 0), quantile(counts, 0.5), quantile(counts, 1)) == (1, 2.5, 4)
    assert quantile({7: 3}, 0.95) == 7
    assert math.isnan(quantile({}, 0.5))
