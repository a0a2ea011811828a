"""Of every ensemble that counts: how many members answered and failed, and how far they agreed.

The arrays of `Votes` have an entry for each ensemble that is in the ordinary: its members are operators, or it has
none and says that some are missing. The others are `rest`, to be read one by one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.ensembles import NO_MEMBERS
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, dense
from embertrace.analysis.table.shape import OPEN, RESULT_OUTCOME, Shape
from embertrace.analysis.trees import Trees

FEW_KEYS, _BITS = 16, 4
_MOST = (1 << _BITS) - 1
"""Up to so many different answers of so many members are counted in one integer for each ensemble, with _BITS for each
answer: a fifth of the time."""
ANSWERED, ABSTAINED, UNKNOWN = range(3)
ENDED, FAILED, MISSING = range(3)
NO_TEXT = -1
STATUSES = {"answered": ANSWERED, "abstained": ABSTAINED, "unknown": UNKNOWN}


class Votes(NamedTuple):
    """By ensemble: its place, and counts. `largest` is the size of its largest group of equal answers."""

    place: Array
    incomplete: Array
    unknown: Array
    attempted: Array
    answered: Array
    distinct: Array
    largest: Array
    rest: Array

    @property
    def comparable(self) -> Array:
        found: Array = ~self.incomplete & ~self.unknown
        return found


def votes_of(trees: Trees, answers: Answers, mask: Array | None) -> Votes | None:
    """The votes of the ensembles that count where `mask` selects calls (None: all). None if a callable decides."""
    if answers.name is None:
        return None
    if mask is not None:
        return _count(trees, answers, mask)
    return trees.keep(("votes", answers.name), lambda: _count(trees, answers, None))


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


class Keys(NamedTuple):
    """What payloads say as answers, by the numbers of their texts: status and key; keys are numbers, `values` leads
    back from them (to None that of those that did not answer)."""

    status: Array
    key: Array
    values: list[bytes | None]


def keys_of(trees: Trees, answers: Answers) -> Keys:
    """The answers of all texts that were looked at, under a rule that has a name."""
    kept = ("keys", answers.name)
    readings = trees.texts.read(f"answer {answers.name}", answers.of_data)
    if kept not in trees.kept or len(trees.kept[kept].status) < len(readings):
        numbers: dict[bytes | None, int] = {}
        status = np.array([STATUSES[reading.status] for reading in readings], np.uint8)
        key = np.array([numbers.setdefault(reading.key, len(numbers)) for reading in readings], np.int64)
        trees.kept[kept] = Keys(status, key, list(numbers))
    found: Keys = trees.kept[kept]
    return found


def answers_at(trees: Trees, answers: Answers, places: Array) -> tuple[Array, Array]:
    """Status and number of the answer of each call, all of which ended with a result; equal numbers are equal keys."""
    return answers_in(trees, answers, trees.texts.numbers(trees.shape.end_row[places]))


def answers_in(trees: Trees, answers: Answers, texts: Array) -> tuple[Array, Array]:
    """As `answers_at`, of the texts of their ends by number."""
    keys = keys_of(trees, answers)
    return keys.status[texts], keys.key[texts]


class Ballots(NamedTuple):
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


def ballots_of(trees: Trees) -> Ballots:
    """Who votes where; read once."""
    if trees.ballots is None:
        trees.ballots = _ballots(trees)
    found: Ballots = trees.ballots
    return found


class Standing(NamedTuple):
    """The ensembles, and which of their members count where a mask selects calls."""

    ballots: Ballots
    counts: Array
    """Of each ensemble whether it counts: it is selected, or a member of it is."""
    alone: Array
    """Whether it votes through the list it returned, and so has to be read for itself."""
    incomplete: Array


def standing_of(trees: Trees, mask: Array | None) -> Standing:
    """With `mask` None, of all calls."""
    shape, ballots = trees.shape, ballots_of(trees)
    ensembles = ballots.ensemble
    whole = np.ones(len(ensembles), bool) if mask is None else mask[ensembles]
    missing_children = shape.missing[ensembles] > 0
    alone = whole & (ballots.size == 0) & ~missing_children
    if mask is not None:
        ballots = ballots.take(whole[ballots.group] | (mask[ballots.member] & ~ballots.nested))
    missing = np.bincount(ballots.group[ballots.status == MISSING], minlength=len(ensembles)) > 0
    incomplete = (shape.end_row[ensembles] < 0) | missing | missing_children
    return Standing(ballots, whole | (ballots.size > 0), alone, incomplete)


def counting_places(trees: Trees, mask: Array) -> Array:
    """By place whether a call is an ensemble that counts where a mask selects calls."""
    standing = standing_of(trees, mask)
    found = np.zeros(len(trees.shape), bool)
    found[standing.ballots.ensemble[standing.counts]] = True
    return found


def _count(trees: Trees, answers: Answers, mask: Array | None) -> Votes:
    standing = standing_of(trees, mask)
    ballots, ensembles = standing.ballots, standing.ballots.ensemble
    status, key = answers_in(trees, answers, ballots.texts)
    missing = np.bincount(ballots.group[ballots.status == MISSING], minlength=len(ensembles))
    unknown = _how_many(ballots, status == UNKNOWN)
    answered, distinct, largest = _agreement(ballots, status == ANSWERED, key)
    chosen = standing.counts & ~standing.alone
    columns = (ensembles, standing.incomplete, unknown > 0, ballots.size - missing, answered, distinct, largest)
    counting = columns if chosen.all() else (column[chosen] for column in columns)
    return Votes._make([*counting, ensembles[standing.alone]])


def ended_late(shape: Shape, members: Array, ensembles: Array) -> Array:
    """Whether a call ended after the one above it did, as far as one producer's own order can tell."""
    mine, whole = shape.end_row[members], shape.end_row[ensembles]
    late = np.zeros(len(members), bool)
    both = np.flatnonzero((mine >= 0) & (whole >= 0))
    my_producer, my_seq = shape.events.emitted(mine[both])
    its_producer, its_seq = shape.events.emitted(whole[both])
    late[both] = (my_producer == its_producer) & (my_seq > its_seq)
    return late


