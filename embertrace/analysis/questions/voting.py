"""Questions about ensembles: how often members disagree, and how right their majority is.

Each is a partial state over one part of the events, which merges exactly; see STATISTICS for the definitions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.sums import Alike, shares_by_pattern, units_of_calls
from embertrace.analysis.arrays.votes import Votes
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.reading import comparable, ensembles_alike, singly
from embertrace.analysis.results import Estimate
from embertrace.analysis.tally import Tally
from embertrace.analysis.units import unit_of
from embertrace.errors import QueryError

Ties = Literal["expected", "first", "wrong", "abstain"]
TIES: tuple[Ties, ...] = ("expected", "first", "wrong", "abstain")

Weights = Mapping[str, float] | str | None
"""Weights of members by their names, or the name of the score that their calls have."""

TOO_FEW = "with fewer than two answers"
HINT = "most calls have all answers distinct: answer=… may help to compare what matters"


def disagreement_of(ensemble: Ensemble) -> Fraction | None:
    """(distinct − 1)/(answered − 1); None with fewer than two answers."""
    votes = ensemble.votes()
    answered = votes.total()
    return Fraction(len(votes) - 1, answered - 1) if answered > 1 else None


def ensemble_disagreement(selection: Selection, *, answer: Rule = None) -> Tally:
    return _divided(selection, Answers(answer), share=True)


def non_unanimous_rate(selection: Selection, *, answer: Rule = None) -> Tally:
    return _divided(selection, Answers(answer), share=False)


def _divided(selection: Selection, answers: Answers, share: bool) -> Tally:
    """How far the members of each ensemble disagree: the share of it, or whether they do at all."""
    tally = Tally()
    votes = selection.votes(answers)
    left = _add_votes(tally, selection, votes, share) if votes is not None else None
    ensembles = selection.ensembles(answers) if left is None else (selection.whole(call, answers) for call in left)
    for ensemble, _ in comparable(singly(ensembles), tally.left_out):
        value = disagreement_of(ensemble)
        if value is None:
            tally.leave_out(TOO_FEW)
        else:
            tally.add(unit_of(ensemble.call), value if share else Fraction(value > 0))
            tally.hints["all distinct"] += value == 1 and ensemble.votes().total() > 2
    return tally


def _add_votes(tally: Tally, selection: Selection, votes: Votes, share: bool) -> list[Call] | None:
    """Count all ensembles at once; those that are left, one by one. None (and nothing counted) if that can't be."""
    (answered, distinct, _), comparable = votes.patterns, votes.comparable
    pattern, unit = votes.pattern, votes.unit
    if not comparable.all():
        pattern, unit = pattern[comparable], unit[comparable]
    often = np.bincount(pattern, minlength=len(answered))
    several = answered > 1
    if often[~several].any():
        divided = several.take(pattern)
        pattern, unit = pattern[divided], unit[divided]
    occurs = np.flatnonzero(several & (often > 0))
    numerator, denominator = 1 * (distinct > 1), np.ones(len(often), np.int64)
    if share:
        numerator[occurs], denominator[occurs] = distinct[occurs] - 1, answered[occurs] - 1
    units = units_of_calls(selection.trees)
    sums = shares_by_pattern(units, unit, pattern, numerator, denominator, votes.apart)
    if sums is None:
        return None
    tally.add_sums(sums)
    tally.hints["all distinct"] += int(often[(distinct == answered) & (answered > 2)].sum())
    tally.left_out["incomplete"] += int(np.count_nonzero(votes.incomplete))
    tally.left_out["with unknown answers"] += int(np.count_nonzero(~votes.incomplete & votes.unknown))
    tally.left_out[TOO_FEW] += int(often[~several].sum())
    return [selection.trees.at(place) for place in votes.rest.tolist()]


