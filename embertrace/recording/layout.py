"""The bytes of a segment: its header, its records, and finding records among damaged bytes. Pure, no I/O.

Segment header, little-endian:

     0   4  magic         89 45 54 53 ("\\x89ETS")
     4   1  version       1
     5   3  reserved      0
     8   8  base          position of the segment's first byte; the file's name says the same
    16   8  created_ns    Unix nanoseconds
    24   4  marks         how many follow
    28  24× marks         producer (16) and its high-water mark (8) before this segment
     …   4  CRC           CRC-32 (zlib) of everything before

Record, little-endian, one after the other:

     0   4  magic         89 45 54 52 ("\\x89ETR")
     4   1  kind          1 batch, 2 gap, 3 producer begin, 4 producer end, 5 clock
     5   3  reserved      0
     8   8  received_ns   Unix nanoseconds
    16  16  producer
    32   8  first seq
    40   8  count
    48   4  length        of the payload, at most 1 MiB
    52   4  payload CRC   CRC-32 of the payload
    56   4  place         the low 32 bits of the record's own position
    60   4  header CRC    CRC-32 of bytes 0–59
    64   …  payload

A record names its own place, so the image of a record inside somebody's payload (a traced program may well handle
recordings) is never taken for one, even where the header around that payload is damaged. A header that verifies owns
its whole length: nothing is looked for inside its payload, so that scanning any bytes takes time linear in them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from embertrace.errors import RecordingError
from embertrace.wire.batch import BATCH, GAP, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_SEQ, PRODUCER_BYTES

FORMAT = 1
BEGIN, END, CLOCK = 3, 4, 5
KIND_NAMES = {BATCH: "batch", GAP: "gap", BEGIN: "producer begin", END: "producer end", CLOCK: "clock"}

SEGMENT_MAGIC = b"\x89ETS"
_SEGMENT = struct.Struct("<4sB3xQQI")
_MARK = struct.Struct(f"<{PRODUCER_BYTES}sQ")
_CRC_BYTES = 4
SEGMENT_HEADER_BYTES = _SEGMENT.size + _CRC_BYTES
"""Of a header without marks: the shortest."""

RECORD_MAGIC = b"\x89ETR"
_RECORD = struct.Struct(f"<4sB3xQ{PRODUCER_BYTES}sQQIII")
RECORD_HEADER_BYTES = _RECORD.size + _CRC_BYTES
_PLACE = (1 << 32) - 1


class Record(NamedTuple):
    """One record, both checksums verified. `position` is that of its first byte."""

    kind: int
    received_ns: int
    producer: bytes
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose: it is the format's word
    payload: bytes
    position: int
    payload_crc: int

    @property
    def last_seq(self) -> int:
        """The last seq a batch holds or a gap declares; that is, the producer's mark after this record."""
        return self.first_seq + self.count - 1

    @property
    def end(self) -> int:
        """The position after its last byte."""
        return self.position + RECORD_HEADER_BYTES + len(self.payload)


class Damage(NamedTuple):
    """A stretch of `length` bytes from `position` on that holds no readable record.

    `tail`: nothing readable follows in the last segment, as after a crash in the middle of a write.
    """

    position: int
    length: int
    reason: str
    tail: bool = False

    @property
    def end(self) -> int:
        return self.position + self.length


class SegmentHeader(NamedTuple):
    """`marks` are the producers' high-water marks before the segment; `length` is that of the header in bytes."""

    base: int
    created_ns: int
    marks: dict[bytes, int]
    length: int


def pack_record_header(
    kind: int,
    received_ns: int,
    producer: bytes,
    first_seq: int,
    count: int,
    payload: bytes | memoryview,
    position: int,
    payload_crc: int | None = None,
) -> bytes:
    """The 64 bytes before `payload`. A payload CRC that is known already is not computed again.

    Raises ValueError for what the format can't hold.
    """
    fault = _fault(kind, first_seq, count, len(payload))
    if fault is None and len(producer) != PRODUCER_BYTES:
        fault = f"a producer id of {len(producer)} bytes; it has {PRODUCER_BYTES}"
    if fault is not None:
        raise ValueError(f"this can't be recorded: {fault}")
    if payload_crc is None:
        payload_crc = zlib.crc32(payload)
    head = _RECORD.pack(
        RECORD_MAGIC,
        kind,
        received_ns,
        producer,
        first_seq,
        count,
        len(payload),
        payload_crc,
        position & _PLACE,
    )
    return head + zlib.crc32(head).to_bytes(_CRC_BYTES, "little")


def pack_record(
    kind: int,
    received_ns: int,
    producer: bytes,
    first_seq: int,
    count: int,
    payload: bytes,
    position: int,
    payload_crc: int | None = None,
) -> bytes:
    """A whole record. As `pack_record_header`."""
    return pack_record_header(kind, received_ns, producer, first_seq, count, payload, position, payload_crc) + payload


def pack_segment_header(base: int, created_ns: int, marks: Mapping[bytes, int]) -> bytes:
    """The bytes a segment begins with. Marks are kept in their order."""
    head = _SEGMENT.pack(SEGMENT_MAGIC, FORMAT, base, created_ns, len(marks))
    head += b"".join(_MARK.pack(producer, mark) for producer, mark in marks.items())
    return head + zlib.crc32(head).to_bytes(_CRC_BYTES, "little")


