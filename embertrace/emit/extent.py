"""The bytes of one extent of a spool: consecutive events of one producer, as they lie in a mapped file. Pure.

Header, 64 bytes, little-endian:

     0   4  magic        89 45 54 58 ("\\x89ETX")
     4   1  version      1
     5   3  reserved     0
     8  16  producer     whose events these are
    24   8  first seq    of the first record
    32   4  header CRC   CRC-32 (zlib) of bytes 0–31
    36   4  reserved     0
    40  12  dropped      how many seqs after the last record were dropped: 8 bytes, and their CRC-32
    52  12  dropped      the same; odd counts are written here, even ones above

Records follow, each:

     0   4  length       of the event, at least 1
     4   4  CRC          CRC-32 of the event
     8   8  seq          one more than the record before
    16   …  the event

Rules:
- A process that dies in the middle of a record leaves a length of 0 or a CRC that does not match, whichever bytes it
  wrote first, and a reader stops there. So it does at any damage: it returns what was written first, never more.
- Seqs in an extent have no holes. What is dropped comes after the last record, and closes the extent; the count is
  written to two places in turn, so that one of them is whole at any moment.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from array import array
from typing import NamedTuple

MAGIC = b"\x89ETX"
VERSION = 1
HEADER_BYTES = 64
HEAD_BYTES = 16
"""What a record has in front of its event."""
MAX_SEQ = (1 << 63) - 1

Buffer = mmap.mmap | bytearray

_HEADER = struct.Struct("<4sB3x16sQ")
_CRC = struct.Struct("<I")
_HEAD = struct.Struct("<IIQ")
_DROPPED = struct.Struct("<Q")
_DROPPED_AT = (40, 52)


class Found(NamedTuple):
    """What a reader finds in an extent."""

    producer: bytes
    first_seq: int
    starts: array[int]
    """Where each record starts, and at the end where the next one would."""
    dropped: int
    """How many seqs after the last record were dropped."""

    @property
    def events(self) -> int:
        return len(self.starts) - 1


def begin(buffer: Buffer, producer: bytes, first_seq: int) -> None:
    """Write the header into a zeroed buffer."""
    head = _HEADER.pack(MAGIC, VERSION, producer, first_seq)
    buffer[: len(head) + _CRC.size] = head + _CRC.pack(zlib.crc32(head))


record_head = _HEAD.pack
"""What stands before an event: of its length, its CRC-32 and its seq. Where a record is written, zeros or an unfinished
record must follow. Not a function of our own: calling one is a tenth of what taking in an event costs."""


def write_dropped(buffer: Buffer, count: int) -> None:
    """Write down that `count` seqs after the last record were dropped."""
    packed = _DROPPED.pack(count)
    at = _DROPPED_AT[count & 1]
    buffer[at : at + 12] = packed + _CRC.pack(zlib.crc32(packed))


def scan(data: bytes) -> Found | None:
    """What is whole in an extent's bytes, whatever they are; None without a whole header."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, producer, first_seq = _HEADER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != MAGIC or version != VERSION or zlib.crc32(data[: _HEADER.size]) != crc or not 0 < first_seq < MAX_SEQ:
        return None
    at = HEADER_BYTES
    seq = first_seq
    starts = array("I", (at,))
    while at + HEAD_BYTES < len(data):
        length, crc, stated = _HEAD.unpack_from(data, at)
        end = at + HEAD_BYTES + length
        if not length or end > len(data) or stated != seq or zlib.crc32(data[at + HEAD_BYTES : end]) != crc:
            break
        starts.append(end)
        at = end
        seq += 1
    return Found(producer, first_seq, starts, _read_dropped(data))


def _read_dropped(data: bytes) -> int:
    """The larger of the two counts that is whole; 0 where none was written."""
    dropped = 0
    for at in _DROPPED_AT:
        packed = data[at : at + 8]
        if _CRC.unpack_from(data, at + 8)[0] == zlib.crc32(packed):
            dropped = max(dropped, _DROPPED.unpack(packed)[0])
    return dropped
