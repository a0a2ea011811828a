"""Two analyses side by side, item by item: is the second better, by how much, and on which items.

Rules:
- Items join on their key after their epochs are averaged. Those of one side are listed, never guessed.
- Where every joined item is right or wrong, the test is exact McNemar with Bonett and Price's interval of the
  difference; else a sign-flip permutation test (10,000 draws, seed 0) with Student's t on the differences.
- Items of one group are not independent of each other: where joined items share one, they are drawn and flipped
  together, by t on groups and the sign-flip test, also of what is right or wrong.
- Failures are compared both ways: of the items answered, and `of_attempted`, where failing is wrong.
- A p-value is of the runs as they are: of one that goes on it is interim, and the comparison says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from embertrace.analysis.presented import Presented
from embertrace.analysis.results import NAN, Rows, plain
from embertrace.analysis.runs import config_differences
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

Outcomes = Sequence[Mapping[str, Any]]
"""Rows of the `outcomes` verb."""
MAX_DENOMINATOR = 1_000_000
"""Shares of right answers were fractions of small numbers before they were floats, and are so again."""
MAX_SHOWN = 20
"""Flips, and unmatched keys, that are printed; `to_data` has all of them."""


@dataclass(frozen=True)
class Paired:
    """The numbers: `difference` = `after` − `before`, the mean over `n` joined items.

    `only_before` and `only_after` count the items on which that side was better (McNemar's discordant counts, where
    outcomes are binary), `equal` the others. NaN with n = 0 where nothing could be joined.
    """

    n: int = 0
    before: float = NAN
    after: float = NAN
    difference: float = NAN
    interval: Interval = UNDEFINED
    p_value: float = NAN
    test: str = "no joined items"
    only_before: int = 0
    only_after: int = 0

    @property
    def equal(self) -> int:
        return self.n - self.only_before - self.only_after

    def __str__(self) -> str:
        low, high = self.interval
        interval = "" if math.isnan(low) else f" [{low:+.3g}, {high:+.3g}]"
        counts = f"{self.only_after} gained, {self.only_before} lost, {self.equal} equal"
        return (
            f"{self.before:.4g} → {self.after:.4g}: {self.difference:+.4g}{interval} n={self.n}\n"
            f"{self.test}: p = {self.p_value:.3g}; {counts}"
        )


@dataclass(frozen=True, repr=False)
class Comparison(Paired, Presented):
    """Of `on` ("judge", "majority", "calls"), or of the score named `score`; positive where the other one is better.

    `failed` counts the attempts without an answer on each side; `of_attempted` are the same numbers with those taken
    as wrong (None where nothing failed). `flips` are the items whose outcome changed: before, after, the answers of
    both, and the truth; `items()` are all that were joined, and the rows of tables of other libraries. `unmatched` are
    the keys of items of one side only, `uncompared` of those that are in both and have no value in one (unlabelled,
    failed). `config` holds settings, versions and program that differ, of one run against one. `runs` are the names of
    the runs of both sides.
    """

    on: str = "judge"
    score: str | None = None
    runs: tuple[Sequence[str], Sequence[str]] = ((), ())
    failed: tuple[int, int] = (0, 0)
    of_attempted: Paired | None = None
    flips: Rows = field(default_factory=lambda: Rows([]))
    unmatched: tuple[Sequence[Any], Sequence[Any]] = ((), ())
    uncompared: Sequence[Any] = ()
    config: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    left_out: tuple[Mapping[str, int], Mapping[str, int]] = field(default_factory=lambda: ({}, {}))
    notes: tuple[str, ...] = ()
    pairs: Sequence[_Pair] = field(default=(), repr=False)

    def items(self) -> Rows:
        """A row for each joined item: before, after, the answers of both sides, and the truth."""
        return Rows(_described(pair) for pair in self.pairs)

    def _records(self) -> list[dict[str, Any]]:
        return [plain(row) for row in self.items()]

    def __repr__(self) -> str:
        what = f"score {self.score} of {self.on}" if self.score is not None else f"right answers of {self.on}"
        names = " → ".join(", ".join(side) or "?" for side in self.runs)
        lines = [f"{what}, {names}" if any(self.runs) else what, Paired.__str__(self)]
        if self.of_attempted is not None:
            lines += [f"failed attempts: {self.failed[0]} before, {self.failed[1]} after; as wrong answers:"]
            lines += [f"  {line}" for line in str(self.of_attempted).splitlines()]
        for side, items in zip(("before", "after"), self.unmatched, strict=True):
            lines += [f"{len(items)} items {side} only: {_listed(items)}"] if items else []
        lines += [f"{len(self.uncompared)} items without a value on one side: {_listed(self.uncompared)}"] * bool(
            self.uncompared
        )
        for side, reasons in zip(("before", "after"), self.left_out, strict=True):
            lines += [f"left out {side}: {', '.join(f'{n} {why}' for why, n in sorted(reasons.items()))}"] * bool(
                reasons
            )
        lines += [f"config {name}: {old!r} → {new!r}" for name, (old, new) in self.config.items()]
        lines += self.notes
        if self.flips:
            more = f"\n… and {len(self.flips) - MAX_SHOWN} more" if len(self.flips) > MAX_SHOWN else ""
            lines.append(f"\n{Rows(self.flips[:MAX_SHOWN])!r}{more}")
        return "\n".join(lines)

    __str__ = __repr__

    def to_data(self) -> dict[str, Any]:
        """Everything as plain data, NaN as None: for JSON, pages, and tables of other programs."""
        config = {name: {"before": plain(old), "after": plain(new)} for name, (old, new) in self.config.items()}
        return {
            "result": "comparison",
            "on": self.on,
            "score": self.score,
            "runs": _sides(self.runs),
            **_numbers(self),
            "failed": _sides(self.failed),
            "of_attempted": _numbers(self.of_attempted) if self.of_attempted is not None else None,
            "flips": [plain(row) for row in self.flips],
            "unmatched": _sides(self.unmatched),
            "uncompared": plain(self.uncompared),
            "config": config,
            "left_out": _sides(self.left_out),
            "notes": plain(self.notes),
        }


def _sides(pair: tuple[Any, Any]) -> dict[str, Any]:
    return {"before": plain(pair[0]), "after": plain(pair[1])}


def _numbers(paired: Paired) -> dict[str, Any]:
    numbers = {name: plain(getattr(paired, name)) for name in Paired.__dataclass_fields__}
    return {**numbers, "equal": paired.equal}


def _listed(items: Sequence[Any]) -> str:
    more = ", …" if len(items) > MAX_SHOWN else ""
    return ", ".join(str(item) for item in items[:MAX_SHOWN]) + more


class _Pair(NamedTuple):
    """One item of both sides, and its values."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    was: Fraction
    now: Fraction


