"""Many events at once, as columns: what `wire.event` reads one by one, read side by side with numpy.

Rules:
- The answer is that of `iter_events`, or none. Whatever is unusual (an event that breaks a limit, one of a later
  version with more elements, a time beyond 2262 or in less than nine bytes, a name in a form that nobody needs, bytes
  inside a payload that look like an event's beginning) makes `decode` refuse the whole batch, and its caller reads
  that batch event by event.
- Every event is checked as far as `iter_events` does: types, ranges, lengths, and that one ends where the next begins.
- Names are handed to the caller as the bytes of all three, once for each event; a caller interns them.
- The last three elements (links, context, data) stay packed as they are: an event's tail. `unpack_tail` reads one.

    decode         batches → Columns, and which of them were refused
    columns_of     single events → the same Columns
    element_lengths  how long the elements of events are, for whoever takes them apart
    unpack_tail    links, context and data of one event
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from embertrace.wire.context import MAX_CONTEXT_BYTES
from embertrace.wire.cursor import BINARY, FLOAT, NIL, UINT64, Cursor, Ints
from embertrace.wire.event import FIELDS, MAX_EVENT_BYTES, RawEvent
from embertrace.wire.spans import PADDING, alike, copied, words_at

FLOAT_STAMP, NO_TRACE, DURATION, FLOAT_DURATION, LINKS, CONTEXT = (1 << place for place in range(6))
"""Flags of an event: its time (its duration) is a float of seconds, whose bits the column holds; it has no trace id,
has a duration, links, a context."""

_OF_DURATION = np.full(256, DURATION, np.uint8)
_OF_DURATION[[NIL, FLOAT]] = 0, DURATION | FLOAT_DURATION
"""Flags by a duration's first byte."""


class Columns(NamedTuple):
    """Events side by side, one array for each field, and their tails one behind the other.

    `trace` has two columns: the halves of the id, as integers.
    """

    kind: Ints
    stamp: Ints
    flags: Ints
    trace: Ints
    call_id: Ints
    parent: Ints
    attempt: Ints
    parent_attempt: Ints
    slot: Ints
    name: Ints
    duration: Ints
    slots: Ints
    follows: Ints
    tail_length: Ints
    tails: bytes

    def take(self, chosen: Ints) -> Columns:
        """The events where `chosen` (booleans) holds."""
        kept: list[Any] = [column[chosen] for column in self[:-1]]
        ends = np.cumsum(self.tail_length)
        starts = ends - self.tail_length
        return Columns._make([*kept, copied(self.tails, starts[chosen], self.tail_length[chosen])])


Names = Callable[[bytes], int]
"""The number of three packed names (operator id, type, stage). Raises ValueError where they are no text."""

EVENT_HEAD = bytes((0xDC, 0, FIELDS))
"""What an event begins with that is read here: an array of so many elements."""
_FRONT = 13
"""Bytes before the trace id, of an event whose time takes nine."""
_HEAD_BITS, _HEAD_AND_TYPE = np.uint64(0xFCFFFFFF), np.uint64(int.from_bytes(EVENT_HEAD, "little"))
"""Which bits of an event's first four bytes are the same in all: a type is 0 to 3."""
_INT64, NO_LINKS = 0xD3, 0x90
_NO_TEXT = -1
"""In the place of the number of names that are no text."""


def decode(payloads: Sequence[bytes], counts: Sequence[int], names: Names) -> tuple[Columns, NDArray[np.bool_]]:
    """The events of the batches that could be read at once, in order; and of each batch whether it could.

    `counts` says how many events each batch holds by its header.
    """
    buffer = b"".join([*payloads, bytes(PADDING)])
    bounds = np.cumsum([0, *map(len, payloads)])
    starts = _candidates(buffer, int(bounds[-1]))
    batch = np.searchsorted(bounds, starts, "right") - 1
    cursor = Cursor(buffer, int(bounds[-1]), starts)
    fields, spans = _fields(cursor)
    good = _readable(cursor, starts, bounds, batch, counts)
    ids = _name_ids(buffer, spans, batch, good, names)
    starts, lengths = spans[2], cursor.at - spans[2]
    columns: list[Any] = [*fields[:9], ids, *fields[9:], lengths]
    if not good.all():
        chosen = good[batch]
        columns = [column[chosen] for column in columns]
        starts, lengths = starts[chosen], lengths[chosen]
    return Columns._make([*columns, copied(buffer, starts, lengths)]), good


