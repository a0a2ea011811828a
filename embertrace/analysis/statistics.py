"""Intervals and tests. Pure functions of counts and exact sums; 95% wherever nothing else is said.

Rules: sums arrive exact (integers or fractions), so that order, batches and shards can't change a digit. What is not
defined is NaN, never an exception.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

Interval = tuple[float, float]
NAN = float("nan")
UNDEFINED: Interval = (NAN, NAN)
SHARES: Interval = (0.0, 1.0)
"""The range of shares, and of expectations of what is right or wrong."""
NO_SPREAD = "no interval: all items say the same"

Z95 = NormalDist().inv_cdf(0.975)
BITS = 256
"""Binary digits of long sums: those of a float, and many more than a million roundings can reach."""
PERMUTATIONS = 10_000
SEED = 0


def quotient(value: int, of: int) -> float:
    """`value` over `of` > 0, rounded once; beyond what a float holds infinite, as IEEE 754 has it. (As data that is
    None: see `results.plain`.)"""
    try:
        return value / of
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def rounded(value: Fraction | int) -> float:
    """As a float; beyond what one holds infinite, as `quotient`."""
    return quotient(value.numerator, value.denominator)


def root(square: int, of: int) -> float:
    """The square root of a fraction; also of one that is too large or too small for a float, while its root is not."""
    shift = (square.bit_length() - of.bit_length()) // 2
    try:
        return math.ldexp(math.sqrt((square << max(0, -2 * shift)) / (of << max(0, 2 * shift))), shift)
    except OverflowError:
        return math.inf


def wilson(successes: Fraction | int, n: Fraction | int, z: float = Z95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927). `n` may be fractional, as an effective sample size is."""
    if n <= 0:
        return UNDEFINED
    return _wilson(float(Fraction(successes) / Fraction(n)), float(n), z)


def _wilson(p: float, size: float, z: float = Z95) -> Interval:
    centre = (p + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size))
    low = 0.0 if p == 0 else max(0.0, centre - half)
    return low, 1.0 if p == 1 else min(1.0, centre + half)


