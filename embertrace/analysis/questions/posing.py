"""What ensembles were asked and what their members said: one row for each ensemble call."""

from __future__ import annotations

from collections import Counter
from typing import Any

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows
from embertrace.event import call_hex


class Posings:
    """Rows by where their ensembles stand: a partial state."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.rows: dict[Origin, tuple[Any, dict[str, Any]]] = {}
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Posings) -> Posings:
        self.names = self.names.merge(other.names)
        self.rows |= other.rows
        self.left_out.update(other.left_out)
        return self

    def finish(self) -> Rows:
        final = self.names.finish()
        ordered = (self.rows[origin] for origin in sorted(self.rows))
        return Rows(({"item": final(key), **row} for key, row in ordered), self.left_out)


def ensembles(selection: Selection, *, answer: Rule = None) -> Posings:
    found = Posings(Names(selection))
    right = Correctness(Answers(answer), selection.trees.labels)
    for ensemble in selection.ensembles(right.answers):
        if not ensemble.complete:
            found.left_out["incomplete"] += 1
            continue
        key, epoch = found.names.of(ensemble.call)
        row = {"epoch": epoch, "question": _question(ensemble), "truth": right.truth(ensemble.call)}
        found.rows[ensemble.call.origin] = key, {**row, **_said(ensemble)}
    return found


def _said(ensemble: Ensemble) -> dict[str, Any]:
    """An ensemble whose members are no operators is itself what its answers come from."""
    calls = [member.call for member in ensemble.members if member.call is not None] or [ensemble.call]
    return {
        "answers": [member.shown() for member in ensemble.members],
        "members": [member.identity for member in ensemble.members],
        "calls": [call_hex(call.call_id) for call in calls],
    }


def _question(ensemble: Ensemble) -> Any:
    """The first argument of the ensemble's call; of one that has none, as frames have none, its first member's."""
    asked = (ensemble.call, *(member.call for member in ensemble.members if member.call is not None))
    for call in asked:
        for argument in _arguments(call):
            return argument
    return None


def _arguments(call: Call) -> list[Any]:
    args, kwargs = call.args, call.kwargs
    return [*(args if isinstance(args, list) else []), *(kwargs.values() if isinstance(kwargs, dict) else [])]
