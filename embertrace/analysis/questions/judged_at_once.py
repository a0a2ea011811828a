"""The judges' decisions by their members' agreement, counted at once where that is possible."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from embertrace.analysis.arrays.deciding import (
    DECIDED,
    HAS_ABSTAINED,
    HAS_FAILED,
    REASONS,
    Decisions,
    decisions_of,
)
from embertrace.analysis.arrays.feeding import LEFT, UNLINKED, feeding_of
from embertrace.analysis.arrays.sums import sums_of
from embertrace.analysis.arrays.votes import Votes
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.query import Selection
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import grouped
from embertrace.analysis.tally import Tallies, Tally

Over = Literal["attempted", "answered"]


class _Rows(NamedTuple):
    """Judges and their ensembles, row by row: indices into all judges, into votes; and judges to be read one by one."""

    judge: Array
    vote: Array
    left: Array


def add_decisions(tallies: Tallies, selection: Selection, right: Correctness, over: Over) -> list[int] | None:
    """Count all judges but those whose places are returned. None (and nothing counted) where a callable decides."""
    trees = selection.trees
    every = selection.whole_votes(right.answers)
    chosen = selection.votes(right.answers)
    feeding = feeding_of(trees)
    decisions = decisions_of(trees, right) if every is not None else None
    if every is None or chosen is None or decisions is None:
        return None
    selected = selection.mask[feeding.judge]
    tallies.left_out["unlinked"] += int((selected & (feeding.ensemble == UNLINKED)).sum())
    left = [feeding.judge[feeding.ensemble == LEFT]]
    asking = [(every, selected)] if selected.all() else [(every, selected), (chosen, ~selected)]
    for votes, asked in asking:
        rows = _rows(len(trees.shape), votes, feeding.ensemble, asked)
        left.append(feeding.judge[rows.left])
        _count(tallies, selection, votes, rows, decisions, over)
    return sorted(np.concatenate(left).tolist())


def _rows(places: int, votes: Votes, ensemble: Array, asked: Array) -> _Rows:
    index = np.full(places, UNLINKED, np.int64)
    index[votes.place] = np.arange(len(votes.place))
    index[votes.rest] = LEFT
    judge = np.flatnonzero(asked & (ensemble >= 0))
    vote = index[ensemble[judge]]
    return _Rows(judge[vote >= 0], vote[vote >= 0], judge[vote == LEFT])


def _count(tallies: Tallies, selection: Selection, votes: Votes, rows: _Rows, decisions: Decisions, over: Over) -> None:
    incomplete = votes.incomplete[rows.vote]
    tallies.left_out["incomplete"] += int(incomplete.sum())
    tallies.left_out["with unknown answers"] += int((~incomplete & votes.unknown[rows.vote]).sum())
    counted = votes.comparable[rows.vote]
    judge, vote = rows.judge[counted], rows.vote[counted]
    of = (votes.attempted if over == "attempted" else votes.answered)[vote]
    width = int(of.max()) + 1 if len(of) else 1
    names = votes.largest[vote] * width + of
    for name, here in grouped(names, np.arange(len(names))):
        tally = tallies.named(f"{name // width}/{name % width}")
        _add(tally, selection, judge[here], votes.place[vote[here]], decisions)


def _add(tally: Tally, selection: Selection, judge: Array, ensemble: Array, decisions: Decisions) -> None:
    reason = decisions.reason[judge]
    for code, often in enumerate(np.bincount(reason, minlength=len(REASONS)).tolist()):
        if code != DECIDED:
            tally.left_out[REASONS[code]] += often
    failed = (reason == HAS_FAILED) | (reason == HAS_ABSTAINED)
    tally.failed += int((failed & decisions.labelled[judge]).sum())
    decided = reason == DECIDED
    right = decisions.right[judge[decided]]
    sums = sums_of(selection.trees, ensemble[decided], right, np.ones_like(right))
    assert sums is not None, "ones and zeros of calls in memory add up to less than 2 to the 53rd"
    tally.add_sums(sums)
