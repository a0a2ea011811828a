"""Records taken apart into streams of what is alike, so that a compressor finds it; and put together again. Pure.

Rules:
- `join(split(part))` is the part, byte for byte, for any run of whole records; what is unusual stays in one piece.
- Record headers lie column by column: first bytes, second bytes, and so on. Their checksums and places are left out,
  since they follow from the rest.
- Batches whose events can be read side by side (see wire.columns) are taken apart: all first elements, all second
  ones, and so on, over all batches. Times and ids of nine bytes are differences from the event before.

    0  counts: records, bytes before the first one, events taken apart    (u32 each, little-endian)
    1  the bytes before the first record: a segment's header, or none
    2  record headers
    3  a byte for each record: 1 where its payload was taken apart
    4  the other payloads, one after the other
    5  17 lengths of elements that are the same in all events, else FFFFFFFF    (u32)
    6  the lengths of the other elements, one stream of bytes after the other
    7… for each element its bytes, event after event; for NUMBERS three: first bytes of those of nine bytes, their
       values, all others
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embertrace.recording.layout import RECORD_HEADER_BYTES, Record, pack_record_header
from embertrace.wire.batch import BATCH
from embertrace.wire.columns import EVENT_HEAD, element_lengths
from embertrace.wire.event import FIELDS

NUMBERS = (1, 3, 4, 13)
"""The elements that are times and ids of calls: random to a compressor, but near those of the event before."""
WIDE = 9
"""Bytes of such a number: one that says so, eight that are it."""
VARIES = 0xFFFFFFFF
STREAMS = 7 + FIELDS + 2 * len(NUMBERS)
_COUNTS = struct.Struct("<III")
_HEADER = struct.Struct("<BQ16sQQI")
"""A record's header without what follows from the rest: its magic, the checksums, its place."""

Bytes = NDArray[np.uint8]


def split(before: bytes, records: Sequence[Record]) -> list[bytes]:
    """The streams of what stands before the first record and of the records, as `join` takes them."""
    batches = [record for record in records if record.kind == BATCH]
    lengths, good = element_lengths([each.payload for each in batches], [each.count for each in batches])
    apart = {each.position for each, fine in zip(batches, good.tolist(), strict=True) if fine}
    taken = b"".join(each.payload for each in batches if each.position in apart)
    left = b"".join(each.payload for each in records if each.position not in apart)
    flags = bytes(each.position in apart for each in records)
    counts = _COUNTS.pack(len(records), len(before), lengths.shape[1])
    return [counts, before, _headers(records), flags, left, *_elements(taken, lengths)]


def join(streams: Sequence[bytes], position: int) -> bytes:
    """The bytes of which `split` made the streams; `position` is that of the first. Raises ValueError if they are not
    such streams, or IndexError."""
    number, before, events = _COUNTS.unpack(streams[0])
    if len(streams) != STREAMS or len(streams[1]) != before or len(streams[3]) != number:
        raise ValueError("these are not the streams of records")
    taken, left = _events(streams[5:], events), streams[4]
    headers = np.frombuffer(streams[2], np.uint8).reshape(_HEADER.size, number).T.tobytes()
    parts, position = [streams[1]], position + before
    at = {0: 0, 1: 0}
    for nth, apart in enumerate(streams[3]):
        kind, received, producer, first, count, length = _HEADER.unpack_from(headers, nth * _HEADER.size)
        payload = (taken if apart else left)[at[apart] : at[apart] + length]
        if len(payload) != length:
            raise ValueError("a payload is not there")
        at[apart] += length
        parts += (pack_record_header(kind, received, producer, first, count, payload, position), payload)
        position += RECORD_HEADER_BYTES + length
    return b"".join(parts)


def _headers(records: Sequence[Record]) -> bytes:
    packed = b"".join(
        _HEADER.pack(each.kind, each.received_ns, each.producer, each.first_seq, each.count, len(each.payload))
        for each in records
    )
    return _transposed(np.frombuffer(packed, np.uint8).reshape(len(records), _HEADER.size))


