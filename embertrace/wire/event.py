"""One event as bytes: a flat msgpack array of 17 elements.

     0 type              0 call, 1 result, 2 error, 3 metric
     1 timestamp         integer nanoseconds, or a float of seconds where a user gave one; wall clock
     2 trace id          binary, 16 bytes; nil outside any trace
     3 call id           unsigned 64 bit; 0 outside any call
     4 parent call id    0 for a root
     5 attempt           of this call
     6 parent attempt    a child belongs to (parent call, parent attempt)
     7 slot              position under the parent, or among the roots of its execution context
     8 operator id, 9 operator type, 10 stage
    11 duration          integer nanoseconds (or a float of seconds a user gave); nil if unknown, on call and metric
    12 slots             on result and error: how many calls were begun under this one
    13 follows           call id; 0 for none
    14 links             array of call ids, or nil
    15 context           binary: a map, see wire.context; empty when all of it is inherited from the parent
    16 data              binary: msgpack, see payload

A reader accepts more elements than it knows and ignores them; fewer are an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgpack

from embertrace.errors import WireError
from embertrace.wire.bounds import outline
from embertrace.wire.context import MAX_CONTEXT_BYTES

FIELDS = 17
MAX_EVENT_BYTES = 512 * 1024
"""An event is a few payloads of at most 64 KiB each, and must fit into one batch with room to spare."""
MAX_LINKS = 1024
"""More inputs than that is a reduction over a data set, not a judge reading its members."""
MAX_NAME_BYTES = 4096
"""Operator ids, types and stages are names: qualified names and short labels."""


_SPARE_ARRAYS = 64
"""Beside an event's own and its links: elements of later versions."""
_EVENT_LIMITS: dict[str, Any] = {
    "raw": False,
    "strict_map_key": True,
    "max_array_len": MAX_LINKS,
    "max_map_len": 0,
    "max_ext_len": 0,
    "max_str_len": MAX_NAME_BYTES,
    "max_bin_len": MAX_EVENT_BYTES,
}


Place = tuple[bytes, int, int, int, int, int, str, str, str]
"""Elements 2 to 10, which all events of a call share: where in the tree it is, and who is called."""


class RawEvent(NamedTuple):
    """An event as it is on the wire, with `context` and `data` still packed."""

    type: int
    timestamp: int | float
    trace_id: bytes | None
    call_id: int
    parent_call_id: int
    attempt: int
    parent_attempt: int
    slot: int
    operator_id: str
    operator_type: str
    stage: str
    duration: int | float | None
    slots: int
    follows: int
    links: tuple[int, ...]
    context: bytes
    data: bytes


_spare_packers: list[msgpack.Packer] = []
"""Making a packer costs more than packing an event. One is taken out while it is used: a finaliser that emits may run
in the middle of packing, and so may another thread."""


def pack_event(event: RawEvent | tuple[Any, ...]) -> bytes:
    """The bytes of one event, from a RawEvent or a plain tuple of the same fields. Thread-safe, re-entrant.

    Raises WireError for one that no batch could hold: it would stop all that follow it. What it is made of is bounded
    so that this does not happen.
    """
    return check_size(_pack(event))


def pack_elements(elements: tuple[Any, ...]) -> bytes:
    """Some of an event's elements (at most 15), one after the other."""
    return _pack(elements)[1:]  # without the header of an array


def check_size(packed: bytes) -> bytes:
    """Raises WireError as `pack_event`."""
    if len(packed) > MAX_EVENT_BYTES:
        raise WireError(f"an event of {len(packed)} bytes; the limit is {MAX_EVENT_BYTES}")
    return packed


def _pack(value: tuple[Any, ...]) -> bytes:
    try:
        packer = _spare_packers.pop()
    except IndexError:
        packer = msgpack.Packer()
    packed: bytes = packer.pack(value)
    _spare_packers.append(packer)
    return packed


def unpack_event(packed: bytes) -> RawEvent:
    """One event from its bytes. Raises WireError for anything that is not exactly one valid event."""
    events = list(iter_events(packed, 1))
    if len(events) != 1:
        raise WireError(f"{len(packed)} bytes hold no event")
    if isinstance(events[0], BadEvent):
        raise WireError(events[0].reason)
    return events[0]


class BadEvent(NamedTuple):
    """A place in a batch where a reader found something that is no valid event: `lost` of them from `place` on."""

    place: int
    lost: int
    reason: str


