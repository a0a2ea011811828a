"""Questions about single items: one row per item, the calls of one item as a tree, how right each one was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call, Metric, Stamp
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble, why_left_out
from embertrace.analysis.naming import ByItem, Keyless, Names
from embertrace.analysis.query import Selection, key_of
from embertrace.analysis.questions.costs import spent_in
from embertrace.analysis.questions.said import Said, agreements, answers_of_members, judgements, truths
from embertrace.analysis.results import Rows
from embertrace.analysis.statistics import rounded
from embertrace.analysis.table.column import Array
from embertrace.analysis.trees import Trees
from embertrace.event import call_hex
from embertrace.lineage import ITEM_BYTES, recorded
from embertrace.payload import canonical

Stamped = tuple[Stamp, Any]
"""(which call, value): of several calls about one item the latest speaks, in whatever parts they came."""


class ItemRow:
    """What is known of one item: a partial row that merges exactly."""

    __slots__ = ("answers", "calls", "said", "usd")

    def __init__(self) -> None:
        self.calls = 0
        self.usd: Fraction | None = None
        self.said: dict[str, Stamped] = {}
        self.answers: dict[str, Stamped] = {}

    def merge(self, other: ItemRow) -> ItemRow:
        self.calls += other.calls
        if other.usd is not None:
            self.spend(other.usd)
        for mine, theirs in ((self.said, other.said), (self.answers, other.answers)):
            for name, (stamp, value) in theirs.items():
                _say(mine, name, stamp, value)
        return self

    def spend(self, usd: Fraction) -> None:
        self.usd = usd if self.usd is None else self.usd + usd

    def finish(self) -> dict[str, Any]:
        said = {name: self.said[name][1] if name in self.said else None for name in ("truth", "agreement")}
        judged = {name: self.said[name][1] if name in self.said else None for name in ("judge", "correct")}
        answers = {name: self.answers[name][1] for name in sorted(self.answers)}
        cost = None if self.usd is None else rounded(self.usd)
        return {**said, "answers": answers, **judged, "cost": cost, "calls": self.calls}


def _say(to: dict[str, Stamped], name: str, stamp: Stamp, value: Any) -> None:
    if name not in to or to[name][0] <= stamp:
        to[name] = (stamp, value)


def items(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> ByItem[ItemRow]:
    found = ByItem(Names(selection), ItemRow)
    answers = Answers(answer)
    right = Correctness(answers, selection.trees.labels, grade)
    _add_calls(found, selection, right)
    _add_costs(found, selection)
    for ensemble in _add_votes(found, selection, answers):
        _describe_votes(found.at(*found.names.of(ensemble.call)), ensemble)
    _add_judges(found, selection, right)
    return found


def _add_calls(found: ByItem[ItemRow], selection: Selection, right: Correctness) -> None:
    """How many calls there are about each item, and what is true of it."""
    rows, of = found.each(found.names.codes(selection.places))
    for row, count in zip(rows, np.bincount(of, minlength=len(rows)).tolist(), strict=True):
        row.calls += count
    for row, stamp, truth in _rows_of(found, truths(found.names, selection, right)):
        _say(row.said, "truth", stamp, truth)


def _rows_of(found: ByItem[ItemRow], said: Said) -> Iterator[tuple[ItemRow, Stamp, Any]]:
    """The row of each item of which something was said, which call said it, and what."""
    rows, of = found.each(said.code)
    places, by = np.unique(said.place, return_inverse=True)
    stamps = list(found.names.trees.stamps(places))
    return zip(map(rows.__getitem__, of.tolist()), map(stamps.__getitem__, by.tolist()), said.value, strict=True)


def _add_costs(found: ByItem[ItemRow], selection: Selection) -> None:
    trees = selection.trees
    metric_rows, places = selection.scored_with(("usd",))
    rows, of = found.each(found.names.codes(places[places >= 0]))
    spent = [(rows[row], at) for row, at in zip(of.tolist(), metric_rows[places >= 0].tolist(), strict=True)]
    for at in metric_rows[places < 0].tolist():
        item = Metric(trees.sighting(at)).item
        if "key" in item:
            spent.append((found.at(item["key"], item.get("epoch")), at))
    values = trees.texts.values(np.array([at for _, at in spent], np.int64), usd_of)
    for (row, _), usd in zip(spent, values, strict=True):
        if usd is not None:
            row.spend(usd)


def usd_of(data: dict[str, Any]) -> Fraction | None:
    """What a score with such data says was spent in USD."""
    return dict(spent_in(data, Counter())).get("usd")


def _add_votes(found: ByItem[ItemRow], selection: Selection, answers: Answers) -> Iterable[Ensemble]:
    """Describe the votes of all ensembles at once; those that are left, to be read one by one, are returned.

    Members of several ensembles under one item stand side by side; the last ensemble's agreement is shown.
    """
    votes, trees = selection.votes(answers), selection.trees
    if votes is None:
        return selection.ensembles(answers)
    for row, stamp, agreement in _rows_of(found, agreements(found.names, votes)):
        _say(row.said, "agreement", stamp, agreement)
    said, members = answers_of_members(found.names, selection, answers, votes)
    for (row, stamp, value), member in zip(_rows_of(found, said), members, strict=True):
        _say(row.answers, member, stamp, value)
    found.each(found.names.codes(votes.place))  # an ensemble without members has a row, too
    return (selection.whole(trees.at(place), answers) for place in votes.rest.tolist())


def _describe_votes(row: ItemRow, ensemble: Ensemble) -> None:
    stamp = ensemble.call.origin
    for member in ensemble.members:
        value = member.shown()
        _say(row.answers, member.identity, stamp, f"({member.status})" if value is None else value)
    if why_left_out(ensemble) is None:
        agreement = f"{max(ensemble.votes().values(), default=0)}/{ensemble.attempted}"
        _say(row.said, "agreement", stamp, agreement)


def _add_judges(found: ByItem[ItemRow], selection: Selection, right: Correctness) -> None:
    said, alone = judgements(found.names, selection, right)
    for row, stamp, (answer, is_right) in _rows_of(found, said):
        _say_judged(row, stamp, answer, is_right)
    for place in alone.tolist():
        judge = selection.trees.at(place)
        _say_judged(found.at(*found.names.of(judge)), judge.origin, judge.answer, right.of_call(judge))


def _say_judged(row: ItemRow, stamp: Stamp, answer: Any, share: Fraction | bool | None) -> None:
    _say(row.said, "judge", stamp, answer)
    _say(row.said, "correct", stamp, None if share is None else float(share))


def finish_items(found: ByItem[ItemRow]) -> Rows:
    return Rows({"item": key, "epoch": epoch, **row.finish()} for key, epoch, row in found.finish())


class ItemCalls:
    """The calls about the item with one key, and about those without a key that may turn out to have its name."""

    def __init__(self, key: Any, names: Names) -> None:
        self.key, self._wanted, self.names = recorded(key, ITEM_BYTES), key_of(key), names
        self._rows: dict[tuple[Stamp, int], tuple[Any, dict[str, Any]]] = {}

    def add(self, root: Call, selection: Selection) -> None:
        """Take in a tree, each call below its parent, if it is about the item."""
        item = self.names.of(root)[0]
        if any("key" in child.item and self._is_wanted(child.item["key"]) for child in root.children):
            item = self.key
        if isinstance(item, Keyless):
            possible = isinstance(self.key, str) and self.key.startswith(item.name)
        else:
            possible = self._is_wanted(item)
        if possible:
            for place, (depth, call) in enumerate(walk(root)):
                if selection.has(call):
                    self._rows[root.origin, place] = item, {**described(call), "depth": depth}

    def _is_wanted(self, key: Any) -> bool:
        return canonical(key) == self._wanted

    def merge(self, other: ItemCalls) -> ItemCalls:
        self.names = self.names.merge(other.names)
        self._rows |= other._rows
        return self

    def finish(self) -> Rows:
        final = self.names.finish()
        rows = [self._rows[place] for place in sorted(self._rows)]
        return Rows(row for item, row in rows if self._is_wanted(final(item)))


def item(selection: Selection, *, key: Any) -> ItemCalls:
    """All calls of one item, each below its parent, `depth` steps from its root."""
    found = ItemCalls(key, Names(selection))
    for place in _roots_maybe_about(selection.trees, key).tolist():
        found.add(selection.trees.at(place), selection)
    return found


def _roots_maybe_about(trees: Trees, key: Any) -> Array:
    """The places of the roots that are about an item with that key, or call what is; and, as their keys are texts, of
    those without a key."""
    about, parent = trees.items.having(key_of(key))[trees.shape.item], trees.shape.parent
    is_root = parent < 0
    chosen = is_root & about
    above = parent[about & ~is_root]
    chosen[above[is_root[above]]] = True
    if isinstance(key, str):
        chosen[trees.keyless_places] = True
    return np.flatnonzero(chosen)


def walk(root: Call) -> Iterator[tuple[int, Call]]:
    """A call and all below it, parents first, with their depth."""
    stack = [(0, root)]
    while stack:
        depth, call = stack.pop()
        yield depth, call
        stack += [(depth + 1, child) for child in reversed(call.children)]


def described(call: Call) -> dict[str, Any]:
    """What a person wants to see of one call."""
    error = call.error
    return {
        "operator": call.operator_id,
        "type": call.operator_type,
        "stage": call.stage,
        "call_id": call_hex(call.call_id),
        "attempt": call.attempt,
        "outcome": call.outcome,
        "answer": call.answer if error is None else None,
        "error": f"{error.get('type')}: {error.get('message')}" if error is not None else None,
        "duration_s": call.duration_s,
        "scores": dict(call.scores),
    }
