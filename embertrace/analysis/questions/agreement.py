"""Questions about agreement: of each pair of members, the entropy of the votes, and what is answered how often."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from typing import Any

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.ballots import Ballot, Ballots, columns, read_ballots
from embertrace.analysis.resampling import bootstrapped
from embertrace.analysis.results import Rows, Table
from embertrace.analysis.tally import Tally
from embertrace.errors import QueryError


def agreement(selection: Selection, *, answer: Rule = None) -> Ballots:
    """The state of all questions that need no more than the votes."""
    return read_ballots(selection, Answers(answer))


def finish_pairs(ballots: Ballots) -> Rows:
    rows: list[dict[str, Any]] = []
    for stage, cast in ballots.by_stage().items():
        pairs: dict[tuple[str, str], Tally] = {}
        for ballot, alike in cast:
            for one, other in itertools.combinations(sorted(_answered(ballot)), 2):
                pairs.setdefault((one[0], other[0]), Tally()).add_alike(alike, Fraction(one[1] == other[1]))
        named = (
            {"stage": stage, "a": pair[0], "b": pair[1]} | columns(pairs[pair], "agreement") for pair in sorted(pairs)
        )
        rows.extend(named)
    return Rows(rows, ballots.left_out, ballots.notes())


def _answered(ballot: Ballot) -> list[tuple[str, bytes]]:
    return [(vote.member, vote.key) for vote in ballot.votes if vote.key is not None]


def finish_entropy(ballots: Ballots) -> Table:
    found = {}
    for stage, cast in ballots.by_stage().items():
        tally = Tally(bounds=(0.0, math.inf))
        for ballot, alike in cast:
            counts = ballot.counts()
            if counts.total() > 1:
                tally.add_alike(alike, Fraction(entropy(counts)))
            else:
                tally.leave_out("with fewer than two answers", alike.times)
        ballots.left_out.update(tally.left_out)
        if tally.spread.n:
            found[stage] = bootstrapped(tally)
    return Table(found, ballots.left_out, ballots.notes())


def entropy(counts: Counter[bytes]) -> float:
    """Shannon's entropy in bits; summed exactly, so that the order of answers can't matter."""
    n = counts.total()
    return max(0.0, -math.fsum(count / n * math.log2(count / n) for count in counts.values()))


def answer_distribution(selection: Selection, *, answer: Rule = None, top: int = 50) -> Ballots:
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise QueryError(f"top={top!r} is no positive number of answers")
    return read_ballots(selection, Answers(answer), by_answer=True, top=top)


def finish_distribution(ballots: Ballots) -> Rows:
    rows: list[dict[str, Any]] = []
    for stage, cast in ballots.by_stage().items():
        counted = [(alike, ballot.counts()) for ballot, alike in cast]
        totals: Counter[bytes] = Counter()
        for alike, counts in counted:
            totals.update({key: count * alike.times for key, count in counts.items()})
        most = sorted(totals, key=lambda key: (-totals[key], key))
        frequent, rare = most[: ballots.asked["top"]], most[ballots.asked["top"] :]
        rows += [
            {"stage": stage, "answer": ballots.shown(key), "count": totals[key], **_share(key, counted)}
            for key in frequent
        ]
        ballots.left_out["rarer answers"] += sum(totals[key] for key in rare)
    return Rows(rows, ballots.left_out, ballots.notes())


def _share(key: bytes, counted: list[tuple[Alike, Counter[bytes]]]) -> dict[str, Any]:
    tally = Tally()
    for alike, counts in counted:
        tally.add_many_alike(alike, counts.total(), Fraction(counts[key]))
    return columns(tally, "share")