def iter_events(payload: bytes, count: int) -> Iterator[RawEvent | BadEvent]:
    """The events of a batch in order, with a BadEvent where one can't be decoded; the two always add up to `count`.

    A valid msgpack object that is no event costs itself alone. Broken msgpack costs the rest of the batch: what
    follows can't be found.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(payload), 1), list_hook=_at_most(count), **_EVENT_LIMITS)
    unpacker.feed(payload)
    for index in range(count):
        try:
            fields = unpacker.unpack()
        except (ValueError, msgpack.UnpackException):
            yield from _iter_pieces(payload, index, count)
            return
        try:
            yield _checked(fields)
        except WireError as error:
            yield BadEvent(index, 1, str(error))
    if unpacker.tell() != len(payload):
        yield _surplus(len(payload) - unpacker.tell(), count)


def _iter_pieces(payload: bytes, start: int, count: int) -> Iterator[RawEvent | BadEvent]:
    """As `iter_events`, from event `start` on: each found by passing over it, so that one which is against the limits
    does not hide those behind it."""
    passing = msgpack.Unpacker(max_buffer_size=max(len(payload), 1))
    passing.feed(payload)
    for index in range(count):
        begin = passing.tell()
        try:
            passing.skip()
        except (ValueError, msgpack.UnpackException) as error:
            yield BadEvent(index, count - index, f"broken msgpack: {error or type(error).__name__}")
            return
        if index < start:
            continue
        try:
            piece = payload[begin : passing.tell()]
            yield _checked(msgpack.unpackb(piece, list_hook=_at_most(1), **_EVENT_LIMITS))
        except (ValueError, WireError) as error:
            yield BadEvent(index, 1, str(error) or type(error).__name__)
    if passing.tell() != len(payload):
        yield _surplus(len(payload) - passing.tell(), count)


def _at_most(events: int) -> Callable[[list[Any]], list[Any]]:
    """A hook that lets so many arrays pass as so many events may have, and stops what is made of arrays in arrays:
    a mebibyte of them would take a second."""
    left = 4 * events + _SPARE_ARRAYS

    def hook(values: list[Any]) -> list[Any]:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("arrays in arrays; an event is flat")
        return values

    return hook


def _surplus(left: int, count: int) -> BadEvent:
    return BadEvent(count, 0, f"{left} bytes after the last of {count} events")


def split_events(payload: bytes, count: int) -> list[bytes]:
    """The events of a batch one by one, undecoded. Raises WireError if it does not hold `count` msgpack objects."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(payload), 1))
    unpacker.feed(payload)
    ends = [0]
    try:
        for _ in range(count):
            unpacker.skip()
            ends.append(unpacker.tell())
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError(f"a batch of {count} events breaks off at event {len(ends)}: {error}") from None
    return [payload[start:end] for start, end in itertools.pairwise(ends)]


_UINT64 = (1 << 64) - 1


def _checked(fields: Any) -> RawEvent:
    """A RawEvent from a decoded array; every element has the type and range the format states."""
    if type(fields) is not list or len(fields) < FIELDS:
        raise WireError(f"an event is an array of at least {FIELDS} elements, not {outline(fields)}")
    event = RawEvent(*fields[:FIELDS])
    for name in ("call_id", "parent_call_id", "attempt", "parent_attempt", "slot", "slots", "follows"):
        value = getattr(event, name)
        if type(value) is not int or not 0 <= value <= _UINT64:
            raise WireError(f"{name} is {outline(value)}; it must be an unsigned 64-bit integer")
    for name in ("operator_id", "operator_type", "stage"):
        if type(getattr(event, name)) is not str:
            raise WireError(f"{name} is {outline(getattr(event, name))}; it must be a string")
    if type(event.type) is not int or not 0 <= event.type <= 3:
        raise WireError(f"event type is {outline(event.type)}; it must be 0, 1, 2 or 3")
    if type(event.timestamp) not in (int, float):
        raise WireError(f"timestamp is {outline(event.timestamp)}; it must be integer nanoseconds or float seconds")
    if event.duration is not None and type(event.duration) not in (int, float):
        raise WireError(f"duration is {outline(event.duration)}; it must be a number or nil")
    if event.trace_id is not None and (type(event.trace_id) is not bytes or len(event.trace_id) != 16):
        raise WireError(f"trace id is {outline(event.trace_id)}; it must be 16 bytes or nil")
    if type(event.context) is not bytes or len(event.context) > MAX_CONTEXT_BYTES or type(event.data) is not bytes:
        raise WireError(f"context and data must be binary, the context of at most {MAX_CONTEXT_BYTES} bytes")
    links: Any = event.links
    if links is None:
        return event._replace(links=())
    if type(links) is not list or any(type(link) is not int or not 0 < link <= _UINT64 for link in links):
        raise WireError(f"links is {outline(links)}; it must be an array of call ids or nil")
    return event._replace(links=tuple(links))


def to_nanoseconds(value: int | float) -> int:
    """Integers on the wire are nanoseconds, floats are seconds a user gave; one that is no number of seconds is 0."""
    if isinstance(value, int):
        return value
    return round(value * 1e9) if abs(value) < 1e12 else 0
