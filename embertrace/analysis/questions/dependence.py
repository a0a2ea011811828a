"""Questions about whether members err together: correlation of their errors, and how many votes they are worth."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.gathered import Population, distinct_units, sums_by_unit
from embertrace.analysis.questions.ballots import Ballot, Ballots, Cast
from embertrace.analysis.resampling import TOO_MANY, Array, Drawn, bootstrap
from embertrace.analysis.results import NAN, Estimate, Rows, Table

MAX_CELLS = 2_000_000
"""Units times pairs of which intervals are drawn: some seconds. Beyond it there is none."""

Errors = dict[str, Fraction]
Seen = list[tuple[Alike, Errors]]
Pair = tuple[str, str]


def errors_of(ballot: Ballot) -> Errors:
    """1 − how right, of each member that answered and of whose answer that is known."""
    return {vote.member: 1 - vote.right for vote in ballot.votes if vote.right is not None}


def _seen(cast: Cast) -> Seen:
    return [(alike, errors_of(ballot)) for ballot, alike in cast]


def _calls(seen: Seen) -> int:
    return sum(alike.times for alike, _ in seen)


def _members(seen: Seen) -> tuple[list[str], list[str]]:
    """Members whose errors vary, and those whose don't."""
    names = sorted({name for _, errors in seen for name in errors})
    varying = [name for name in names if len({errors[name] for _, errors in seen if name in errors}) > 1]
    return varying, [name for name in names if name not in varying]


def _correlation(seen: Seen, pair: Pair) -> tuple[float, int]:
    """Pearson's, of exact sums, and over how many calls; NaN where one of both does not vary there."""
    one, other = pair
    met: Counter[tuple[Fraction, Fraction]] = Counter()
    for alike, errors in seen:
        if one in errors and other in errors:
            met[errors[one], errors[other]] += alike.times
    n = met.total()
    x, y = (sum((both[side] * times for both, times in met.items()), Fraction(0)) for side in (0, 1))
    xx, yy = (sum((both[side] ** 2 * times for both, times in met.items()), Fraction(0)) for side in (0, 1))
    xy = sum((both[0] * both[1] * times for both, times in met.items()), Fraction(0))
    square = (n * xx - x * x) * (n * yy - y * y)
    if square <= 0:
        return NAN, n
    return max(-1.0, min(1.0, float(n * xy - x * y) / math.sqrt(square))), n


def _correlations(sums: Array, pairs: int) -> Array:
    """(draws, pairs) of (draws, 1, x, y, xx, yy, xy of each pair one after the other)."""
    import numpy as np

    n, x, y, xx, yy, xy = np.moveaxis(sums.reshape(-1, pairs, 6), 2, 0)
    square = (n * xx - x * x) * (n * yy - y * y)
    return (n * xy - x * y) / np.sqrt(np.where(square > 1e-9, square, np.nan))


def _table(seen: Seen, pairs: Sequence[Pair]) -> Array:
    """Of each that was seen what `_correlations` takes sums of; what is not known of both adds nothing."""
    import numpy as np

    names = {name: place for place, name in enumerate(sorted({name for pair in pairs for name in pair}))}
    found = np.full((len(seen), len(names)), np.nan)
    for row, (_, errors) in zip(found, seen, strict=True):
        for name, error in errors.items():
            if name in names:
                row[names[name]] = float(error)
    x, y = (found[:, [names[pair[side]] for pair in pairs]] for side in (0, 1))
    products = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=2)
    products[np.isnan(x * y)] = 0
    return products.reshape(len(seen), -1)


def _by_unit(seen: Seen, table: Array) -> Population:
    return sums_by_unit(list(zip([alike for alike, _ in seen], table, strict=True)))


def finish_correlations(ballots: Ballots) -> Rows:
    rows: list[dict[str, Any]] = []
    notes, unsure = ballots.notes(), dict[str, None]()
    for stage, cast in ballots.by_stage().items():
        seen = _seen(cast)
        members, constant = _members(seen)
        notes += _named(stage, constant)
        pairs = list(itertools.combinations(members, 2))
        draws = _calls(seen) * len(pairs) <= MAX_CELLS
        for pair in pairs:
            value, n = _correlation(seen, pair)
            if n:
                drawn = _draw_correlation(seen, pair) if draws else TOO_MANY
                low, high = drawn.interval
                unsure.update(dict.fromkeys(drawn.notes))
                numbers = {"correlation": value, "low": low, "high": high, "n": n, "items": _units(seen, pair)}
                rows.append({"stage": stage, "a": pair[0], "b": pair[1], **numbers})
    _count_unlabelled(ballots)
    return Rows(rows, ballots.left_out, [*notes, *unsure])


def _draw_correlation(seen: Seen, pair: Pair) -> Drawn:
    return bootstrap(_by_unit(seen, _table(seen, [pair])), lambda sums: _correlations(sums, 1)[:, 0])


def _named(stage: str, constant: list[str]) -> list[str]:
    return [f"left out of {stage}, always right or always wrong: {', '.join(constant)}"] if constant else []


def _units(seen: Seen, pair: Pair) -> int:
    return distinct_units([alike for alike, errors in seen if pair[0] in errors and pair[1] in errors])


def _count_unlabelled(ballots: Ballots) -> None:
    ballots.left_out["unlabelled"] += sum(
        alike.times
        for ballot, alike in ballots.seen
        if any(vote.key is not None and vote.right is None for vote in ballot.votes)
    )


def finish_effective(ballots: Ballots) -> Table:
    found: dict[str, Estimate] = {}
    notes = ballots.notes()
    for stage, cast in ballots.by_stage().items():
        seen = [(alike, errors) for alike, errors in _seen(cast) if errors]
        members, constant = _members(seen)
        notes += _named(stage, constant)
        if not seen:
            continue
        pairs = list(itertools.combinations(members, 2))
        defined = [r for r in (_correlation(seen, pair)[0] for pair in pairs) if not math.isnan(r)]
        votes = sum(len(errors.keys() & {*members}) * alike.times for alike, errors in seen)
        value = kish(votes / _calls(seen), math.fsum(defined) / len(defined)) if defined else NAN
        about: dict[str, Any] = {"n": _calls(seen), "items": distinct_units([alike for alike, _ in seen])}
        drawn = _draw_effective(seen, pairs, members)
        found[stage] = Estimate(value, interval=drawn.interval, notes=drawn.notes, **about)
    _count_unlabelled(ballots)
    return Table(found, ballots.left_out, notes)


def kish(members: float, correlation: float) -> float:
    """n/(1 + (n − 1)·r̄), Kish's effective number; NaN where the denominator is not positive."""
    below = 1 + (members - 1) * correlation
    return members / below if below > 1e-12 else NAN


def _draw_effective(seen: Seen, pairs: Sequence[Pair], members: Sequence[str]) -> Drawn:
    import numpy as np

    if not pairs:
        return Drawn()
    if _calls(seen) * len(pairs) > MAX_CELLS:
        return TOO_MANY

    def effective(sums: Array) -> Array:
        found = _correlations(sums[:, 2:], len(pairs))
        known = np.isfinite(found)
        mean = np.where(known, found, 0).sum(axis=1) / known.sum(axis=1)
        votes = sums[:, 1] / sums[:, 0]
        below = 1 + (votes - 1) * mean
        return np.where(below > 1e-12, votes / below, np.nan)

    varying = {*members}
    votes = [(1, len(errors.keys() & varying)) for _, errors in seen]
    return bootstrap(_by_unit(seen, np.hstack([votes, _table(seen, pairs)])), effective)
