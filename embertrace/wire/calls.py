"""The two events of a traced call as bytes: what `pack_event` gives for them, put together from parts.

Rules:
- What both events say, elements 2 to 10, is packed once; the names in it once per operator.
- Ids, times and durations are written in nine bytes each: they hardly ever need fewer, and so one `struct` writes a
  row of them, in half the time that it takes to pack each element as what it is.
- What is short or absent in most events is written that way; where it is not, the rest is packed element by element.
"""

from __future__ import annotations

import functools
import struct
from typing import Protocol

from embertrace.event import CALL
from embertrace.wire.event import FIELDS, check_size, pack_elements

NAMES_KNOWN = 1024
"""So many operators' names are kept packed: more than a program has."""
_SMALL = 128
"""Integers below are one byte, themselves."""
_SHORT = 256
"""Binaries of fewer bytes say their length in one."""
_U64, _I64, _NIL = b"\xcf", b"\xd3", b"\xc0"
_ID = b"\xc4\x10"
"""Before the 16 bytes of a trace's id."""
_SHORT_BIN = tuple(bytes((0xC4, length)) for length in range(_SHORT))
"""Before a binary of so many bytes."""
NO_CONTEXT = _SHORT_BIN[0]

_STARTS = tuple(b"\xdc\x00" + bytes((FIELDS, kind)) + _I64 for kind in range(4))
"""By type of event: elements 0 and 1, up to the time itself, which a clock that was set back may say is before 1970."""
_start = struct.Struct(">5sq").pack
_place = struct.Struct(">2s16scQcQBBB").pack
_place_far = struct.Struct(">2s16scQcQBBcQ").pack
_after_place = struct.Struct(">3sQc").pack
_NO_TIME = _NIL + b"\x00" + _U64
"""Neither duration nor slots, up to what it follows."""
_after_call = struct.Struct(">cQB5sB").pack
_NO_INPUTS = b"\x00" + _NIL + NO_CONTEXT + b"\xc4"
"""Follows nothing, no links, no context, up to the length of the data."""


class Placed(Protocol):
    """A call, as far as its place in the tree goes."""

    @property
    def trace_id(self) -> bytes: ...
    @property
    def call_id(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def slot(self) -> int: ...
    @property
    def names(self) -> tuple[str, str, str]: ...


def pack_place(call: Placed, parent: Placed | None) -> bytes:
    """Elements 2 to 10 of the events of a call under `parent`."""
    parent_id, parent_attempt = (0, 0) if parent is None else (parent.call_id, parent.attempt)
    attempt, slot = call.attempt, call.slot
    if attempt >= _SMALL or parent_attempt >= _SMALL:
        place = pack_elements((call.trace_id, call.call_id, parent_id, attempt, parent_attempt, slot))
    elif slot < _SMALL:
        place = _place(_ID, call.trace_id, _U64, call.call_id, _U64, parent_id, attempt, parent_attempt, slot)
    else:
        place = _place_far(_ID, call.trace_id, _U64, call.call_id, _U64, parent_id, attempt, parent_attempt, _U64, slot)
    return place + _pack_names(*call.names)


@functools.lru_cache(NAMES_KNOWN)
def _pack_names(operator_id: str, operator_type: str, stage: str) -> bytes:
    return pack_elements((operator_id, operator_type, stage))


def pack_call(
    timestamp_ns: int, place: bytes, follows: int, links: tuple[int, ...] | None, context: bytes, data: bytes
) -> bytes:
    """A call event; `context` is packed as `frame_context` does. Raises WireError as `pack_event`."""
    start = _start(_STARTS[CALL], timestamp_ns) + place
    if links is None and len(data) < _SHORT:
        return start + _after_place(_NO_TIME, follows, _NIL) + context + _SHORT_BIN[len(data)] + data
    rest = pack_elements((None, 0, follows, links)) + context + pack_elements((data,))
    return check_size(start + rest)


def frame_context(context: bytes) -> bytes:
    """The context of an event, as element 15."""
    return pack_elements((context,))


def pack_end(
    kind: int, timestamp_ns: int, place: bytes, duration_ns: int | None, slots: int, context: bytes, data: bytes
) -> bytes:
    """A result or an error. Raises WireError as `pack_event`."""
    start = _start(_STARTS[kind], timestamp_ns) + place
    if duration_ns is not None and slots < _SMALL and not context and len(data) < _SHORT:
        return start + _after_call(_U64, duration_ns, slots, _NO_INPUTS, len(data)) + data
    return check_size(start + pack_elements((duration_ns, slots, 0, None, context, data)))
