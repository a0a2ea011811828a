"""Who votes where, whatever they answer: ensembles, their members in slot order, and which of them count."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from embertrace.analysis.arrays.sums import units_of_calls
from embertrace.analysis.ensembles import NO_MEMBERS
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, dense
from embertrace.analysis.table.shape import OPEN, RESULT_OUTCOME, Shape
from embertrace.analysis.trees import Trees

ENDED, FAILED, MISSING = range(3)
NO_TEXT = -1

EVERYONE = slice(None)
FEW_NAMES = 8
"""To compare all places with so many names is faster than to look each one's up."""


def places_of_type(trees: Trees, operator_type: str) -> Array:
    """By place whether a call is of a type."""
    of_names, names = is_of_type(trees, operator_type), trees.shape.name
    numbers = np.flatnonzero(of_names)
    if len(numbers) > FEW_NAMES:
        found: Array = of_names[names]
        return found
    found = np.zeros(len(names), bool)
    for number in numbers.astype(names.dtype):
        found |= names == number
    return found


def is_of_type(trees: Trees, operator_type: str) -> Array:
    """By the number of a name whether it is of a type."""
    return trees.table.names.which(lambda names: names[1] == operator_type)


def may_vote(trees: Trees, places: Array) -> Array:
    """Of calls whether each is of a kind that votes."""
    voting = trees.table.names.which(lambda names: names[1] not in NO_MEMBERS)
    found: Array = voting[trees.shape.name[places]] & trees.shape.member[places]
    return found


@dataclass(frozen=True)
class Ballots:
    """Who votes where, whatever they answered: ensembles, and their members in slot order."""

    ensemble: Array
    """Places."""
    member: Array
    """Places."""
    group: Array
    """Of each member the index of its ensemble."""
    status: Array
    """Of each member: ENDED with a result, FAILED or MISSING."""
    nested: Array
    """Of each member whether it is an ensemble itself."""
    identity: Array
    """Of each member a number for its operator's id, and for which of that id it is where there are several."""
    size: Array
    """Of each ensemble its members."""
    text: Array
    """Of each member which of `texts` its end says; NO_TEXT where it did not end with a result."""
    texts: Array
    """The numbers of all texts that ends of members say."""

    @cached_property
    def most(self) -> int:
        """The members of the largest ensemble."""
        return int(self.size.max(initial=0))

    @cached_property
    def by_slot(self) -> list[tuple[Array | slice, Array]]:
        """Of each slot which ensembles have a member there (by index), and the texts of those members. For ensembles
        of few members: it takes a step for each slot."""
        starts = np.cumsum(self.size) - self.size
        found: list[tuple[Array | slice, Array]] = []
        for slot in range(self.most):
            on = np.flatnonzero(self.size > slot)
            found.append((EVERYONE if len(on) == len(starts) else on, self.text.take(starts[on] + slot)))
        return found

    def take(self, chosen: Array) -> Ballots:
        """With the chosen members only."""
        group = self.group[chosen]
        size = np.bincount(group, minlength=len(self.ensemble))
        columns = (self.status[chosen], self.nested[chosen], self.identity[chosen])
        return Ballots(self.ensemble, self.member[chosen], group, *columns, size, self.text[chosen], self.texts)


def _ballots(trees: Trees) -> Ballots:
    shape = trees.shape
    is_ensemble = places_of_type(trees, "ensemble")
    below, _ = shape.children_of_all
    below = below[is_ensemble[shape.parent[below]]]
    members = below[may_vote(trees, below)]
    ensembles = np.flatnonzero(is_ensemble)
    index = np.zeros(len(shape), np.int64)
    index[ensembles] = np.arange(len(ensembles))
    group = index[shape.parent[members]]
    status = np.full(len(members), FAILED, np.uint8)
    outcome = shape.outcome[members]
    status[outcome == OPEN] = MISSING
    status[(outcome == RESULT_OUTCOME) & ~ended_late(shape, members, ensembles[group])] = ENDED
    size = np.bincount(group, minlength=len(ensembles))
    text = np.full(len(members), NO_TEXT, np.int32)
    ended = np.flatnonzero(status == ENDED)
    numbers = trees.texts.numbers(shape.end_row[members[ended]])
    texts, text[ended] = counted(numbers)[0], dense(numbers)
    identity = _identities(trees, members, group)
    return Ballots(ensembles, members, group, status, is_ensemble[members], identity, size, text, texts)


