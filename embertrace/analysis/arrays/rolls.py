"""Of every member that votes: its name, what became of it, and what it said."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.ballots import ENDED, FAILED, MISSING, Ballots, standing_of
from embertrace.analysis.arrays.votes import ANSWERED, STATUSES, UNKNOWN, Votes, answers_at
from embertrace.analysis.table.column import Array
from embertrace.analysis.trees import Trees

SILENT = {code: f"({name})" for name, code in STATUSES.items()} | {
    UNKNOWN + FAILED: "(failed)",
    UNKNOWN + MISSING: "(missing)",
}
"""How a member that said nothing is shown, by its status."""


class Roll(NamedTuple):
    """Members of the ensembles that `Votes` has, in the order of ensembles and slots: places, the places of their
    ensembles, numbers that `name_of` leads back from, and statuses."""

    member: Array
    ensemble: Array
    identity: Array
    status: Array


def roll_of(trees: Trees, answers: Answers, votes: Votes, mask: Array | None) -> Roll:
    """The members over which these ensembles count, where `mask` selects calls (None: all)."""
    ballots = standing_of(trees, mask).ballots
    ordinary = np.isin(ballots.ensemble, votes.place)
    if not ordinary.all():
        ballots = ballots.take(ordinary[ballots.group])
    return Roll(ballots.member, ballots.ensemble[ballots.group], ballots.identity, _statuses(trees, answers, ballots))


def _statuses(trees: Trees, answers: Answers, ballots: Ballots) -> Array:
    status = ballots.status.astype(np.int64) + UNKNOWN  # what did not end lies above what answers can be
    ended = np.flatnonzero(ballots.status == ENDED)
    status[ended], _ = answers_at(trees, answers, ballots.member[ended])
    return status


def shown(trees: Trees, members: Array, status: Array) -> list[Any]:
    """What a person sees of votes; of one without a value None."""
    found: list[Any] = [None] * len(members)
    says = np.flatnonzero((status == ANSWERED) | (status == UNKNOWN))
    for at, value in zip(says.tolist(), trees.answers(members[says]), strict=True):
        found[at] = value
    return found


def name_of(trees: Trees, identity: int) -> str:
    """The name of a member, by its number: its operator's id, and which of that id it is where there are several."""
    operators = list(dict.fromkeys(names[0] for names in trees.table.names.triples))
    which, operator = divmod(identity, max(1, len(operators)))
    return f"{operators[operator]}#{which - 1}" if which else operators[operator]
