"""Questions about judges: how often they are right, by how far the members agreed, and against a plain majority."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.query import Selection, unit_of
from embertrace.analysis.questions.judged_at_once import Over, add_decisions
from embertrace.analysis.questions.voting import HINT, Ties, check_ties, leaders_of, majority_share, why_left_out
from embertrace.analysis.results import Estimate, Table
from embertrace.analysis.tally import Tallies, Tally
from embertrace.errors import QueryError


def judge_accuracy(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> Tally:
    tally = Tally()
    answers = Answers(answer)
    right = Correctness(answers, selection.trees.labels, grade)
    for judge, ensembles, _ in selection.judges(answers):
        add_judge(tally, judge, ensembles[0].call if ensembles else judge, right)
    return tally


def judge_accuracy_by_agreement(
    selection: Selection, *, answer: Rule = None, over: Over = "attempted", grade: Grade | None = None
) -> Tallies:
    if over not in ("attempted", "answered"):
        raise QueryError(f"over={over!r} is none of attempted, answered")
    tallies = Tallies()
    right = Correctness(Answers(answer), selection.trees.labels, grade)
    left = add_decisions(tallies, selection, right, over)
    rows = selection.judges(right.answers) if left is None else _judges(selection, left, right.answers)
    for judge, ensemble in _rows(rows, tallies):
        votes = ensemble.votes()
        of = ensemble.attempted if over == "attempted" else votes.total()
        add_judge(tallies.named(f"{max(votes.values(), default=0)}/{of}"), judge, ensemble.call, right)
    return tallies


def judge_lift(
    selection: Selection, *, answer: Rule = None, ties: Ties = "expected", grade: Grade | None = None
) -> Tally:
    check_ties(ties)
    tally = Tally(bounds=(-1.0, 1.0))
    tally.binary = False  # a difference, even where it happens to be 0 or 1 everywhere
    answers = Answers(answer)
    right = Correctness(answers, selection.trees.labels, grade)
    rows = Tallies()
    for judge, ensemble in judged_ensembles(selection, answers, rows):
        reason = why_undecided(judge, right)
        leaders = leaders_of(ensemble)
        if reason is not None:
            tally.leave_out(reason)
        elif not leaders or (ties == "abstain" and len(leaders) > 1):
            tally.leave_out("tied" if leaders else "without answers")
        else:
            chosen, majority = right.of_call(judge), majority_share(ensemble, leaders, right, ties)
            if chosen is None or majority is None:
                tally.leave_out("unlabelled")
            else:
                tally.add(unit_of(ensemble.call), chosen - majority)
    tally.left_out.update(rows.left_out)
    return tally


def add_judge(tally: Tally, judge: Call, unit: Call, right: Correctness) -> None:
    """Count one judge's decision, or why it can't be; failing is wrong among the attempted."""
    reason = why_undecided(judge, right)
    if reason is not None:
        labelled = right.is_labelled(judge)
        tally.leave_out(reason, failed=labelled and reason in ("failed", "abstained"))
        return
    value = right.of_call(judge)
    if value is None:
        tally.leave_out("unlabelled")
    else:
        tally.add(unit_of(unit), Fraction(value))


def finish_by_agreement(tallies: Tallies) -> Table:
    """From full agreement down; agreements without a labelled call are no keys, their calls counted as left out."""
    rows = {}
    for name in sorted(tallies.by_name, key=from_full_agreement):
        tally = tallies.by_name[name]
        if tally.spread.n:
            rows[name] = tally.finish()
        tallies.left_out.update(tally.left_out)
    distinct = sum(row.n for name, row in rows.items() if name.startswith("1/") and name not in ("1/1", "1/2"))
    return Table(rows, tallies.left_out, [HINT] if 2 * distinct > sum(row.n for row in rows.values()) else [])


def from_full_agreement(name: str) -> tuple[Fraction, int]:
    """Order of agreements: the largest share first, of equal shares the one of more members."""
    largest, of = (int(part) for part in name.split("/"))
    return -Fraction(largest, of or 1), -of


def judged_ensembles(selection: Selection, answers: Answers, tallies: Tallies) -> Iterator[tuple[Call, Ensemble]]:
    """A row for each ensemble that fed a judge and can be compared."""
    return _rows(selection.judges(answers), tallies)


Row = tuple[Call, list[Ensemble], bool]


def _judges(selection: Selection, places: Iterable[int], answers: Answers) -> Iterator[Row]:
    """As `Selection.judges`, of the judge calls at some places."""
    for place in places:
        found = selection.judge(selection.trees.at(place), answers)
        if found is not None:
            yield found


def _rows(judges: Iterable[Row], tallies: Tallies) -> Iterator[tuple[Call, Ensemble]]:
    for judge, ensembles, linked in judges:
        if not linked:
            tallies.left_out["unlinked"] += 1
        for ensemble in ensembles:
            reason = why_left_out(ensemble)
            if reason is None:
                yield judge, ensemble
            else:
                tallies.left_out[reason] += 1


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


def finish_lift(tally: Tally) -> Estimate:
    """A difference: its sign matters, so failed attempts have no value and no `of_attempted` is given."""
    return tally.finish()