class Spread(NamedTuple):
    """Clusters of observations, as the sums that variances take of them: of m observations with the sum y in each of
    `units` clusters `n` is the sum of m, `y` that of y, `yy` that of y², and so on. Sums y are over `whole`."""

    units: int
    n: int
    y: int
    yy: int
    my: int
    mm: int
    whole: int

    @classmethod
    def of(cls, clusters: Collection[tuple[int, Fraction]]) -> Spread:
        """Of (observations, their sum), one by one."""
        whole = math.lcm(*{y.denominator for _, y in clusters})
        return cls.of_integers(((m, y.numerator * (whole // y.denominator), 1) for m, y in clusters), whole)

    @classmethod
    def of_integers(cls, clusters: Iterable[tuple[int, int, int]], whole: int) -> Spread:
        """Of (observations, their sum over `whole`, how many clusters are like that)."""
        units = n = total = yy = my = mm = 0
        for m, y, times in clusters:
            units += times
            n += m * times
            total += y * times
            yy += y * y * times
            my += m * y * times
            mm += m * m * times
        return cls(units, n, total, yy, my, mm, whole)

    @property
    def total(self) -> Fraction:
        return Fraction(self.y, self.whole)

    @property
    def mean(self) -> float:
        return quotient(self.y, self.n * self.whole)

    @property
    def squares(self) -> int:
        """The sum of (n·y − m·total)² over clusters: how far they are from the mean over observations."""
        return self.yy * self.n * self.n - 2 * self.y * self.n * self.my + self.y * self.y * self.mm

    def error_of_mean(self) -> float | None:
        """The standard error of the mean over observations, clusters drawn at random (the ratio estimator); None under
        two clusters.

        With equally large clusters this is that of the mean of cluster means.
        """
        if self.units < 2:
            return None
        return root(self.squares * self.units, (self.units - 1) * (self.n * self.n * self.whole) ** 2)


def wilson_of_clusters(spread: Spread, share: Fraction | None = None) -> Interval:
    """Wilson at n/deff for binary observations, several per unit; around `share` where that is known otherwise.

    The design effect is the clustered variance over that of n independent observations, at least 1; with one
    observation per unit it is exactly 1. Where all observations agree it can't be estimated: each unit counts once.
    """
    units, n, y = spread.units, spread.n, spread.y
    if units == 0:
        return UNDEFINED
    p = spread.mean if share is None else float(share)
    alone = n * spread.whole - y
    independent = n * n * (units - 1) * y * alone
    clustered = spread.squares * units * (n - 1)
    if not independent:
        return _wilson(p, float(units))
    return _wilson(p, float(n) if clustered <= independent else n * independent / clustered)


def t_of_clusters(spread: Spread, bounds: Interval = (-math.inf, math.inf)) -> Interval:
    """Student's t on unit means (weighted by their observations), cut to the range that values can have.

    Where all unit means are equal nothing is known of their variance: shares have Wilson's interval, each unit counting
    once (no share varies more than what is right or wrong does), and other values none.
    """
    error = spread.error_of_mean()
    if error is None:
        return UNDEFINED
    if not spread.squares:
        return _wilson(spread.mean, float(spread.units)) if bounds == SHARES else UNDEFINED
    mean = spread.mean
    if math.isinf(mean):
        return bounds
    half = t_quantile(0.975, spread.units - 1) * error
    return max(bounds[0], mean - half), min(bounds[1], mean + half)


@lru_cache(maxsize=256)
def t_quantile(p: float, df: int) -> float:
    """Student's t quantile for 0 < p < 1, by bisection on its distribution function; about 1e-12 of relative error."""
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def t_cdf(t: float, df: int) -> float:
    """Student's t distribution function: the regularised incomplete beta at df/(df + t²), on half of either side."""
    tail = 0.5 * incomplete_beta(df / 2, 0.5, df / (df + t * t))
    return 1 - tail if t > 0 else tail


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1 / _away(1 + coefficient * d, tiny)
            c = _away(1 + coefficient / c, tiny)
            fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return math.exp(log_front) * fraction / a


def _away(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def mcnemar_p(b: int, c: int) -> float:
    """Exact McNemar: the two-sided binomial p-value of b against c discordant pairs at 1/2; 1 where there are none.

    The float next to the true value: sums of BITS digits enclose it, and where both ends of that are not the same
    float (the value lies between two, as it can for few pairs only), the sum is made again without rounding.
    """
    n, least = b + c, min(b, c)
    if b == c:
        return 1.0
    for bits in (min(BITS, n), n):
        low, scale = _binomial_tail(n, least, bits)
        high = low + (low >> BITS // 2 if bits < n else 0)
        p, bound = ((2 * end << scale) / (1 << n + bits) for end in (low, high))
        if p == bound:
            break
    return p


def _binomial_tail(n: int, least: int, bits: int) -> tuple[int, int]:
    """The sum of the binomial coefficients of n up to `least`, as (s, e): s · 2^(e − bits).

    Each comes from the one before, and all are cut alike once the sum has twice `bits` digits; with bits ≥ n that never
    happens, and the sum is exact. Cuts only make it smaller, each by a relative n · 2^−bits at most: n < 2^60 of them
    by less than 2^(−bits/2), at 256 bits.
    """
    term = total = 1 << bits
    scale = 0
    for k in range(least):
        term = term * (n - k) // (k + 1)
        total += term
        if total >> 2 * bits:
            term, total, scale = term >> bits, total >> bits, scale + bits
    return total, scale


def bonett_price(b: int, c: int, n: int) -> Interval:
    """Interval of the paired difference (b − c)/n of two proportions (Bonett & Price 2012)."""
    if n <= 0:
        return UNDEFINED
    p, q = (b + 1) / (n + 2), (c + 1) / (n + 2)
    half = Z95 * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    return max(-1.0, p - q - half), min(1.0, p - q + half)


def sign_flip_p(differences: Sequence[Fraction]) -> float:
    """Two-sided sign-flip permutation test of a mean difference of 0: 10,000 draws, seed 0, in the order given.

    Callers sort by key, so that the order of arrival can't matter. The observed sum counts as one draw.
    """
    import numpy as np

    changed = [value for value in differences if value]
    if not changed:
        return 1.0 if len(differences) else NAN
    largest = max(map(abs, changed))
    unit = Fraction(2) ** (largest.numerator.bit_length() - largest.denominator.bit_length())
    values = np.array([float(value / unit) for value in changed])  # no digit changes, and no sum is too large
    random = np.random.default_rng(SEED)
    observed = abs(math.fsum(values))
    slack = 1e-9 * math.fsum(abs(values))  # equal sums may differ in their last digit
    extreme, chunk = 0, max(1, 1_000_000 // len(values))
    for start in range(0, PERMUTATIONS, chunk):
        signs = random.integers(0, 2, size=(min(chunk, PERMUTATIONS - start), len(values))) * 2 - 1
        extreme += int((abs(signs @ values) >= observed - slack).sum())
    return (extreme + 1) / (PERMUTATIONS + 1)


def quantile(histogram: Mapping[int, int], q: float) -> float:
    """A quantile of counted values, between its two neighbours as numpy does it; NaN of none."""
    n = sum(histogram.values())
    if not n:
        return NAN
    position = Fraction(q) * (n - 1)
    below = math.floor(position)
    low, high = _at(histogram, below), _at(histogram, min(below + 1, n - 1))
    return float(low + (high - low) * (position - below))


def _at(histogram: Mapping[int, int], place: int) -> int:
    for value in sorted(histogram):
        place -= histogram[value]
        if place < 0:
            return value
    raise IndexError("a place beyond the last value")


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (1979) of a family of tests; NaN stays NaN and does not count."""
    tests = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    adjusted, largest = dict.fromkeys(p_values, NAN), 0.0
    for place, (p, name) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - place) * p))
        adjusted[name] = largest
    return adjusted
