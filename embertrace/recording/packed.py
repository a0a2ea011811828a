"""A packed segment: the bytes of a sealed one, compressed in blocks that stand for themselves. Pure, no I/O.

Block, little-endian, one after the other:

     0   4  magic         89 45 54 50 ("\\x89ETP")
     4   1  version       1
     5   1  coding        1 streams (see streams), 2 one piece
     6   2  reserved      0
     8   8  base          of the segment
    16   8  whole         length of the segment, unpacked
    24   8  offset        of the block's first byte in the segment, unpacked
    32   4  length        unpacked
    36   4  packed length
    40   4  CRC-32        of what it unpacks to
    44   4  CRC-32        of its packed bytes
    48   4  place         offset of this header in the file
    52   4  header CRC    CRC-32 of bytes 0–51
    56   …  packed        of each stream (of the one piece) its compressed length, 4 bytes; then all of them, by zlib

Rules:
- It unpacks to the segment's bytes, all of them: positions, checksums and damage are found as in a plain one.
- A block that can't be read gives zeros in its place: no record is there, so a reader reports that stretch and goes on.
- Only a segment in which all is readable is packed; each block was unpacked and compared before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from embertrace.errors import RecordingError
from embertrace.recording.layout import RECORD_HEADER_BYTES, Record, scan_segment, unpack_segment_header

VERSION = 1
MAGIC = b"\x89ETP"
STREAMS, PIECE = 1, 2
BLOCK_BYTES = 1024 * 1024
"""Of a segment in one block: larger ones save 4% of the size, and cost memory and whoever wants one record."""
MAX_SEGMENT_BYTES = 256 * 1024 * 1024
"""Of a segment unpacked, four times what is written into one: a header that states more is not believed, so that what
a forged file unpacks to stays bounded."""
LEVEL = 6
"""Of zlib, its default: half of the time goes into taking events apart."""
_BLOCK = struct.Struct("<4sBB2xQQQIIIII")
_CRC_BYTES = 4
BLOCK_HEADER_BYTES = _BLOCK.size + _CRC_BYTES
_LENGTH = struct.Struct("<I")
_MOST_TIMES = 3
"""Streams together are hardly longer than what they were made of: all they add is lengths of elements, 4 bytes each."""


class Block(NamedTuple):
    """A block's header, verified; `at` is where its packed bytes begin."""

    coding: int
    whole: int
    offset: int
    length: int
    packed: int
    crc: int
    packed_crc: int
    at: int


def pack_segment(raw: bytes, base: int) -> bytes | None:
    """The packed form of a segment's bytes; None if not everything in it is readable, or it is too long."""
    if len(raw) > MAX_SEGMENT_BYTES:
        return None
    try:
        head = unpack_segment_header(raw, base).length
    except RecordingError:
        return None
    parts: list[bytes] = []
    records: list[Record] = []
    written, begin = 0, 0
    for item in scan_segment(raw, base):
        if not isinstance(item, Record):
            return None
        records.append(item)
        if item.end - base - begin >= BLOCK_BYTES:
            parts.append(_pack_block(raw, base, begin, head if not begin else 0, records, written))
            written, begin, records = written + len(parts[-1]), item.end - base, []
    if records or not begin:
        parts.append(_pack_block(raw, base, begin, head if not begin else 0, records, written))
    return b"".join(parts)


class PackedSegment:
    """The bytes of a packed segment, to be read in pieces. One thread; never raises.

    A block is unpacked when something of it is asked for, and the last one is kept: whoever reads on from where the
    last piece ended unpacks each of them once, and has one in memory. `length` is that of the segment, unpacked; 0 if
    no block can be read.
    """

    def __init__(self, packed: bytes, base: int) -> None:
        self._packed, self._base = packed, base
        self._blocks = list(blocks(packed, base))
        self._kept: tuple[Block, bytes] | None = None
        self.length = self._blocks[0].whole if self._blocks else 0

    def read(self, offset: int, stop: int | None = None) -> bytes:
        """The bytes from an offset up to another (or the end), fewer if there are fewer."""
        last = self.length if stop is None else min(stop, self.length)
        parts: list[bytes] = []
        at = offset
        for block in self._blocks:
            end = block.offset + block.length
            if end <= at or block.offset >= last:
                continue
            if block.offset > at:
                parts.append(bytes(block.offset - at))
                at = block.offset
            parts.append(self._content(block)[at - block.offset : last - block.offset])
            at = min(end, last)
        parts.append(bytes(max(0, last - at)))
        return b"".join(parts)

    def _content(self, block: Block) -> bytes:
        if self._kept is None or self._kept[0] != block:
            self._kept = None  # its memory is free for the next
            self._kept = block, _unpack_block(self._packed, self._base, block)
        return self._kept[1]