def _elements(taken: bytes, lengths: NDArray[Any]) -> list[bytes]:
    """The streams from 5 on."""
    buffer = np.frombuffer(taken, np.uint8)
    starts = _begins(lengths)
    same = [int(row[0]) if len(row) and (row == row[0]).all() else VARIES for row in lengths]
    varying = [_transposed(_as_bytes(row, "<u4")) for row, one in zip(lengths, same, strict=True) if one == VARIES]
    streams = [np.array(same, "<u4").tobytes(), b"".join(varying)]
    for element in range(FIELDS):
        at, long = starts[element], lengths[element]
        if element in NUMBERS:
            wide = long == WIDE
            streams += [buffer[at[wide]].tobytes(), _differences(buffer, at[wide] + 1)]
            at, long = at[~wide], long[~wide]
        streams.append(buffer[_places(at, long)].tobytes())
    return streams


def _events(streams: Sequence[bytes], events: int) -> bytes:
    """The events that `_elements` took apart."""
    lengths = _lengths(streams[0], streams[1], events)
    starts = _begins(lengths)
    size = int(lengths.sum()) + events * len(EVENT_HEAD)
    buffer = np.zeros(size, np.uint8)
    for place, byte in enumerate(EVENT_HEAD):
        buffer[starts[0] - len(EVENT_HEAD) + place] = byte
    rest = iter(streams[2:])
    for element in range(FIELDS):
        at, long = starts[element], lengths[element]
        if element in NUMBERS:
            wide = long == WIDE
            buffer[at[wide]] = np.frombuffer(next(rest), np.uint8)
            buffer[(at[wide] + 1)[:, None] + np.arange(8)] = _summed(next(rest))
            at, long = at[~wide], long[~wide]
        buffer[_places(at, long)] = np.frombuffer(next(rest), np.uint8)
    return buffer.tobytes()


def _lengths(same: bytes, varying: bytes, events: int) -> NDArray[Any]:
    lengths = np.zeros((FIELDS, events), np.int64)
    at = 0
    for element, one in enumerate(np.frombuffer(same, "<u4").tolist()):
        if one == VARIES:
            part = np.frombuffer(varying[at : at + 4 * events], np.uint8).reshape(4, events)
            lengths[element] = np.ascontiguousarray(part.T).view("<u4")[:, 0] if events else 0
            at += 4 * events
        else:
            lengths[element] = one
    return lengths


def _begins(lengths: NDArray[Any]) -> NDArray[Any]:
    """Where each element of each event begins in the events joined."""
    whole = lengths.sum(axis=0) + len(EVENT_HEAD)
    first = np.cumsum(whole) - whole + len(EVENT_HEAD)
    begins: NDArray[Any] = np.cumsum(lengths, axis=0) - lengths + first
    return begins


def _places(at: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """The offset of every byte of stretches, in order."""
    ends = np.cumsum(lengths)
    places: NDArray[Any] = np.repeat(at - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
    return places


def _differences(buffer: Bytes, at: NDArray[Any]) -> bytes:
    """Numbers of eight bytes as differences, small ones of either sign with high bytes of zero."""
    numbers = np.ascontiguousarray(buffer[at[:, None] + np.arange(8)]).view(">u8")[:, 0].astype(np.uint64)
    steps = np.diff(numbers, prepend=np.zeros(1, np.uint64)).view(np.int64)
    return _transposed(_as_bytes(((steps << 1) ^ (steps >> 63)).view(np.uint64), "<u8"))


def _summed(stream: bytes) -> Bytes:
    """The numbers that `_differences` made differences of."""
    rows = np.ascontiguousarray(np.frombuffer(stream, np.uint8).reshape(8, -1).T)
    folded = rows.view("<u8")[:, 0].astype(np.uint64) if len(rows) else np.zeros(0, np.uint64)
    steps = (folded >> np.uint64(1)) ^ (np.uint64(0) - (folded & np.uint64(1)))
    return _as_bytes(np.cumsum(steps, dtype=np.uint64), ">u8")


def _as_bytes(numbers: NDArray[Any], form: str) -> Bytes:
    rows = np.ascontiguousarray(numbers.astype(form))
    found: Bytes = rows.view(np.uint8).reshape(len(rows), rows.itemsize)
    return found


def _transposed(rows: Bytes) -> bytes:
    return np.ascontiguousarray(rows.T).tobytes()