def _readable(cursor: Cursor, starts: Ints, bounds: Ints, batch: Ints, counts: Sequence[int]) -> NDArray[np.bool_]:
    """Of each batch, whether its events were all read, and are as many as it says, one where the one before ends."""
    following = np.minimum(np.append(starts[1:], bounds[-1]), bounds[batch + 1])
    bad = cursor.bad | (cursor.at != following)
    found = np.bincount(batch, minlength=len(counts))
    first = np.searchsorted(starts, bounds[:-1])
    begins = np.append(starts, -1)[np.minimum(first, len(starts))] == bounds[:-1]
    good: NDArray[np.bool_] = (
        (found == np.asarray(counts)) & begins & (np.bincount(batch[bad], minlength=len(counts)) == 0)
    )
    return good


def element_lengths(payloads: Sequence[bytes], counts: Sequence[int]) -> tuple[Ints, NDArray[np.bool_]]:
    """How many bytes each element of each event takes, in the batches that could be read at once; and which could.

    A row for each of the FIELDS elements, a column for each event in order. The elements follow an event's first
    bytes, EVENT_HEAD, without anything between them. Names are not looked at: they may be no text.
    """
    buffer = b"".join([*payloads, bytes(PADDING)])
    bounds = np.cumsum([0, *map(len, payloads)])
    starts = _candidates(buffer, int(bounds[-1]))
    batch = np.searchsorted(bounds, starts, "right") - 1
    cursor = Cursor(buffer, int(bounds[-1]), starts)
    cursor.move(len(EVENT_HEAD))
    ends = [cursor.at]
    for read in _ELEMENTS:
        read(cursor)
        ends.append(cursor.at)
    good = _readable(cursor, starts, bounds, batch, counts)
    lengths: Ints = np.diff(np.stack(ends), axis=0)[:, good[batch]]
    return lengths, good


_ELEMENTS: tuple[Callable[[Cursor], Any], ...] = (
    lambda cursor: cursor.move(1),
    lambda cursor: cursor.move(9),
    Cursor.trace,
    *(Cursor.unsigned,) * 5,
    *(Cursor.text,) * 3,
    Cursor.number,
    *(Cursor.unsigned,) * 2,
    Cursor.links,
    lambda cursor: cursor.binary(MAX_CONTEXT_BYTES),
    lambda cursor: cursor.binary(MAX_EVENT_BYTES),
)
"""What passes over each element of an event."""


def _candidates(buffer: bytes, end: int) -> Ints:
    """Where an event may begin: an array of FIELDS, a type, a time of nine bytes, a trace id or nil."""
    bytes_, words = np.frombuffer(buffer, np.uint8), words_at(buffer)
    at = np.flatnonzero(bytes_[: max(0, end - _FRONT)] == EVENT_HEAD[0])
    begin = words[at]
    fits = (begin & _HEAD_BITS) == _HEAD_AND_TYPE
    if not fits.all():
        at, begin = at[fits], begin[fits]
    stamp, trace = (begin >> np.uint64(32)).astype(np.uint8), bytes_[at + _FRONT]
    is_time = (stamp == UINT64) | (stamp == _INT64) | (stamp == FLOAT)
    found: Ints = at[is_time & ((trace == BINARY) | (trace == NIL))]
    return found


def _fields(cursor: Cursor) -> tuple[list[Ints], tuple[Ints, Ints, Ints]]:
    """All columns but names and tails; and where names begin, where they end, where the tail begins."""
    cursor.look_ahead()
    kind = cursor.bytes[cursor.at + 3]
    cursor.move(4)
    stamp_tag, stamp = cursor.tags(), cursor.word()
    cursor.bad |= (stamp_tag == UINT64) & (stamp >> 63 != 0)
    flags = np.where(stamp_tag == FLOAT, FLOAT_STAMP, 0).astype(np.uint8)
    cursor.move(9)
    has_trace, trace = cursor.trace()
    flags |= np.where(has_trace, 0, NO_TRACE).astype(np.uint8)
    ids = [cursor.unsigned() for _ in range(5)]
    names_at = cursor.at
    for _ in range(3):
        cursor.text()
    names_end = cursor.at
    duration_tag, duration = cursor.number()
    cursor.bad |= (duration >> 63 != 0) & (duration_tag != FLOAT)
    flags |= _OF_DURATION[duration_tag]
    slots, follows = cursor.unsigned(), cursor.unsigned()
    tail_at = cursor.at
    flags |= np.where(cursor.links(), LINKS, 0).astype(np.uint8)
    flags |= np.where(cursor.binary(MAX_CONTEXT_BYTES) > 0, CONTEXT, 0).astype(np.uint8)
    cursor.binary(MAX_EVENT_BYTES)
    fields = [kind, stamp.view(np.int64), flags, trace, *ids, duration.view(np.int64), slots, follows]
    return fields, (names_at, names_end, tail_at)


