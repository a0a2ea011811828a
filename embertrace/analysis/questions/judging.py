"""Questions about judges: how often they are right, by how far the members agreed, and against a plain majority."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.deciding import DECIDED, REASONS
from embertrace.analysis.arrays.judged import JudgedVotes
from embertrace.analysis.arrays.sums import Alike, Units, shares_by_unit, units_of_calls
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.reading import deciding_alike, judged_alike, judged_singly
from embertrace.analysis.questions.voting import HINT, Ties, check_ties, leaders_of, majority_share
from embertrace.analysis.results import Table
from embertrace.analysis.table.counting import counted, grouped
from embertrace.analysis.tally import Tallies, Tally
from embertrace.errors import QueryError

Over = Literal["attempted", "answered"]
"""Of which members an agreement of k is one of k/n."""

FAILING = ("failed", "abstained")
"""What is wrong, of all attempts, where somebody knows what would have been right."""
SAID = 4 * len(REASONS)
"""So many numbers there are for a reason, whether a judge is labelled, and whether it is right."""


def judge_accuracy(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> Tally:
    tally = Tally()
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    for judge, alike in deciding_alike(selection, right):
        add_judge(tally, judge, alike, right)
    return tally


def judge_accuracy_by_agreement(
    selection: Selection, *, answer: Rule = None, over: Over = "attempted", grade: Grade | None = None
) -> Tallies:
    if over not in ("attempted", "answered"):
        raise QueryError(f"over={over!r} is none of attempted, answered")
    tallies = Tallies()
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    judged = selection.judged_votes(right)
    if judged is None:
        rows = judged_alike(selection, right, tallies.left_out)
    else:
        for part in judged.parts:
            _add_judged(tallies, units_of_calls(selection.trees), part, over)
        tallies.left_out["unlinked"] += judged.unlinked
        rows = judged_singly(selection, judged.rest, right, tallies.left_out)
    for judge, ensemble, alike in rows:
        votes = ensemble.votes()
        of = ensemble.attempted if over == "attempted" else votes.total()
        add_judge(tallies.named(f"{max(votes.values(), default=0)}/{of}"), judge, alike, right)
    return tallies


def _add_judged(tallies: Tallies, units: Units, judged: JudgedVotes, over: Over) -> None:
    """Count many judges at once, as `add_judge` counts each."""
    votes, decisions, (at, kind, apart, _) = judged
    comparable = votes.comparable
    if not comparable.all():
        incomplete = votes.incomplete[at]
        tallies.left_out["incomplete"] += int(np.count_nonzero(incomplete))
        tallies.left_out["with unknown answers"] += int(np.count_nonzero(votes.unknown[at] & ~incomplete))
        counts = comparable[at]
        at, kind = at[counts], kind[counts]
    pattern = votes.pattern.take(at)
    of = votes.attempted.take(at) if over == "attempted" else votes.patterns.answered.take(pattern)
    width = int(of.max(initial=0)) + 1
    agreement = votes.patterns.largest.take(pattern) * width + of
    said = (2 * decisions.reason.astype(np.int64) + decisions.labelled) * 2 + decisions.right
    codes, times = counted(agreement * SAID + said.take(kind))
    for code, often in zip(codes.tolist(), times.tolist(), strict=True):
        tally = tallies.named(_named(code // SAID, width))
        reason, labelled = code % SAID // 4, code % 4 // 2
        if reason != DECIDED:
            tally.leave_out(REASONS[reason], often, failed=bool(labelled) and REASONS[reason] in FAILING)
    decided = decisions.reason == DECIDED
    shares = 2 * votes.unit.take(at) + decisions.right.take(kind)
    if not decided.all():
        agreement, shares = agreement[decided[kind]], shares[decided[kind]]
    for code, among in grouped(agreement, shares):
        sums = shares_by_unit(units, among >> 1, among & 1, 1, binary=True, apart=apart and votes.apart)
        tallies.named(_named(code, width)).add_sums(sums)


def _named(agreement: int, width: int) -> str:
    return f"{agreement // width}/{agreement % width}"


def judge_lift(
    selection: Selection, *, answer: Rule = None, ties: Ties = "expected", grade: Grade | None = None
) -> Tally:
    check_ties(ties)
    tally = Tally(bounds=(-1.0, 1.0))
    tally.binary = False  # a difference, even where it happens to be 0 or 1 everywhere
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    for judge, ensemble, alike in judged_alike(selection, right, tally.left_out):
        both = against_majority(judge, ensemble, right, ties)
        if not isinstance(both, Both):
            tally.leave_out(both, alike.times)
        elif both.failed is not None:
            tally.leave_out(both.failed, alike.times, failed=True, worth=both.judge - both.majority)
        else:
            tally.add_alike(alike, both.judge - both.majority)
    return tally


class Both(NamedTuple):
    """How right a judge is, and the majority of what it chose from.

    Where one of them gave no answer, `failed` says why: that is wrong among the attempted, and not of the answered.
    """

    judge: Fraction
    majority: Fraction
    failed: str | None


def against_majority(judge: Call, ensemble: Ensemble, right: Correctness, ties: Ties) -> Both | str:
    """How right both are, or why that can't be said."""
    reason = failed = why_undecided(judge, right)
    if reason is not None and not (reason in FAILING and right.is_labelled(judge)):
        return reason
    chosen = right.of_call(judge) if failed is None else Fraction(0)
    leaders = leaders_of(ensemble)
    if ties == "abstain" and len(leaders) > 1:
        return failed or "tied"
    if leaders:
        majority = majority_share(ensemble, leaders, right, ties)
    else:
        failed = failed or "without answers"
        majority = Fraction(0) if right.is_labelled(ensemble.call) else None
    if chosen is None or majority is None:
        return failed or "unlabelled"
    return Both(chosen, majority, failed)


def add_judge(tally: Tally, judge: Call, alike: Alike, right: Correctness) -> None:
    """Count the decisions of judges that are alike, or why they can't be; failing is wrong among the attempted."""
    reason = why_undecided(judge, right)
    if reason is not None:
        labelled = right.is_labelled(judge)
        tally.leave_out(reason, alike.times, failed=labelled and reason in FAILING)
        return
    value = right.of_call(judge)
    if value is None:
        tally.leave_out("unlabelled", alike.times)
    else:
        tally.add_alike(alike, value)


def finish_by_agreement(tallies: Tallies) -> Table:
    """From full agreement down; agreements without a labelled call are no keys, their calls counted as left out."""
    rows = {}
    for name in sorted(tallies.by_name, key=from_full_agreement):
        tally = tallies.by_name[name]
        estimate = tally.finish()
        if estimate.n:
            rows[name] = estimate
        tallies.left_out.update(tally.left_out)
    distinct = sum(row.n for name, row in rows.items() if name.startswith("1/") and name not in ("1/1", "1/2"))
    return Table(rows, tallies.left_out, [HINT] if 2 * distinct > sum(row.n for row in rows.values()) else [])


def from_full_agreement(name: str) -> tuple[Fraction, int]:
    """Order of agreements: the largest share first, of equal shares the one of more members."""
    largest, of = (int(part) for part in name.split("/"))
    return -Fraction(largest, of or 1), -of


def why_undecided(judge: Call, right: Correctness) -> str | None:
    """Why a judge call has no decision that could be right or wrong."""
    if judge.outcome == "open":
        return "open"
    if judge.outcome != "result":
        return "failed"
    if right.states(judge):
        return None
    status = right.answers.of(judge).status
    return {"answered": None, "abstained": "abstained", "unknown": "with unknown answers"}[status]
