"""Of every ensemble that counts: how many members answered and failed, and how far they agreed.

The arrays of `Votes` have an entry for each ensemble that is in the ordinary: its members are operators, or it has
none and says that some are missing. The others are `rest`, to be read one by one.

There are few ways in which members agree: `pattern` is the number of each ensemble's, and what follows from it is known
by that number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.ballots import EVERYONE, Ballots, standing_of
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, dense, together
from embertrace.analysis.trees import Trees

FEW_KEYS, _BITS = 16, 4
_MOST = (1 << _BITS) - 1
"""Up to so many different answers of so many members are counted in one integer for each ensemble: a tenth of the
time."""
_PATTERNS = 1 << 16
"""Where such integers are no more than this, each is a pattern; else they have _BITS for each answer."""
_UNSIGNED: tuple[Any, ...] = (np.uint8, np.uint16, np.uint32, np.uint64)
ANSWERED, ABSTAINED, UNKNOWN = range(3)
STATUSES = {"answered": ANSWERED, "abstained": ABSTAINED, "unknown": UNKNOWN}


class Patterns(NamedTuple):
    """By pattern: how many members answered, how many different answers they gave, and the size of the largest group of
    equal ones."""

    answered: Array
    distinct: Array
    largest: Array


class Votes(NamedTuple):
    """By ensemble: its place, the code of its unit, what is wrong with it, how many members were asked, and how they
    agree. `apart`: whether no two are of one unit."""

    place: Array
    unit: Array
    incomplete: Array
    unknown: Array
    attempted: Array
    pattern: Array
    patterns: Patterns
    apart: bool
    rest: Array

    @property
    def comparable(self) -> Array:
        found: Array = ~(self.incomplete | self.unknown)
        return found

    @property
    def answered(self) -> Array:
        return self.patterns.answered.take(self.pattern)

    @property
    def distinct(self) -> Array:
        return self.patterns.distinct.take(self.pattern)

    @property
    def largest(self) -> Array:
        return self.patterns.largest.take(self.pattern)


def votes_of(trees: Trees, answers: Answers, mask: Array | None) -> Votes | None:
    """The votes of the ensembles that count where `mask` selects calls (None: all). None if a callable decides."""
    if answers.name is None:
        return None
    if mask is not None:
        return _count(trees, answers, mask)
    return trees.keep(("votes", answers.name), lambda: _count(trees, answers, None))


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


def _count(trees: Trees, answers: Answers, mask: Array | None) -> Votes:
    standing = standing_of(trees, mask)
    ballots, ensembles = standing.ballots, standing.ballots.ensemble
    status, key = answers_in(trees, answers, ballots.texts)
    unknown = _are_among(ballots, status == UNKNOWN)
    pattern, patterns = _agreement(ballots, status == ANSWERED, key)
    counting = standing.counts & ~standing.alone
    chosen = EVERYONE if counting.all() else counting
    return Votes(
        ensembles[chosen],
        standing.unit[chosen],
        standing.incomplete[chosen],
        unknown[chosen],
        standing.attempted[chosen],
        pattern[chosen],
        patterns,
        standing.apart,
        ensembles[standing.alone],
    )


def _are_among(ballots: Ballots, chosen: Array) -> Array:
    """Of each ensemble whether a member says one of the chosen texts."""
    found = np.zeros(len(ballots.ensemble), bool)
    if chosen.any():
        found[ballots.group[np.append(chosen, False)[ballots.text]]] = True
    return found


def _agreement(ballots: Ballots, voted: Array, key: Array) -> tuple[Array, Patterns]:
    """Of each ensemble the number of its pattern, and what that stands for; `voted` and `key` are of texts."""
    keys = dense(key[voted])
    width = int(keys.max()) + 1 if len(keys) else 1
    if width > FEW_KEYS or ballots.most > _MOST:
        return _told_apart(*_of_many(ballots, voted, key))
    base = ballots.most + 1
    if base**width <= _PATTERNS:
        return _added_up(ballots, voted, base**keys, base**width), _patterns_of_sums(base, width)
    counts = _added_up(ballots, voted, np.uint64(1) << (_BITS * keys).astype(np.uint64), 1 << _BITS * width)
    return _told_apart(*_digits(counts, 1 << _BITS, width))


def _added_up(ballots: Ballots, voted: Array, worth: Array, most: int) -> Array:
    """Of each ensemble the sum of what the answers of its members are worth, which is less than `most`."""
    kind = next(each for each in _UNSIGNED if most - 1 <= np.iinfo(each).max)
    adds = np.zeros(len(voted) + 1, kind)  # the last is for those that say nothing
    adds[:-1][voted] = worth
    found = np.zeros(len(ballots.ensemble), kind)
    for ensembles, text in ballots.by_slot:
        found[ensembles] += adds.take(text)
    return found


@lru_cache(maxsize=64)
def _patterns_of_sums(base: int, width: int) -> Patterns:
    """What each sum of powers of `base` says, in which a digit is how often one of `width` answers was given."""
    return Patterns(*_digits(np.arange(base**width), base, width))


def _digits(sums: Array, base: int, width: int) -> tuple[Array, Array, Array]:
    answered, distinct, largest = (np.zeros(len(sums), np.int64) for _ in range(3))
    for _ in range(width):
        sums, often = np.divmod(sums, sums.dtype.type(base))
        often = often.astype(np.int64)
        answered += often
        distinct += often > 0
        largest = np.maximum(largest, often)
    return answered, distinct, largest


def _of_many(ballots: Ballots, voted: Array, key: Array) -> tuple[Array, Array, Array]:
    """Of each ensemble what a pattern says, however many answers and members there are."""
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


def _told_apart(answered: Array, distinct: Array, largest: Array) -> tuple[Array, Patterns]:
    """Numbers for what ensembles say, and what each number stands for."""
    pattern = together(answered, distinct, largest)
    found = Patterns(*(np.zeros(int(pattern.max(initial=-1)) + 1, np.int64) for _ in range(3)))
    for of_pattern, column in zip(found, (answered, distinct, largest), strict=True):
        of_pattern[pattern] = column
    return pattern, found
