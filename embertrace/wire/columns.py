"""Many events at once, as columns: what `wire.event` reads one by one, read side by side with numpy.

Rules:
- The answer is that of `iter_events`, or none. Whatever is unusual (an event that breaks a limit, one of a later
  version with more elements, a time beyond 2262 or in less than nine bytes, a name in a form that nobody needs, bytes
  inside a payload that look like an event's beginning) makes `decode` refuse the whole batch, and its caller reads
  that batch event by event.
- Every event is checked as far as `iter_events` does: types, ranges, lengths, and that one ends where the next begins.
- Names are handed to the caller as the bytes of all three, once for each event; a caller interns them.
- The last three elements (links, context, data) stay packed as they are: an event's tail. `unpack_tail` reads one.

    _Cursor        a position in every event, moved on field by field
    decode         batches → Columns, and which of them were refused
    columns_of     single events → the same Columns
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from embertrace.wire.context import MAX_CONTEXT_BYTES
from embertrace.wire.event import FIELDS, MAX_EVENT_BYTES, MAX_LINKS, MAX_NAME_BYTES, RawEvent

Ints = NDArray[Any]

FLOAT_STAMP, NO_TRACE, DURATION, FLOAT_DURATION, LINKS, CONTEXT = (1 << place for place in range(6))
"""Flags of an event: its time (its duration) is a float of seconds, whose bits the column holds; it has no trace id,
has a duration, links, a context."""


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
        return Columns._make([*kept, _joined(self.tails, (ends - self.tail_length)[chosen], ends[chosen])])


Names = Callable[[bytes], int]
"""The number of three packed names (operator id, type, stage). Raises ValueError where they are no text."""

_SIZE = np.zeros(256, np.int64)
"""Bytes of an unsigned integer by its first; 0 where none begins like that."""
_SIZE[:0x80] = 1
_SIZE[0xCC:0xD0] = 2, 3, 5, 9
_SHIFT = np.zeros(256, np.uint64)
_SHIFT[0xCC:0xD0] = 56, 48, 32, 0
_PAD = bytes(32)
_FRONT = 13
"""Bytes before the trace id, of an event whose time takes nine."""
_UINT8, _INT8, _NIL, _FLOAT, _NO_LINKS = 0xCF, 0xD3, 0xC0, 0xCB, 0x90


class _Cursor:
    """A place in each of many events. What can't be read there marks the event as bad, and goes on anyhow."""

    def __init__(self, buffer: bytes, starts: Ints) -> None:
        padded = buffer + _PAD
        self.bytes = np.frombuffer(padded, np.uint8)
        self.words: Ints = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
        self._end = len(buffer)
        self.at = starts
        self.bad = np.zeros(len(starts), bool)

    def tags(self) -> Ints:
        return self.bytes[self.at]

    def move(self, by: Ints | int) -> None:
        further = self.at + by
        self.bad |= further > self._end
        self.at = np.minimum(further, self._end)

    def unsigned(self, nil: bool = False) -> Ints:
        """The unsigned integers there; with `nil`, 0 for what is nil or a float, whose bits `word` gives."""
        tags = self.tags()
        if (tags < 0x80).all():
            self.move(1)
            return tags
        values = self.word() >> _SHIFT[tags]
        sizes = _SIZE[tags]
        values = np.where(tags < 0x80, tags, values)
        if nil:
            sizes = np.where(tags == _NIL, 1, np.where(tags == _FLOAT, 9, sizes))
        self.bad |= sizes == 0
        self.move(sizes)
        return values

    def word(self) -> Ints:
        """The eight bytes behind the place, as an unsigned integer."""
        word: Ints = self.words[np.minimum(self.at + 1, self._end)].byteswap()
        return word

    def text(self) -> None:
        """Pass over a string."""
        tags = self.tags()
        if ((tags & 0xE0) == 0xA0).all():
            self.move((tags & 0x1F).astype(np.int64) + 1)
            return
        word = self.word()
        length = np.select(
            [(tags & 0xE0) == 0xA0, tags == 0xD9, tags == 0xDA], [tags & 0x1F, word >> 56, word >> 48], 1 << 32
        ).astype(np.int64)
        self.bad |= length > MAX_NAME_BYTES
        self.move(length + np.select([tags == 0xD9, tags == 0xDA], [2, 3], 1))

    def binary(self, limit: int) -> Ints:
        """Pass over binary data; how long each is."""
        tags = self.tags()
        word = self.word()
        width = tags.astype(np.int64) - 0xC4
        self.bad |= (width < 0) | (width > 2)
        shift = np.array([56, 48, 32], np.uint64)
        head = np.array([2, 3, 5])
        width = np.clip(width, 0, 2)
        length = (word >> shift[width]).astype(np.int64)
        self.bad |= length > limit
        self.move(length + head[width])
        return length

    def links(self) -> Ints:
        """Pass over links: nil, or call ids; whether there are any."""
        tags = self.tags()
        if (tags == _NIL).all():
            self.move(1)
            return np.zeros(len(tags), bool)
        short, long = (tags & 0xF0) == 0x90, tags == 0xDC
        count = np.select([short, long], [tags & 0x0F, self.word() >> 48], 0).astype(np.int64)
        self.bad |= ~(short | long | (tags == _NIL)) | (count > MAX_LINKS)
        self.move(np.where(long, 3, 1))
        left = np.where(self.bad, 0, count)
        rows = np.flatnonzero(left)
        while len(rows):
            part = self._of(rows)
            part.bad |= part.unsigned() == 0
            self.at[rows], self.bad[rows] = part.at, part.bad
            left[rows] -= 1
            rows = rows[(left[rows] > 0) & ~part.bad]
        return count > 0

    def _of(self, rows: Ints) -> _Cursor:
        part = object.__new__(_Cursor)
        part.bytes, part.words, part._end = self.bytes, self.words, self._end
        part.at, part.bad = self.at[rows], self.bad[rows]
        return part


