"""What is said of items by the calls about them, as columns: of several calls the last speaks.

Items stand here as codes (see `naming.Names`), in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.deciding import DECIDED
from embertrace.analysis.arrays.rolls import SILENT, name_of, roll_of, shown
from embertrace.analysis.arrays.votes import Votes
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.reading import decided_among, truths_of
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, last_of_each
from embertrace.analysis.table.shape import RESULT_OUTCOME


class Said(NamedTuple):
    """Of items, by their codes, what was said of each, and the place of the call that said it."""

    code: Array
    place: Array
    value: list[Any]


def last_said(names: Names, places: Array, values: Sequence[Any]) -> Said:
    """What calls (places ascend) say, each of its item. None says nothing."""
    says = np.flatnonzero(np.fromiter((value is not None for value in values), bool, len(values)))
    codes = names.codes(places[says])
    last, _ = last_of_each(codes)
    return Said(codes[last], places[says[last]], [values[at] for at in says[last].tolist()])


def truths(names: Names, selection: Selection, right: Correctness) -> Said:
    """What is true of the items of selected calls."""
    return last_said(names, selection.places, truths_of(selection, right, selection.places))


def agreements(names: Names, votes: Votes) -> Said:
    """How many members of ensembles agree, of how many that were asked: "2/3"."""
    counts = zip(votes.largest[votes.comparable].tolist(), votes.attempted[votes.comparable].tolist(), strict=True)
    return last_said(names, votes.place[votes.comparable], [f"{largest}/{attempted}" for largest, attempted in counts])


def answers_of_members(names: Names, selection: Selection, answers: Answers, votes: Votes) -> tuple[Said, list[str]]:
    """What is shown of members of ensembles, each for itself, and their names; those of several ensembles stand side by
    side."""
    trees = selection.trees
    roll = roll_of(trees, answers, votes, selection.mask if selection.filtered else None)
    codes = names.codes(votes.place)[np.searchsorted(votes.place, roll.ensemble)]
    several = int(roll.identity.max(initial=0)) + 1
    last, _ = last_of_each(codes * several + roll.identity)
    status = roll.status[last]
    values = [
        SILENT[code] if value is None else value
        for code, value in zip(status.tolist(), shown(trees, roll.member[last], status), strict=True)
    ]
    members = {identity: name_of(trees, identity) for identity in counted(roll.identity)[0].tolist()}
    named = list(map(members.__getitem__, roll.identity[last].tolist()))
    return Said(codes[last], roll.ensemble[last], values), named


def judgements(names: Names, selection: Selection, right: Correctness) -> tuple[Said, Array]:
    """What judges answered, and whether that is right (True, False, or None where nobody knows); and the places of the
    judges that have to be read one by one."""
    trees = selection.trees
    places = selection.judge_places(right.answers)
    places, decisions, alone = decided_among(selection, right, places[trees.shape.outcome[places] == RESULT_OUTCOME])
    codes = names.codes(places)
    last, _ = last_of_each(codes)
    decided, is_right = (decisions.reason[last] == DECIDED).tolist(), (decisions.right[last] == 1).tolist()
    known = [share if is_known else None for share, is_known in zip(is_right, decided, strict=True)]
    return Said(codes[last], places[last], list(zip(trees.answers(places[last]), known, strict=True))), alone