def _identities(trees: Trees, members: Array, group: Array) -> Array:
    ids: dict[str, int] = {}
    of_names = np.array([ids.setdefault(names[0], len(ids)) for names in trees.table.names.triples], np.int64)
    operator = of_names[trees.shape.name[members]]
    together = group * max(1, len(ids)) + operator
    order = np.argsort(together, kind="stable")
    first = np.flatnonzero(np.diff(together[order], prepend=-1))
    times = np.diff(np.append(first, len(order)))
    which = np.empty(len(order), np.int64)
    which[order] = np.where(
        np.repeat(times, times) > 1, np.arange(1, len(order) + 1) - np.repeat(first, times), 0
    )  # 0 where it is the only one
    found: Array = which * max(1, len(ids)) + operator
    return found


class Standing(NamedTuple):
    """The ensembles, and which of their members count where a mask selects calls. By ensemble:"""

    ballots: Ballots
    unit: Array
    """The code of its unit (see `sums.Units`)."""
    counts: Array
    """Whether it counts: it is selected, or a member of it is."""
    alone: Array
    """Whether it votes through the list it returned, and so has to be read for itself."""
    apart: bool
    """Whether no two ensembles are of one unit."""
    incomplete: Array
    attempted: Array
    """How many members were asked, and are not missing."""


def standing_of(trees: Trees, mask: Array | None) -> Standing:
    """With `mask` None, of all calls; that is worked out once."""
    return trees.once(_standing_of_all) if mask is None else _standing(trees, trees.once(_standing_of_all), mask)


def _standing_of_all(trees: Trees) -> Standing:
    ballots = _ballots(trees)
    alone = (ballots.size == 0) & (trees.shape.missing[ballots.ensemble] == 0)
    unit = units_of_calls(trees).codes(ballots.ensemble)
    apart = int(counted(unit)[1].max(initial=0)) < 2
    return Standing(ballots, unit, np.ones(len(unit), bool), alone, apart, *_attendance(trees, ballots))


def _standing(trees: Trees, everyone: Standing, mask: Array) -> Standing:
    whole = mask[everyone.ballots.ensemble]
    ballots = everyone.ballots
    ballots = ballots.take(whole[ballots.group] | (mask[ballots.member] & ~ballots.nested))
    counts = whole | (ballots.size > 0)
    alone = whole & everyone.alone
    return Standing(ballots, everyone.unit, counts, alone, everyone.apart, *_attendance(trees, ballots))


def _attendance(trees: Trees, ballots: Ballots) -> tuple[Array, Array]:
    """Of each ensemble whether it is incomplete, and how many members were attempted."""
    ensembles, shape = ballots.ensemble, trees.shape
    missing = np.bincount(ballots.group[ballots.status == MISSING], minlength=len(ensembles))
    incomplete = (shape.end_row[ensembles] < 0) | (missing > 0) | (shape.missing[ensembles] > 0)
    return incomplete, ballots.size - missing


def counting_places(trees: Trees, mask: Array) -> Array:
    """By place whether a call is an ensemble that counts where a mask selects calls."""
    standing = standing_of(trees, mask)
    found = np.zeros(len(trees.shape), bool)
    found[standing.ballots.ensemble[standing.counts]] = True
    return found


def ended_late(shape: Shape, members: Array, ensembles: Array) -> Array:
    """Whether a call ended after the one above it did, as far as one producer's own order can tell."""
    mine, whole = shape.end_row[members], shape.end_row[ensembles]
    late = np.zeros(len(members), bool)
    both = np.flatnonzero((mine >= 0) & (whole >= 0))
    my_producer, my_seq = shape.events.emitted(mine[both])
    its_producer, its_seq = shape.events.emitted(whole[both])
    late[both] = (my_producer == its_producer) & (my_seq > its_seq)
    return late
