"""Two analyses side by side, item by item: is the second better, by how much, and on which items.

Items join on their key after their epochs are averaged. Where every joined item is right or wrong, the test is exact
McNemar with Bonett and Price's interval of the difference; else a sign-flip permutation test (10,000 draws, seed 0)
with Student's t on the differences. Unmatched items are listed, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from embertrace.analysis.results import NAN, Rows
from embertrace.analysis.statistics import (
    UNDEFINED,
    Interval,
    Spread,
    bonett_price,
    mcnemar_p,
    sign_flip_p,
    t_of_clusters,
)
from embertrace.payload import canonical


@dataclass(frozen=True)
class Comparison:
    """`difference` = `after` − `before`, the mean over `n` joined items; positive where the other one is better.

    `only_before` and `only_after` count the items that one alone got right (binary outcomes). `flips` are the items
    whose outcome changed. NaN with n = 0 where nothing could be joined.
    """

    n: int
    before: float
    after: float
    difference: float
    interval: Interval
    p_value: float
    test: str
    only_before: int = 0
    only_after: int = 0
    failed: tuple[int, int] = (0, 0)
    flips: Rows = field(default_factory=lambda: Rows([]))
    unmatched: tuple[Sequence[Any], Sequence[Any]] = ((), ())
    config: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        low, high = self.interval
        lines = [
            f"{self.before:.4g} → {self.after:.4g}: {self.difference:+.4g} [{low:+.3g}, {high:+.3g}] n={self.n}",
            f"{self.test}: p = {self.p_value:.3g}; {self.only_after} gained, {self.only_before} lost",
        ]
        if any(self.unmatched):
            lines.append(f"unmatched items: {len(self.unmatched[0])} before only, {len(self.unmatched[1])} after only")
        if any(self.failed):
            lines.append(f"failed attempts: {self.failed[0]} before, {self.failed[1]} after")
        lines += [f"config {name}: {old!r} → {new!r}" for name, (old, new) in self.config.items()]
        return "\n".join([*lines, *self.notes])


def compare(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    runs_before: Sequence[Mapping[str, Any]] = (),
    runs_after: Sequence[Mapping[str, Any]] = (),
) -> Comparison:
    """The rows of the `outcomes` verb of both sides, and the descriptions of their runs."""
    old, new = _judged(before), _judged(after)
    keys = sorted(old.keys() & new.keys())
    rows = [(old[key]["item"], _share(old[key]), _share(new[key])) for key in keys]
    flips = [{"item": item, "before": float(was), "after": float(now)} for item, was, now in rows if was != now]
    unmatched = tuple(
        [side[key]["item"] for key in sorted(side.keys() - other)]
        for side, other in ((old, new.keys()), (new, old.keys()))
    )
    unfinished = [
        str(run.get("name") or run.get("id")) for run in (*runs_before, *runs_after) if run.get("status") == "running"
    ]
    notes = (f"p is interim: {', '.join(unfinished)} not finished",) if unfinished else ()
    failed = (sum(row["failed"] for row in before), sum(row["failed"] for row in after))
    n = len(rows)
    about: dict[str, Any] = {"flips": Rows(flips), "unmatched": unmatched, "notes": notes, "failed": failed}
    about["config"] = config_differences(runs_before, runs_after)
    if not n:
        return Comparison(0, NAN, NAN, NAN, UNDEFINED, NAN, "no joined items", **about)
    means = [float(sum((row[side] for row in rows), Fraction(0)) / n) for side in (1, 2)]
    changes = [now - was for _, was, now in rows]
    difference = float(sum(changes, Fraction(0)) / n)
    gained, lost = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    about |= {"only_before": lost, "only_after": gained}
    if all(share in (0, 1) for row in rows for share in row[1:]):
        interval, p, test = bonett_price(gained, lost, n), mcnemar_p(gained, lost), "exact McNemar"
    else:
        interval = t_of_clusters(Spread(Counter((1, change) for change in changes)), (-1.0, 1.0))
        p, test = sign_flip_p([float(change) for change in changes]), "sign-flip permutation"
    return Comparison(n, means[0], means[1], difference, interval, p, test, **about)


def config_differences(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Settings and versions that differ, of one run against one run; nothing where a side has several."""
    if len(before) != 1 or len(after) != 1:
        return {}
    old, new = _settings(before[0]), _settings(after[0])
    names = sorted(old.keys() | new.keys())
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: run[name] for name in ("argv", "git") if name in run}
    for part in ("config", "versions"):
        if isinstance(run.get(part), Mapping):
            settings |= {
                f"{part}.{name}" if part == "versions" else str(name): value for name, value in run[part].items()
            }
    return settings


def _judged(rows: Sequence[Mapping[str, Any]]) -> dict[bytes, Mapping[str, Any]]:
    return {canonical(row["item"]): row for row in rows if row["n"]}


def _share(row: Mapping[str, Any]) -> Fraction:
    return Fraction(row["correct"]).limit_denominator(1_000_000)
