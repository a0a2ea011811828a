"""What a majority of some members is worth: expected accuracy of random subsets, and Shapley values. Pure arithmetic.

Rules:
- A pattern is the (count, share) of each answer, share in 0 … 1 being how right it is, and how many members are
  silent. Members that gave the same answer are worth the same, so a pattern says all.
- The value of a set of votes is the mean share of its most frequent answers; 0 of no votes.
- Results are exact fractions where that is cheap; else seeded samples with the variance of their mean.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from embertrace.analysis.statistics import SEED

Answers = tuple[tuple[int, Fraction], ...]

MAX_STEPS = 2_000_000
"""Steps of the exact sum for one pattern: about a second."""
WIDE_BITS = 560
"""Steps with numbers of so many bits take twice as long, and from there on with their square."""
MAX_SUBSETS = 4_096
"""Vote counts looked at for an exact Shapley value: those of twelve members who all differ."""
SAMPLES = 1_000


class Value(NamedTuple):
    """A number, and the variance of the sampling it comes from (0 where it is exact)."""

    value: Fraction
    variance: float = 0.0


@lru_cache(maxsize=20_000)
def value_of(counts: tuple[int, ...], shares: tuple[Fraction, ...]) -> Fraction:
    """The mean share of the most frequent answers; 0 of no votes."""
    most = max(counts, default=0)
    if not most:
        return Fraction(0)
    leaders = [share for count, share in zip(counts, shares, strict=True) if count == most]
    return sum(leaders, Fraction(0)) / len(leaders)


@lru_cache(maxsize=20_000)
def majority_of(answers: Answers, silent: int, size: int, replacement: bool, max_steps: int = MAX_STEPS) -> Value:
    """The expected value of `size` members drawn at random: 0 < size, and without replacement ≤ all of them.

    Sampled where the exact sum takes more than `max_steps`.
    """
    if not any(share for _, share in answers):
        return Value(Fraction(0))
    members = silent + sum(count for count, _ in answers)
    if (len(answers) == 1 and not silent) or (size == members and not replacement):
        return Value(value_of(tuple(count for count, _ in answers), tuple(share for _, share in answers)))
    if _steps(answers, silent, size, replacement) > max_steps:
        return _sampled_majority(answers, silent, size, replacement)
    total = Fraction(0)
    for place, (_, share) in enumerate(answers):
        if share:
            ways = _ways_to_lead(answers, silent, size, place, replacement)
            total += share * sum((Fraction(count, leaders) for leaders, count in ways.items()), Fraction(0))
    return Value(total / (members**size if replacement else math.comb(members, size)))


def _steps(answers: Answers, silent: int, size: int, replacement: bool) -> float:
    """About how many additions of short numbers the exact sum takes."""
    right = sum(share > 0 for _, share in answers)
    members = silent + sum(count for count, _ in answers)
    bits = size * math.log2(members) if replacement else members  # of the number of draws
    most = size if replacement else min(size, max(count for count, _ in answers))
    others = len(answers) - 1
    return right * most * (1 + others * (1 if others < 2 else size * others) * most) * (1 + (bits / WIDE_BITS) ** 2)


def _ways_to_lead(answers: Answers, silent: int, size: int, place: int, replacement: bool) -> Counter[int]:
    """In how many draws the answer at `place` is among the leaders, by how many they are."""

    def choose(count: int, votes: int, drawn: int) -> int:
        return math.comb(drawn + votes, votes) * count**votes if replacement else math.comb(count, votes)

    ways: Counter[int] = Counter()
    others = [count for other, (count, _) in enumerate(answers) if other != place]
    mine = answers[place][0]
    for votes in range(1, 1 + (size if replacement else min(mine, size))):
        states = Counter({(votes, 1): choose(mine, votes, 0)})  # (votes drawn, answers that lead): draws
        for count in others:
            following: Counter[tuple[int, int]] = Counter()
            for (drawn, leaders), times in states.items():
                most = min(votes, size - drawn, size if replacement else count)
                for more in range(most + 1):
                    following[drawn + more, leaders + (more == votes)] += times * choose(count, more, drawn)
            states = following
        for (drawn, leaders), times in states.items():
            ways[leaders] += times * choose(silent, size - drawn, drawn)
    return ways


def _sampled_majority(answers: Answers, silent: int, size: int, replacement: bool) -> Value:
    import numpy as np

    random = _random(answers, silent, size)
    counts = np.array([*(count for count, _ in answers), silent])
    if replacement:
        drawn = random.multinomial(size, counts / counts.sum(), size=SAMPLES)
    else:
        drawn = random.multivariate_hypergeometric(counts, size, size=SAMPLES, method="marginals")
    values = _values(drawn[:, :-1], np.array([float(share) for _, share in answers]))
    return Value(Fraction(float(values.mean())), max(float(values.var()), 1 / SAMPLES) / SAMPLES)


def _random(answers: Answers, *more: int) -> Any:
    """Draws of its own for each pattern: so the errors of several are independent, as their sum takes them to be."""
    import numpy as np

    shares = (part for _, share in answers for part in (share.numerator, share.denominator))
    return np.random.default_rng([SEED, *more, *(count for count, _ in answers), *shares])


def _values(counts: Any, shares: Any) -> Any:
    """`value_of` along the last axis."""
    import numpy as np

    most = counts.max(axis=-1, keepdims=True)
    leads = (counts == most) & (most > 0)
    return (leads * shares).sum(axis=-1) / np.maximum(1, leads.sum(axis=-1))


@lru_cache(maxsize=20_000)
def shapley_of(answers: Answers) -> dict[tuple[int, Fraction], Value]:
    """What one member of each (count, share) adds to the others, over all orders in which they may come."""
    if math.prod(count + 1 for count, _ in answers) > MAX_SUBSETS:
        return _sampled_shapley(answers)
    counts, shares = tuple(count for count, _ in answers), tuple(share for _, share in answers)
    members = sum(counts)
    values = {votes: value_of(votes, shares) for votes in itertools.product(*(range(count + 1) for count in counts))}
    found = {}
    for answer in dict.fromkeys(answers):
        place = answers.index(answer)
        others = _changed(counts, place, -1)
        total = Fraction(0)
        for votes in itertools.product(*(range(count + 1) for count in others)):
            gain = values[_changed(votes, place, 1)] - values[votes]
            if gain:
                before = sum(votes)
                ways = math.prod(map(math.comb, others, votes))
                total += gain * ways * math.factorial(before) * math.factorial(members - 1 - before)
        found[answer] = Value(total / math.factorial(members))
    return found


def _changed(counts: tuple[int, ...], place: int, by: int) -> tuple[int, ...]:
    return (*counts[:place], counts[place] + by, *counts[place + 1 :])


def _sampled_shapley(answers: Answers) -> dict[tuple[int, Fraction], Value]:
    """Over `SAMPLES` seeded orders; in each, the gains of the members with one answer are averaged."""
    import numpy as np

    random = _random(answers)
    votes = np.repeat(np.arange(len(answers)), [count for count, _ in answers])
    shares = np.array([float(share) for _, share in answers])
    gains = np.zeros((SAMPLES, len(answers)))
    orders = random.permuted(np.tile(votes, (SAMPLES, 1)), axis=1)
    counts, before = np.zeros((SAMPLES, len(answers)), dtype=int), np.zeros(SAMPLES)
    every = np.arange(SAMPLES)
    for step in range(len(votes)):
        came = orders[:, step]
        counts[every, came] += 1
        after = _values(counts, shares)
        gains[every, came] += after - before
        before = after
    gains /= [count for count, _ in answers]
    means, variances = gains.mean(axis=0), gains.var(axis=0) / SAMPLES
    found = {}
    for answer in dict.fromkeys(answers):
        equal = [place for place, other in enumerate(answers) if other == answer]
        found[answer] = Value(Fraction(float(means[equal].mean())), float(variances[equal].mean()))
    return found


@lru_cache(maxsize=20_000)
def without(answers: Answers, answer: tuple[int, Fraction]) -> Fraction:
    """The value of all votes but one of that answer."""
    place = answers.index(answer)
    counts = _changed(tuple(count for count, _ in answers), place, -1)
    return value_of(counts, tuple(share for _, share in answers))
