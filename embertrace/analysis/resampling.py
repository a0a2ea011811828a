"""Percentile bootstrap over units, and permutations: seeded, so that the same events give the same digits.

Rules:
- A statistic is a function of sums over units. Equal units are drawn together, and distinct ones stand in the order of
  their values: arrival order, shards and the names of units can't change a draw.
- 2,000 draws, seed 0, 2.5% cut off on either side. Draws where the statistic is not defined are left out. Where that
  is most of them, where all draws give one value, and of fewer than two units there is no interval (NaN).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from embertrace.analysis.gathered import Population
from embertrace.analysis.results import Estimate
from embertrace.analysis.statistics import NO_SPREAD, PERMUTATIONS, SEED, UNDEFINED, Interval
from embertrace.analysis.table.counting import dense
from embertrace.analysis.tally import Tally

DRAWS = 2_000
ROUNDING = 1e-12
"""Draws that differ by less, against what they are, differ in how their sums were rounded."""
CELLS = 4_000_000
"""Numbers held at once while drawing: 32 MB."""

Array = Any


class Drawn(NamedTuple):
    """An interval; where there is none, `notes` say why."""

    interval: Interval = UNDEFINED
    notes: tuple[str, ...] = ()


TOO_MANY = Drawn(notes=("no interval: there is too much to draw from",))
ALIKE = Drawn(notes=(NO_SPREAD,))
RARELY_DEFINED = Drawn(notes=("no interval: in most draws of the items there is no value",))


def bootstrap(units: Population, statistic: Callable[[Array], Array]) -> Drawn:
    """The interval of statistic(sums), where sums are (draws, columns)."""
    import numpy as np

    rows, times = _distinct(np.asarray(units.rows, dtype=float), np.asarray(units.times, dtype=np.int64))
    total = int(times.sum())
    if total < 2:
        return Drawn()
    random = np.random.default_rng(SEED)
    chunk = max(1, CELLS // total)
    with np.errstate(all="ignore"):
        drawn = [
            np.asarray(statistic(_weights(times, min(chunk, DRAWS - start), random) @ rows), dtype=float)
            for start in range(0, DRAWS, chunk)
        ]
    values = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    if 2 * len(values) < DRAWS:
        return RARELY_DEFINED
    low, high = np.quantile(values, [0.025, 0.975])
    width = float(high - low)
    return Drawn((float(low), float(high))) if width > ROUNDING * max(1.0, abs(low), abs(high)) else ALIKE


def _distinct(rows: Array, times: Array) -> tuple[Array, Array]:
    """The distinct rows in order, the first column before the second and so on; and how often each occurs."""
    import numpy as np

    code = np.zeros(len(rows), np.int64)
    for column in rows.T:
        values, number = np.unique(column, return_inverse=True)
        code = dense(code * len(values) + number)
    found = np.bincount(code, times).astype(np.int64)
    one_of_each = np.empty(len(found), np.int64)
    one_of_each[code] = np.arange(len(code))
    return rows[one_of_each], found


def _weights(times: Array, draws: int, random: Any) -> Array:
    """How often each distinct unit is drawn, (draws, distinct)."""
    import numpy as np

    units, distinct = int(times.sum()), len(times)
    if 8 * distinct <= units:
        return random.multinomial(units, times / units, size=draws)
    which = np.repeat(np.arange(distinct), times)[random.integers(0, units, size=(draws, units))]
    places = which + distinct * np.arange(draws)[:, None]
    return np.bincount(places.ravel(), minlength=draws * distinct).reshape(draws, distinct)


def bootstrapped(tally: Tally) -> Estimate:
    """A tally's mean over observations, with a bootstrap interval: for numbers that are no fractions."""
    found = tally.finish()
    clusters = tally.clusters()
    rows = [(float(n), float(total)) for n, total in clusters]
    drawn = bootstrap(Population(rows, [*clusters.values()]), lambda sums: sums[:, 1] / sums[:, 0])
    about: dict[str, Any] = {"left_out": found.left_out, "notes": drawn.notes}
    return Estimate(found.value, n=found.n, items=found.items, interval=drawn.interval, **about)


PERMUTED = 200_000_000
"""Places looked up in one permutation test, at most: some seconds. Larger tests draw less, 1,000 times at least."""


def permutation_p(tables: Sequence[tuple[Sequence[Sequence[float]], Sequence[Sequence[int]]]]) -> float:
    """Whether credits go to certain places: (credits, places) are rows × columns, and rows of places are exchanged.

    The statistic is Σ (credit of a place − expected)²/expected, the expected ones being means over all exchanges
    within a table. 10,000 draws, seed 0; the observed one counts as a draw. Of no table NaN.
    """
    import numpy as np

    if not tables:
        return float("nan")
    arrays = [(np.asarray(credits, dtype=float), np.asarray(places)) for credits, places in tables]
    width = 1 + max(int(places.max()) for _, places in arrays)
    cells = sum(credits.size for credits, _ in arrays)
    draws = min(PERMUTATIONS, max(1_000, PERMUTED // cells))
    random = np.random.default_rng(SEED)
    observed, expected, drawn = np.zeros(width), np.zeros(width), np.zeros((draws, width))
    for credits, places in arrays:
        observed += np.bincount(places.ravel(), credits.ravel(), minlength=width)
        column_sums = np.broadcast_to(credits.mean(axis=0), credits.shape)
        expected += np.bincount(places.ravel(), column_sums.ravel(), minlength=width)
        for draw in range(draws):
            mixed = places[random.permutation(len(places))]
            drawn[draw] += np.bincount(mixed.ravel(), credits.ravel(), minlength=width)
    scale = np.where(expected > 0, expected, 1)
    statistic = ((drawn - expected) ** 2 / scale).sum(axis=1)
    seen = float(((observed - expected) ** 2 / scale).sum())
    extreme = int((statistic >= seen - 1e-9 * max(1.0, seen)).sum())  # equal sums may differ in their last digit
    return (extreme + 1) / (draws + 1)
