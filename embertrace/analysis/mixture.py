"""Two levels of difficulty: the smallest model in which accuracy falls as members are added.

A share α of the items is easy, where each member is right with probability p₁; on the rest with p₂. Members err
independently within a level, and a majority of K of them decides (a tie counts half). The model is fitted to measured
accuracies by least squares on a fixed grid of p₁ and p₂; α follows from them exactly. Pure, and the same points give
the same digits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

STEPS = 100
"""p₁ and p₂ are hundredths: finer than measured accuracies tell apart."""
LEAST_SIZES = 4
"""The model has three parameters: fewer sizes than this say nothing about it."""


class Mixture(NamedTuple):
    """`easy` is α; `p_easy` ≥ `p_hard` are how often one member is right on either level."""

    easy: float
    p_easy: float
    p_hard: float

    def accuracy(self, members: int) -> float:
        """Expected accuracy of the majority of so many members, 0 … 1."""
        hard = 1 - self.easy
        return self.easy * majority_of(members, self.p_easy) + hard * majority_of(members, self.p_hard)


def majority_of(members: int, p: float) -> float:
    """How often more than half of independent members are right; ties count half. 0 members know nothing: 0.5."""
    right = 0.0
    for number in range(members // 2, members + 1):
        chance = math.comb(members, number) * p**number * (1 - p) ** (members - number)
        right += chance if 2 * number > members else chance / 2 if 2 * number == members else 0.0
    return right


def fit_mixture(accuracies: Mapping[int, float]) -> Mixture | None:
    """The mixture nearest to {size: accuracy}; None for fewer than four sizes."""
    points = sorted((size, value) for size, value in accuracies.items() if math.isfinite(value))
    if len(points) < LEAST_SIZES:
        return None
    sizes, wanted = [size for size, _ in points], [value for _, value in points]
    levels = [[majority_of(size, step / STEPS) for size in sizes] for step in range(STEPS + 1)]
    best, least = None, math.inf
    for high in range(STEPS + 1):
        for low in range(high + 1):
            easy = _share(levels[high], levels[low], wanted)
            off = sum(
                (easy * one + (1 - easy) * other - value) ** 2
                for one, other, value in zip(levels[high], levels[low], wanted, strict=True)
            )
            if off < least - 1e-15:
                best, least = Mixture(easy, high / STEPS, low / STEPS), off
    return best


def _share(easy: Sequence[float], hard: Sequence[float], wanted: Sequence[float]) -> float:
    """The share of easy items that brings two levels nearest to what was measured."""
    apart = [one - other for one, other in zip(easy, hard, strict=True)]
    weight = sum(gap * gap for gap in apart)
    if weight < 1e-12:
        return 1.0
    share = sum(gap * (value - other) for gap, value, other in zip(apart, wanted, hard, strict=True)) / weight
    return min(1.0, max(0.0, share))
