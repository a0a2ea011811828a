"""Agreement beyond chance: Fleiss' and Cohen's kappa, Krippendorff's alpha.

The libraries give the values; the intervals come from sums over units, by the same formulas. Where all ratings are
equal nothing can be said of chance: NaN, with the reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.gathered import distinct_units, sums_by_unit
from embertrace.analysis.optional import library
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.ballots import Ballot, Ballots, read_ballots
from embertrace.analysis.resampling import TOO_MANY, Array, Drawn, bootstrap
from embertrace.analysis.results import NAN, Estimate
from embertrace.errors import QueryError

Chance = Literal["fleiss", "randolph"]
CHANCES: tuple[Chance, ...] = ("fleiss", "randolph")
Level = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")

CONSTANT = "all ratings are equal, so agreement by chance is certain and there is no kappa"
MAX_CELLS = 50_000_000
"""Numbers in the largest table that is built: 400 MB. Beyond it there is no interval, or no value."""


def fleiss_kappa(selection: Selection, *, answer: Rule = None, chance: Chance = "fleiss") -> Ballots:
    if chance not in CHANCES:
        raise QueryError(f"chance={chance!r} is none of {', '.join(CHANCES)}")
    return read_ballots(selection, Answers(answer), by_answer=True, chance=chance)


def finish_fleiss(ballots: Ballots) -> Estimate:
    inter_rater = library("statsmodels.stats.inter_rater", "fleiss_kappa()")
    rated = _of_modal_size(ballots)
    keys = sorted({key for counts, _ in rated for key in counts})
    table = [(alike, [counts[key] for key in keys]) for counts, alike in rated]
    about = _about([alike for _, alike in rated], ballots)
    if len(keys) < 2:
        return Estimate(NAN, notes=[CONSTANT] if rated else [], **about)
    value = inter_rater.fleiss_kappa(_each_call(table), method=ballots.asked["chance"])
    uniform = 1 / len(keys) if ballots.asked["chance"] == "randolph" else None
    drawn = _draw_fleiss(table, uniform)
    return Estimate(float(value), interval=drawn.interval, notes=[*ballots.notes(), *drawn.notes], **about)


Counted = tuple[Alike, Sequence[int]]
"""Ensemble calls, and how often each value was given in every one of them."""


def _about(seen: Sequence[Alike], ballots: Ballots) -> dict[str, Any]:
    return {
        "n": sum(alike.times for alike in seen),
        "items": distinct_units(seen),
        "left_out": ballots.left_out,
    }


def _each_call(table: Sequence[Counted]) -> Array:
    """(calls, values), as libraries take it."""
    import numpy as np

    return np.repeat([counts for _, counts in table], [alike.times for alike, _ in table], axis=0)


def _of_modal_size(ballots: Ballots) -> list[tuple[Counter[bytes], Alike]]:
    """The ballots with the most frequent number of answers, of several the largest; at least two."""
    counted = [(ballot.counts(), alike) for ballot, alike in ballots.seen]
    sizes: Counter[int] = Counter()
    for counts, alike in counted:
        sizes[counts.total()] += alike.times
    few = sizes.pop(0, 0) + sizes.pop(1, 0)
    size = max(sizes, key=lambda n: (sizes[n], n), default=0)
    ballots.left_out["with fewer than two answers"] += few
    ballots.left_out["with another number of answers"] += sizes.total() - sizes[size]
    return [one for one in counted if one[0].total() == size > 1]


def _draw_fleiss(table: Sequence[Counted], uniform: float | None) -> Drawn:
    size = sum(table[0][1])
    rows = [(alike, [1, sum(c * (c - 1) for c in counts) / (size * (size - 1)), *counts]) for alike, counts in table]

    def kappa(sums: Array) -> Array:
        subjects, agreed, counts = sums[:, 0], sums[:, 1], sums[:, 2:]
        margins = counts / counts.sum(axis=1, keepdims=True)
        chance = (margins**2).sum(axis=1) if uniform is None else uniform
        return (agreed / subjects - chance) / (1 - chance)

    return bootstrap(sums_by_unit(rows), kappa)


def cohen_kappa(selection: Selection, *, a: str, b: str, answer: Rule = None) -> Ballots:
    if not isinstance(a, str) or not isinstance(b, str) or a == b:
        raise QueryError(f"cohen_kappa takes the names of two members, not {a!r} and {b!r}")
    return read_ballots(selection, Answers(answer), by_answer=True, a=a, b=b)


def finish_cohen(ballots: Ballots) -> Estimate:
    inter_rater = library("statsmodels.stats.inter_rater", "cohen_kappa()")
    names = (ballots.asked["a"], ballots.asked["b"])
    members = sorted({vote.member for ballot, _ in ballots.seen for vote in ballot.votes})
    pairs = [(alike, pair) for ballot, alike in ballots.seen if (pair := _pair(ballot, names)) is not None]
    about = _about([alike for alike, _ in pairs], ballots)
    ballots.left_out["without an answer of both"] += ballots.seen.total - about["n"]
    keys = sorted({key for _, pair in pairs for key in pair})
    if len(keys) < 2:
        unknown = [name for name in names if members and name not in members]
        reason = f"no member is called {' or '.join(unknown)}; there are {', '.join(members[:20])}"
        return Estimate(NAN, notes=[reason] if unknown else [CONSTANT] if pairs else [], **about)
    counts: Counter[tuple[bytes, bytes]] = Counter()
    for alike, pair in pairs:
        counts[pair] += alike.times
    table = [[counts[one, other] for other in keys] for one in keys]
    value = inter_rater.cohens_kappa(table, return_results=False)
    drawn = draw_cohen(pairs, keys)
    return Estimate(float(value), interval=drawn.interval, notes=[*ballots.notes(), *drawn.notes], **about)


def _pair(ballot: Ballot, names: tuple[str, str]) -> tuple[bytes, bytes] | None:
    answers = {vote.member: vote.key for vote in ballot.votes}
    one, other = (answers.get(name) for name in names)
    return None if one is None or other is None else (one, other)


def draw_cohen(pairs: Sequence[tuple[Alike, tuple[bytes, bytes]]], keys: list[bytes]) -> Drawn:
    width = len(keys)
    if width * sum(alike.times for alike, _ in pairs) * 2 > MAX_CELLS:
        return TOO_MANY
    rows = [
        (alike, [1.0, one == other, *(key == one for key in keys), *(key == other for key in keys)])
        for alike, (one, other) in pairs
    ]

    def kappa(sums: Array) -> Array:
        n, agreed = sums[:, 0], sums[:, 1] / sums[:, 0]
        chance = (sums[:, 2 : 2 + width] * sums[:, 2 + width :]).sum(axis=1) / n**2
        return (agreed - chance) / (1 - chance)

    return bootstrap(sums_by_unit(rows), kappa)


def krippendorff_alpha(selection: Selection, *, level: Level = "nominal", answer: Rule = None) -> Ballots:
    if level not in LEVELS:
        raise QueryError(f"level={level!r} is none of {', '.join(LEVELS)}")
    return read_ballots(selection, Answers(answer), by_answer=True, level=level)


def finish_alpha(ballots: Ballots) -> Estimate:
    krippendorff = library("krippendorff", "krippendorff_alpha()")
    level = ballots.asked["level"]
    rated = [(alike, _ratings(ballots, ballot, alike.times)) for ballot, alike in ballots.seen]
    pairable = [(alike, counts) for alike, counts in rated if counts.total() > 1]
    domain = sorted({value for _, counts in pairable for value in counts})
    about = _about([alike for alike, _ in pairable], ballots)
    ballots.left_out["with fewer than two answers"] += ballots.seen.total - about["n"]
    if len(domain) < 2:
        return Estimate(NAN, notes=[CONSTANT.replace("kappa", "alpha")] if pairable else [], **about)
    cells = about["n"] * len(domain) ** 2
    if cells > MAX_CELLS:
        reason = f"{len(domain)} distinct answers are too many; answer=… may make them fewer"
        return Estimate(NAN, notes=[reason], **about)
    table = [(alike, [counts[value] for value in domain]) for alike, counts in pairable]
    values = list(range(len(domain))) if level == "nominal" else domain
    value = krippendorff.alpha(value_counts=_each_call(table), value_domain=values, level_of_measurement=level)
    drawn = draw_alpha(table, values, level)
    return Estimate(float(value), interval=drawn.interval, notes=[*ballots.notes(), *drawn.notes], **about)


def _ratings(ballots: Ballots, ballot: Ballot, times: int) -> Counter[Any]:
    """How often each value was given: answer keys, or numbers where the level has an order."""
    counts = ballot.counts()
    if ballots.asked["level"] == "nominal":
        return Counter(counts)
    numbers: Counter[Any] = Counter()
    for key, count in counts.items():
        number = _number(ballots.shown(key))
        if number is None:
            ballots.left_out["answers that are no numbers"] += count * times
        else:
            numbers[number] += count
    return numbers


def _number(value: Any) -> float | None:
    """A finite number; also as answer="number" writes it, a fraction in text."""
    if isinstance(value, str) and value.count("/") == 1:
        above, _, below = value.partition("/")
        value = int(above) / int(below) if above.lstrip("-").isdigit() and below.isdigit() and int(below) else None
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def draw_alpha(table: Sequence[Counted], values: Sequence[float], level: Level) -> Drawn:
    import numpy as np

    width = len(values)
    counts = np.asarray([given for _, given in table], dtype=float)
    together = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(width)
    together /= (counts.sum(axis=1) - 1)[:, None, None]
    units = sums_by_unit(list(zip([alike for alike, _ in table], together.reshape(len(table), -1), strict=True)))
    if sum(units.times) * width**2 > MAX_CELLS // 10 or width**3 > MAX_CELLS // 10:
        return TOO_MANY

    def alpha(sums: Array) -> Array:
        met = sums.reshape(-1, width, width)
        given = met.sum(axis=2)
        apart = _distances(given, np.asarray(values, dtype=float), level)
        pairs = given[:, :, None] * given[:, None, :]
        observed, expected = (met * apart).sum(axis=(1, 2)), (pairs * apart).sum(axis=(1, 2))
        return 1 - observed * (given.sum(axis=1) - 1) / expected

    return bootstrap(units, alpha)


def _distances(given: Array, values: Array, level: Level) -> Array:
    """Squared distances of values, (draws or 1, values, values)."""
    import numpy as np

    if level == "nominal":
        return 1 - np.eye(len(values))[None]
    if level == "ordinal":
        places = given.cumsum(axis=1) - given / 2
        return (places[:, :, None] - places[:, None, :]) ** 2
    apart = values[:, None] - values[None, :]
    if level == "ratio":
        sums = values[:, None] + values[None, :]
        apart = np.divide(apart, sums, out=np.zeros_like(apart), where=sums != 0)
    return apart[None] ** 2
