"""The context map of an event: what readers can't take from the parent's call event. Msgpack, opaque to ingest.

    operators  ancestor frames root → leaf, each [id, type, stage, call id, attempt, slot]; only where a call
               enters a process, or its parent emitted nothing
    run        run id
    item       binary: packed map `key`, and where given `truth`, `epoch`, `group`
    tags       binary: packed map of the tags this call adds to its parent's
    member     false where the call is to be no member of its ensemble
    share      float: the share of all items that are recorded, this one among them; 0 where it was not chosen, and
               these events are here because a call raised. Beside `run` and `item`; 1 where it is not said
    withheld   on result and error: how many of the calls begun under this one are not recorded because a filter says
               so. On a metric event without data: 1, the call that the event names is such a one

Nothing to add is no bytes at all. Item and tags are packed once, where they are set, and stay packed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack

from embertrace.errors import WireError
from embertrace.event import Frame
from embertrace.wire.bounds import unpack_bounded

MAX_FRAMES = 64
"""Ancestor frames in one context or carrier; deeper hierarchies lose their middle, never root or leaf."""
MAX_CONTEXT_BYTES = 64 * 1024
MAX_WITHHELD = 1 << 31
"""More calls than one call can begin: it is not believed."""


class Added(NamedTuple):
    """What one event adds to its parent's context."""

    frames: tuple[Frame, ...] = ()
    run: str | None = None
    item: bytes = b""
    tags: bytes = b""
    member: bool = True
    share: float = 1.0
    withheld: int = 0


NOTHING_ADDED = Added()


def pack_context(added: Added) -> bytes:
    """The bytes of a context map; none where nothing is added. Frames beyond MAX_FRAMES lose their middle."""
    frames = added.frames
    if len(frames) > MAX_FRAMES:
        frames = frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]
    values: dict[str, Any] = {"operators": frames, "run": added.run, "item": added.item, "tags": added.tags}
    present = {key: value for key, value in values.items() if value}
    if not added.member:
        present["member"] = False
    if added.share != 1.0:
        present["share"] = added.share
    if added.withheld:
        present["withheld"] = added.withheld
    return msgpack.packb(present) if present else b""


def unpack_context(packed: bytes) -> Added:
    """What a context map adds. A malformed map or field adds nothing: the event itself still counts."""
    if not packed or len(packed) > MAX_CONTEXT_BYTES:
        return NOTHING_ADDED
    try:
        value = unpack_bounded(packed)
        if not isinstance(value, dict):
            return NOTHING_ADDED
        frames = unpack_frames(value.get("operators", []))
    except WireError:
        return NOTHING_ADDED
    run, item, tags = value.get("run"), value.get("item"), value.get("tags")
    share, withheld = of_sampling(value)
    return Added(
        frames=frames,
        run=run if isinstance(run, str) else None,
        item=item if isinstance(item, bytes) else b"",
        tags=tags if isinstance(tags, bytes) else b"",
        member=value.get("member") is not False,
        share=share,
        withheld=withheld,
    )


def of_sampling(value: Mapping[str, Any]) -> tuple[float, int]:
    """`share` and `withheld` of a context map; what it doesn't say, or says wrongly, is 1 and 0."""
    share, withheld = value.get("share"), value.get("withheld")
    return (
        float(share) if isinstance(share, int | float) and 0 <= share <= 1 else 1.0,
        withheld if type(withheld) is int and 0 < withheld <= MAX_WITHHELD else 0,
    )


def unpack_frames(values: Any) -> tuple[Frame, ...]:
    """Frames from their decoded arrays. Raises WireError."""
    if type(values) is not list or len(values) > MAX_FRAMES:
        raise WireError(f"frames must be an array of at most {MAX_FRAMES}")
    frames = []
    for value in values:
        if type(value) is not list or [type(part) for part in value] != [str, str, str, int, int, int]:
            raise WireError("a frame must be [id, type, stage, call id, attempt, slot]")
        if not all(0 <= number < 1 << 64 for number in value[3:]):
            raise WireError("a frame's call id, attempt and slot must be unsigned 64-bit integers")
        frames.append(Frame(*value))
    return tuple(frames)
