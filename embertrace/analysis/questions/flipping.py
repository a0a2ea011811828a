"""Questions about rounds: which answers change from one round to the next, and whether for the better."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import is_ensemble
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows


class Flips:
    """The steps from one round to the next that changed an answer, and how many there were: a partial state."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.steps = 0
        self.rows: dict[Origin, tuple[Any, dict[str, Any]]] = {}
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Flips) -> Flips:
        self.names = self.names.merge(other.names)
        self.steps += other.steps
        self.rows |= other.rows
        self.left_out.update(other.left_out)
        return self

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
    found = Flips(Names(selection))
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    for calls in selection.rounds.sequences():
        chosen = [call for call in calls if selection.has(call) and not is_ensemble(call)]
        for before, after in pairwise(chosen):
            _compare(found, selection, before, after, right)
    return found


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
    found.rows[after.origin] = (
        key,
        {
            "epoch": epoch,
            "operator": after.operator_id,
            "stage": after.stage,
            "round": selection.rounds.of(after),
            "before": before.answer,
            "after": after.answer,
            "correct_before": _number(right.of_call(before)),
            "correct_after": _number(right.of_call(after)),
        },
    )


def _number(share: Fraction | None) -> float | None:
    return None if share is None else float(share)
