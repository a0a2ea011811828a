"""Of every judge whose ensemble is found in one step: how far that ensemble agreed, and how right the judge was.

Judges that something out of the ordinary fed are `rest`, to be read one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embertrace.analysis.arrays.deciding import Decisions, decisions_of
from embertrace.analysis.arrays.feeding import LEFT, UNLINKED, Feeding, feeding_of
from embertrace.analysis.arrays.votes import Votes, votes_of
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.table.column import Array
from embertrace.analysis.trees import Trees


class JudgedVotes(NamedTuple):
    """By judge: the ensemble that fed it (its index in `votes`), and the judge's own (in `decisions`)."""

    votes: Votes
    ensemble: Array
    decisions: Decisions
    judge: Array


class AllJudged(NamedTuple):
    """Judges whose ensembles count as wholes, and those whose ensembles count in part; how many nothing fed; and the
    places of those to be read one by one."""

    parts: list[JudgedVotes]
    unlinked: int
    rest: list[int]


def judged_votes(trees: Trees, right: Correctness, mask: Array | None) -> AllJudged | None:
    """Of all judges that count where `mask` selects calls (None: all): one that is selected has its whole ensemble,
    another the members that are selected. None where a callable decides, or what only single judges say."""
    whole = votes_of(trees, right.answers, None)
    decisions = decisions_of(trees, right) if whole is not None else None
    if whole is None or decisions is None:
        return None
    feeding = feeding_of(trees)
    if mask is None:
        everyone = np.flatnonzero(feeding.ensemble >= 0)
        found = [_joined(trees, whole, decisions, feeding, everyone)]
        unlinked = int((feeding.ensemble == UNLINKED).sum())
    else:
        chosen = votes_of(trees, right.answers, mask)
        assert chosen is not None  # it depends on the rule for answers alone
        selected, fed = mask[feeding.judge], feeding.ensemble >= 0
        found = [
            _joined(trees, votes, decisions, feeding, np.flatnonzero(fed & asked))
            for votes, asked in ((whole, selected), (chosen, ~selected))
        ]
        unlinked = int((selected & (feeding.ensemble == UNLINKED)).sum())
    left = [feeding.judge[feeding.ensemble == LEFT], *(rest for _, rest in found)]
    return AllJudged([part for part, _ in found], unlinked, sorted(np.concatenate(left).tolist()))


def _joined(
    trees: Trees, votes: Votes, decisions: Decisions, feeding: Feeding, judges: Array
) -> tuple[JudgedVotes, Array]:
    """Judges with their ensembles, as far as those count; and the places of those whose ensembles are to be read."""
    index = np.full(len(trees.shape), UNLINKED, np.int32)
    index[votes.place], index[votes.rest] = np.arange(len(votes.place)), LEFT
    ensembles = index[feeding.ensemble[judges]]
    rest = feeding.judge[judges[ensembles == LEFT]]
    if len(ensembles) and ensembles.min() < 0:
        judges, ensembles = judges[ensembles >= 0], ensembles[ensembles >= 0]
    return JudgedVotes(votes, ensembles, decisions, judges), rest
