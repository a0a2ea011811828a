"""OperatorEvents as wire events: what was collected goes back as it was; what was made by hand gets ids.

Events that carry call ids are packed again, field by field. An event without one is placed by the list of frames in its
context, and by its place in the list, which is taken as the order in which one sequential program emitted:

- Its executions are told apart by trace, run and item where given, and by the path of frames (id, type, stage). The
  n-th call event and the n-th end of a path are one call; a result without a call event is its own call.
- A frame's parent is the frame before it. A frame with a call id is that call; one without is the execution that the
  frame's next end closes, or, where the frame emits nothing itself, the one that lasts until an event from outside
  it. For such frames a call that ended without a result is supplied, so that ensembles have a parent.
- It follows the call that ended before it in the same trace, run and item, which is how judges find their ensembles.

Concurrent programs need call ids, which every traced operator has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from embertrace import payload
from embertrace.event import CALL, DEFAULT_STAGE, EVENT_TYPES, METRIC, RESULT, Frame, OperatorEvent, parse_call_id
from embertrace.lineage import ITEM_BYTES, TAGS_BYTES
from embertrace.wire.context import Added, of_sampling, pack_context
from embertrace.wire.event import RawEvent

Place = tuple[bytes, int, RawEvent]
"""Producer, seq, event: what a forest takes."""

Step = tuple[str, str, str]
"""A frame without a call id: operator id, type, stage."""

HANDMADE = b"handmade events."
"""The producer of events that nobody emitted; 16 bytes, as every producer id has."""

LIMIT = 256 * 1024
"""Bytes of data kept of one event; half of what an event may have."""


class _Execution(NamedTuple):
    """One run through a frame that has no call id: how it is known, under whom, where, since when."""

    call_id: int
    parent: int
    slot: int
    step: Step
    event: OperatorEvent


class _Path:
    """How often a path of frames was begun and ended, in one scope."""

    __slots__ = ("begun", "ended", "silent")

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.silent = False  # children were seen under it, but nothing of its own


def raw_events(events: Iterable[OperatorEvent]) -> Iterator[Place]:
    """Each event for a forest, in the order given, and last the calls supplied for frames that emitted nothing."""
    desk = _Desk()
    for seq, event in enumerate(events):
        raw = desk.identified(event) if event.call_id else desk.placed(event)
        if event.producer_id is not None and event.seq is not None:
            yield _bytes(event.producer_id), event.seq, raw
        else:
            yield HANDMADE, seq, raw
    yield from desk.supplied()


class _Desk:
    """Gives ids to events that have none. One pass, in the list's order."""

    def __init__(self) -> None:
        self._paths: dict[tuple[bytes, tuple[Any, ...]], _Path] = {}
        self._executions: dict[int, _Execution] = {}
        self._own: set[int] = set()
        self._children: dict[int, int] = {}
        self._last_ended: dict[bytes, int] = {}
        self._follows: dict[int, int] = {}

    def identified(self, event: OperatorEvent) -> RawEvent:
        """An event with a call id, as it was on the wire."""
        call_id = parse_call_id(event.call_id)
        frames = [frame for frame in _frames(event) if frame.call_id != call_id]
        parent = parse_call_id(event.parent_call_id) or next((f.call_id for f in reversed(frames) if f.call_id), 0)
        known = tuple(frame for frame in frames if frame.call_id)
        return _raw(event, call_id, parent, event.slot, parse_call_id(event.follows), known)

    def placed(self, event: OperatorEvent) -> RawEvent:
        """An event without a call id, given that of its execution."""
        item = payload.unpack(_packed_item(event))
        scope = payload.canonical([event.trace_id, event.context.get("run"), item])
        frames, own = _frames(event), (event.operator_id, event.operator_type, event.stage)
        if frames and frames[-1][:3] == own:
            frames = frames[:-1]
        steps = (*(frame.call_id or frame[:3] for frame in frames), own)
        kind = EVENT_TYPES.index(event.event_type)
        if kind != METRIC:
            self._leave_silent_frames(scope, steps)
        parent = self._parent(scope, frames, event)
        path = self._paths.setdefault((scope, steps), _Path())
        ordinal = path.begun if kind == CALL else path.ended
        if kind == METRIC:
            ordinal = path.ended if path.begun > path.ended else path.ended - 1
            execution = self._execution(scope, steps, ordinal, parent, event) if ordinal >= 0 else None
            return _raw(event, execution.call_id if execution else 0, parent, event.slot, 0, ())
        execution = self._execution(scope, steps, ordinal, parent, event)
        path.silent = False
        self._own.add(execution.call_id)
        if kind == CALL:
            path.begun += 1
        else:
            path.ended += 1
            path.begun = max(path.begun, path.ended)
        follows = self._follows.setdefault(execution.call_id, self._last_ended.get(scope, 0))
        if kind != CALL:
            self._last_ended[scope] = execution.call_id
        known = tuple(frame for frame in frames if frame.call_id)
        follows = parse_call_id(event.follows) or follows
        return _raw(event, execution.call_id, execution.parent, execution.slot, follows, known)

    def supplied(self) -> Iterator[Place]:
        """A call and its end for every execution that only its children told of."""
        seq = 0
        for execution in self._executions.values():
            if execution.call_id not in self._own:
                operator_id, operator_type, stage = execution.step
                raw = _raw(execution.event, execution.call_id, execution.parent, execution.slot, 0, ())
                raw = raw._replace(
                    operator_id=operator_id, operator_type=operator_type, stage=stage, links=(), data=b""
                )
                raw = raw._replace(duration=None, slots=0)
                for kind in (CALL, RESULT):
                    yield HANDMADE[::-1], seq, raw._replace(type=kind)
                    seq += 1

    def _parent(self, scope: bytes, frames: list[Frame], event: OperatorEvent) -> int:
        """The call id of the innermost frame; executions are made for frames that have none."""
        parent = 0
        steps: tuple[Any, ...] = ()
        for frame in frames:
            steps = (*steps, frame.call_id or frame[:3])
            if frame.call_id:
                parent = frame.call_id
                continue
            path = self._paths.setdefault((scope, steps), _Path())
            execution = self._execution(scope, steps, path.ended, parent, event)
            path.silent = execution.call_id not in self._own
            parent = execution.call_id
        return parent

    def _execution(
        self, scope: bytes, steps: tuple[Any, ...], ordinal: int, parent: int, event: OperatorEvent
    ) -> _Execution:
        code = payload.digest(payload.canonical([scope, list(steps), ordinal]))
        call_id = int.from_bytes(code[:8], "big") or 1
        if call_id not in self._executions:
            slot = self._children[parent] = self._children.get(parent, -1) + 1
            self._executions[call_id] = _Execution(call_id, parent, slot, steps[-1], event)
        return self._executions[call_id]

    def _leave_silent_frames(self, scope: bytes, steps: tuple[Any, ...]) -> None:
        """An event from outside a frame that emits nothing itself says that the frame's execution is over."""
        for (other, path_steps), path in self._paths.items():
            if path.silent and other == scope and steps[: len(path_steps)] != path_steps:
                path.silent = False
                path.ended += 1
                path.begun = max(path.begun, path.ended)


