"""Questions about calibration: are members who agree more right more often, and by how far do the shares differ."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.gathered import Gathered, distinct_units, sums_by_unit
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.judging import from_full_agreement, why_undecided
from embertrace.analysis.questions.reading import comparable, ensembles_alike, judged_alike
from embertrace.analysis.questions.voting import HINT, Ties, check_ties, leaders_of, majority_share
from embertrace.analysis.resampling import Array, bootstrap
from embertrace.analysis.results import NAN, Estimate, Table
from embertrace.analysis.tally import Tallies, Tally
from embertrace.errors import QueryError

Of = Literal["plurality", "judge"]


class Decision(NamedTuple):
    """An agreement of `largest` among `members`, and how right what was decided is.

    A judge that failed decided nothing: that is wrong among the attempted, and says nothing of calibration.
    """

    largest: int
    members: int
    right: Fraction
    failed: bool = False

    @property
    def share(self) -> Fraction:
        return Fraction(self.largest, self.members)


Decisions = Gathered[Decision]


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
    found = Decisions(tuple)
    for ensemble, alike in comparable(ensembles_alike(selection, right.answers, right), found.left_out):
        leaders, reason = leaders_of(ensemble), None
        if not leaders or (ties == "abstain" and len(leaders) > 1):
            reason = "tied" if leaders else "without answers"
        _add(found, ensemble, alike, reason, majority_share(ensemble, leaders, right, ties) if reason is None else None)
    return found


def _of_judges(selection: Selection, right: Correctness) -> Decisions:
    found = Decisions(tuple)
    for judge, ensemble, alike in judged_alike(selection, right, found.left_out):
        reason = why_undecided(judge, right) or (None if ensemble.members else "without answers")
        if reason in ("failed", "abstained") and ensemble.members and right.is_labelled(judge):
            found.left_out[reason] += alike.times
            found.add(_decision(ensemble, Fraction(0), failed=True), alike)
            continue
        _add(found, ensemble, alike, reason, right.of_call(judge) if reason is None else None)
    return found


def _add(found: Decisions, ensemble: Ensemble, alike: Alike, reason: str | None, share: Fraction | None) -> None:
    if share is None:
        found.left_out[reason or "unlabelled"] += alike.times
    else:
        found.add(_decision(ensemble, share), alike)


def _decision(ensemble: Ensemble, right: Fraction, failed: bool = False) -> Decision:
    return Decision(max(ensemble.votes().values(), default=0), ensemble.attempted, right, failed)


def finish_calibration(decisions: Decisions) -> Table:
    by_agreement, brier = Tallies(), Tally()
    seen = [(decision, alike) for decision, alike in decisions if not decision.failed]
    for decision, alike in decisions:
        tally = by_agreement.named(f"{decision.largest}/{decision.members}")
        if decision.failed:
            tally.add_failed(alike.times, Fraction(0))
        else:
            tally.add_alike(alike, decision.right)
            brier.add_alike(alike, _squared(decision))
    brier.binary = False  # squares, even where each happens to be 0 or 1
    names = sorted(by_agreement.by_name, key=from_full_agreement)
    finished = {name: by_agreement.by_name[name].finish() for name in names}
    accuracy = {name: row for name, row in finished.items() if row.n}
    found = {"accuracy": Table(accuracy), "ece": _calibration_error(seen), "brier": brier.finish()}
    distinct = sum(alike.times for decision, alike in seen if decision.largest == 1 and decision.members > 2)
    notes = [HINT] if 2 * distinct > sum(alike.times for _, alike in seen) else []
    return Table(found if accuracy else {}, decisions.left_out, notes)


def _squared(decision: Decision) -> Fraction:
    """(share − right)², expected where a tie is right in a share of its draws."""
    share, right = decision.share, decision.right
    return right * (share - 1) ** 2 + (1 - right) * share**2


def _calibration_error(seen: list[tuple[Decision, Alike]]) -> Estimate:
    """Σ over agreement shares of |accuracy − share|, weighted by their calls; interval by bootstrap."""
    shares = sorted({decision.share for decision, _ in seen})
    gaps = dict.fromkeys(shares, Fraction(0))
    for decision, alike in seen:
        gaps[decision.share] += alike.times * (decision.right - decision.share)
    n = sum(alike.times for _, alike in seen)
    rows = [
        (alike, [1.0, *(float(one.right - one.share) if one.share == share else 0.0 for share in shares)])
        for one, alike in seen
    ]

    def error(sums: Array) -> Array:
        return abs(sums[:, 1:]).sum(axis=1) / sums[:, 0]

    value = float(sum(map(abs, gaps.values()), Fraction(0)) / n) if n else NAN
    items = distinct_units([alike for _, alike in seen])
    drawn = bootstrap(sums_by_unit(rows), error)
    return Estimate(value, n=n, items=items, interval=drawn.interval, notes=drawn.notes)
