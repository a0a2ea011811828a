"""One execution of an operator, put together from its events; and one metric event beside it.

Rules:
- A Call is a view: it knows its place in the trees, and reads what it is asked for from their columns, once. Of one
  place there is one Call, so that calls can be told apart by identity. Nothing changes it once its tree stands.
- Payloads stay packed. `args`, `result`, `answer`, `error` decode when asked and keep nothing.
- Whatever a damaged stream leaves out is None, never an exception: a call may have lost its begin or its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from embertrace.errors import WireError
from embertrace.event import Frame, call_hex
from embertrace.lineage import CallKey, unpack_mapping
from embertrace.payload import unpack
from embertrace.wire.context import unpack_context
from embertrace.wire.event import RawEvent

if TYPE_CHECKING:
    from embertrace.analysis.trees import Trees

Outcome = Literal["result", "error", "open", "lost"]


class Origin(NamedTuple):
    """Where an event stands in the one order in which later wins: by its time, then by who emitted it and when."""

    nanoseconds: int
    producer: bytes
    seq: int


Stamp = tuple[int, bytes, int]
"""An Origin, or a plain tuple in its place."""


class Sighting(NamedTuple):
    """An event and where it came from."""

    origin: Origin
    event: RawEvent


class Call:
    """One execution. `children` are in slot order; `parent` is None for a root and where the parent never emitted.

    `share` is that of all items that is recorded, this call's among them: it stands for 1/share calls (see `sample`).
    `timestamp` is when it began by the clock of its host, `start` by the aggregator's, and never before its parent's.
    """

    __slots__ = (
        "_place",
        "_trees",
        "ancestors",
        "attempt",
        "begin",
        "call_id",
        "children",
        "end",
        "end_origin",
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
        "share",
        "slot",
        "stage",
        "start_ns",
        "tags",
        "timestamp",
        "trace_id",
    )

    ancestors: tuple[Frame, ...]
    attempt: int
    begin: Sighting | None
    call_id: int
    children: list[Call]
    end: Sighting | None
    end_origin: Origin | None
    follows: int
    item: dict[str, Any]
    links: tuple[int, ...]
    member: bool
    operator_id: str
    operator_type: str
    origin: Origin
    outcome: Outcome
    parent: Call | None
    parent_key: CallKey
    root: Call
    run: str | None
    scores: dict[str, Any]
    share: float
    slot: int
    stage: str
    start_ns: int
    tags: dict[str, Any]
    timestamp: float
    trace_id: str | None

    def __init__(self, trees: Trees, place: int) -> None:
        self._trees, self._place = trees, place

    def __getattr__(self, name: str) -> Any:
        """An attribute that is asked for the first time: read from the trees, and kept."""
        if name not in _READ:
            raise AttributeError(f"a Call has no attribute {name!r}")
        value = self._trees.attributes[name](self._trees, self._place)
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f"<Call {call_hex(self.call_id)} {self.operator_type}:{self.stage} {self.operator_id} {self.outcome}>"

    @property
    def trees(self) -> Trees:
        """Those that it stands in."""
        return self._trees

    @property
    def place(self) -> int:
        """Its place in the order of all calls of its trees."""
        return self._place

    @property
    def key(self) -> CallKey:
        return self.call_id, self.attempt

    @property
    def start(self) -> float:
        """When it began, Unix seconds: on one clock for all hosts, and in the order of causes (see `clocks`)."""
        return self.start_ns / 1e9

    @property
    def ended(self) -> bool:
        return self.outcome in ("result", "error")

    @property
    def duration_s(self) -> float | None:
        """Seconds by the monotonic clock; None while the call has not ended."""
        nanoseconds = self.duration_ns
        return None if nanoseconds is None else nanoseconds / 1e9

    @property
    def duration_ns(self) -> int | None:
        nanoseconds: int | None = self._trees.attributes["duration_ns"](self._trees, self._place)
        return nanoseconds

    @property
    def slots(self) -> int:
        """How many calls were begun under this one; known once it ended."""
        return int(self._trees.attributes["slots"](self._trees, self._place))

    @property
    def missing(self) -> int:
        """Children that were begun, as this call's end says, and of which no event was seen."""
        return int(self._trees.attributes["missing"](self._trees, self._place))

    @property
    def data(self) -> dict[str, Any]:
        """The data of the end event; empty while the call has not ended, or where it is no mapping."""
        return mapping_of(self._trees.attributes["end_data"](self._trees, self._place))

    @property
    def args(self) -> list[Any] | None:
        return mapping_of(self._trees.attributes["begin_data"](self._trees, self._place)).get("args")

    @property
    def kwargs(self) -> dict[str, Any] | None:
        return mapping_of(self._trees.attributes["begin_data"](self._trees, self._place)).get("kwargs")

    @property
    def result(self) -> Any:
        return self.data.get("result")

    @property
    def answer(self) -> Any:
        """What the operator extracted as its answer; else its result."""
        return answer_in(self.data)

    @property
    def error(self) -> dict[str, Any] | None:
        """`type`, `message` and `traceback` of a call that raised."""
        if self.outcome != "error":
            return None
        error = self.data.get("error")
        return error if isinstance(error, dict) else {"type": "", "message": "" if error is None else str(error)}


_READ = frozenset(name for name in Call.__slots__ if not name.startswith("_"))


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
        "share",
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
        self.share = added.share
        self.data = mapping_of(event.data)
        self.call: Call | None = None

    def belongs_to(self, call: Call) -> None:
        self.call, self.share = call, call.share
        self.run = self.run or call.run
        self.item = self.item or call.item
        self.tags = {**call.tags, **self.tags}


def answer_in(data: Mapping[str, Any]) -> Any:
    """What the data of an end event say was answered."""
    return data["answer"] if "answer" in data else data.get("result")


def mapping_of(data: bytes | None) -> dict[str, Any]:
    """Packed data as a mapping; empty where there is none or it is none."""
    if data is None:
        return {}
    try:
        value = unpack(data)
    except WireError:
        return {}
    return value if isinstance(value, dict) else {}
