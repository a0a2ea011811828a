"""Ballots: what each ensemble call voted and how right each vote was. What most questions about members start from.

Rules:
- A ballot is an ensemble call that is complete and whose answers can be compared; the others are left out, and counted.
- A vote is right as its own call states, else as its answer is; None where nobody knows.
- Calls are told apart by their ids, so that parts merge without counting one twice, and finish in the order of ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from embertrace.analysis.answers import Answers
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble, Member, Status
from embertrace.analysis.query import Selection, unit_of
from embertrace.analysis.questions.voting import HINT, why_left_out
from embertrace.analysis.table.items import Unit
from embertrace.analysis.tally import Tally
from embertrace.errors import WireError
from embertrace.payload import unpack


class Vote(NamedTuple):
    """`key` is set exactly where the member answered; `right` in 0 … 1, None where unknown."""

    member: str
    status: Status
    key: bytes | None
    right: Fraction | None = None


class Ballot(NamedTuple):
    """One ensemble call: its votes in slot order, how right each distinct answer is, and what its key can't show."""

    unit: Unit
    stage: str
    votes: tuple[Vote, ...]
    shares: dict[bytes, Fraction | None]
    labelled: bool
    samples: dict[bytes, Any]

    def counts(self) -> Counter[bytes]:
        """Answer keys and how many gave them, in the order in which they first occur."""
        return Counter(vote.key for vote in self.votes if vote.key is not None)

    @property
    def judged(self) -> bool:
        """Whether it is known of every answer how right it is."""
        return all(share is not None for share in self.shares.values())

    def pattern(self) -> tuple[tuple[tuple[int, Fraction], ...], int]:
        """((count, share) of each answer, sorted), and how many members did not answer. Only of a judged ballot."""
        counts = self.counts()
        shares = ((count, self.shares[key] or Fraction(0)) for key, count in counts.items())
        return tuple(sorted(shares)), len(self.votes) - counts.total()


class Ballots:
    """A partial state: ballots by call, what was left out, and what was asked."""

    def __init__(self, **asked: Any) -> None:
        self.asked = asked
        self.by_call: dict[tuple[int, int], Ballot] = {}
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Ballots) -> Ballots:
        self.by_call |= other.by_call
        self.left_out.update(other.left_out)
        return self

    def __iter__(self) -> Iterator[Ballot]:
        return (self.by_call[key] for key in sorted(self.by_call))

    def by_stage(self) -> dict[str, list[Ballot]]:
        found: dict[str, list[Ballot]] = {}
        for ballot in self:
            found.setdefault(ballot.stage, []).append(ballot)
        return {stage: found[stage] for stage in sorted(found)}

    def labelled_by_stage(self) -> dict[str, list[Ballot]]:
        """The ballots of which it is known how right their answers are; the others are counted as unlabelled."""
        self.left_out["unlabelled"] += sum(not _is_usable(ballot) for ballot in self)
        stages = {name: [ballot for ballot in stage if _is_usable(ballot)] for name, stage in self.by_stage().items()}
        return {name: stage for name, stage in stages.items() if stage}

    def notes(self) -> list[str]:
        """A hint where most calls are of pairwise distinct answers, as free text is."""
        distinct = sum(len(counts) == counts.total() > 2 for counts in map(Ballot.counts, self))
        return [HINT] if 2 * distinct > len(self.by_call) else []


def _is_usable(ballot: Ballot) -> bool:
    return ballot.judged and (bool(ballot.shares) or ballot.labelled)


def read_ballots(selection: Selection, answers: Answers, right: Correctness | None = None, **asked: Any) -> Ballots:
    """The ballots of all selected ensembles; without `right` nothing is said of how right they are."""
    found = Ballots(**asked)
    for ensemble in selection.ensembles(answers):
        reason = why_left_out(ensemble)
        if reason is None:
            found.by_call[ensemble.call.key] = read_ballot(ensemble, right)
        else:
            found.left_out[reason] += 1
    return found


def read_ballot(ensemble: Ensemble, right: Correctness | None) -> Ballot:
    votes = tuple(Vote(member.identity, member.status, member.key) for member in ensemble.members)
    unit, stage = unit_of(ensemble.call), ensemble.call.stage
    samples = {member.key: member.shown() for member in reversed(ensemble.members) if member.key is not None}
    samples = {key: value for key, value in samples.items() if not _is_readable(key)}
    if right is None:
        return Ballot(unit, stage, votes, {}, False, samples)
    shares = {key: right.of_vote(ensemble, key) for key in ensemble.votes()}
    judged = zip(votes, ensemble.members, strict=True)
    votes = tuple(vote._replace(right=_right(member, shares, right)) for vote, member in judged)
    return Ballot(unit, stage, votes, shares, right.is_labelled(ensemble.call), samples)


def _right(member: Member, shares: dict[bytes, Fraction | None], right: Correctness) -> Fraction | None:
    if member.key is None:
        return None
    if member.call is not None and right.states(member.call):
        return right.of_call(member.call)
    return shares[member.key]


def _is_readable(key: bytes) -> bool:
    """Whether a key says what it is of: those of mappings and of cut values don't."""
    try:
        unpack(key)
    except WireError:
        return False
    return True


def shown(key: bytes, cast: Iterable[Ballot]) -> Any:
    """What a person sees of an answer: what is compared, else what the first member said who gave it."""
    for ballot in cast:
        if key in ballot.samples:
            return ballot.samples[key]
    return unpack(key)


def columns(tally: Tally, name: str) -> dict[str, Any]:
    """A tally's mean as columns of a row: the mean under `name`, `low`, `high`, `n` observations in `items` units."""
    estimate = tally.finish()
    low, high = estimate.interval
    return {name: estimate.value, "low": low, "high": high, "n": estimate.n, "items": estimate.items}
