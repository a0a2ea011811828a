"""Questions about calibration: are members who agree more right more often, and by how far do the shares differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.query import Selection, unit_of
from embertrace.analysis.questions.judging import from_full_agreement, judged_ensembles, why_undecided
from embertrace.analysis.questions.voting import HINT, Ties, check_ties, leaders_of, majority_share, why_left_out
from embertrace.analysis.resampling import Array, bootstrap, sums_by_unit
from embertrace.analysis.results import NAN, Estimate, Table
from embertrace.analysis.table.items import Unit
from embertrace.analysis.tally import Tallies, Tally
from embertrace.errors import QueryError

Of = Literal["plurality", "judge"]


class Decision(NamedTuple):
    """An agreement of `largest` among `members`, and how right what was decided is."""

    unit: Unit
    largest: int
    members: int
    right: Fraction

    @property
    def share(self) -> Fraction:
        return Fraction(self.largest, self.members)


class Decisions:
    """A partial state: decisions by the calls they come from."""

    def __init__(self) -> None:
        self.by_call: dict[Any, Decision] = {}
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Decisions) -> Decisions:
        self.by_call |= other.by_call
        self.left_out.update(other.left_out)
        return self

    def __iter__(self) -> Iterator[Decision]:
        return (self.by_call[key] for key in sorted(self.by_call))


def agreement_calibration(
    selection: Selection,
    *,
    of: Of = "plurality",
    answer: Rule = None,
    ties: Ties = "expected",
    grade: Grade | None = None,
) -> Decisions:
    check_ties(ties)
    if of not in ("plurality", "judge"):
        raise QueryError(f"of={of!r} is none of plurality, judge")
    answers = Answers(answer)
    right = Correctness(answers, selection.trees.labels, grade)
    return _of_judges(selection, right) if of == "judge" else _of_pluralities(selection, right, ties)


def _of_pluralities(selection: Selection, right: Correctness, ties: Ties) -> Decisions:
    found = Decisions()
    for ensemble in selection.ensembles(right.answers):
        leaders = leaders_of(ensemble)
        reason = why_left_out(ensemble)
        if reason is None and (not leaders or (ties == "abstain" and len(leaders) > 1)):
            reason = "tied" if leaders else "without answers"
        share = majority_share(ensemble, leaders, right, ties) if reason is None else None
        if share is None:
            found.left_out[reason or "unlabelled"] += 1
        else:
            found.by_call[ensemble.call.key] = _decision(ensemble, share)
    return found


def _of_judges(selection: Selection, right: Correctness) -> Decisions:
    found = Decisions()
    rows = Tallies()
    for judge, ensemble in judged_ensembles(selection, right.answers, rows):
        reason = why_undecided(judge, right) or (None if ensemble.members else "without answers")
        share = right.of_call(judge) if reason is None else None
        if share is None:
            found.left_out[reason or "unlabelled"] += 1
        else:
            found.by_call[judge.key, ensemble.call.key] = _decision(ensemble, share)
    found.left_out.update(rows.left_out)
    return found


def _decision(ensemble: Ensemble, share: Fraction) -> Decision:
    largest = max(ensemble.votes().values(), default=0)
    return Decision(unit_of(ensemble.call), largest, ensemble.attempted, share)


def finish_calibration(decisions: Decisions) -> Table:
    by_agreement, brier = Tallies(), Tally()
    for decision in decisions:
        by_agreement.named(f"{decision.largest}/{decision.members}").add(decision.unit, decision.right)
        brier.add(decision.unit, _squared(decision))
    brier.binary = False  # squares, even where each happens to be 0 or 1
    names = sorted(by_agreement.by_name, key=from_full_agreement)
    accuracy = {name: by_agreement.by_name[name].finish() for name in names}
    found = {"accuracy": Table(accuracy), "ece": _calibration_error(list(decisions)), "brier": brier.finish()}
    distinct = sum(decision.largest == 1 and decision.members > 2 for decision in decisions)
    notes = [HINT] if 2 * distinct > len(decisions.by_call) else []
    return Table(found if accuracy else {}, decisions.left_out, notes)


def _squared(decision: Decision) -> Fraction:
    """(share − right)², expected where a tie is right in a share of its draws."""
    share, right = decision.share, decision.right
    return right * (share - 1) ** 2 + (1 - right) * share**2


def _calibration_error(decisions: list[Decision]) -> Estimate:
    """Σ over agreement shares of |accuracy − share|, weighted by their calls; interval by bootstrap."""
    shares = sorted({decision.share for decision in decisions})
    gaps = dict.fromkeys(shares, Fraction(0))
    for decision in decisions:
        gaps[decision.share] += decision.right - decision.share
    n = len(decisions)
    rows = [
        (one.unit, [1.0, *(float(one.right - one.share) if one.share == share else 0.0 for share in shares)])
        for one in decisions
    ]

    def error(sums: Array) -> Array:
        return abs(sums[:, 1:]).sum(axis=1) / sums[:, 0]

    value = float(sum(map(abs, gaps.values()), Fraction(0)) / n) if n else NAN
    units = len({decision.unit for decision in decisions})
    return Estimate(value, n=n, items=units, interval=bootstrap(sums_by_unit(rows), error))
