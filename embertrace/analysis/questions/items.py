"""Questions about single items: one row per item, the calls of one item as a tree, how right each one was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble, why_left_out
from embertrace.analysis.naming import ByItem, Keyless, Names
from embertrace.analysis.query import Selection, key_of
from embertrace.analysis.questions.costs import spent_by
from embertrace.analysis.results import Rows
from embertrace.analysis.table.counting import last_of_each
from embertrace.analysis.table.items import NONE
from embertrace.event import call_hex
from embertrace.lineage import ITEM_BYTES, recorded
from embertrace.payload import canonical

Stamped = tuple[Origin, Any]
"""(which call, value): of several calls about one item the latest speaks, in whatever parts they came."""


class ItemRow:
    """What is known of one item: a partial row that merges exactly."""

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
        cost = None if self.usd is None else float(self.usd)
        return {**said, "answers": answers, **judged, "cost": cost, "calls": self.calls}


def _say(to: dict[str, Stamped], name: str, stamp: Origin, value: Any) -> None:
    if name not in to or to[name][0] <= stamp:
        to[name] = (stamp, value)


def items(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> ByItem[ItemRow]:
    names = Names(selection)
    found = ByItem(names, ItemRow)
    answers = Answers(answer)
    right = Correctness(answers, selection.trees.labels, grade)
    _add_calls(found, selection, right)
    _add_costs(found, selection)
    for ensemble in selection.ensembles(answers):
        _describe_votes(found.at(*names.of(ensemble.call)), ensemble)
    for judge, _, _ in selection.judges(answers):
        if judge.outcome == "result":
            row = found.at(*names.of(judge))
            share = right.of_call(judge)
            _say(row.said, "judge", judge.origin, judge.answer)
            _say(row.said, "correct", judge.origin, None if share is None else float(share))
    return found


def _add_calls(found: ByItem[ItemRow], selection: Selection, right: Correctness) -> None:
    """How many calls there are about each item, and what is true of it. Calls about one item in one run are alike."""
    trees, places = selection.trees, selection.places
    alike = trees.items.identity()[trees.shape.item[places]] != NONE
    if trees.labels.name_calls:
        alike[:] = False
    for place in places[~alike].tolist():
        call = trees.at(place)
        _add_alike(found.at(*found.names.of(call)), call, 1, right)
    keyed = places[alike]
    last, counts = last_of_each(trees.shape.run[keyed].astype(np.int64) << 32 | trees.shape.item[keyed])
    for place, count in zip(keyed[last].tolist(), counts.tolist(), strict=True):
        call = trees.at(place)
        _add_alike(found.at(call.item["key"], call.item.get("epoch")), call, count, right)


def _add_alike(row: ItemRow, last: Call, count: int, right: Correctness) -> None:
    row.calls += count
    truth = right.truth(last)
    if truth is not None:
        _say(row.said, "truth", last.origin, truth)


def _add_costs(found: ByItem[ItemRow], selection: Selection) -> None:
    for metric in selection.scores():
        usd = dict(spent_by(metric, Counter())).get("usd")
        if usd is None:
            continue
        if metric.call is not None:
            found.at(*found.names.of(metric.call)).spend(usd)
        elif "key" in metric.item:
            found.at(metric.item["key"], metric.item.get("epoch")).spend(usd)


def finish_items(found: ByItem[ItemRow]) -> Rows:
    return Rows({"item": key, "epoch": epoch, **row.finish()} for key, epoch, row in found.finish())


def _describe_votes(row: ItemRow, ensemble: Ensemble) -> None:
    """Members of several ensembles under one item stand side by side; the last ensemble's agreement is shown."""
    stamp = ensemble.call.origin
    for member in ensemble.members:
        value = member.shown()
        _say(row.answers, member.identity, stamp, f"({member.status})" if value is None else value)
    if why_left_out(ensemble) is None:
        agreement = f"{max(ensemble.votes().values(), default=0)}/{ensemble.attempted}"
        _say(row.said, "agreement", stamp, agreement)


class ItemCalls:
    """The calls about the item with one key, and about those without a key that may turn out to have its name."""

    def __init__(self, key: Any, names: Names) -> None:
        self.key, self._wanted, self.names = recorded(key, ITEM_BYTES), key_of(key), names
        self._rows: dict[tuple[Origin, int], tuple[Any, dict[str, Any]]] = {}

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
    for root in selection.trees.roots:
        found.add(root, selection)
    return found


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
