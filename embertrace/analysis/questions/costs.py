"""What was spent, on what, and for how many right answers: from the scores `tokens_in`, `tokens_out` and `usd`.

Every score counts, also several of one call: they are summed, not replaced. What an attempt that was left out cost is
left out, unless all attempts are asked for. Sums are exact; those that no float holds are infinite (as data None), and
counted in a note. Of a sample they are also estimated for all: each score stands for 1/share, where share is that of
its call, or its own outside any call.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.distributions import finite
from embertrace.analysis.questions.reading import comparable, deciding_alike, ensembles_alike, shares_of
from embertrace.analysis.questions.voting import leaders_of, majority_share
from embertrace.analysis.results import Rows
from embertrace.analysis.sample import ESTIMATED, number, worth
from embertrace.analysis.statistics import rounded
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.shares import WHOLE

SPENT = ("tokens_in", "tokens_out", "usd")
NOT_A_NUMBER = "costs that are no finite numbers"
TOO_LARGE = "sums larger than a float holds"


class Group(NamedTuple):
    """The rows there are: all, by stage, by operator; in this order."""

    rank: int
    of: str
    name: str


TOTAL = Group(0, "total", "")


class Spent:
    """The sums of one group. `right` of `judged` answers were right."""

    def __init__(self) -> None:
        self.calls: Counter[float] = Counter()
        """By share."""
        self.sums: dict[str, Fraction] = {}
        self.estimates: dict[str, Fraction] = {}
        self.right = Fraction(0)
        self.judged = 0

    def add(self, name: str, value: Fraction, stands_for: Fraction) -> None:
        self.sums[name] = self.sums.get(name, Fraction(0)) + value
        self.estimates[name] = self.estimates.get(name, Fraction(0)) + value * stands_for

    def judge(self, share: Fraction, times: int) -> None:
        self.right += share * times
        self.judged += times

    def merge(self, other: Spent) -> Spent:
        self.calls += other.calls
        for mine, theirs in ((self.sums, other.sums), (self.estimates, other.estimates)):
            for name, value in theirs.items():
                mine[name] = mine.get(name, Fraction(0)) + value
        self.right += other.right
        self.judged += other.judged
        return self


class Costs:
    """A partial state. `finals` are the answers that the total is held against: of judges, majorities, and roots."""

    def __init__(self) -> None:
        self.groups: dict[Group, Spent] = {}
        self.finals: dict[str, Spent] = {name: Spent() for name in ("judges", "majorities", "roots")}
        self.left_out: Counter[str] = Counter()
        self.is_sample = False

    def at(self, group: Group) -> Spent:
        return self.groups.setdefault(group, Spent())

    def merge(self, other: Costs) -> Costs:
        for group, spent in other.groups.items():
            self.groups[group] = self.groups[group].merge(spent) if group in self.groups else spent
        self.finals = {name: spent.merge(other.finals[name]) for name, spent in self.finals.items()}
        self.left_out.update(other.left_out)
        self.is_sample |= other.is_sample
        return self

    def finish(self) -> Rows:
        """Groups of which nothing was spent are no rows."""
        told = next((name for name, spent in self.finals.items() if spent.judged), None)
        rows, too_large = [], 0
        for group in sorted(self.groups):
            spent = self.groups[group]
            if spent.sums:
                too_large += sum(math.isinf(rounded(value)) for value in spent.sums.values())
                judged = spent if group != TOTAL else self.finals[told] if told is not None else Spent()
                rows.append({"of": group.of, "name": group.name, **_row(spent, judged, self.is_sample)})
        notes = [f"right answers of the total are those of the {told}"] if rows and told is not None else []
        notes += [f"{TOO_LARGE}: {too_large}"] if too_large else []
        return Rows(rows, self.left_out, notes)


def _row(spent: Spent, judged: Spent, is_sample: bool) -> dict[str, Any]:
    sums = {name: _number(spent.sums.get(name)) for name in SPENT}
    if is_sample:
        calls = sum((worth(share) * times for share, times in spent.calls.items()), Fraction(0))
        estimates = {"calls": calls, **spent.estimates}
        sums |= {ESTIMATED + name: _number(estimates.get(name)) for name in ("calls", *SPENT)}
    tokens = [spent.sums[name] for name in SPENT[:2] if name in spent.sums]
    right = judged.right if judged.judged else None
    per = {
        "usd_per_correct": _per(spent.sums.get("usd"), right),
        "tokens_per_correct": _per(sum(tokens, Fraction(0)) if tokens else None, right),
    }
    return {"calls": spent.calls.total(), **sums, "correct": _number(right), **per}


def _per(cost: Fraction | None, right: Fraction | None) -> float | None:
    """None where one of them is unknown, or nothing was right."""
    return rounded(cost / right) if cost is not None and right else None


def _number(value: Fraction | None) -> int | float | None:
    return None if value is None else number(value)


def spent_in(data: Mapping[str, Any], left_out: Counter[str]) -> list[tuple[str, Fraction]]:
    """What a score with such data says was spent."""
    found = []
    for name in SPENT:
        if data.get(name) is not None:
            value = None if isinstance(data[name], bool) else finite(data[name])
            if value is None:
                left_out[NOT_A_NUMBER] += 1
            else:
                found.append((name, Fraction(value)))
    return found


def cost(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> Costs:
    found = Costs()
    trees = selection.trees
    found.is_sample = selection.is_sample
    right = Correctness(Answers(answer), trees.labels, grade)
    _add_spent(found, selection)
    for share, places in shares_of(selection, right, np.flatnonzero(selection.mask)):
        names, times = counted(trees.shape.name[places])
        for name, count in zip(names.tolist(), times.tolist(), strict=True):
            operator, _, stage = trees.table.names.triples[name]
            for group in _groups(stage, operator)[1:]:
                found.at(group).judge(share, count)
        found.finals["roots"].judge(share, int((trees.shape.parent[places] < 0).sum()))
    for judge, alike in deciding_alike(selection, right):
        if judge.outcome == "result" and (of_judge := right.of_call(judge)) is not None:
            found.finals["judges"].judge(of_judge, alike.times)
    for ensemble, alike in comparable(ensembles_alike(selection, right.answers, right), Counter()):
        leaders = leaders_of(ensemble)
        if leaders and (of_majority := majority_share(ensemble, leaders, right)) is not None:
            found.finals["majorities"].judge(of_majority, alike.times)
    return found


def _add_spent(found: Costs, selection: Selection) -> None:
    priced: set[tuple[Group, int, int]] = set()
    for metric in selection.scores_of(SPENT):
        subject = metric.call or metric
        stands_for = worth(subject.share or WHOLE)
        for group in _groups(subject.stage, subject.operator_id):
            spent = found.at(group)
            said = spent_in(metric.data, found.left_out if group == TOTAL else Counter())
            for name, value in said:
                spent.add(name, value, stands_for)
            if said and metric.call is not None and (group, *metric.call.key) not in priced:
                priced.add((group, *metric.call.key))
                spent.calls[subject.share] += 1


def _groups(stage: str, operator: str) -> list[Group]:
    """The total first; a score outside any call is of no stage and no operator."""
    return [TOTAL, Group(1, "stage", stage), Group(2, "operator", operator)] if operator else [TOTAL]