def unpack_segment_header(buffer: bytes, base: int) -> SegmentHeader:
    """The header of the segment whose name says it begins at `base`. Raises RecordingError with the reason."""
    if len(buffer) < SEGMENT_HEADER_BYTES:
        raise RecordingError(f"the segment ends after {len(buffer)} bytes, inside its header")
    magic, version, stated, created_ns, count = _SEGMENT.unpack_from(buffer)
    if magic != SEGMENT_MAGIC:
        raise RecordingError("the segment does not begin with a segment header")
    if version != FORMAT:
        raise RecordingError(
            f"the segment header says it is of format {version}; this embertrace reads format {FORMAT}"
        )
    length = SEGMENT_HEADER_BYTES + count * _MARK.size
    if length > len(buffer):
        raise RecordingError(f"the segment ends after {len(buffer)} bytes; its header says it is {length} bytes long")
    body = buffer[: length - _CRC_BYTES]
    if zlib.crc32(body) != int.from_bytes(buffer[length - _CRC_BYTES : length], "little"):
        raise RecordingError("the segment header does not match its checksum")
    if stated != base:
        raise RecordingError(f"the segment header says that it begins at {stated}; its file name says {base}")
    return SegmentHeader(base, created_ns, dict(_MARK.iter_unpack(body[_SEGMENT.size :])), length)


def segment_header_bytes(start: bytes) -> int:
    """How long a segment's header says it is, from its first bytes; as long as the shortest if they are too few."""
    if len(start) < _SEGMENT.size:
        return SEGMENT_HEADER_BYTES
    return SEGMENT_HEADER_BYTES + _MARK.size * int(_SEGMENT.unpack_from(start)[-1])


def scan_segment(buffer: bytes, base: int) -> Iterator[Record | Damage]:
    """The records of a segment's bytes, its header first; a bad segment header is a Damage. Never raises."""
    try:
        offset, reason = unpack_segment_header(buffer, base).length, None
    except RecordingError as error:
        offset, reason = 0, str(error)
    items = scan(buffer, offset, base)
    if reason is not None:
        first = next(items, None)
        if isinstance(first, Damage):
            yield first._replace(reason=reason)
        else:
            yield Damage(base, 0, reason, tail=first is None)
            if first is not None:
                yield first
    yield from items


def scan(buffer: bytes, start_offset: int, base: int) -> Iterator[Record | Damage]:
    """The records in `buffer` (whose first byte has position `base`) from an offset on, in order. Never raises.

    Between them, one Damage for each stretch that holds none. One that reaches the end of the buffer has `tail` set.
    """
    offset, damaged, reason = start_offset, -1, ""
    while offset < len(buffer):
        item = _item_at(buffer, offset, base)
        if isinstance(item, Record):
            if damaged >= 0:
                yield Damage(base + damaged, offset - damaged, reason)
                damaged = -1
            yield item
        elif damaged < 0:
            damaged, reason = offset, item.reason
        offset = item.end - base
    if damaged >= 0:
        yield Damage(base + damaged, len(buffer) - damaged, reason, tail=True)


def _item_at(buffer: bytes, offset: int, base: int) -> Record | Damage:
    """The record at an offset, else the stretch from there to where the next may begin (at least one byte)."""
    position = base + offset
    if not _header_verifies(buffer, offset, base):
        following = _next_header(buffer, offset + 1, base)
        return Damage(position, following - offset, "no record header that matches its checksum and place")
    _, kind, received_ns, producer, first, count, length, payload_crc, _ = _RECORD.unpack_from(buffer, offset)
    begin = offset + RECORD_HEADER_BYTES
    available = len(buffer) - begin
    fault = _fault(kind, first, count, length)
    if length > available:
        return Damage(position, len(buffer) - offset, fault or f"{available} of a payload's {length} bytes are there")
    if fault is not None:
        return Damage(position, RECORD_HEADER_BYTES + length, fault)
    payload = buffer[begin : begin + length]
    if zlib.crc32(payload) != payload_crc:
        return Damage(position, RECORD_HEADER_BYTES + length, "a payload that does not match its checksum")
    return Record(kind, received_ns, producer, first, count, payload, position, payload_crc)


def _header_verifies(buffer: bytes, offset: int, base: int) -> bool:
    if not buffer.startswith(RECORD_MAGIC, offset) or len(buffer) - offset < RECORD_HEADER_BYTES:
        return False
    end = offset + _RECORD.size
    if zlib.crc32(buffer[offset:end]) != int.from_bytes(buffer[end : end + _CRC_BYTES], "little"):
        return False
    place = int.from_bytes(buffer[end - 4 : end], "little")
    return place == (base + offset) & _PLACE


def _next_header(buffer: bytes, offset: int, base: int) -> int:
    """The offset of the next record header that verifies, else the end of the buffer."""
    found = buffer.find(RECORD_MAGIC, offset)
    while found >= 0:
        if _header_verifies(buffer, found, base):
            return found
        found = buffer.find(RECORD_MAGIC, found + 1)
    return len(buffer)


def _fault(kind: int, first_seq: int, count: int, length: int) -> str | None:
    """What no valid record says, as a phrase; None for a valid one. The rules for batches are those of the wire."""
    if kind not in KIND_NAMES:
        return f"unknown kind {kind}"
    if length > MAX_BATCH_BYTES:
        return f"a payload of {length} bytes; the limit is {MAX_BATCH_BYTES}"
    least = 1 if kind in (BATCH, GAP) else 0
    if not least <= first_seq <= MAX_SEQ or not least <= count <= MAX_SEQ - first_seq + 1:
        return f"a {KIND_NAMES[kind]} with first seq {first_seq} and count {count}"
    if kind == BATCH and count > min(MAX_BATCH_EVENTS, length):
        return f"a batch of {length} bytes can't hold {count} events"
    return None
