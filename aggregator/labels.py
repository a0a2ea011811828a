"""What readers say of items and answers, as events. Pure.

Rules:
- A truth becomes a label, as `et.label` and `embertrace label` make it; that an answer is right or wrong becomes the
  score `correct` of its call, as `et.score(correct=…)` makes it.
- What names nothing that was recorded is refused: a reader who mistypes should hear of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aggregator.browse import find_call
from aggregator.parts import Parts
from embertrace.analysis import Forest
from embertrace.analysis.query import key_of
from embertrace.errors import QueryError
from embertrace.event import DEFAULT_STAGE, METRIC, call_hex
from embertrace.payload import pack
from embertrace.wire.event import RawEvent

LABELLING = "labelling"
"""The operator's id and type in the events of labels, as of those from a file."""
HUMAN = "human"
MAX_BY = 100
"""Characters of who says it."""
MAX_BYTES = 8 * 1024
"""Of a label: truths that are compared are shorter, and what is longer is refused, not cut."""
TRUTH_BYTES = 4 * MAX_BYTES
"""A truth that is not refused is packed whole."""

Params = Mapping[str, Any]


def event_of(parts: Parts, params: Params, at_ns: int) -> RawEvent:
    """The event that says what `params` say: of {item, epoch, run} or {call, attempt}, the `truth` or whether it is
    `correct` (null withdraws either); `by` whom. Raises QueryError."""
    given = {name: value for name, value in params.items() if value is not None or name in ("truth", "correct")}
    _check_one_of(given, "item", "call")
    _check_one_of(given, "truth", "correct")
    by = given.get("by", HUMAN)
    if not isinstance(by, str) or not by.strip() or len(by) > MAX_BY or not by.isprintable():
        raise QueryError(f'by is {str(by)[:40]!r}; it must be a name of 1 to {MAX_BY} characters, such as "human:ann"')
    return _score(parts, given, by, at_ns) if "correct" in given else _label(parts, given, by, at_ns)


def _label(parts: Parts, given: Params, by: str, at_ns: int) -> RawEvent:
    if "call" in given:
        _refuse(given, ("epoch", "run", "attempt"), "a call is labelled as a whole; name the item, or only the call")
        about: dict[str, Any] = {"call": call_hex(find_call(parts, given).call_id)}
    else:
        _refuse(given, ("attempt",), "an item has no attempts")
        about = {"key": _key(parts, given["item"]), "epoch": given.get("epoch"), "run": given.get("run")}
    said = {"truth": given["truth"], "by": by, **about}
    data = pack({"label": {name: value for name, value in said.items() if value is not None}}, TRUTH_BYTES)
    if len(data) > MAX_BYTES:
        raise QueryError(f"a label of {len(data)} bytes; the limit is {MAX_BYTES}: give a digest, or an id")
    return RawEvent(
        METRIC, at_ns, None, 0, 0, 0, 0, 0, LABELLING, LABELLING, DEFAULT_STAGE, None, 0, 0, (), b"", data
    )  # fmt: skip


def _score(parts: Parts, given: Params, by: str, at_ns: int) -> RawEvent:
    _refuse(
        given, ("item",), "answers are right or wrong, items are not: name the call that answered, or say the truth"
    )
    _refuse(given, ("epoch", "run"), "a call has its own")
    correct = given["correct"]
    if correct is not None and not isinstance(correct, bool):
        raise QueryError(f"correct is {str(correct)[:40]!r}; it must be true or false, or null to withdraw")
    call = find_call(parts, given)
    trace = bytes.fromhex(call.trace_id) if call.trace_id else None
    return RawEvent(
        METRIC, at_ns, trace, call.call_id, 0, call.attempt, 0, 0, call.operator_id, call.operator_type, call.stage,
        None, 0, 0, (), b"", pack({"correct": correct, "by": by}),
    )  # fmt: skip


def _check_one_of(given: Params, one: str, other: str) -> None:
    if (one in given) == (other in given):
        which = "both" if one in given else "neither"
        raise QueryError(f"what a reader says has one of {one} and {other}, not {which}")


def _refuse(given: Params, names: Iterable[str], why: str) -> None:
    for name in names:
        if name in given:
            raise QueryError(f"{name} is given: {why}")


def _key(parts: Parts, key: Any) -> Any:
    wanted = key_of(key)
    if not _has(parts.where(lambda forest: _has(forest, wanted)), wanted):
        raise QueryError(
            f"no item with the key {str(key)[:60]!r} was recorded; items without a key of their own (args:…) can't be "
            "labelled, but their calls can"
        )
    return key


def _has(forest: Forest, key: bytes) -> bool:
    return bool(forest.trees.items.having(key).any())
