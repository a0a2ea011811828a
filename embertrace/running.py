"""One call between its two events, and what the first of them adds to its parent's context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from embertrace import collect, context, lineage, payload
from embertrace.context import Context, Position, Scope, Sink
from embertrace.wire.calls import NO_CONTEXT, frame_context
from embertrace.wire.context import Added, pack_context


class Held(NamedTuple):
    """What the first event of a call would say, should it have to be told after all."""

    scope: Scope
    tags: Mapping[str, Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Yielded:
    """What a generator yielded: how many, and the first of them that fit one payload, packed as they came."""

    __slots__ = ("count", "kept", "left")

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[bytes] = []
        self.left = collect.settings.payload_bytes

    def add(self, value: Any) -> None:
        self.count += 1
        if self.left > 0:
            packed = payload.pack(value, self.left, context.redaction)
            self.left -= len(packed)
            self.kept.append(packed)

    def values(self) -> list[Any]:
        return [payload.unpack(packed) for packed in self.kept]


class Call(Context):
    """One call between its events: the context of what runs inside, where it came from, where its events go."""

    arguments: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
    """Kept for the metrics that are attached to it."""
    yielded: Yielded | None = None
    held: Held | None = None
    """Of a call that is told only if it raises, or one below it."""
    end: tuple[int, int, Any] = (0, 0, None)
    """Kind, duration and outcome, where the end was left with the parent."""
    sibling: Call | None = None
    """The next of the ends left with the same parent."""
    suspended: Position | None = None
    """Where a generator is, while its consumer runs."""
    outer: Position
    destination: Sink
    """NOBODY where this call is not recorded."""
    started_ns: int
    packed_place: bytes
    """What all its events say of it; not before the first one is told."""


_latest_root: tuple[tuple[object, ...], bytes] = ((), NO_CONTEXT)
"""What the latest root's event added, and of what it was made: roots of one run or item mostly come in a row."""


def added(parent: Context | None, scope: Scope, tags: Mapping[str, Any], member: bool, destination: Sink) -> bytes:
    """What readers can't take from the parent's call event, framed: all where that was not sent to them from here."""
    global _latest_root
    if parent is not None and parent.announced is destination:
        packed = payload.pack(tags, lineage.TAGS_BYTES, context.redaction) if tags else b""
        return frame_context(pack_context(Added(tags=packed, member=member)))
    if parent is not None or not member:
        return frame_context(pack_context(whole(parent, scope)._replace(member=member)))
    known, framed = _latest_root
    told = (scope.run, scope.item, scope.tags, scope.share)
    if known != told:
        framed = frame_context(pack_context(whole(None, scope)))
        _latest_root = told, framed
    return framed


def whole(parent: Context | None, scope: Scope) -> Added:
    """All that stands above a call."""
    frames = parent.frames() if parent is not None else ()
    return Added(frames, scope.run, scope.item, scope.tags, share=1.0 if scope.share is None else scope.share)