def _how_many(ballots: Ballots, chosen: Array) -> Array:
    """Of each ensemble how many of its members say one of the chosen texts."""
    if not chosen.any():
        return np.zeros(len(ballots.ensemble), np.int64)
    return np.bincount(ballots.group[np.append(chosen, False)[ballots.text]], minlength=len(ballots.ensemble))


def _agreement(ballots: Ballots, voted: Array, key: Array) -> tuple[Array, Array, Array]:
    """Of each ensemble how many answers it has, how many distinct ones, and how often the most frequent one occurs;
    `voted` and `key` are of texts."""
    keys = dense(key[voted])
    width = int(keys.max()) + 1 if len(keys) else 1
    if width <= FEW_KEYS and (ballots.size <= _MOST).all():
        return _agreement_of_few(ballots, voted, keys, width)
    says = np.append(voted, False)[ballots.text]
    group, key, groups = ballots.group[says], key[ballots.text[says]], len(ballots.ensemble)
    width = int(key.max()) + 1 if len(key) else 1
    answered = np.bincount(group, minlength=groups)
    codes, times = counted(group * width + key)
    of_group = codes // width
    distinct = np.bincount(of_group, minlength=groups)
    largest = np.zeros(groups, np.int64)
    np.maximum.at(largest, of_group, times)
    return answered, distinct, largest


def _agreement_of_few(ballots: Ballots, voted: Array, keys: Array, width: int) -> tuple[Array, Array, Array]:
    """As `_agreement`; `keys` are of the texts that voted, small numbers below `width`."""
    kinds: list[Any] = [np.uint8, np.uint16, np.uint32, np.uint64]
    kind = next(each for each in kinds if width * _BITS <= 8 * each().itemsize)
    adds = np.zeros(len(voted) + 1, kind)  # the last is for those that say nothing
    adds[:-1][voted] = kind(1) << (_BITS * keys).astype(kind)
    filled = np.flatnonzero(ballots.size)
    counts = np.zeros(len(ballots.size), kind)
    starts = np.cumsum(ballots.size) - ballots.size
    counts[filled] = np.add.reduceat(adds[ballots.text], starts[filled], dtype=kind) if len(filled) else 0
    answered, distinct, largest = (np.zeros(len(counts), np.uint8) for _ in range(3))
    for place in range(width):
        often = ((counts >> kind(_BITS * place)) & kind(_MOST)).astype(np.uint8)
        answered += often
        distinct += often > 0
        largest = np.maximum(largest, often)
    return answered.astype(np.int64), distinct.astype(np.int64), largest.astype(np.int64)
