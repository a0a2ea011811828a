"""Ballots: what ensemble calls voted and how right each vote was. What most questions about members start from.

Rules:
- A ballot is an ensemble call that is complete and whose answers can be compared; the others are left out, and counted.
- A vote is right as its own call states, else as its answer is; None where nobody knows.
- Where it does not matter what was answered (`by_answer`), a key only says who gave an answer first: ballots that are
  alike but for the words are then one kind.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any, NamedTuple

from embertrace.analysis.answers import Answers, is_readable
from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble, Member, Status
from embertrace.analysis.gathered import Gathered
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.reading import comparable, ensembles_alike
from embertrace.analysis.questions.voting import HINT
from embertrace.analysis.shown import Shown
from embertrace.analysis.tally import Tally
from embertrace.payload import canonical


class Vote(NamedTuple):
    """`key` is set exactly where the member answered; `right` in 0 … 1, None where unknown."""

    member: str
    status: Status
    key: bytes | None
    right: Fraction | None = None


class Ballot(NamedTuple):
    """A kind of ensemble call: its votes in slot order, how right each distinct answer is, in the order in which they
    first occur, and whether its own call could be judged."""

    stage: str
    votes: tuple[Vote, ...]
    right: tuple[tuple[bytes, Fraction | None], ...] = ()
    labelled: bool = False

    def counts(self) -> Counter[bytes]:
        """Answer keys and how many gave them, in the order in which they first occur."""
        return Counter(vote.key for vote in self.votes if vote.key is not None)

    @property
    def shares(self) -> dict[bytes, Fraction | None]:
        return dict(self.right)

    @property
    def judged(self) -> bool:
        """Whether it is known of every answer how right it is."""
        return all(share is not None for _, share in self.right)

    def pattern(self) -> tuple[tuple[tuple[int, Fraction], ...], int]:
        """((count, share) of each answer, sorted), and how many members did not answer. Only of a judged ballot."""
        counts, known = self.counts(), self.shares
        shares = ((count, known[key] or Fraction(0)) for key, count in counts.items())
        return tuple(sorted(shares)), len(self.votes) - counts.total()

    def order(self) -> tuple[Any, ...]:
        """Everything, so that it can be compared."""
        votes = [(vote.member, vote.status, vote.key or b"", _rank(vote.right)) for vote in self.votes]
        return self.stage, votes, [(key, _rank(share)) for key, share in self.right], self.labelled


def _rank(share: Fraction | None) -> Fraction:
    return Fraction(-1) if share is None else share


Cast = list[tuple[Ballot, Alike]]
"""Ballots, and the ensemble calls that voted like that."""


class Ballots:
    """A partial state: ballots by kind, what was left out, and what was asked."""

    def __init__(self, **asked: Any) -> None:
        self.asked = asked
        self.seen: Gathered[Ballot] = Gathered(Ballot.order)
        self._shown = Shown()

    @property
    def left_out(self) -> Counter[str]:
        return self.seen.left_out

    def merge(self, other: Ballots) -> Ballots:
        self.seen = self.seen.merge(other.seen)
        self._shown.merge(other._shown)
        return self

    def take_samples(self, ensemble: Ensemble) -> None:
        for member in ensemble.members:
            if member.key is not None and not is_readable(
                member.key
            ):  # what was said is packed: not to be read in vain
                self._shown.take(member.key, member.shown())

    def shown(self, key: bytes) -> Any:
        """What a person sees of an answer: what is compared, else what a member said who gave it."""
        return self._shown.of(key)

    def by_stage(self) -> dict[str, Cast]:
        found: dict[str, Cast] = {}
        for ballot, alike in self.seen:
            found.setdefault(ballot.stage, []).append((ballot, alike))
        return {stage: found[stage] for stage in sorted(found)}

    def labelled_by_stage(self) -> dict[str, Cast]:
        """The ballots of which it is known how right their answers are; the others are counted as unlabelled."""
        self.left_out["unlabelled"] += sum(alike.times for ballot, alike in self.seen if not _is_usable(ballot))
        stages = {name: [one for one in stage if _is_usable(one[0])] for name, stage in self.by_stage().items()}
        return {name: stage for name, stage in stages.items() if stage}

    def notes(self) -> list[str]:
        """A hint where most calls are of pairwise distinct answers, as free text is."""
        counted = ((ballot.counts(), alike.times) for ballot, alike in self.seen)
        distinct = sum(times for counts, times in counted if len(counts) == counts.total() > 2)
        return [HINT] if 2 * distinct > self.seen.total else []


def _is_usable(ballot: Ballot) -> bool:
    return ballot.judged and (bool(ballot.right) or ballot.labelled)


def read_ballots(
    selection: Selection, answers: Answers, right: Correctness | None = None, *, by_answer: bool = False, **asked: Any
) -> Ballots:
    """The ballots of all selected ensembles; without `right` nothing is said of how right they are."""
    found = Ballots(**asked)
    ensembles = ensembles_alike(selection, answers, right, by_answer=by_answer)
    for ensemble, alike in comparable(ensembles, found.left_out):
        found.seen.add(read_ballot(ensemble, right, by_answer=by_answer), alike)
        if by_answer:
            found.take_samples(ensemble)
    return found


def read_ballot(ensemble: Ensemble, right: Correctness | None, *, by_answer: bool = False) -> Ballot:
    shares = {} if right is None else {key: right.of_vote(ensemble, key) for key in ensemble.votes()}
    names = {key: key if by_answer else canonical(place) for place, key in enumerate(ensemble.votes())}
    votes = [
        Vote(member.identity, member.status, None if member.key is None else names[member.key],
             None if right is None else _right(member, shares, right))
        for member in ensemble.members
    ]  # fmt: skip
    labelled = right is not None and right.is_labelled(ensemble.call)
    told = tuple((names[key], share) for key, share in shares.items())
    return Ballot(ensemble.call.stage, tuple(votes), told, labelled)


def _right(member: Member, shares: dict[bytes, Fraction | None], right: Correctness) -> Fraction | None:
    if member.key is None:
        return None
    if member.call is not None and right.states(member.call):
        return right.of_call(member.call)
    return shares[member.key]


def columns(tally: Tally, name: str) -> dict[str, Any]:
    """A tally's mean as columns of a row: the mean under `name`, `low`, `high`, `n` observations in `items` units."""
    estimate = tally.finish()
    low, high = estimate.interval
    return {name: estimate.value, "low": low, "high": high, "n": estimate.n, "items": estimate.items}
