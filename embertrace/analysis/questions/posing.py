"""What ensembles were asked and what their members said: one row for each ensemble call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.rolls import name_of, roll_of, shown
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.reading import truths_of
from embertrace.analysis.results import Rows
from embertrace.analysis.table.counting import counted
from embertrace.event import call_hex

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


class _Told(NamedTuple):
    """What a row says of an ensemble."""

    origin: Origin
    question: Any
    truth: Any
    answers: list[Any]
    members: list[str]
    calls: list[str]


class Posings:
    """Rows by where their ensembles stand: a partial state."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.rows: dict[Origin, tuple[Any, dict[str, Any]]] = {}
        self.left_out: Counter[str] = Counter()

    def add(self, key: Any, epoch: Any, told: _Told) -> None:
        origin, *said = told
        columns = ("question", "truth", "answers", "members", "calls")
        self.rows[origin] = key, {"epoch": epoch, **dict(zip(columns, said, strict=True))}

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
    found, answers = Posings(Names(selection)), Answers(answer)
    right = Correctness(answers, selection.trees.labels)
    for ensemble in _add_ordinary(found, selection, right):
        if ensemble.complete:
            members = _said(ensemble)
            asked = (ensemble.call, *(member.call for member in ensemble.members if member.call is not None))
            told = _Told(ensemble.call.origin, _question(asked), right.truth(ensemble.call), *members)
            found.add(*found.names.of(ensemble.call), told)
        else:
            found.left_out["incomplete"] += 1
    return found


def _add_ordinary(found: Posings, selection: Selection, right: Correctness) -> Iterable[Ensemble]:
    """Add all ensembles at once, but for those that are left, to be read one by one."""
    votes, trees = selection.votes(right.answers), selection.trees
    if votes is None:
        return selection.ensembles(right.answers)
    found.left_out["incomplete"] += int(votes.incomplete.sum())
    places = votes.place[~votes.incomplete]
    roll = roll_of(trees, right.answers, votes, selection.mask if selection.filtered else None)
    names = {identity: name_of(trees, identity) for identity in counted(roll.identity)[0].tolist()}
    said = (
        shown(trees, roll.member, roll.status),
        [names[identity] for identity in roll.identity.tolist()],
        [call_hex(call_id) for call_id in trees.call_ids(roll.member)],
    )
    starts, ends = (np.searchsorted(roll.ensemble, places, side).tolist() for side in SIDES)
    codes = found.names.codes(places).tolist()
    named = {code: found.names.named(code) for code in set(codes)}
    asked = map(_arguments, *zip(*trees.asked(places), strict=True)) if len(places) else iter(())
    told = zip(codes, starts, ends, trees.origins(places), asked, truths_of(selection, right, places), strict=True)
    for code, start, end, origin, arguments, truth in told:
        members = roll.member[start:end]
        question = arguments[0] if arguments else _question(map(trees.at, members.tolist()))
        found.add(*named[code], _Told(origin, question, truth, *(part[start:end] for part in said)))
    return (selection.whole(trees.at(place), right.answers) for place in votes.rest.tolist())


def _said(ensemble: Ensemble) -> tuple[list[Any], list[str], list[str]]:
    """An ensemble whose members are no operators is itself what its answers come from."""
    calls = [member.call for member in ensemble.members if member.call is not None] or [ensemble.call]
    return (
        [member.shown() for member in ensemble.members],
        [member.identity for member in ensemble.members],
        [call_hex(call.call_id) for call in calls],
    )


def _question(asked: Iterable[Call]) -> Any:
    """The first argument of the ensemble's call; of one that has none, as frames have none, its first member's."""
    for call in asked:
        for argument in _arguments(call.args, call.kwargs):
            return argument
    return None


def _arguments(args: Any, kwargs: Any) -> list[Any]:
    return [*(args if isinstance(args, list) else []), *(kwargs.values() if isinstance(kwargs, dict) else [])]