def compare(
    before: Outcomes,
    after: Outcomes,
    runs_before: Sequence[Mapping[str, Any]] = (),
    runs_after: Sequence[Mapping[str, Any]] = (),
    *,
    on: str = "judge",
    score: str | None = None,
) -> Comparison:
    """The rows of the `outcomes` verb of both sides, and the descriptions of their runs."""
    old, new = ({canonical(row["item"]): row for row in side} for side in (before, after))
    common = [(old[key], new[key]) for key in sorted(old.keys() & new.keys())]
    pairs = _pairs(common, "correct", exact=score is not None)
    failed = (sum(row["failed"] for row in before), sum(row["failed"] for row in after))
    attempted = _test(_pairs(common, "of_attempted", exact=False)) if any(failed) and score is None else None
    compared = {canonical(pair.old["item"]) for pair in pairs}
    return Comparison(
        **vars(_test(pairs)),
        on=on,
        score=score,
        runs=(_names(runs_before), _names(runs_after)),
        failed=failed,
        of_attempted=attempted,
        flips=Rows(_described(pair) for pair in pairs if pair.was != pair.now),
        unmatched=(_only(old, new), _only(new, old)),
        uncompared=[row["item"] for row, _ in common if canonical(row["item"]) not in compared],
        config=config_differences(runs_before, runs_after),
        left_out=(getattr(before, "left_out", {}), getattr(after, "left_out", {})),
        notes=(
            *_notes_on_runs((*runs_before, *runs_after)),
            *_notes_of_sides(before, after),
            *_notes_on_items(old, new, pairs, _sought(on, score), [other for other in SOUGHT if other != on]),
        ),
        pairs=pairs,
    )


def _pairs(common: Sequence[tuple[Any, Any]], column: str, *, exact: bool) -> list[_Pair]:
    """Those that have a value on both sides."""
    found = []
    for old, new in common:
        was, now = old[column], new[column]
        if was is not None and now is not None and was == was and now == now:  # NaN, or None where it crossed RPC
            found.append(_Pair(old, new, _fraction(was, exact), _fraction(now, exact)))
    return found


def _fraction(value: float, exact: bool) -> Fraction:
    return Fraction(value) if exact else Fraction(value).limit_denominator(MAX_DENOMINATOR)


