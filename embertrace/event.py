"""The event model: OperatorEvent, Frame, event types, ids.

Rules of this file:
- The seven fields of the original design come first, in its order and with its names.
- Every field that is not given takes its value from the current frame and clock. This module is at the bottom
  and knows neither; `context` installs the source of those defaults (`install_defaults`) when it is imported.
- Ids are integers inside and lower-case hexadecimal text outside (W3C widths: trace 32 digits, call 16).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, cast

EventType = Literal["call", "result", "error", "metric"]
EVENT_TYPES: tuple[EventType, ...] = ("call", "result", "error", "metric")
"""All event types; the position of a type is its code on the wire."""

CALL, RESULT, ERROR, METRIC = range(4)

DEFAULT_STAGE = "default"

FOREIGN_SLOT = 1 << 32
"""Slots from here on were given by a process that shares a parent with others: it could not ask how many there are.
They sort by time behind the parent's own, and the parent's end does not count them."""


class Frame(NamedTuple):
    """One level of the operator hierarchy, as it is sent: who, in which stage, which execution of it."""

    id: str
    type: str
    stage: str
    call_id: int
    attempt: int = 0
    slot: int = 0

    def as_mapping(self) -> dict[str, Any]:
        """The frame as users see it in `OperatorEvent.context["operators"]`."""
        return {
            "id": self.id,
            "type": self.type,
            "stage": self.stage,
            "call_id": call_hex(self.call_id),
            "attempt": self.attempt,
            "slot": self.slot,
        }


class Defaults(NamedTuple):
    """What an event takes from the call it is made in."""

    operator_id: str = ""
    operator_type: str = ""
    stage: str = DEFAULT_STAGE
    context: Mapping[str, Any] = {}
    trace_id: str | None = None
    call_id: str | None = None
    parent_call_id: str | None = None
    attempt: int = 0
    parent_attempt: int = 0
    slot: int = 0


_defaults: Callable[[], Defaults] = Defaults


def install_defaults(source: Callable[[], Defaults]) -> None:
    """Set where unspecified fields of an `OperatorEvent` come from. Called once, by `context`."""
    global _defaults
    _defaults = source


_CURRENT: Any = cast("Any", "<from the current call>")


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorEvent:
    """One thing that happened to one operator.

    `timestamp` is wall-clock Unix seconds. `context` holds `operators` (frames root → leaf, the call itself
    last), `run`, `item` and `tags`, each present when known. `data` depends on the type: `args`/`kwargs`;
    `result` and `answer`; `error` (`type`, `message`, `traceback`); or the fields of a metric.

    `duration_s` (seconds, monotonic clock) is set on results and errors, where `slots` counts the calls begun
    under this one. `links` name calls whose results this call consumed; `follows` names the call that ended or
    was submitted before this one in the same execution context. `producer_id` and `seq` say who emitted the
    event and its place in that producer's order; both are None until it was collected.
    """

    operator_id: str = _CURRENT
    operator_type: str = _CURRENT
    stage: str = _CURRENT
    event_type: EventType = "metric"
    timestamp: float = _CURRENT
    context: Mapping[str, Any] = _CURRENT
    data: Any = None
    trace_id: str | None = _CURRENT
    call_id: str | None = _CURRENT
    parent_call_id: str | None = _CURRENT
    attempt: int = _CURRENT
    parent_attempt: int = _CURRENT
    slot: int = _CURRENT
    duration_s: float | None = None
    slots: int = 0
    links: tuple[str, ...] = ()
    follows: str | None = None
    producer_id: str | None = None
    seq: int | None = None

    def __post_init__(self) -> None:
        if self.event_type not in EVENT_TYPES:
            raise ValueError(f"event_type is {self.event_type!r}; it must be one of {', '.join(EVENT_TYPES)}")
        if self.timestamp is _CURRENT:
            object.__setattr__(self, "timestamp", time.time())
        missing = [name for name in Defaults._fields if getattr(self, name) is _CURRENT]
        if missing:
            defaults = _defaults()
            for name in missing:
                object.__setattr__(self, name, getattr(defaults, name))


def call_hex(call_id: int) -> str:
    """A call id as users see it: 16 hexadecimal digits."""
    return f"{call_id:016x}"


def optional_call_hex(call_id: int) -> str | None:
    """As `call_hex`, with 0 (which names no call) as None."""
    return f"{call_id:016x}" if call_id else None


MAX_NAME_BYTES = 256
"""Names are compared and shown; frames repeat them in contexts of 64 KiB."""


def cut_name(name: str) -> str:
    """A name within its limit; a longer one keeps its beginning. Lone surrogates, which no event holds, become "?"."""
    if len(name) <= MAX_NAME_BYTES and name.isascii():
        return name
    return name.encode("utf-8", "replace")[:MAX_NAME_BYTES].decode("utf-8", "ignore")


LARGEST_PRIME = (1 << 64) - 59
"""Of 64 bits. A task's id consists of hashes and constants; the remainder is spread as evenly as they are."""


def call_id_of_task(task_id: bytes, cluster: int) -> int:
    """The call that a remote task is: the same in all its attempts, and for everybody who knows the task.

    `cluster` is a number of 64 random bits: tasks of two clusters may have the same id.
    """
    return (int.from_bytes(task_id, "big") + cluster) % LARGEST_PRIME or 1


def parse_call_id(text: str | None) -> int:
    """The integer of a call id's text; None is 0. Raises ValueError for anything but 1–16 hex digits."""
    if text is None:
        return 0
    if not isinstance(text, str) or not 1 <= len(text) <= 16:
        raise ValueError(f"call id {text!r} is not 16 hexadecimal digits")
    return int(text, 16)
