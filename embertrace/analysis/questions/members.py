"""Questions about what members are worth: together at best, in smaller numbers, and each one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.ballots import Ballot, Ballots, Cast, columns, read_ballots
from embertrace.analysis.results import Estimate, Rows
from embertrace.analysis.statistics import NO_SPREAD
from embertrace.analysis.subsets import MAX_STEPS, SAMPLES, Value, majority_of, shapley_of, value_of, without
from embertrace.analysis.tally import Tally
from embertrace.errors import QueryError

MAX_SIZES, MAX_SIZE = 1_000, 1_000_000
"""Of a curve: more points than a screen has, and more members than 1,000 draws tell from endlessly many."""
STEPS_IN_ALL = 10 * MAX_STEPS
"""Of the exact sums for a stage: some ten seconds. Where patterns and sizes are many, fewer of them are exact."""
SAMPLED = f"sampled where exact sums are long: {SAMPLES} draws, seed 0; `error` is the standard error"


def right_ballots(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> Ballots:
    """The state of all questions that need votes and how right each is."""
    answers = Answers(answer)
    return read_ballots(selection, answers, Correctness(answers, selection.trees.labels, grade))


def finish_oracle(ballots: Ballots) -> Estimate:
    tally = Tally()
    for ballot, alike in ballots.seen:
        add_oracle(tally, ballot, alike)
    tally.left_out.update(ballots.left_out)
    return tally.finish(ballots.notes())


def add_oracle(tally: Tally, ballot: Ballot, alike: Alike) -> None:
    share = oracle_share(ballot)
    if share is not None:
        tally.add_alike(alike, share)
    elif not ballot.right and ballot.labelled:
        tally.leave_out("without answers", alike.times, failed=True)
    else:
        tally.leave_out("unlabelled", alike.times)


def oracle_share(ballot: Ballot) -> Fraction | None:
    """How right the best answer is; None where that is not known, though one fully right answer is enough."""
    known = [share for _, share in ballot.right if share is not None]
    best = max(known, default=None)
    return best if ballot.judged or best == 1 else None


def accuracy_vs_size(
    selection: Selection,
    *,
    sizes: Sequence[int] | None = None,
    replacement: bool = False,
    answer: Rule = None,
    grade: Grade | None = None,
) -> Ballots:
    _check_sizes(sizes)
    ballots = right_ballots(selection, answer=answer, grade=grade)
    ballots.asked = {"sizes": None if sizes is None else sorted(set(sizes)), "replacement": bool(replacement)}
    return ballots


def _check_sizes(sizes: Any) -> None:
    """Raises QueryError for what is no list of sizes, or would take too long."""
    if sizes is None:
        return
    are_sizes = isinstance(sizes, list | tuple | range) and all(
        type(size) is int and size > 0 for size in sizes[:MAX_SIZES]
    )
    if not are_sizes:
        raise QueryError(f"sizes={sizes!r:.80} is no list of positive numbers of members")
    if len(sizes) > MAX_SIZES or max(sizes, default=0) > MAX_SIZE:
        raise QueryError(
            f"sizes={sizes!r:.80}: at most {MAX_SIZES} of them, each at most {MAX_SIZE:,}, which {SAMPLES} draws can't "
            "tell from endlessly many"
        )


def finish_sizes(ballots: Ballots) -> Rows:
    rows: list[dict[str, Any]] = []
    notes, replacement = ballots.notes(), ballots.asked["replacement"]
    for stage, cast in ballots.labelled_by_stage().items():
        notes += _unanswered(stage, cast)
        if not replacement:
            notes += _of_several_sizes(stage, cast)
        largest = max(len(ballot.votes) for ballot, _ in cast)
        asked = ballots.asked["sizes"]
        sizes = range(1, largest + 1) if asked is None else asked
        sums = len(sizes) * len({ballot.pattern() for ballot, _ in cast})
        each = min(MAX_STEPS, STEPS_IN_ALL // max(1, sums))
        for size in sizes:
            fit = [one for one in cast if one[0].votes and (replacement or len(one[0].votes) >= size)]
            if fit:
                rows.append({"stage": stage, "size": size, **_of_size(fit, size, replacement, each)})
    sampled = any(row["error"] for row in rows)
    return Rows(rows, ballots.left_out, [*notes, *([SAMPLED] if sampled else [])])


def _of_several_sizes(stage: str, cast: Cast) -> Iterator[str]:
    """That other calls count at one size than at another."""
    members = {len(ballot.votes) for ballot, _ in cast if ballot.votes}
    if len(members) > 1:
        yield f"calls of {stage} have {min(members)} to {max(members)} members: at larger sizes fewer calls count"


def _unanswered(stage: str, cast: Cast) -> Iterator[str]:
    """That calls count as wrong in which nobody answered."""
    times = sum(alike.times for ballot, alike in cast if not ballot.right)
    if times:
        yield f"{times} calls of {stage} that nobody answered count as wrong, as in of_attempted"


def _of_size(cast: Cast, size: int, replacement: bool, max_steps: int) -> dict[str, Any]:
    tally, errors = Tally(), Errors()
    tally.binary = False  # expectations, even where each happens to be 0 or 1
    for ballot, alike in cast:
        pattern = ballot.pattern()
        worth = majority_of(*pattern, size, replacement, max_steps)
        tally.add_alike(alike, worth.value)
        errors.add(pattern, worth, alike.times)
    return {**columns(tally, "accuracy"), "error": errors.of_mean(_calls(cast))}


def _calls(cast: Cast) -> int:
    return sum(alike.times for _, alike in cast)


class Errors:
    """Sampling errors: one per pattern, however often it occurs, since it was sampled once."""

    def __init__(self) -> None:
        self._times: Counter[tuple[Any, float]] = Counter()

    def add(self, pattern: Any, worth: Value, times: int) -> None:
        if worth.variance:
            self._times[pattern, worth.variance] += times

    def of_mean(self, n: int) -> float:
        """The standard error of a mean over n calls; 0 where all was exact."""
        return math.sqrt(math.fsum((times / n) ** 2 * variance for (_, variance), times in self._times.items()))


def finish_values(ballots: Ballots) -> Rows:
    rows: list[dict[str, Any]] = []
    notes = ballots.notes()
    for stage, cast in ballots.labelled_by_stage().items():
        notes += _unanswered(stage, cast)
        members = sorted({vote.member for ballot, _ in cast for vote in ballot.votes})
        found = [{"stage": stage, "member": member, **_worth(member, cast)} for member in members]
        rows += sorted(found, key=lambda row: (-row["shapley"], row["member"]))
    sampled, unsure = any(row["error"] for row in rows), any(_is_unsure(row) for row in rows)
    return Rows(rows, ballots.left_out, [*notes, *[SAMPLED] * sampled, *[NO_SPREAD] * unsure])


def _is_unsure(row: dict[str, Any]) -> bool:
    """Whether a row has no interval although it is of several items."""
    return row["items"] > 1 and any(math.isnan(row[low]) for low in ("low", "leave_one_out_low"))


def _worth(member: str, cast: Cast) -> dict[str, Any]:
    """Over all calls of a stage; in a call where a member did not answer it is worth nothing."""
    accuracy, shapley, last = Tally(), Tally((-1.0, 1.0)), Tally((-1.0, 1.0))
    shapley.binary = last.binary = False  # differences, even where each happens to be 0 or 1
    errors = Errors()
    for ballot, alike in cast:
        answers, _ = ballot.pattern()
        counts = ballot.counts()
        given = next((vote for vote in ballot.votes if vote.member == member and vote.key is not None), None)
        if given is None or given.key is None:
            shapley.add_alike(alike, Fraction(0))
            last.add_alike(alike, Fraction(0))
            continue
        mine = counts[given.key], ballot.shares[given.key] or Fraction(0)
        worth = shapley_of(answers)[mine]
        whole = value_of(tuple(count for count, _ in answers), tuple(share for _, share in answers))
        accuracy.add_alike(alike, mine[1] if given.right is None else given.right)
        shapley.add_alike(alike, worth.value)
        last.add_alike(alike, whole - without(answers, mine))
        errors.add((answers, mine), worth, alike.times)
    alone, left = columns(accuracy, "accuracy"), columns(last, "leave_one_out")
    return {
        **columns(shapley, "shapley"),
        "error": errors.of_mean(_calls(cast)),
        "leave_one_out": left["leave_one_out"],
        "leave_one_out_low": left["low"],
        "leave_one_out_high": left["high"],
        "accuracy": alone["accuracy"],
        "accuracy_low": alone["low"],
        "accuracy_high": alone["high"],
        "answered": alone["n"],
    }
