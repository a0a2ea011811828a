"""How well each item went: right or wrong, or as it was scored; what two runs are compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.ballots import places_of_type
from embertrace.analysis.arrays.deciding import DECIDED, HAS_ABSTAINED, HAS_FAILED, REASONS, Decisions, truths_at
from embertrace.analysis.calls import Call, Metric, Stamp
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import why_left_out
from embertrace.analysis.naming import ByItem, Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.distributions import finite
from embertrace.analysis.questions.judging import add_judge
from embertrace.analysis.questions.reading import decided_among, ensembles_in_places, itself, truths_of
from embertrace.analysis.questions.voting import add_majority, leaders_of
from embertrace.analysis.results import NAN, Rows
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.shape import RESULT_OUTCOME
from embertrace.analysis.tally import Tally
from embertrace.analysis.trees import Trees
from embertrace.errors import QueryError
from embertrace.payload import canonical

On = Literal["judge", "majority", "calls"]
ONS: tuple[On, ...] = ("judge", "majority", "calls")


class Outcome:
    """One item in one epoch: `n` answers and how right they are in `total`, and how many attempts `failed`. A partial
    state."""

    __slots__ = ("failed", "n", "said", "total")

    def __init__(self) -> None:
        self.n = self.failed = 0
        self.total: int | Fraction = 0
        self.said: dict[str, tuple[Stamp, Any]] = {}

    def count(self, n: int, total: int | Fraction, failed: int = 0) -> None:
        self.n += n
        self.total += total
        self.failed += failed

    def say(self, name: str, stamp: Stamp, value: Any) -> None:
        """Of several calls the latest speaks."""
        if value is not None and (name not in self.said or self.said[name][0] <= stamp):
            self.said[name] = (stamp, value)

    def merge(self, other: Outcome) -> Outcome:
        self.count(other.n, other.total, other.failed)
        for name, (stamp, value) in other.said.items():
            self.say(name, stamp, value)
        return self


class Outcomes(ByItem[Outcome]):
    """Those of all items, and what was left out: a partial state."""

    def __init__(self, names: Names) -> None:
        super().__init__(names, Outcome)
        self.left_out: Counter[str] = Counter()

    def take(self, tally: Tally, places: Array) -> tuple[list[Outcome], Array]:
        """Count what a tally has of one call for each of several (places ascend). Their items' outcomes, and of each
        call which of these is its own."""
        n, total = tally.spread.n, tally.spread.total
        self.left_out.update({reason: times * len(places) for reason, times in tally.left_out.items()})
        items, of = self.each(self.names.codes(places))
        for outcome, times in zip(items, np.bincount(of).tolist(), strict=True):
            outcome.count(n * times, total * times, tally.failed * times)
        return items, of

    def score(self, outcome: Outcome, value: int | Fraction | None) -> None:
        """Count a score; None for one that is no finite number."""
        if value is None:
            self.left_out["not a finite number"] += 1
        else:
            outcome.count(1, value)

    def say_last(self, items: list[Outcome], of: Array, name: str, places: Array, values: Iterable[Any]) -> None:
        """Let calls say something, each of one of some items: of an item's the last that says any."""
        told = zip(of.tolist(), places.tolist(), values, strict=True)
        last = {item: (place, value) for item, place, value in told if value is not None}
        stamps = self.names.trees.stamps(np.array([place for place, _ in last.values()], np.int64))
        for (item, (_, value)), stamp in zip(last.items(), stamps, strict=True):
            items[item].say(name, stamp, value)

    def merge(self, other: ByItem[Outcome]) -> Outcomes:
        super().merge(other)
        if isinstance(other, Outcomes):
            self.left_out.update(other.left_out)
        return self


def outcomes(
    selection: Selection,
    *,
    on: On = "judge",
    score: str | None = None,
    answer: Rule = None,
    grade: Grade | None = None,
) -> Outcomes:
    if on not in ONS:
        raise QueryError(f"on={on!r} is none of {', '.join(ONS)}")
    found = Outcomes(Names(selection))
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    if score is not None:
        _add_scores(found, selection, score, on)
    elif on == "majority":
        _add_majorities(found, selection, right)
    else:
        places = selection.judge_places(right.answers) if on == "judge" else selection.places
        decided, decisions, alone = decided_among(selection, right, places)
        _add_decisions(found, selection.trees, decided, decisions)
        for place in alone.tolist():
            _add_call(found, selection.trees.at(place), right)
    return found


def _add_call(found: Outcomes, call: Call, right: Correctness) -> None:
    tally, place = Tally(), np.array([call.place])
    add_judge(tally, call, itself(call), right)
    items, of = found.take(tally, place)
    found.say_last(items, of, "truth", place, [right.truth(call)])
    found.say_last(items, of, "group", place, [call.item.get("group")])
    found.say_last(items, of, "answer", place, [call.answer if call.outcome == "result" else None])