def decode(payloads: Sequence[bytes], counts: Sequence[int], names: Names) -> tuple[Columns, NDArray[np.bool_]]:
    """The events of the batches that could be read at once, in order; and of each batch whether it could.

    `counts` says how many events each batch holds by its header.
    """
    buffer = b"".join(payloads)
    bounds = np.cumsum([0, *map(len, payloads)])
    starts = _candidates(buffer)
    batch = np.searchsorted(bounds, starts, "right") - 1
    cursor = _Cursor(buffer, starts)
    fields, spans = _fields(cursor)
    following = np.minimum(np.append(starts[1:], len(buffer)), bounds[batch + 1])
    bad = cursor.bad | (cursor.at != following)
    found = np.bincount(batch, minlength=len(payloads))
    first = np.searchsorted(starts, bounds[:-1])
    begins = np.append(starts, -1)[np.minimum(first, len(starts))] == bounds[:-1]
    good = (found == np.asarray(counts)) & begins & (np.bincount(batch[bad], minlength=len(payloads)) == 0)
    ids = _name_ids(buffer, spans, batch, good, names)
    columns: list[Any] = [*fields[:9], ids, *fields[9:], cursor.at - spans[2]]
    starts, ends = spans[2], cursor.at
    if not good.all():
        chosen = good[batch]
        columns = [column[chosen] for column in columns]
        starts, ends = starts[chosen], ends[chosen]
    return Columns._make([*columns, _joined(buffer, starts, ends)]), good


def _joined(buffer: bytes, starts: Ints, ends: Ints) -> bytes:
    return b"".join(map(buffer.__getitem__, map(slice, starts.tolist(), ends.tolist())))


def _candidates(buffer: bytes) -> Ints:
    """Where an event may begin: an array of FIELDS, a type, a time of nine bytes, a trace id or nil."""
    bytes_ = np.frombuffer(buffer, np.uint8)
    at = np.flatnonzero(bytes_[: max(0, len(buffer) - _FRONT)] == 0xDC)
    at = at[(bytes_[at + 1] == 0) & (bytes_[at + 2] == FIELDS) & (bytes_[at + 3] <= 3)]
    stamp, trace = bytes_[at + 4], bytes_[at + _FRONT]
    is_time = (stamp == _UINT8) | (stamp == _INT8) | (stamp == _FLOAT)
    found: Ints = at[is_time & ((trace == 0xC4) | (trace == _NIL))]
    return found


