"""What an event inherits from its ancestors: the full context of any event, rebuilt from call events.

On the wire only the first call that enters a process carries ancestor frames, and only roots carry run and item.
`Lineage` remembers each call's frame, parent and added context, and puts the whole together on demand. Events may
be observed in any order, twice, or incompletely: a missing ancestor shortens the context, a cycle ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from embertrace import payload
from embertrace.errors import WireError
from embertrace.event import CALL, EVENT_TYPES, Frame, OperatorEvent, call_hex, optional_call_hex
from embertrace.wire.context import Added, unpack_context
from embertrace.wire.event import RawEvent

CallKey = tuple[int, int]
"""(call id, attempt): one execution."""

ITEM_BYTES = 2048
"""Item and tags travel in a carrier of 4 KB: a key and a short truth, not a document."""
TAGS_BYTES = 1024
MAX_ANCESTORS = 10_000
"""Where a walk towards the root stops: beyond any recursion Python allows, and the end of a damaged stream's cycle."""


class _Known(NamedTuple):
    frame: Frame
    parent: CallKey
    added: Added


class Lineage:
    """Calls seen so far, and the contexts that follow from them. Not thread-safe."""

    def __init__(self) -> None:
        self._calls: dict[CallKey, _Known] = {}

    def observe(self, event: RawEvent) -> None:
        """Remember a call event (others add nothing)."""
        if event.type == CALL:
            frame = Frame(event.operator_id, event.operator_type, event.stage, event.call_id, event.attempt, event.slot)
            parent = (event.parent_call_id, event.parent_attempt)
            self._calls[event.call_id, event.attempt] = _Known(frame, parent, unpack_context(event.context))

    def context(self, event: RawEvent) -> dict[str, Any]:
        """The full context of an event: `operators` root → leaf; the other fields where they are known."""
        own = unpack_context(event.context)
        chain = self._chain(event, own)
        frames: list[Frame] = []
        run: str | None = None
        item: dict[str, Any] = {}
        tags: dict[str, Any] = {}
        share = 1.0
        for added, frame in chain:
            frames += [*added.frames, *([frame] if frame is not None else [])]
            run, item = added.run or run, unpack_mapping(added.item) or item
            tags.update(unpack_mapping(added.tags))
            share = added.share if added.share != 1.0 else share
        inherited: dict[str, Any] = {"run": run, "item": item, "tags": tags}
        return {
            "operators": [frame.as_mapping() for frame in frames],
            **{key: value for key, value in inherited.items() if value},
            **({} if chain[-1][0].member else {"member": False}),
            **({} if share == 1.0 else {"share": share}),
            **({"withheld": own.withheld} if own.withheld else {}),
        }

    def _chain(self, event: RawEvent, own: Added) -> list[tuple[Added, Frame | None]]:
        """What each ancestor adds, root first, the event's own call last. Ends at whoever brought frames along."""
        frame = None
        if event.call_id:
            frame = Frame(event.operator_id, event.operator_type, event.stage, event.call_id, event.attempt, event.slot)
        key: CallKey = (event.parent_call_id, event.parent_attempt)
        if event.type != CALL and not own.frames and (event.call_id, event.attempt) in self._calls:
            frame, key = None, (event.call_id, event.attempt)  # its own call event says all of this
        chain: list[tuple[Added, Frame | None]] = [(own, frame)]
        seen: set[CallKey] = set()
        while chain[-1][0].frames == () and key in self._calls and key not in seen and len(seen) < MAX_ANCESTORS:
            seen.add(key)
            known = self._calls[key]
            chain.append((known.added, known.frame))
            key = known.parent
        chain.reverse()
        return chain


def to_operator_event(
    event: RawEvent, context: Mapping[str, Any], producer: bytes | None = None, seq: int | None = None
) -> OperatorEvent:
    """The public form of a wire event; undecodable data becomes a Summary that says so."""
    try:
        data = payload.unpack(event.data)
    except WireError as error:
        data = payload.Summary("undecodable", {"repr": str(error)})
    return OperatorEvent(
        operator_id=event.operator_id,
        operator_type=event.operator_type,
        stage=event.stage,
        event_type=EVENT_TYPES[event.type],
        timestamp=_seconds(event.timestamp),
        context=context,
        data=data,
        trace_id=event.trace_id.hex() if event.trace_id is not None else None,
        call_id=optional_call_hex(event.call_id),
        parent_call_id=optional_call_hex(event.parent_call_id),
        attempt=event.attempt,
        parent_attempt=event.parent_attempt,
        slot=event.slot,
        duration_s=None if event.duration is None else _seconds(event.duration),
        slots=event.slots,
        links=tuple(call_hex(link) for link in event.links),
        follows=optional_call_hex(event.follows),
        producer_id=producer.hex() if producer is not None else None,
        seq=seq,
    )


def unpack_mapping(packed: bytes) -> dict[str, Any]:
    """A packed item or tags map; empty where there is none or it is malformed."""
    try:
        value = payload.unpack(packed)
    except WireError:
        return {}
    return value if isinstance(value, dict) else {}


def recorded(value: Any, limit: int) -> Any:
    """What is kept, and compared, of a value in an item or a tags map of so many bytes: of a set its elements sorted,
    of an object its repr, of a long text its edges and a digest."""
    return unpack_mapping(payload.pack({"": value}, limit)).get("")


def _seconds(value: int | float) -> float:
    """Integers on the wire are nanoseconds; floats are the seconds a user gave."""
    return value / 1e9 if isinstance(value, int) else value
