"""Judges held against labels: what they say where annotators say this or that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call
from embertrace.analysis.labels import Labels
from embertrace.analysis.query import Selection
from embertrace.analysis.results import NAN, Estimate, Table
from embertrace.analysis.shown import Shown
from embertrace.analysis.table.items import Unit
from embertrace.analysis.tally import Tally
from embertrace.analysis.units import unit_of
from embertrace.errors import QueryError
from embertrace.payload import Cut, canonical

TRUE = canonical(True)
NO_POSITIVE = "positive=… says which answer is the positive one"


class Verdicts:
    """How often each answer was given where each label stands, by unit: a partial state."""

    def __init__(self, positive: bytes | None = None) -> None:
        self.positive = positive
        self.shown = Shown()
        self.counts: Counter[tuple[Unit, bytes, bytes]] = Counter()
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Verdicts) -> Verdicts:
        self.counts.update(other.counts)
        self.shown.merge(other.shown)
        self.left_out.update(other.left_out)
        return self

    def finish(self) -> Table:
        if not self.counts:
            return Table({}, self.left_out)
        names = self.shown.names({key for _, *pair in self.counts for key in pair})
        positive = self.positive if self.positive is not None else TRUE if TRUE in names else None
        if positive is not None:
            notes = (
                () if positive in names else (f"nothing is {self.shown.of(positive)!r}: {', '.join(names.values())}",)
            )
        else:
            notes = (NO_POSITIVE,)
        rows: dict[str, Any] = {
            "confusion": self._confusion(names),
            "accuracy": self._share(self.counts, lambda truth, answer: truth == answer),
            "kappa": self._kappa(),
            "tpr": self._share(
                (entry for entry in self.counts if entry[1] == positive), lambda _, answer: answer == positive, notes
            ),
            "tnr": self._share(
                (entry for entry in self.counts if positive is not None and entry[1] != positive),
                lambda _, answer: answer != positive,
                notes,
            ),
        }
        return Table(rows, self.left_out)

    def _confusion(self, names: dict[bytes, str]) -> dict[str, dict[str, int]]:
        table = {truth: dict.fromkeys(names.values(), 0) for truth in names.values()}
        for (_, truth, answer), count in self.counts.items():
            table[names[truth]][names[answer]] += count
        return table

    def _share(self, entries: Iterable[tuple[Unit, bytes, bytes]], is_so: Any, notes: Iterable[str] = ()) -> Estimate:
        tally = Tally()
        for unit, truth, answer in entries:
            count = self.counts[unit, truth, answer]
            tally.add_many(unit, count, Fraction(count if is_so(truth, answer) else 0))
        return tally.finish(notes)

    def _kappa(self) -> Estimate:
        """Cohen's, exactly: agreement beyond what the two margins would give."""
        n = self.counts.total()
        truths, answers = Counter[bytes](), Counter[bytes]()
        for (_, truth, answer), count in self.counts.items():
            truths[truth] += count
            answers[answer] += count
        agreed = Fraction(sum(count for (_, truth, answer), count in self.counts.items() if truth == answer), n)
        chance = Fraction(sum(truths[key] * answers[key] for key in truths), n * n)
        items = len({unit for unit, _, _ in self.counts})
        if chance == 1:
            return Estimate(NAN, n=n, items=items, notes=["labels and answers are all equal, so there is no kappa"])
        return Estimate(float((agreed - chance) / (1 - chance)), n=n, items=items)


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
    for judge in selection.judge_calls(answers):
        _add(found, judge, answers, selection.trees.labels, by)
    return found


def _add(found: Verdicts, judge: Call, answers: Answers, labels: Labels, by: str | None) -> None:
    truth = labels.truth(judge, by)
    if truth is None or isinstance(truth, Cut):
        found.left_out["unlabelled"] += 1
        return
    if judge.outcome != "result":
        found.left_out["open" if judge.outcome == "open" else "failed"] += 1
        return
    given = answers.of(judge)
    if given.key is None:
        found.left_out["abstained" if given.status == "abstained" else "with unknown answers"] += 1
        return
    found.shown.take(given.key, judge.answer)
    key, value = (given.key, None) if answers.accepts(truth, given.key) else answers.asked_for(truth)
    if key is None:
        found.left_out["with labels that are no answers"] += 1
        return
    if key != given.key:
        found.shown.take(key, value)
    found.counts[unit_of(judge), key, given.key] += 1
