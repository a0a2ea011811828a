"""Questions about what judges do with the answers they are given: do they find the right one, do they go against the
majority, and whom do they choose.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.gathered import Gathered, distinct_units
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.ballots import read_ballot
from embertrace.analysis.questions.judging import Both, against_majority, why_undecided
from embertrace.analysis.questions.members import oracle_share
from embertrace.analysis.questions.reading import judged_alike
from embertrace.analysis.questions.voting import Ties, check_ties, leaders_of
from embertrace.analysis.resampling import permutation_p
from embertrace.analysis.results import NAN, Estimate, Table
from embertrace.analysis.tally import Tallies, Tally

OUTCOMES = ("both right", "judge alone right", "majority alone right", "both wrong")
FIXED = "position bias can't be told from a preference for members: each stands in one place throughout"


def selection_accuracy(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> Tally:
    tally = Tally()
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    for judge, ensemble, alike in judged_alike(selection, right, tally.left_out):
        best, times = oracle_share(read_ballot(ensemble, right)), alike.times
        if best is None:
            tally.leave_out("unlabelled", times)
        elif best < 1:
            tally.leave_out("without a right answer", times)
        elif (reason := why_undecided(judge, right)) is not None:
            tally.leave_out(reason, times, failed=reason in ("failed", "abstained"))
        elif (share := right.of_call(judge)) is None:
            tally.leave_out("unlabelled", times)
        else:
            tally.add_alike(alike, share)
    return tally


def judge_overrides(
    selection: Selection, *, answer: Rule = None, ties: Ties = "expected", grade: Grade | None = None
) -> Tallies:
    check_ties(ties)
    rows = Tallies()
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    for judge, ensemble, alike in judged_alike(selection, right, rows.left_out):
        overridden = _is_overridden(judge, ensemble, right, ties)
        if overridden is not None:
            rows.named("overridden").add_alike(alike, Fraction(overridden))
        both = against_majority(judge, ensemble, right, ties)
        if not isinstance(both, Both):
            rows.left_out[both] += alike.times
            continue
        for name, share in zip(OUTCOMES, _shares(both), strict=True):
            if both.failed is None:
                rows.named(name).add_alike(alike, share)
            else:
                rows.named(name).add_failed(alike.times, share)
        if both.failed is not None:
            rows.left_out[both.failed] += alike.times
    return rows


def _is_overridden(judge: Call, ensemble: Ensemble, right: Correctness, ties: Ties) -> bool | None:
    """Whether a judge took no leading answer; None where it took none at all, or there is no leading one."""
    leaders = leaders_of(ensemble)
    if why_undecided(judge, right) is not None or not leaders or (ties == "abstain" and len(leaders) > 1):
        return None
    key = right.answers.of(judge).key
    return None if key is None else key not in leaders


def _shares(of: Both) -> tuple[Fraction, ...]:
    """Of each of `OUTCOMES`; where a tie is right by a share, expected values."""
    both = of.judge * of.majority
    return both, of.judge - both, of.majority - both, 1 - of.judge - of.majority + both


def finish_overrides(rows: Tallies) -> Table:
    found = {name: rows.by_name[name].finish() for name in ("overridden", *OUTCOMES) if name in rows.by_name}
    return Table({name: estimate for name, estimate in found.items() if estimate.n}, rows.left_out)


class Choice(NamedTuple):
    """Judges' choice: the members in their places, and which of them gave the answer that was chosen."""

    members: tuple[str, ...]
    chosen: tuple[bool, ...]


Choices = Gathered[Choice]


def judge_choices(selection: Selection, *, answer: Rule = None) -> Choices:
    found = Choices(tuple)
    right = Correctness(Answers(answer), selection.trees.labels)
    for judge, ensemble, alike in judged_alike(selection, right, found.left_out):
        choice = _choice(judge, ensemble, right.answers)
        if isinstance(choice, Choice):
            found.add(choice, alike)
        else:
            found.left_out[choice] += alike.times
    return found


def _choice(judge: Call, ensemble: Ensemble, answers: Answers) -> Choice | str:
    """What a judge chose, or why nothing can be said of that."""
    if judge.outcome != "result":
        return "open" if judge.outcome == "open" else "failed"
    answer = answers.of(judge)
    if answer.key is None:
        return "abstained" if answer.status == "abstained" else "with unknown answers"
    given = [member for member in ensemble.members if member.key is not None]
    chosen = tuple(member.key == answer.key for member in given)
    if not any(chosen):
        return "of none of the members"
    return Choice(tuple(member.identity for member in given), chosen)


def finish_choices(choices: Choices) -> Table:
    """Shares of choices per member and per place; members who gave the same answer share the choice."""
    members, places = Tallies(), Tallies()
    found = list(choices)
    for choice, alike in found:
        part = Fraction(1, sum(choice.chosen))
        for place, (member, chosen) in enumerate(zip(choice.members, choice.chosen, strict=True)):
            members.named(member).add_alike(alike, part * chosen)
            places.named(str(place)).add_alike(alike, part * chosen)
    if not found:
        return Table({}, choices.left_out)
    told = [one for one in found if not all(one[0].chosen)]
    seen = [alike for _, alike in told]
    p_value = Estimate(_position_bias(told), n=sum(alike.times for alike in seen), items=distinct_units(seen))
    rows = {
        "members": Table({name: members.by_name[name].finish() for name in sorted(members.by_name)}),
        "positions": Table({name: places.by_name[name].finish() for name in sorted(places.by_name, key=int)}),
        "p_value": p_value,
    }
    return Table(rows, choices.left_out, [FIXED] if math.isnan(p_value) and told else [])


def _position_bias(choices: list[tuple[Choice, Alike]]) -> float:
    """Whether the place matters: the chosen places against those under exchanged orders of the same members.

    Orders are exchanged among the choices between the same members, so that a member who is chosen for its answers,
    and an order that rarely changes, say nothing of a bias. NaN where no order differs.
    """
    strata: dict[tuple[str, ...], list[Choice]] = {}
    for choice, alike in choices:
        strata.setdefault(tuple(sorted(choice.members)), []).extend([choice] * alike.times)
    tables = []
    for members, stratum in sorted(strata.items()):
        if len({choice.members for choice in stratum}) > 1:
            orders = [[choice.members.index(member) for member in members] for choice in stratum]
            tables.append(([_credit(choice, members) for choice in stratum], orders))
    return permutation_p(tables) if tables else NAN


def _credit(choice: Choice, members: tuple[str, ...]) -> list[float]:
    chosen = {member for member, chosen in zip(choice.members, choice.chosen, strict=True) if chosen}
    return [(member in chosen) / len(chosen) for member in members]
