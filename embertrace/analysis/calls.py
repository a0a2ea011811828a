"""One execution of an operator, put together from its events; and one metric event beside it.

Rules:
- A Call is made by `trees` and read by everything else; nothing changes it once its tree stands.
- Payloads stay packed. `args`, `result`, `answer`, `error` decode when asked and keep nothing.
- Whatever a damaged stream leaves out is None, never an exception: a call may have lost its begin or its end.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from embertrace.errors import WireError
from embertrace.event import ERROR, FOREIGN_SLOT, Frame, call_hex
from embertrace.lineage import CallKey, unpack_mapping
from embertrace.payload import unpack
from embertrace.wire.context import unpack_context
from embertrace.wire.event import RawEvent, to_nanoseconds

Outcome = Literal["result", "error", "open", "lost"]


class Origin(NamedTuple):
    """Where an event stands in the one order in which later wins: by its time, then by who emitted it and when."""

    nanoseconds: int
    producer: bytes
    seq: int


class Sighting(NamedTuple):
    """An event and where it came from."""

    origin: Origin
    event: RawEvent


class Call:
    """One execution. `children` are in slot order; `parent` is None for a root and where the parent never emitted.

    `timestamp` is when it began by the clock of its host, `start` by the aggregator's, and never before its parent's.
    """

    __slots__ = (
        "ancestors",
        "attempt",
        "begin",
        "call_id",
        "children",
        "end",
        "follows",
        "item",
        "links",
        "member",
        "operator_id",
        "operator_type",
        "origin",
        "outcome",
        "parent",
        "parent_key",
        "root",
        "run",
        "scores",
        "slot",
        "stage",
        "start_ns",
        "tags",
        "timestamp",
        "trace_id",
    )

    def __init__(self, key: CallKey, begin: Sighting | None, end: Sighting | None, lost: bool) -> None:
        first = begin or end
        assert first is not None, "a call without events is a frame, not a call"
        event = first.event
        added = unpack_context(event.context)
        self.call_id, self.attempt = key
        self.begin, self.end = begin, end
        self.operator_id, self.operator_type, self.stage = event.operator_id, event.operator_type, event.stage
        self.trace_id = event.trace_id.hex() if event.trace_id is not None else None
        self.parent_key: CallKey = (event.parent_call_id, event.parent_attempt)
        self.slot = event.slot
        self.links: tuple[int, ...] = tuple(dict.fromkeys(event.links + (end.event.links if end else ())))
        self.follows = event.follows or (end.event.follows if end else 0)
        self.ancestors: tuple[Frame, ...] = added.frames
        self.member = added.member
        self.run: str | None = added.run
        self.item: dict[str, Any] = unpack_mapping(added.item)
        self.tags: dict[str, Any] = unpack_mapping(added.tags)
        self.origin = first.origin
        self.timestamp = first.origin.nanoseconds / 1e9
        self.start_ns = first.origin.nanoseconds
        self.scores: dict[str, Any] = {}
        self.parent: Call | None = None
        self.root: Call = self
        self.children: list[Call] = []
        self.outcome: Outcome
        if end is not None:
            self.outcome = "error" if end.event.type == ERROR else "result"
        else:
            self.outcome = "lost" if lost else "open"

    def __repr__(self) -> str:
        return f"<Call {call_hex(self.call_id)} {self.operator_type}:{self.stage} {self.operator_id} {self.outcome}>"

    @property
    def key(self) -> CallKey:
        return self.call_id, self.attempt

    @property
    def start(self) -> float:
        """When it began, Unix seconds: on one clock for all hosts, and in the order of causes (see `clocks`)."""
        return self.start_ns / 1e9

    @property
    def ended(self) -> bool:
        return self.end is not None

    @property
    def duration_s(self) -> float | None:
        """Seconds by the monotonic clock; None while the call has not ended."""
        nanoseconds = self.duration_ns
        return None if nanoseconds is None else nanoseconds / 1e9

    @property
    def duration_ns(self) -> int | None:
        duration = self.end.event.duration if self.end else None
        return None if duration is None else to_nanoseconds(duration)

    @property
    def slots(self) -> int:
        """How many calls were begun under this one; known once it ended."""
        return self.end.event.slots if self.end else 0

    @property
    def missing(self) -> int:
        """Children that were begun, as this call's end says, and of which no event was seen."""
        return max(0, self.slots - len({child.slot for child in self.children if child.slot < FOREIGN_SLOT}))

    @property
    def data(self) -> dict[str, Any]:
        """The data of the end event; empty while the call has not ended, or where it is no mapping."""
        return _mapping(self.end)

    @property
    def args(self) -> list[Any] | None:
        return _mapping(self.begin).get("args")

    @property
    def kwargs(self) -> dict[str, Any] | None:
        return _mapping(self.begin).get("kwargs")

    @property
    def result(self) -> Any:
        return self.data.get("result")

    @property
    def answer(self) -> Any:
        """What the operator extracted as its answer; else its result."""
        data = self.data
        return data["answer"] if "answer" in data else data.get("result")

    @property
    def error(self) -> dict[str, Any] | None:
        """`type`, `message` and `traceback` of a call that raised."""
        if self.outcome != "error":
            return None
        error = self.data.get("error")
        return error if isinstance(error, dict) else {"type": "", "message": "" if error is None else str(error)}


class Metric:
    """One metric event: a score of a call, or of none that is known."""

    __slots__ = (
        "call",
        "data",
        "event",
        "item",
        "operator_id",
        "operator_type",
        "origin",
        "run",
        "stage",
        "tags",
        "timestamp",
        "trace_id",
    )

    def __init__(self, sighting: Sighting) -> None:
        self.origin, self.event = sighting
        event = sighting.event
        added = unpack_context(event.context)
        self.operator_id, self.operator_type, self.stage = event.operator_id, event.operator_type, event.stage
        self.trace_id = event.trace_id.hex() if event.trace_id is not None else None
        self.timestamp = self.origin.nanoseconds / 1e9
        self.run: str | None = added.run
        self.item: dict[str, Any] = unpack_mapping(added.item)
        self.tags: dict[str, Any] = unpack_mapping(added.tags)
        self.data = _mapping(sighting)
        self.call: Call | None = None

    def belongs_to(self, call: Call) -> None:
        self.call = call
        self.run = self.run or call.run
        self.item = self.item or call.item
        self.tags = {**call.tags, **self.tags}


def _mapping(sighting: Sighting | None) -> dict[str, Any]:
    if sighting is None:
        return {}
    try:
        value = unpack(sighting.event.data)
    except WireError:
        return {}
    return value if isinstance(value, dict) else {}
