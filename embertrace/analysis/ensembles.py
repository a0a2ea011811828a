"""Ensemble calls and their members: who voted, what became of each, and how far they agree.

Rules:
- Members are the child calls that are no judges, tools or retrievers and were not excluded (`member=False`); a nested
  ensemble is one member. An ensemble without such children votes through the list it returned.
- A member answered, abstained (None), failed (error, lost, or ended after its ensemble did), is unknown (its payload
  says too little to be compared), or is missing (open, or begun and never seen). An ensemble that has not ended, or
  with a missing member, is incomplete.
- Identity is the operator's id, with `#k` in slot order where one id occurs more than once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from embertrace.analysis.answers import Answer, Answers
from embertrace.analysis.calls import Call

NO_MEMBERS = frozenset({"judge", "tool", "retriever"})

Status = Literal["answered", "abstained", "unknown", "failed", "missing"]


class Member(NamedTuple):
    """One vote. `call` is None where the members are no operators; `value` is then the list's element."""

    identity: str
    status: Status
    key: bytes | None = None
    call: Call | None = None
    value: Any = None

    def shown(self) -> Any:
        """What a person sees of the vote."""
        if self.call is None:
            return self.value
        return self.call.answer if self.status in ("answered", "unknown") else None


class Ensemble(NamedTuple):
    """One ensemble call, and the members of it that a question is about."""

    call: Call
    members: tuple[Member, ...]
    complete: bool

    @property
    def attempted(self) -> int:
        return sum(member.status != "missing" for member in self.members)

    @property
    def known(self) -> bool:
        """Whether every answer can be compared."""
        return all(member.status != "unknown" for member in self.members)

    def votes(self) -> Counter[bytes]:
        """Answer keys and how many gave them, in the order in which they first occur."""
        return Counter(member.key for member in self.members if member.key is not None)


def why_left_out(ensemble: Ensemble) -> str | None:
    """Why an ensemble call can't be compared; None where it can."""
    if not ensemble.complete:
        return "incomplete"
    return None if ensemble.known else "with unknown answers"


def is_ensemble(call: Call | None) -> bool:
    return call is not None and call.operator_type == "ensemble"


def is_judge(call: Call) -> bool:
    return call.operator_type == "judge"


def is_member(call: Call) -> bool:
    """Whether a call votes in the ensemble call above it."""
    return is_ensemble(call.parent) and may_vote(call)


def may_vote(call: Call) -> bool:
    """Whether a call is of a kind that votes."""
    return call.member and call.operator_type not in NO_MEMBERS


def read_ensemble(
    call: Call, answers: Answers, chosen: Callable[[Call], bool] | None = None, before_slot: int | None = None
) -> Ensemble:
    """An ensemble call with its members; with `chosen`, of its operators only those; with `before_slot`, preceding."""
    children = [child for child in call.children if is_member(child)]
    if before_slot is not None:
        children = [child for child in children if child.slot < before_slot]
    if not children and chosen is None and before_slot is None and not call.missing:
        members = _returned_members(call, answers)
    else:
        members = _operator_members(call, children, answers, chosen)
    missing = sum(member.status == "missing" for member in members)
    if before_slot is not None:
        seen = {child.slot for child in call.children if child.slot < before_slot}
        return Ensemble(call, members, not missing and len(seen) == before_slot)
    return Ensemble(call, members, call.ended and not missing and not call.missing)


def read_named(
    judge: Call, named: Sequence[Call | None], answers: Answers, chosen: Callable[[Call], bool] | None = None
) -> Ensemble:
    """The ensemble without a frame whose members a judge named (None: never seen); with `chosen`, only those."""
    seen = [call for call in named if call is not None]
    members = _operator_members(judge, seen, answers, chosen)
    missing = sum(member.status == "missing" for member in members)
    return Ensemble(judge, members, not missing and len(seen) == len(named))


def _operator_members(
    call: Call, children: list[Call], answers: Answers, chosen: Callable[[Call], bool] | None
) -> tuple[Member, ...]:
    named = zip(_identities(children), children, strict=True)
    return tuple(
        _member(identity, child, call, answers) for identity, child in named if chosen is None or chosen(child)
    )


def _identities(children: list[Call]) -> list[str]:
    counts = Counter(child.operator_id for child in children)
    used: Counter[str] = Counter()
    names = []
    for child in children:
        name = child.operator_id
        names.append(name if counts[name] == 1 else f"{name}#{used[name]}")
        used[name] += 1
    return names


def _member(identity: str, child: Call, ensemble: Call, answers: Answers) -> Member:
    if child.outcome == "open":
        return Member(identity, "missing", call=child)
    if child.outcome != "result" or _late(child, ensemble):
        return Member(identity, "failed", call=child)
    answer: Answer = answers.of(child)
    return Member(identity, answer.status, answer.key, child)


def _late(child: Call, ensemble: Call) -> bool:
    """Ended after its ensemble did. Only one producer's own order can tell; clocks of two are never compared."""
    mine, whole = child.end_origin, ensemble.end_origin
    if mine is None or whole is None:
        return False
    return mine.producer == whole.producer and mine.seq > whole.seq


def _returned_members(call: Call, answers: Answers) -> tuple[Member, ...]:
    returned = call.result if call.outcome == "result" else None
    if not isinstance(returned, list):
        return ()
    votes = [(answers.of_value(value), value) for value in returned]
    return tuple(
        Member(f"#{place}", answer.status, answer.key, value=value) for place, (answer, value) in enumerate(votes)
    )