def _fields(cursor: _Cursor) -> tuple[list[Ints], tuple[Ints, Ints, Ints]]:
    """All columns but names and tails; and where names begin, where they end, where the tail begins."""
    kind = cursor.bytes[cursor.at + 3]
    cursor.move(4)
    stamp_tag, stamp = cursor.tags(), cursor.word()
    cursor.bad |= (stamp_tag == _UINT8) & (stamp >> 63 != 0)
    flags = np.where(stamp_tag == _FLOAT, FLOAT_STAMP, 0).astype(np.uint8)
    cursor.move(9)
    trace = _trace(cursor, flags)
    ids = [cursor.unsigned() for _ in range(5)]
    names_at = cursor.at
    for _ in range(3):
        cursor.text()
    names_end = cursor.at
    duration_tag, bits = cursor.tags(), cursor.word()
    duration = cursor.unsigned(nil=True)
    is_float = duration_tag == _FLOAT
    duration = np.where(is_float, bits, np.where(duration_tag == _NIL, 0, duration))
    cursor.bad |= ~is_float & (duration >> 63 != 0)
    flags |= np.where(duration_tag == _NIL, 0, np.where(is_float, DURATION | FLOAT_DURATION, DURATION)).astype(np.uint8)
    slots, follows = cursor.unsigned(), cursor.unsigned()
    tail_at = cursor.at
    flags |= np.where(cursor.links(), LINKS, 0).astype(np.uint8)
    flags |= np.where(cursor.binary(MAX_CONTEXT_BYTES) > 0, CONTEXT, 0).astype(np.uint8)
    cursor.binary(MAX_EVENT_BYTES)
    fields = [kind, stamp.view(np.int64), flags, trace, *ids, duration.astype(np.uint64).view(np.int64), slots, follows]
    return fields, (names_at, names_end, tail_at)


def _trace(cursor: _Cursor, flags: Ints) -> Ints:
    tags = cursor.tags()
    has = tags == 0xC4
    at = cursor.at
    cursor.bad |= has & (cursor.bytes[np.minimum(at + 1, cursor._end)] != 16)
    trace = np.zeros((len(at), 2), np.uint64)
    for half in (0, 1):
        words = cursor.words[np.minimum(at + 2 + 8 * half, cursor._end)].byteswap()
        trace[:, half] = np.where(has, words, 0)
    flags |= np.where(has, 0, NO_TRACE).astype(np.uint8)
    cursor.move(np.where(has, 18, 1))
    return trace


def _name_ids(
    buffer: bytes, spans: tuple[Ints, Ints, Ints], batch: Ints, good: NDArray[np.bool_], names: Names
) -> Ints:
    """The number of each event's names; batches in which one is no text are good no more."""
    known: dict[bytes, int] = {}
    packed = [*map(buffer.__getitem__, map(slice, spans[0].tolist(), spans[1].tolist()))]
    if not good.all():
        packed = [each if fine else b"" for each, fine in zip(packed, good[batch].tolist(), strict=True)]
    broken = False
    for each in set(packed):
        try:
            known[each] = names(each) if each else -1
        except ValueError:
            known[each], broken = -2, True
    ids = np.fromiter(map(known.__getitem__, packed), np.int32, len(packed))
    if broken:
        good[batch[ids == -2]] = False
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


def pack_names(event: RawEvent) -> bytes:
    """The names of an event as they stand in it. Raises ValueError for what is no text that UTF-8 has."""
    return b"".join(msgpack.packb(name) for name in (event.operator_id, event.operator_type, event.stage))


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


def context_of(tail: bytes) -> bytes:
    """The context in an event's tail."""
    if tail[0] not in (_NIL, _NO_LINKS) or tail[1] != 0xC4:
        return unpack_tail(tail)[1]
    return tail[3 : 3 + tail[2]]
