"""Of every judge whose ensemble is found in one step: how far that ensemble agreed, and how right the judge was.

Judges that something out of the ordinary fed are `rest`, to be read one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embertrace.analysis.arrays.ballots import standing_of
from embertrace.analysis.arrays.deciding import Decisions, decisions_of, judges_of
from embertrace.analysis.arrays.feeding import LEFT, UNLINKED, Feeding, feeding_of
from embertrace.analysis.arrays.votes import Votes, votes_of
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted
from embertrace.analysis.trees import Trees


class Joined(NamedTuple):
    """By judge: the ensemble that fed it (its index among votes), and the judge's kind (see `judges_of`). `apart`:
    whether no two were fed by one ensemble; `rest` are places of judges whose ensembles are to be read."""

    ensemble: Array
    kind: Array
    apart: bool
    rest: Array


class JudgedVotes(NamedTuple):
    """Judges with their ensembles, which are among `votes`; `decisions` are by the kind of a judge."""

    votes: Votes
    decisions: Decisions
    joined: Joined


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
        found = [JudgedVotes(whole, decisions, trees.once(_all_joined))]
        unlinked = int(np.count_nonzero(feeding.ensemble == UNLINKED))
    else:
        chosen = votes_of(trees, right.answers, mask)
        assert chosen is not None  # it depends on the rule for answers alone
        selected, fed = mask[feeding.judge], feeding.ensemble >= 0
        found = [
            JudgedVotes(votes, decisions, _joined(trees, votes.place, votes.rest, feeding, np.flatnonzero(fed & asked)))
            for votes, asked in ((whole, selected), (chosen, ~selected))
        ]
        unlinked = int(np.count_nonzero(selected & (feeding.ensemble == UNLINKED)))
    left = [feeding.judge[feeding.ensemble == LEFT], *(part.joined.rest for part in found)]
    return AllJudged(found, unlinked, sorted(np.concatenate(left).tolist()))


def _all_joined(trees: Trees) -> Joined:
    """All judges that an ensemble fed."""
    standing, feeding = standing_of(trees, None), feeding_of(trees)
    ensembles, alone = standing.ballots.ensemble, standing.alone
    return _joined(trees, ensembles[~alone], ensembles[alone], feeding, np.flatnonzero(feeding.ensemble >= 0))


def _joined(trees: Trees, place: Array, rest: Array, feeding: Feeding, judges: Array) -> Joined:
    """Judges with their ensembles, of which those in `rest` have to be read."""
    index = np.full(len(trees.shape), UNLINKED, np.int32)
    index[place], index[rest] = np.arange(len(place)), LEFT
    ensembles = index[feeding.ensemble[judges]]
    left = feeding.judge[judges[ensembles == LEFT]]
    if len(ensembles) and ensembles.min() < 0:
        judges, ensembles = judges[ensembles >= 0], ensembles[ensembles >= 0]
    apart = int(counted(ensembles)[1].max(initial=0)) < 2
    return Joined(ensembles, judges_of(trees).kind[judges], apart, left)