def _frames(event: OperatorEvent) -> list[Frame]:
    """The frames of an event's context, root → leaf; a call id of 0 where none is given."""
    frames = []
    for operator in event.context.get("operators") or ():
        names = [operator.get(name) or default for name, default in _NAMES]
        numbers = [int(operator.get(name, 0)) for name in ("attempt", "slot")]
        frames.append(Frame(names[0], names[1], names[2], parse_call_id(operator.get("call_id") or None), *numbers))
    return frames


_NAMES = (("id", ""), ("type", ""), ("stage", DEFAULT_STAGE))


def _packed_item(event: OperatorEvent) -> bytes:
    item = event.context.get("item")
    return payload.pack(dict(item), ITEM_BYTES) if item else b""


def _raw(
    event: OperatorEvent, call_id: int, parent: int, slot: int, follows: int, frames: tuple[Frame, ...]
) -> RawEvent:
    context = event.context
    tags = context.get("tags")
    share, withheld = of_sampling(context)
    added = Added(
        frames=frames,
        run=context.get("run"),
        item=_packed_item(event),
        tags=payload.pack(dict(tags), TAGS_BYTES) if tags else b"",
        member=context.get("member") is not False,
        share=share,
        withheld=withheld,
    )
    return RawEvent(
        type=EVENT_TYPES.index(event.event_type),
        timestamp=float(event.timestamp),  # seconds; integers are nanoseconds on the wire
        trace_id=_bytes(event.trace_id) if event.trace_id is not None else None,
        call_id=call_id,
        parent_call_id=parent,
        attempt=int(event.attempt),
        parent_attempt=int(event.parent_attempt),
        slot=int(slot),
        operator_id=event.operator_id,
        operator_type=event.operator_type,
        stage=event.stage,
        duration=None if event.duration_s is None else float(event.duration_s),
        slots=int(event.slots),
        follows=follows,
        links=tuple(parse_call_id(link) for link in event.links),
        context=pack_context(added),
        data=payload.pack(event.data, LIMIT),
    )


def _bytes(text: str) -> bytes:
    """16 bytes of an id: its hexadecimal digits, or of any other text a digest."""
    try:
        code = bytes.fromhex(text)
    except ValueError:
        code = b""
    return code if len(code) == 16 else payload.digest(text.encode())
