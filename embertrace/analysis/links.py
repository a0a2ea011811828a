"""Which ensemble fed a judge. First that applies:

0. A judge inside an ensemble judges its preceding siblings there.
1. Recorded links: to an ensemble call, or to a member of one. Links to the judge's own ancestors say nothing. Two or
   more linked calls of which none belongs to an ensemble are one themselves, which nobody gave a frame.
2. Walking back `follows` to the nearest ensemble call, or member of one, under the judge's own parent call. Outside
   any parent the walk stops at another judge; it never leaves the judge's item.
3. An ensemble inside the judge's own subtree.

Else the judge is unlinked. Never by wall clock, never by positions in different producers' streams: both mix up
concurrent questions. A judge with several ensembles has them all, in the order of its links.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from embertrace.analysis.calls import Call
from embertrace.analysis.ensembles import is_ensemble, is_judge, is_member, may_vote
from embertrace.lineage import CallKey


class Feed(NamedTuple):
    """An ensemble call that a judge read; `before_slot` where only its members up to there can have been read.

    An ensemble without a frame has `members`, the calls that the judge named (None for those nobody saw); the judge's
    own call then stands for the ensemble's.
    """

    ensemble: Call
    before_slot: int | None = None
    members: tuple[Call | None, ...] = ()


class CallsById(Protocol):
    """Leads from a call's id to the attempt that counts."""

    def get(self, call_id: int, /) -> Call | None: ...


class Links:
    """Finds the ensembles of judges. Remembers its walks: many judges under one parent share them."""

    def __init__(self, by_id: CallsById) -> None:
        self._by_id = by_id
        self._walked: dict[tuple[int, CallKey], Call | None] = {}

    def feeds(self, judge: Call) -> list[Feed]:
        """The ensembles that fed a judge; empty where it is unlinked."""
        if is_ensemble(judge.parent) and judge.parent is not None and self._has_preceding(judge):
            return [Feed(judge.parent, judge.slot)]
        linked = self._linked(judge)
        if linked:
            return [Feed(call) for call in linked]
        named = self._named(judge)
        if len(named) > 1:
            return [Feed(judge, members=named)]
        followed = self._followed(judge)
        if followed is not None:
            return [Feed(followed)]
        return [Feed(call) for call in _inside(judge)]

    def _has_preceding(self, judge: Call) -> bool:
        siblings = judge.parent.children if judge.parent is not None else []
        return any(is_member(child) and child.slot < judge.slot for child in siblings)

    def _linked(self, judge: Call) -> list[Call]:
        found: dict[int, Call] = {}
        for link in judge.links:
            call = self._by_id.get(link)
            ensemble = _ensemble_of(call) if call is not None else None
            if ensemble is not None and not _is_above(ensemble, judge):
                found.setdefault(ensemble.call_id, ensemble)
        return list(found.values())

    def _named(self, judge: Call) -> tuple[Call | None, ...]:
        """The linked calls, where none of them belongs to an ensemble."""
        calls = [self._by_id.get(link) for link in judge.links]
        return tuple(call for call in calls if call is None or (may_vote(call) and not _is_above(call, judge)))

    def _followed(self, judge: Call) -> Call | None:
        """Rule 2. What a walk finds depends on where it stands and on the parent alone, so each step is kept."""
        parent = judge.parent_key
        steps: list[tuple[int, CallKey]] = []
        found: Call | None = None
        at = self._by_id.get(judge.follows)
        while at is not None and at is not judge and _same_item(at, judge):
            step = (at.call_id, parent)
            if step in self._walked:
                found = self._walked[step]
                break
            self._walked[step] = None  # a circle ends here
            steps.append(step)
            ensemble = _ensemble_of(at)
            if ensemble is not None and ensemble.parent_key == parent:
                found = ensemble
                break
            if is_judge(at) and parent[0] == 0 and at.parent_key[0] == 0:
                break
            at = self._by_id.get(at.follows)
        for step in steps:
            self._walked[step] = found
        return found if found is None or _same_item(found, judge) else None


def _ensemble_of(call: Call) -> Call | None:
    """The ensemble that a call is, or else is a member of."""
    if is_ensemble(call):
        return call
    return call.parent if is_member(call) else None


def _is_above(call: Call, below: Call) -> bool:
    above = below.parent
    while above is not None and above is not call:
        above = above.parent
    return above is call


def _same_item(one: Call, other: Call) -> bool:
    return one.item.get("key") == other.item.get("key") and one.item.get("epoch") == other.item.get("epoch")


def _inside(judge: Call) -> list[Call]:
    """The outermost ensembles below a judge, none of them another judge's."""
    found, stack = [], list(reversed(judge.children))
    while stack:
        call = stack.pop()
        if is_ensemble(call):
            found.append(call)
        elif not is_judge(call):
            stack += reversed(call.children)
    return found
