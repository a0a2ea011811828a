"""Judges held against labels: what they say where annotators say this or that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answer, Answers, Rule
from embertrace.analysis.arrays.deciding import truths_at
from embertrace.analysis.arrays.kinds import alike
from embertrace.analysis.arrays.sums import Alike, units_of_calls
from embertrace.analysis.calls import Call
from embertrace.analysis.gathered import Gathered, distinct_units
from embertrace.analysis.labels import Labels
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.kappas import draw_cohen
from embertrace.analysis.results import NAN, Estimate, Table
from embertrace.analysis.shown import Shown
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import together
from embertrace.analysis.tally import Tally
from embertrace.errors import QueryError
from embertrace.payload import Cut, canonical

TRUE = canonical(True)
NO_POSITIVE = "positive=… says which answer is the positive one"


Verdict = tuple[bytes, bytes]
"""What a label asks for, and what was answered."""


class Verdicts:
    """How often each answer was given where each label stands, and of which units: a partial state."""

    def __init__(self, positive: bytes | None = None) -> None:
        self.positive = positive
        self.shown = Shown()
        self.seen: Gathered[Verdict] = Gathered(tuple)
        self.failed: Counter[bytes] = Counter()
        """How often a judge gave no answer, by what the label asks for: wrong, of all attempts."""

    @property
    def left_out(self) -> Counter[str]:
        return self.seen.left_out

    def merge(self, other: Verdicts) -> Verdicts:
        self.seen = self.seen.merge(other.seen)
        self.shown.merge(other.shown)
        self.failed.update(other.failed)
        return self

    def finish(self) -> Table:
        seen = list(self.seen)
        if not seen:
            return Table({}, self.left_out)
        names = self.shown.names({key for verdict, _ in seen for key in verdict})
        positive = self.positive if self.positive is not None else TRUE if TRUE in names else None
        if positive is not None:
            notes = (
                () if positive in names else (f"nothing is {self.shown.of(positive)!r}: {', '.join(names.values())}",)
            )
        else:
            notes = (NO_POSITIVE,)
        positives = [one for one in seen if one[0][0] == positive]
        negatives = [one for one in seen if positive is not None and one[0][0] != positive]
        total = self.failed.total()
        failed = (0, 0) if positive is None else (self.failed[positive], total - self.failed[positive])
        rows: dict[str, Any] = {
            "confusion": _confusion(seen, names),
            "accuracy": _share(seen, lambda verdict: verdict[0] == verdict[1], total),
            "kappa": _kappa(seen),
            "tpr": _share(positives, lambda verdict: verdict[1] == positive, failed[0], notes),
            "tnr": _share(negatives, lambda verdict: verdict[1] != positive, failed[1], notes),
        }
        return Table(rows, self.left_out)


Seen = Iterable[tuple[Verdict, Alike]]


def _confusion(seen: Seen, names: dict[bytes, str]) -> dict[str, dict[str, int]]:
    table = {truth: dict.fromkeys(names.values(), 0) for truth in names.values()}
    for (truth, answer), like_it in seen:
        table[names[truth]][names[answer]] += like_it.times
    return table


def _share(seen: Seen, is_so: Callable[[Verdict], bool], failed: int, notes: Iterable[str] = ()) -> Estimate:
    tally = Tally()
    tally.add_failed(failed, Fraction(0))
    for verdict, like_it in seen:
        tally.add_alike(like_it, Fraction(is_so(verdict)))
    return tally.finish(notes)


def _kappa(seen: Sequence[tuple[Verdict, Alike]]) -> Estimate:
    """Cohen's, exactly: agreement beyond what the two margins would give. The interval is drawn, as of two members."""
    truths, answers = Counter[bytes](), Counter[bytes]()
    for (truth, answer), like_it in seen:
        truths[truth] += like_it.times
        answers[answer] += like_it.times
    n, items = truths.total(), distinct_units([like_it for _, like_it in seen])
    agreed = Fraction(sum(like_it.times for (truth, answer), like_it in seen if truth == answer), n)
    chance = Fraction(sum(truths[key] * answers[key] for key in truths), n * n)
    if chance == 1:
        return Estimate(NAN, n=n, items=items, notes=["labels and answers are all equal, so there is no kappa"])
    drawn = draw_cohen([(like_it, verdict) for verdict, like_it in seen], sorted({*truths, *answers}))
    value = float((agreed - chance) / (1 - chance))
    return Estimate(value, n=n, items=items, interval=drawn.interval, notes=drawn.notes)


def judge_vs_labels(
    selection: Selection, *, answer: Rule = None, by: str | None = None, positive: Any = None
) -> Verdicts:
    answers = Answers(answer)
    wanted = answers.of_value(positive).key if positive is not None else None
    if positive is not None and wanted is None:
        raise QueryError(f"positive={positive!r:.80} is no answer under answer={answer!r:.80}")
    found = Verdicts(wanted)
    if wanted is not None:
        found.shown.take(wanted, positive)
    places = selection.judge_places(answers)
    units = units_of_calls(selection.trees)
    for at in alike(_told(selection, places, by)):
        stands_for = Alike(units, units.codes(places[at]))
        _add(found, selection.trees.at(int(places[at[0]])), stands_for, answers, selection.trees.labels, by)
    return found


def _told(selection: Selection, places: Array, by: str | None) -> Array:
    """A number for how each judge's call ended, with which payload, and what the truth is: all that matters of it."""
    trees = selection.trees
    if not selection.at_once or trees.labels.name_calls:
        return np.arange(len(places))
    rows = trees.shape.end_row[places]
    texts = np.full(len(places), -1, np.int64)
    texts[rows >= 0] = trees.texts.numbers(rows[rows >= 0])
    return together(trees.shape.outcome[places], texts + 1, truths_at(trees, places, by) + 1)


def _add(found: Verdicts, judge: Call, alike: Alike, answers: Answers, labels: Labels, by: str | None) -> None:
    truth = labels.truth(judge, by)
    if truth is None or isinstance(truth, Cut):
        found.left_out["unlabelled"] += alike.times
        return
    given = answers.of(judge) if judge.outcome == "result" else None
    if given is None or given.key is None:
        reason = _why_unanswered(judge, given)
        found.left_out[reason] += alike.times
        asked, _ = answers.asked_for(truth)
        if reason in ("failed", "abstained") and asked is not None:
            found.failed[asked] += alike.times
        return
    found.shown.take(given.key, judge.answer)
    key, value = (given.key, None) if answers.accepts(truth, given.key) else answers.asked_for(truth)
    if key is None:
        found.left_out["with labels that are no answers"] += alike.times
        return
    if key != given.key:
        found.shown.take(key, value)
    found.seen.add((key, given.key), alike)


def _why_unanswered(judge: Call, given: Answer | None) -> str:
    """Why a judge's call has no answer key; `given` is what it answered, if it ended with a result."""
    if given is not None:
        return "with unknown answers" if given.status == "unknown" else given.status
    return "open" if judge.outcome == "open" else "failed"
