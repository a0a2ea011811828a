"""Ensembles of which every question says the same are of one kind: one of them is read, and stands for all.

Two ensembles are of one kind where they have the same stage and the same members, with the same outcome each, who agree
with each other in the same way, and of whom each is known to be as right; what they answered may differ, and so may
their items (`by_answer`: then the answers are the same, too). Those that can't be compared are of one kind, whatever
their members did. What is out of the ordinary is left to be read one by one: `rest`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers, is_readable
from embertrace.analysis.arrays.ballots import ENDED, Ballots, standing_of
from embertrace.analysis.arrays.deciding import (
    OTHER,
    UNSTATED,
    Decisions,
    accepted,
    can_decide,
    decisions_of,
    judges_of,
    stated_at,
    truths_at,
)
from embertrace.analysis.arrays.feeding import LEFT, UNLINKED, feeding_of
from embertrace.analysis.arrays.votes import ANSWERED, UNKNOWN, answers_at, answers_in, keys_of
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import dense, firsts, in_groups, together
from embertrace.analysis.table.items import NONE
from embertrace.analysis.table.shape import RESULT_OUTCOME
from embertrace.analysis.trees import Trees

MOST_MEMBERS = 256
"""Kinds are told apart member by member; ensembles with more members are few, and hardly alike."""
NO_KEY = -1


class Kinds(NamedTuple):
    """`place` of each ensemble, its `kind`, and by ensemble and member what tells answers apart; `rest` are places."""

    place: Array
    kind: Array
    rest: Array
    ballots: Ballots
    key: Array
    """Of each member among the ballots the number of its answer; NO_KEY where it has none."""

    def members_at(self, places: Array, slot: int) -> Array:
        """Of ensembles with more than `slot` members, by their places, the place of the member there."""
        index = np.searchsorted(self.ballots.ensemble, places)
        starts = np.cumsum(self.ballots.size) - self.ballots.size
        found: Array = self.ballots.member[starts[index] + slot]
        return found

    def first_of(self, place: Array, key: Array) -> Array:
        """Which member of an ensemble gave an answer first (from 1, in slot order); 0 where nobody gave it."""
        index = np.searchsorted(self.ballots.ensemble, place)
        size = self.ballots.size[index]
        start = (np.cumsum(self.ballots.size) - self.ballots.size)[index]
        found = np.zeros(len(place), np.int64)
        for slot in range(int(size.max()) if len(size) else 0):
            on = np.flatnonzero((size > slot) & (found == 0))
            found[on[self.key[start[on] + slot] == key[on]]] = slot + 1
        return found


def kinds_of(
    trees: Trees, answers: Answers, right: Correctness | None, mask: Array | None, *, by_answer: bool
) -> Kinds | None:
    """The kinds of the ensembles that count where `mask` selects calls (None: all). None where a callable decides."""
    if answers.name is None or (right is not None and not can_decide(trees, right)):
        return None
    if mask is not None:
        return _kinds(trees, answers, right, mask, by_answer)
    name = ("kinds", answers.name, right is not None, by_answer)
    return trees.keep(name, lambda: _kinds(trees, answers, right, None, by_answer))


def _kinds(trees: Trees, answers: Answers, right: Correctness | None, mask: Array | None, by_answer: bool) -> Kinds:
    standing = standing_of(trees, mask)
    ballots, ensembles = standing.ballots, standing.ballots.ensemble
    votes = _votes(trees, answers, ballots)
    unknown = np.bincount(ballots.group[votes.status == UNKNOWN], minlength=len(ensembles)) > 0
    comparable = ~standing.incomplete & ~unknown
    of_operator = trees.shape.name[ballots.member].astype(np.int64)
    alone = standing.alone | (ballots.size > MOST_MEMBERS)
    member = together(ballots.identity, of_operator, votes.status, (votes.text if by_answer else votes.label) + 1)
    ensemble = [trees.shape.name[ensembles], standing.incomplete, comparable]
    if right is not None:
        shares = _shares(trees, right, ballots, votes)
        member = together(member, shares.of_member)
        ensemble.append(shares.labelled)
        alone = alone | shares.out_of_the_ordinary
    chosen = np.flatnonzero(standing.counts & ~alone)
    size = np.where(comparable, ballots.size, 0)
    kind = _told_apart(together(size, *(column.astype(np.int64) for column in ensemble)), size, ballots.size, member)
    rest = ensembles[alone & standing.counts]
    return Kinds(ensembles[chosen], dense(kind[chosen]), rest, ballots, votes.key)


class _Votes(NamedTuple):
    """By member: a status (those of members that ended, else above them); and of those that answered (else NO_KEY) the
    key, who of them gave it first, and a number for what is shown of it."""

    status: Array
    key: Array
    label: Array
    text: Array


def _votes(trees: Trees, answers: Answers, ballots: Ballots) -> _Votes:
    ended = np.flatnonzero(ballots.status == ENDED)
    status = ballots.status.astype(np.int64) + UNKNOWN  # FAILED and MISSING lie above what answers can be
    key = np.full(len(status), NO_KEY, np.int64)
    status[ended], found = answers_in(trees, answers, ballots.texts[ballots.text[ended]])
    voted = status[ended] == ANSWERED
    at = ended[voted]
    key[at] = found[voted]
    start = np.cumsum(ballots.size) - ballots.size
    slot = np.arange(len(status)) - start[ballots.group]
    keys = keys_of(trees, answers).values
    label, text = np.full(len(status), NO_KEY, np.int64), key.copy()
    label[at] = slot[at[firsts(ballots.group[at].astype(np.int64) * len(keys) + key[at])]]
    unreadable = np.array([answer is not None and not is_readable(answer) for answer in keys], bool)
    hidden = at[unreadable[key[at]]]
    text[hidden] = len(keys) + ballots.text[hidden].astype(np.int64)
    return _Votes(status, key, label, text)


class _Shares(NamedTuple):
    """How right members are, as numbers; whether ensembles are labelled; and which have a share between 0 and 1."""

    of_member: Array
    labelled: Array
    out_of_the_ordinary: Array


def _shares(trees: Trees, right: Correctness, ballots: Ballots, votes: _Votes) -> _Shares:
    stated = stated_at(trees, ballots.member)
    of_ensemble = truths_at(trees, ballots.ensemble)
    truth = of_ensemble[ballots.group]
    own = np.flatnonzero((truth == NONE) & (votes.key != NO_KEY))
    truth[own] = truths_at(trees, ballots.member[own])
    known = np.flatnonzero((truth != NONE) & (votes.key != NO_KEY))
    verdict = np.full(len(stated), UNSTATED, np.int64)
    verdict[known] = accepted(trees, right, truth[known], votes.key[known])
    labelled = (of_ensemble != NONE) | (stated_at(trees, ballots.ensemble) != UNSTATED)
    between = np.bincount(ballots.group[stated == OTHER], minlength=len(ballots.ensemble)) > 0
    return _Shares((stated + 1) * 3 + verdict + 1, labelled, between)


def _told_apart(kind: Array, size: Array, lengths: Array, member: Array) -> Array:
    """Kinds of ensembles, told apart by `size` members each (0: by none); `lengths` are all members of each."""
    start = np.cumsum(lengths) - lengths
    kind = kind.copy()
    width = int(member.max()) + 1 if len(member) else 1
    for slot in range(min(int(size.max()), MOST_MEMBERS) if len(size) else 0):
        on = np.flatnonzero(size > slot)
        above = int(kind.max()) + 1  # kinds that end before this slot keep their numbers
        kind[on] = above + dense(dense(kind[on]) * width + member[start[on] + slot])
    return dense(kind)


class Judged(NamedTuple):
    """Judges of one kind that were fed by ensembles of one kind: their places, side by side."""

    judge: Array
    ensemble: Array


class JudgedKinds(NamedTuple):
    """Judges with one ensemble each, by kind; places of those that nothing fed, by kind; and of those to be read one
    by one."""

    kinds: list[Judged]
    unlinked: list[Array]
    rest: list[int]


def judged_kinds(trees: Trees, right: Correctness, mask: Array | None) -> JudgedKinds | None:
    """The kinds of all judges that count.

    A judge that `mask` selects has its whole ensemble, another the members that are selected. None where a callable
    decides.
    """
    whole = kinds_of(trees, right.answers, right, None, by_answer=False)
    chosen = whole if mask is None else kinds_of(trees, right.answers, right, mask, by_answer=False)
    decisions = decisions_of(trees, right) if whole is not None else None
    if whole is None or chosen is None or decisions is None:
        return None
    feeding, decided = feeding_of(trees), _told(decisions)[judges_of(trees).kind]
    selected = np.ones(len(feeding.judge), bool) if mask is None else mask[feeding.judge]
    left = [feeding.judge[feeding.ensemble == LEFT]]
    found: list[Judged] = []
    for kinds, asked in ((whole, selected), (chosen, ~selected)):
        kind = np.full(len(trees.shape), UNLINKED, np.int64)
        kind[kinds.place], kind[kinds.rest] = kinds.kind, LEFT
        judges = np.flatnonzero(asked & (feeding.ensemble >= 0))
        of_ensemble = kind[feeding.ensemble[judges]]
        left.append(feeding.judge[judges[of_ensemble == LEFT]])
        judges, of_ensemble = judges[of_ensemble >= 0], of_ensemble[of_ensemble >= 0]
        places, ensembles = feeding.judge[judges], feeding.ensemble[judges]
        agrees = _whom_judges_follow(trees, right.answers, kinds, places, ensembles)
        code = together(of_ensemble, agrees, decided[judges])
        found += [Judged(places[at], ensembles[at]) for at in alike(code)]
    unfed = np.flatnonzero(selected & (feeding.ensemble == UNLINKED))
    unlinked = [feeding.judge[unfed[at]] for at in alike(decided[unfed])]
    return JudgedKinds(found, unlinked, sorted(np.concatenate(left).tolist()))


def _told(decisions: Decisions) -> Array:
    """A number for what was decided, and how right that is."""
    says = (decisions.right, decisions.labelled)
    return together(decisions.reason.astype(np.int64), *(column.astype(np.int64) for column in says))


def _whom_judges_follow(trees: Trees, answers: Answers, kinds: Kinds, judges: Array, ensembles: Array) -> Array:
    """A number for how each judge ended, and for who of its ensemble gave the same answer first, if anybody did."""
    outcome, shape = np.zeros(len(judges), np.int64), trees.shape
    ended = np.flatnonzero(shape.outcome[judges] == RESULT_OUTCOME)
    status, key = answers_at(trees, answers, judges[ended])
    followed = np.where(status == ANSWERED, kinds.first_of(ensembles[ended], key), 0)
    outcome[ended] = 1 + status.astype(np.int64) + (UNKNOWN + 1) * followed
    return together(outcome, shape.outcome[judges].astype(np.int64))


def alike(kind: Array) -> Iterator[Array]:
    """Where each kind is, the kinds in the order in which they first occur."""
    order = in_groups(kind)
    bounds = np.flatnonzero(np.diff(kind[order], prepend=-1, append=-1))
    parts = [order[start:end] for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
    return iter(sorted(parts, key=lambda part: int(part[0])))