def _test(pairs: Sequence[_Pair]) -> Paired:
    n = len(pairs)
    if not n:
        return Paired()
    was, now = (sum((getattr(pair, side) for pair in pairs), Fraction(0)) for side in ("was", "now"))
    gained, lost = sum(pair.now > pair.was for pair in pairs), sum(pair.now < pair.was for pair in pairs)
    units = _units(pairs)
    if len(units) == n and _are_binary(pairs):
        interval, p, test = bonett_price(gained, lost, n), mcnemar_p(gained, lost), "exact McNemar"
    else:
        interval = t_of_clusters(Spread(Counter(units)), _bounds(pairs))
        p, test = sign_flip_p([float(change) for _, change in units]), "sign-flip permutation"
        test = test if len(units) == n else f"{test} of {len(units)} groups"
    return Paired(n, float(was / n), float(now / n), float((now - was) / n), interval, p, test, lost, gained)


def _units(pairs: Sequence[_Pair]) -> list[tuple[int, Fraction]]:
    """Of each group, or item without one, how many items it has and the sum of their changes; in the order of keys."""
    found: dict[bytes, tuple[int, Fraction]] = {}
    for place, pair in enumerate(pairs):
        group = pair.old.get("group") if pair.old.get("group") is not None else pair.new.get("group")
        key = canonical(place if group is None else [group])
        items, change = found.get(key, (0, Fraction(0)))
        found[key] = items + 1, change + pair.now - pair.was
    return [*found.values()]


def _are_binary(pairs: Sequence[_Pair]) -> bool:
    return all(value in (0, 1) for pair in pairs for value in (pair.was, pair.now))


def _bounds(pairs: Sequence[_Pair]) -> Interval:
    """What a difference can be: of shares −1 … 1, of other scores anything."""
    is_share = all(0 <= value <= 1 for pair in pairs for value in (pair.was, pair.now))
    return (-1.0, 1.0) if is_share else (-float("inf"), float("inf"))


def _described(pair: _Pair) -> dict[str, Any]:
    truth = pair.new.get("truth")
    return {
        "item": pair.old["item"],
        "before": float(pair.was),
        "after": float(pair.now),
        "answer_before": pair.old.get("answer"),
        "answer_after": pair.new.get("answer"),
        "truth": pair.old.get("truth") if truth is None else truth,
    }


def _only(side: Mapping[bytes, Mapping[str, Any]], other: Mapping[bytes, Any]) -> list[Any]:
    return [side[key]["item"] for key in sorted(side.keys() - other.keys())]


def _names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(run.get("name") or run.get("id")) for run in runs]


SOUGHT = {"judge": "judge call", "majority": "ensemble call", "calls": "call"}
"""What is compared, by `on`."""


def _sought(on: str, score: str | None) -> str:
    return SOUGHT[on] if score is None else f"{SOUGHT[on]} with a score {score!r}"


def _notes_on_items(
    old: Mapping[bytes, Any], new: Mapping[bytes, Any], pairs: Sequence[_Pair], sought: str, others: Sequence[str]
) -> list[str]:
    """Why nothing could be compared, or not said for sure."""
    instead = f"{', '.join(f'on={other!r}' for other in others)} or score=… compare something else"
    without = [side for side, rows in (("before", old), ("after", new)) if not rows]
    if without:
        return [f"there is no {sought} {' and none '.join(without)}; {instead}"]
    if not old.keys() & new.keys():
        return ["no item is in both: items are joined by the key that was given to item(…)"]
    if not pairs:
        return [f"no item has a value on both sides; {instead}"]
    units = _units(pairs)
    if len(units) == len(pairs):
        is_alike = len(pairs) > 1 and len({pair.now - pair.was for pair in pairs}) == 1 and not _are_binary(pairs)
        return ["no interval: all items changed alike"] if is_alike else []
    is_alike = len({change / items for items, change in units}) == 1
    why = f", and there is no interval: {'all of them changed alike' if len(units) > 1 else 'that is one'}"
    return [f"items are of {len(units)} groups, which are drawn together{why if is_alike else ''}"]


def _notes_of_sides(before: Outcomes, after: Outcomes) -> list[str]:
    """What the outcomes say of themselves, once where both say it."""
    old, new = (tuple(getattr(side, "notes", ())) for side in (before, after))
    told = [note if note in new else f"before: {note}" for note in old]
    return [*told, *(f"after: {note}" for note in new if note not in old)]


def _notes_on_runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    by_status: dict[str, dict[str, None]] = {}
    for run in runs:
        by_status.setdefault(str(run.get("status")), {})[str(run.get("name") or run.get("id"))] = None
    notes = []
    if "running" in by_status:
        notes.append(f"p is interim: {', '.join(by_status['running'])} not finished")
    notes += [
        f"{', '.join(by_status[how])} {how}: items may be missing" for how in ("failed", "crashed") if how in by_status
    ]
    return notes
