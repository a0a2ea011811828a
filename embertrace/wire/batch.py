"""One PUSH message: a 48-byte header, then its payload. Little-endian, one ZeroMQ frame.

     0   4  magic        89 45 54 42 ("\\x89ETB")
     4   1  version      1
     5   1  kind         1 batch, 2 gap
     6   2  reserved     0
     8  16  producer     random id of one process's stream into one recording
    24   8  first seq    of the first event; seqs count a producer's events from 1
    32   8  count        of events (batch), or of seqs that will never come (gap)
    40   4  payload CRC  CRC-32 (zlib) of the payload
    44   4  header CRC   CRC-32 of bytes 0–43
    48   …  payload      batch: `count` events, one after the other; gap: a msgpack map with `reason`

A batch is accepted only if its first seq is the producer's high-water mark plus one; so gaps are messages in the
same stream, accepted by the same rule.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib

import msgpack

from embertrace.errors import VersionError, WireError
from embertrace.wire.fields import unpack_map

VERSION = 1
MAGIC = b"\x89ETB"
BATCH, GAP = 1, 2
MAX_REASON = 200
"""Characters of why events are missing: one line of a report."""
_HEADER = struct.Struct("<4sBBH16sQQII")
HEADER_BYTES = _HEADER.size
PRODUCER_BYTES = 16
MAX_BATCH_EVENTS = 65_536
MAX_BATCH_BYTES = 1024 * 1024
"""Payload of one message. The sender's unacknowledged window is as large, so one batch never exceeds it."""
MAX_SEQ = (1 << 63) - 1
"""Seqs stay in a signed 64-bit integer, for readers that have no unsigned ones (numpy sums, Parquet, SQL)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """A decoded message. `count` seqs from `first_seq` are in it (batch) or lost for good (gap).

    `payload` is a view where the message was one.
    """

    kind: int
    producer: bytes
    first_seq: int
    count: int
    payload_crc: int
    payload: bytes | memoryview

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.count - 1


def pack_batch(kind: int, producer: bytes, first_seq: int, count: int, payload: bytes) -> bytes:
    """The bytes of one message. The caller keeps to the limits; `unpack_batch` enforces them."""
    head = _HEADER.pack(MAGIC, VERSION, kind, 0, producer, first_seq, count, zlib.crc32(payload), 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little") + payload


def pack_gap(producer: bytes, first_seq: int, count: int, reason: str) -> bytes:
    """The bytes of a declared gap: `count` seqs from `first_seq` on will never come."""
    return pack_batch(GAP, producer, first_seq, count, gap_payload(reason))


def gap_payload(reason: str) -> bytes:
    """What a gap says of itself."""
    return msgpack.packb({"reason": reason})


def gap_reason(payload: bytes | memoryview) -> str:
    """What a gap says of itself; "dropped" where that can't be read. Never raises."""
    try:
        reason = unpack_map(bytes(payload), "gap", 16 * MAX_REASON).get("reason")
    except WireError:
        reason = None
    return reason[:MAX_REASON] if isinstance(reason, str) and reason else "dropped"


def unpack_batch(message: bytes | memoryview) -> Batch:
    """A message from its bytes, both checksums verified. Raises VersionError or WireError."""
    if len(message) < HEADER_BYTES:
        raise WireError(f"a message of {len(message)} bytes is shorter than the {HEADER_BYTES}-byte header")
    magic, version, kind, _, producer, first, count, payload_crc, header_crc = _HEADER.unpack_from(message)
    if magic != MAGIC:
        raise WireError(f"a message begins with {magic!r}; an embertrace batch begins with {MAGIC!r}")
    if version != VERSION:
        raise VersionError(f"a message of wire version {version}; this library speaks version {VERSION}")
    if zlib.crc32(message[: HEADER_BYTES - 4]) != header_crc:
        raise WireError("a batch header does not match its checksum")
    payload = message[HEADER_BYTES:]
    if len(payload) > MAX_BATCH_BYTES:
        raise WireError(f"a batch payload of {len(payload)} bytes; the limit is {MAX_BATCH_BYTES}")
    if kind not in (BATCH, GAP):
        raise WireError(f"a message of unknown kind {kind}; known are 1 (batch) and 2 (gap)")
    if not 1 <= first <= MAX_SEQ or not 1 <= count <= MAX_SEQ - first + 1:
        raise WireError(f"a message with first seq {first} and count {count}; both start at 1")
    if kind == BATCH and count > min(MAX_BATCH_EVENTS, len(payload)):
        raise WireError(f"a batch of {len(payload)} bytes can't hold {count} events (at most {MAX_BATCH_EVENTS})")
    if zlib.crc32(payload) != payload_crc:
        raise WireError("a batch payload does not match its checksum")
    return Batch(kind, producer, first, count, payload_crc, payload)