def _add_decisions(found: Outcomes, trees: Trees, places: Array, decisions: Decisions) -> None:
    """As `_add_call`, of many calls at once."""
    reason = decisions.reason
    for code, times in zip(*(part.tolist() for part in counted(reason[reason != DECIDED])), strict=True):
        found.left_out[REASONS[code]] += times
    items, of = found.each(found.names.codes(places))
    failed = decisions.labelled & ((reason == HAS_FAILED) | (reason == HAS_ABSTAINED))
    kinds = (reason == DECIDED, (reason == DECIDED) & (decisions.right == 1), failed)
    counts = [np.bincount(of[chosen], minlength=len(items)).tolist() for chosen in kinds]
    for outcome, n, total, times in zip(items, *counts, strict=True):
        outcome.count(n, total, times)
    found.say_last(items, of, "truth", places, trees.items.truths_numbered(truths_at(trees, places)))
    found.say_last(items, of, "group", places, trees.items.groups(trees.shape.item[places]))
    ended = np.flatnonzero(trees.shape.outcome[places] == RESULT_OUTCOME)
    found.say_last(items, of[ended], "answer", places[ended], trees.answers(places[ended]))


def _add_majorities(found: Outcomes, selection: Selection, right: Correctness) -> None:
    trees = selection.trees
    for ensemble, places, members_at in ensembles_in_places(selection, right.answers, right):
        reason, tally = why_left_out(ensemble), Tally()
        if reason is not None:
            tally.leave_out(reason)
        else:
            add_majority(tally, ensemble, itself(ensemble.call), right, "expected")
        items, of = found.take(tally, places)
        found.say_last(items, of, "truth", places, truths_of(selection, right, places))
        found.say_last(items, of, "group", places, trees.items.groups(trees.shape.item[places]))
        leaders = leaders_of(ensemble) if reason is None else []
        if len(leaders) == 1:
            slot, leader = next((slot, one) for slot, one in enumerate(ensemble.members) if one.key == leaders[0])
            answers = [leader.shown()] if members_at is None else trees.answers(members_at(slot))
            found.say_last(items, of, "answer", places, answers)


def _add_scores(found: Outcomes, selection: Selection, score: str, on: On) -> None:
    if not isinstance(score, str):
        raise QueryError(f"score={score!r:.80} is no name of a score")
    if on == "majority":
        raise QueryError("a majority has no score of its own: leave out on=, or use on='judge'")
    trees = selection.trees
    rows, places = selection.scored_with((score,))
    of_calls = places >= 0
    if on == "judge":
        of_calls[of_calls] = places_of_type(trees, "judge")[places[of_calls]]
    _add_scores_of_calls(found, score, rows[of_calls], places[of_calls])
    for row in rows[places < 0].tolist() if on != "judge" else ():
        metric = Metric(trees.sighting(row))
        if "key" in metric.item:  # else it is of a call that nobody saw, and of no item
            outcome = found.at(metric.item["key"], metric.item.get("epoch"))
            found.score(outcome, _exact(metric.data[score]))
            outcome.say("group", metric.origin, metric.item.get("group"))


def _add_scores_of_calls(found: Outcomes, score: str, rows: Array, places: Array) -> None:
    trees = found.names.trees
    items, of = found.each(found.names.codes(places))
    own = trees.shape.contexts.of_rows(rows)[1]
    groups = trees.items.groups(np.where(own > 0, own, trees.shape.item[places]))
    values = trees.texts.values(rows, lambda data: _exact(data[score]))
    stamps = trees.table.origins(rows)
    for item, value, stamp, group in zip(of.tolist(), values, stamps, groups, strict=True):
        found.score(items[item], value)
        items[item].say("group", stamp, group)


def _exact(value: Any) -> int | Fraction | None:
    """A finite number exactly; None for anything else."""
    number = finite(value)
    if number is None:
        return None
    return int(number) if number.is_integer() else Fraction(number)


def finish_outcomes(found: Outcomes) -> Rows:
    """Per item, over its epochs; each epoch's mean counts the same."""
    epochs: dict[bytes, list[Outcome]] = {}
    keys: dict[bytes, Any] = {}
    for key, _, outcome in found.finish():
        place = canonical(key)
        keys[place] = key
        epochs.setdefault(place, []).append(outcome)
    return Rows(({"item": keys[place], **_row(several)} for place, several in epochs.items()), found.left_out)


def _row(epochs: list[Outcome]) -> dict[str, Any]:
    said = {**epochs[0].said}
    for outcome in epochs[1:]:
        said |= {name: value for name, value in outcome.said.items() if name not in said or said[name][0] <= value[0]}
    return {
        "n": sum(outcome.n for outcome in epochs),
        "correct": _mean([(outcome.total, outcome.n) for outcome in epochs if outcome.n]),
        "failed": sum(outcome.failed for outcome in epochs),
        "of_attempted": _mean([(one.total, one.n + one.failed) for one in epochs if one.n + one.failed]),
        "epochs": len(epochs),
        "group": said["group"][1] if "group" in said else None,
        "truth": said["truth"][1] if "truth" in said else None,
        "answer": said["answer"][1] if "answer" in said else None,
    }


def _mean(ratios: list[tuple[int | Fraction, int]]) -> float:
    """The mean of ratios, rounded once."""
    if len(ratios) == 1:
        return float(ratios[0][0] / ratios[0][1])
    return float(sum((Fraction(total) / n for total, n in ratios), Fraction(0)) / len(ratios)) if ratios else NAN