def majority_accuracy(
    selection: Selection,
    *,
    answer: Rule = None,
    ties: Ties = "expected",
    weights: Weights = None,
    grade: Grade | None = None,
) -> Tally:
    check_ties(ties)
    check_weights(weights)
    tally = Tally()
    answers = Answers(answer)
    right = Correctness(answers, selection.trees.labels, grade)
    by_score = isinstance(weights, str)
    ensembles = singly(selection.ensembles(answers)) if by_score else ensembles_alike(selection, answers, right)
    for ensemble, alike in comparable(ensembles, tally.left_out):
        add_majority(tally, ensemble, alike, right, ties, weights)
    return tally


def check_ties(ties: object) -> None:
    """Raises QueryError for a rule that is none."""
    if ties not in TIES:
        raise QueryError(f"ties={ties!r} is none of {', '.join(TIES)}")


def add_majority(
    tally: Tally, ensemble: Ensemble, alike: Alike, right: Correctness, ties: Ties, weights: Weights = None
) -> None:
    """Count the majorities of ensembles that are alike, or why they can't be."""
    times = alike.times
    if not ensemble.votes():
        labelled = right.is_labelled(ensemble.call)
        tally.leave_out("without answers" if labelled else "unlabelled", times, failed=labelled)
        return
    leaders = leaders_of(ensemble, weights)
    if not leaders:
        tally.leave_out("without weights", times)
        return
    if ties == "abstain" and len(leaders) > 1:
        tally.leave_out("tied", times)
        return
    value = majority_share(ensemble, leaders, right, ties)
    if value is None:
        tally.leave_out("unlabelled", times)
    else:
        tally.add_alike(alike, value)


def leaders_of(ensemble: Ensemble, weights: Weights = None) -> list[bytes]:
    """The answers that most members gave, the one given first ahead; with weights, those of most weight, if any."""
    votes: Mapping[bytes, int | Fraction] = ensemble.votes() if weights is None else weighed(ensemble, weights)
    most = max(votes.values(), default=0)
    return [key for key, count in votes.items() if count == most > 0]


def weighed(ensemble: Ensemble, weights: Mapping[str, Any] | str) -> dict[bytes, Fraction]:
    """Answer keys and the weight of those who gave them, in the order in which they first occur."""
    found: dict[bytes, Fraction] = {}
    for member in ensemble.members:
        if member.key is not None:
            if isinstance(weights, str):
                given = member.call.scores.get(weights) if member.call is not None else None
            else:
                given = weights.get(member.identity)
            found[member.key] = found.get(member.key, Fraction(0)) + (weight_of(given) or 0)
    return found


def weight_of(given: Any) -> Fraction | None:
    """A weight as it is written (.1 is a tenth, so .1 + .2 ties with .3); None for what is no number ≥ 0."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        return None
    return Fraction(repr(given))


def check_weights(weights: Any) -> None:
    """Raises QueryError for what gives members no weights."""
    if weights is None or isinstance(weights, str):
        return
    if not isinstance(weights, Mapping):
        raise QueryError(f"weights={weights!r} is neither a mapping of members to weights nor the name of a score")
    for member, given in weights.items():
        if weight_of(given) is None:
            raise QueryError(f"weights give {member!r} {given!r}, which is no finite number of 0 or more")


def majority_share(
    ensemble: Ensemble, leaders: list[bytes], right: Correctness, ties: Ties = "expected"
) -> Fraction | None:
    """How right the majority is, in 0 … 1; None where a leader's correctness is unknown.

    Of tied leaders: the mean ("expected": the truth among t scores 1/t), the first by slot ("first"), or 0 ("wrong").
    """
    if ties == "first":
        leaders = leaders[:1]
    shares = [right.of_vote(ensemble, key) for key in leaders]
    known = [share for share in shares if share is not None]
    if len(known) < len(shares) or not known:
        return None
    if ties == "wrong" and len(known) > 1:
        return Fraction(0)
    return sum(known, Fraction(0)) / len(known)


def finish_votes(tally: Tally) -> Estimate:
    """The estimate; with a hint where most calls were of pairwise distinct answers, as free text is."""
    estimate = tally.finish()
    if 2 * tally.hints["all distinct"] > estimate.n:
        estimate.notes = (HINT, *estimate.notes)
    return estimate
