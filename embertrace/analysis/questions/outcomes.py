"""How well each item went: right or wrong, or as it was scored; what two runs are compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Literal

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble, is_judge, why_left_out
from embertrace.analysis.naming import ByItem, Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.distributions import finite
from embertrace.analysis.questions.judging import add_judge
from embertrace.analysis.questions.reading import itself
from embertrace.analysis.questions.voting import add_majority, leaders_of
from embertrace.analysis.results import NAN, Rows
from embertrace.analysis.tally import Tally
from embertrace.errors import QueryError
from embertrace.payload import canonical

On = Literal["judge", "majority", "calls"]
ONS: tuple[On, ...] = ("judge", "majority", "calls")


class Outcome:
    """One item in one epoch: a partial state."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.said: dict[str, tuple[Origin, Any]] = {}

    def say(self, name: str, origin: Origin, value: Any) -> None:
        """Of several calls the latest speaks."""
        if value is not None and (name not in self.said or self.said[name][0] <= origin):
            self.said[name] = (origin, value)

    def merge(self, other: Outcome) -> Outcome:
        self.tally = self.tally.merge(other.tally)
        for name, (origin, value) in other.said.items():
            self.say(name, origin, value)
        return self


def outcomes(
    selection: Selection,
    *,
    on: On = "judge",
    score: str | None = None,
    answer: Rule = None,
    grade: Grade | None = None,
) -> ByItem[Outcome]:
    if on not in ONS:
        raise QueryError(f"on={on!r} is none of {', '.join(ONS)}")
    names = Names(selection)
    found = ByItem(names, Outcome)
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    if score is not None:
        _add_scores(found, selection, score, on)
    elif on == "majority":
        for ensemble in selection.ensembles(right.answers):
            _add_majority(found.at(*names.of(ensemble.call)), ensemble, right)
    else:
        _add_calls(found, selection.judge_calls(right.answers) if on == "judge" else selection.calls, right)
    return found


def _add_calls(found: ByItem[Outcome], calls: Iterable[Call], right: Correctness) -> None:
    for call in calls:
        outcome = found.at(*found.names.of(call))
        add_judge(outcome.tally, call, itself(call), right)
        outcome.say("truth", call.origin, right.truth(call))
        outcome.say("group", call.origin, call.item.get("group"))
        if call.outcome == "result":
            outcome.say("answer", call.origin, call.answer)


def _add_majority(outcome: Outcome, ensemble: Ensemble, right: Correctness) -> None:
    origin = ensemble.call.origin
    outcome.say("truth", origin, right.truth(ensemble.call))
    outcome.say("group", origin, ensemble.call.item.get("group"))
    reason = why_left_out(ensemble)
    if reason is not None:
        outcome.tally.leave_out(reason)
        return
    add_majority(outcome.tally, ensemble, itself(ensemble.call), right, "expected")
    leaders = leaders_of(ensemble)
    if len(leaders) == 1:
        leader = next(member for member in ensemble.members if member.key == leaders[0])
        outcome.say("answer", origin, leader.shown())


def _add_scores(found: ByItem[Outcome], selection: Selection, score: str, on: On) -> None:
    if not isinstance(score, str):
        raise QueryError(f"score={score!r:.80} is no name of a score")
    if on == "majority":
        raise QueryError("a majority has no score of its own: leave out on=, or use on='judge'")
    for metric in selection.scores():
        if score not in metric.data or (on == "judge" and not (metric.call is not None and is_judge(metric.call))):
            continue
        if metric.call is not None:
            outcome = found.at(*found.names.of(metric.call))
        elif "key" in metric.item:
            outcome = found.at(metric.item["key"], metric.item.get("epoch"))
        else:
            continue  # of a call that nobody saw, and of no item
        value = finite(metric.data[score])
        if value is None:
            outcome.tally.leave_out("not a finite number")
        else:
            outcome.tally.add(("item", b""), Fraction(value))
        outcome.say("group", metric.origin, metric.item.get("group"))


def finish_outcomes(found: ByItem[Outcome]) -> Rows:
    """Per item, over its epochs; each epoch's mean counts the same."""
    epochs: dict[bytes, list[Outcome]] = {}
    keys: dict[bytes, Any] = {}
    left_out = Counter[str]()
    for key, _, outcome in found.finish():
        place = canonical(key)
        keys[place] = key
        epochs.setdefault(place, []).append(outcome)
        left_out.update(outcome.tally.left_out)
    return Rows(({"item": keys[place], **_row(several)} for place, several in epochs.items()), left_out)


def _row(epochs: list[Outcome]) -> dict[str, Any]:
    counted = [(outcome.tally, *_sum(outcome.tally)) for outcome in epochs]
    said: dict[str, tuple[Origin, Any]] = {}
    for outcome in epochs:
        said |= {name: value for name, value in outcome.said.items() if name not in said or said[name][0] <= value[0]}
    return {
        "n": sum(n for _, n, _ in counted),
        "correct": _mean([total / n for _, n, total in counted if n]),
        "failed": sum(tally.failed for tally, _, _ in counted),
        "of_attempted": _mean([total / (n + tally.failed) for tally, n, total in counted if n + tally.failed]),
        "epochs": len(epochs),
        "group": said["group"][1] if "group" in said else None,
        "truth": said["truth"][1] if "truth" in said else None,
        "answer": said["answer"][1] if "answer" in said else None,
    }


def _sum(tally: Tally) -> tuple[int, Fraction]:
    return sum(n for n, _ in tally.units.values()), sum((part for _, part in tally.units.values()), Fraction(0))


def _mean(values: list[Fraction]) -> float:
    return float(sum(values, Fraction(0)) / len(values)) if values else NAN
