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

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from embertrace.analysis.comparison import Comparison, Pair, Paired
from embertrace.analysis.results import Rows
from embertrace.analysis.runs import config_differences
from embertrace.analysis.statistics import (
    Interval,
    Spread,
    bonett_price,
    mcnemar_p,
    rounded,
    sign_flip_p,
    t_of_clusters,
)
from embertrace.payload import canonical

Outcomes = Sequence[Mapping[str, Any]]
"""Rows of the `outcomes` verb."""
MAX_DENOMINATOR = 1_000_000
"""Shares of right answers were fractions of small numbers before they were floats, and are so again."""


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
        flips=Rows(pair.row() for pair in pairs if pair.was != pair.now),
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


def _pairs(common: Sequence[tuple[Any, Any]], column: str, *, exact: bool) -> list[Pair]:
    """Those that have a value on both sides."""
    found = []
    for old, new in common:
        was, now = old[column], new[column]
        if was is not None and now is not None and was == was and now == now:  # NaN, or None where it crossed RPC
            found.append(Pair(old, new, _fraction(was, exact), _fraction(now, exact)))
    return found


def _fraction(value: float, exact: bool) -> Fraction:
    return Fraction(value) if exact else Fraction(value).limit_denominator(MAX_DENOMINATOR)


def _test(pairs: Sequence[Pair]) -> Paired:
    n = len(pairs)
    if not n:
        return Paired()
    was, now = (sum((getattr(pair, side) for pair in pairs), Fraction(0)) for side in ("was", "now"))
    gained, lost = sum(pair.now > pair.was for pair in pairs), sum(pair.now < pair.was for pair in pairs)
    units = _units(pairs)
    if len(units) == n and _are_binary(pairs):
        interval, p, test = bonett_price(gained, lost, n), mcnemar_p(gained, lost), "exact McNemar"
    else:
        interval = t_of_clusters(Spread.of(units), _bounds(pairs))
        p, test = sign_flip_p([change for _, change in units]), "sign-flip permutation"
        test = test if len(units) == n else f"{test} of {len(units)} groups"
    return Paired(n, float(was / n), float(now / n), rounded((now - was) / n), interval, p, test, lost, gained)


def _units(pairs: Sequence[Pair]) -> list[tuple[int, Fraction]]:
    """Of each group, or item without one, how many items it has and the sum of their changes; in the order of keys."""
    found: dict[bytes, tuple[int, Fraction]] = {}
    for place, pair in enumerate(pairs):
        group = pair.old.get("group") if pair.old.get("group") is not None else pair.new.get("group")
        key = canonical(place if group is None else [group])
        items, change = found.get(key, (0, Fraction(0)))
        found[key] = items + 1, change + pair.now - pair.was
    return [*found.values()]


def _are_binary(pairs: Sequence[Pair]) -> bool:
    return all(value in (0, 1) for pair in pairs for value in (pair.was, pair.now))


def _bounds(pairs: Sequence[Pair]) -> Interval:
    """What a difference can be: of shares −1 … 1, of other scores anything."""
    is_share = all(0 <= value <= 1 for pair in pairs for value in (pair.was, pair.now))
    return (-1.0, 1.0) if is_share else (-float("inf"), float("inf"))


def _only(side: Mapping[bytes, Mapping[str, Any]], other: Mapping[bytes, Any]) -> list[Any]:
    return [side[key]["item"] for key in sorted(side.keys() - other.keys())]


def _names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(run.get("name") or run.get("id")) for run in runs]


SOUGHT = {"judge": "judge call", "majority": "ensemble call", "calls": "call"}
"""What is compared, by `on`."""


def _sought(on: str, score: str | None) -> str:
    return SOUGHT[on] if score is None else f"{SOUGHT[on]} with a score {score!r}"


def _notes_on_items(
    old: Mapping[bytes, Any], new: Mapping[bytes, Any], pairs: Sequence[Pair], sought: str, others: Sequence[str]
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