def _name_ids(
    buffer: bytes, spans: tuple[Ints, Ints, Ints], batch: Ints, good: NDArray[np.bool_], names: Names
) -> Ints:
    """The number of each event's names; batches in which one is no text are good no more."""
    rows = np.flatnonzero(good[batch])
    starts, ends = spans[0][rows], spans[1][rows]
    first = alike(buffer, starts, ends - starts)
    numbers = np.full(len(rows), _NO_TEXT, np.int32)
    for row in np.flatnonzero(first == np.arange(len(rows))).tolist():
        with contextlib.suppress(ValueError):
            numbers[row] = names(buffer[starts[row] : ends[row]])
    ids = np.full(len(batch), _NO_TEXT, np.int32)
    ids[rows] = numbers[first]
    good[batch[rows[ids[rows] == _NO_TEXT]]] = False
    return ids


def columns_of(events: Sequence[RawEvent], names: Sequence[int]) -> Columns:
    """The same of single events whose names have these numbers. Times must fit 64 bits, all else be as on the wire."""
    flags = [
        (type(event.timestamp) is float) * FLOAT_STAMP
        | (event.trace_id is None) * NO_TRACE
        | (event.duration is not None) * DURATION
        | (type(event.duration) is float) * FLOAT_DURATION
        | bool(event.links) * LINKS
        | bool(event.context) * CONTEXT
        for event in events
    ]
    tails = [pack_tail(event) for event in events]
    traces = b"".join(event.trace_id or bytes(16) for event in events)

    def unsigned(name: str) -> Ints:
        return np.array([getattr(event, name) for event in events], np.uint64)

    return Columns(
        kind=np.array([event.type for event in events], np.uint8),
        stamp=np.array([_bits(event.timestamp) for event in events], np.int64),
        flags=np.array(flags, np.uint8),
        trace=np.frombuffer(traces, ">u8").astype(np.uint64).reshape(-1, 2),
        call_id=unsigned("call_id"),
        parent=unsigned("parent_call_id"),
        attempt=unsigned("attempt"),
        parent_attempt=unsigned("parent_attempt"),
        slot=unsigned("slot"),
        name=np.asarray(names, np.int32),
        duration=np.array([_bits(0 if event.duration is None else event.duration) for event in events], np.int64),
        slots=unsigned("slots"),
        follows=unsigned("follows"),
        tail_length=np.array([len(tail) for tail in tails], np.int64),
        tails=b"".join(tails),
    )


def _bits(value: int | float) -> int:
    """An integer, or the bits of a float as one."""
    if isinstance(value, float):
        return int(np.float64(value).view(np.int64))
    return value


def unpack_names(packed: bytes) -> tuple[str, str, str]:
    """Operator id, type and stage. Raises ValueError where they are no text."""
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(packed)
    operator_id, operator_type, stage = unpacker
    return operator_id, operator_type, stage


def pack_tail(event: RawEvent) -> bytes:
    """Links, context and data as they stand at an event's end."""
    return b"".join(map(msgpack.packb, (event.links or None, event.context, event.data)))


def unpack_tail(tail: bytes) -> tuple[tuple[int, ...], bytes, bytes]:
    """Links, context and data of an event's tail."""
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=max(len(tail), 1))
    unpacker.feed(tail)
    links, context, data = unpacker
    return tuple(links or ()), context, data


def data_of(tail: bytes) -> bytes:
    """The data in an event's tail."""
    if tail[0] in (NIL, NO_LINKS) and tail[1] == BINARY:
        at = 3 + tail[2]
        if tail[at] == BINARY:
            return tail[at + 2 :]
    return unpack_tail(tail)[2]


def context_of(tail: bytes) -> bytes:
    """The context in an event's tail."""
    if tail[0] not in (NIL, NO_LINKS) or tail[1] != BINARY:
        return unpack_tail(tail)[1]
    return tail[3 : 3 + tail[2]]