def unpack_segment(packed: bytes, base: int, offset: int = 0, stop: int | None = None) -> bytes:
    """The segment's bytes from an offset up to another (or its end), fewer if there are fewer. Never raises."""
    return PackedSegment(packed, base).read(offset, stop)


def unpacked_length(packed: bytes, base: int) -> int:
    """How long the segment is. 0 if no block of it can be read."""
    block = next(blocks(packed, base), None)
    return block.whole if block is not None else 0


def blocks(packed: bytes, base: int) -> Iterator[Block]:
    """The blocks whose headers are right, in the order in which they lie."""
    at = 0
    while 0 <= at < len(packed):
        block = _block_at(packed, at, base)
        if block is None:
            at = packed.find(MAGIC, at + 1)
        else:
            yield block
            at = block.at + block.packed


def _block_at(packed: bytes, at: int, base: int) -> Block | None:
    end = at + _BLOCK.size
    if len(packed) - at < BLOCK_HEADER_BYTES or not packed.startswith(MAGIC, at):
        return None
    if zlib.crc32(packed[at:end]) != int.from_bytes(packed[end : end + _CRC_BYTES], "little"):
        return None
    _, version, coding, stated, whole, offset, length, size, crc, packed_crc, place = _BLOCK.unpack_from(packed, at)
    if version != VERSION or stated != base or place != at or offset + length > whole:
        return None
    if whole > MAX_SEGMENT_BYTES:
        return None
    return Block(coding, whole, offset, length, size, crc, packed_crc, end + _CRC_BYTES)


def _pack_block(raw: bytes, base: int, begin: int, head: int, records: Sequence[Record], place: int) -> bytes:
    """One block: the segment's bytes from `begin` on, `head` bytes and then these records."""
    from embertrace.recording.streams import split

    length = head + sum(RECORD_HEADER_BYTES + len(record.payload) for record in records)
    piece = raw[begin : begin + length]
    crc = zlib.crc32(piece)
    packed = _compressed(split(piece[:head], records))
    made = _Made(STREAMS, base, len(raw), begin, length, crc, place)
    if _unpacked(STREAMS, packed, base + begin, length) != piece:
        packed, made = _compressed([piece]), made._replace(coding=PIECE)
    return made.header(packed) + packed


class _Made(NamedTuple):
    """What a new block's header says."""

    coding: int
    base: int
    whole: int
    offset: int
    length: int
    crc: int
    place: int

    def header(self, packed: bytes) -> bytes:
        head = _BLOCK.pack(
            MAGIC, VERSION, self.coding, self.base, self.whole, self.offset, self.length, len(packed), self.crc,
            zlib.crc32(packed), self.place,
        )  # fmt: skip
        return head + zlib.crc32(head).to_bytes(_CRC_BYTES, "little")


def _compressed(streams: Sequence[bytes]) -> bytes:
    found = [zlib.compress(stream, LEVEL) for stream in streams]
    return b"".join([*(_LENGTH.pack(len(stream)) for stream in found), *found])


def _unpack_block(packed: bytes, base: int, block: Block) -> bytes:
    """A block's bytes; zeros if they are not what they were."""
    content = packed[block.at : block.at + block.packed]
    if len(content) == block.packed and zlib.crc32(content) == block.packed_crc:
        found = _unpacked(block.coding, content, base + block.offset, block.length)
        if found is not None and len(found) == block.length and zlib.crc32(found) == block.crc:
            return found
    return bytes(block.length)


def _unpacked(coding: int, packed: bytes, position: int, length: int) -> bytes | None:
    """What packed bytes unpack to; None if they can't be."""
    from embertrace.recording import streams

    number = streams.STREAMS if coding == STREAMS else 1
    try:
        lengths = [_LENGTH.unpack_from(packed, place * _LENGTH.size)[0] for place in range(number)]
        found, at, left = [], number * _LENGTH.size, _MOST_TIMES * length + BLOCK_BYTES
        for size in lengths:
            found.append(zlib.decompressobj().decompress(packed[at : at + size], left))
            at, left = at + size, left - len(found[-1])
        return streams.join(found, position) if coding == STREAMS else found[0]
    except (ValueError, IndexError, struct.error, zlib.error):
        return None
