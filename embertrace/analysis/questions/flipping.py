"""Questions about rounds: which answers change from one round to the next, and whether for the better."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.ballots import places_of_type
from embertrace.analysis.arrays.votes import UNKNOWN, answers_at
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.shape import RESULT_OUTCOME


class Flips:
    """The steps from one round to the next that changed an answer, and how many there were: a partial state."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.steps = 0
        self.rows: dict[Origin, tuple[Any, dict[str, Any]]] = {}
        """By the call after the step."""
        self.before: set[Origin] = set()
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Flips) -> Flips:
        self.names = self.names.merge(other.names)
        self.steps += other.steps
        self.rows |= other.rows
        self.before |= other.before
        self.left_out.update(other.left_out)
        return self

    def lists(self, call: Origin) -> bool:
        return call in self.rows or call in self.before

    def finish(self) -> Rows:
        final = self.names.finish()
        rows = [{"item": final(key), **row} for _, (key, row) in sorted(self.rows.items(), key=lambda entry: entry[0])]
        return Rows(rows, self.left_out, [self._summary(rows)] if self.steps else [])

    def _summary(self, rows: list[dict[str, Any]]) -> str:
        known = [row for row in rows if row["correct_before"] is not None and row["correct_after"] is not None]
        better = sum(row["correct_after"] > row["correct_before"] for row in known)
        worse = sum(row["correct_after"] < row["correct_before"] for row in known)
        return f"{len(rows)} of {self.steps} steps changed the answer: {better} to a better one, {worse} to a worse one"


def flips(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> Flips:
    found, trees = Flips(Names(selection)), selection.trees
    right = Correctness(Answers(answer), trees.labels, grade)
    before, after = selection.rounds.steps(selection.mask & ~places_of_type(trees, "ensemble"))
    for one, other in zip(*_unlike(found, selection, right.answers, before, after), strict=True):
        _compare(found, selection, trees.at(one), trees.at(other), right)
    return found


def _unlike(
    found: Flips, selection: Selection, answers: Answers, before: Array, after: Array
) -> tuple[list[int], list[int]]:
    """The steps that are to be looked at; those with the same answer before and after are counted."""
    trees, outcome = selection.trees, selection.trees.shape.outcome
    if not selection.at_once or answers.name is None:
        return before.tolist(), after.tolist()
    both = np.flatnonzero((outcome[before] == RESULT_OUTCOME) & (outcome[after] == RESULT_OUTCOME))
    (known, key), (is_known, other) = (answers_at(trees, answers, places[both]) for places in (before, after))
    same = both[(known != UNKNOWN) & (is_known != UNKNOWN) & (key == other)]
    found.steps += len(same)
    left = np.delete(np.arange(len(before)), same)
    return before[left].tolist(), after[left].tolist()


def _compare(found: Flips, selection: Selection, before: Call, after: Call, right: Correctness) -> None:
    keys = []
    for call in (before, after):
        if call.outcome != "result":
            found.left_out["open" if call.outcome == "open" else "failed"] += 1
            return
        answer = right.answers.of(call)
        if answer.status == "unknown":
            found.left_out["with unknown answers"] += 1
            return
        keys.append(answer.key)
    found.steps += 1
    if keys[0] == keys[1]:
        return
    key, epoch = found.names.of(after)
    found.before.add(before.origin)
    found.rows[after.origin] = (
        key,
        {
            "epoch": epoch,
            "operator": after.operator_id,
            "stage": after.stage,
            "round": selection.round_of(after),
            "before": before.answer,
            "after": after.answer,
            "correct_before": _number(right.of_call(before)),
            "correct_after": _number(right.of_call(after)),
        },
    )


def _number(share: Fraction | None) -> float | None:
    return None if share is None else float(share)
