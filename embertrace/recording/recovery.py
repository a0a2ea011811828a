"""What a writer makes of the segments that an earlier one left: the marks, who lives, and where to go on. Decides only.

Rules:
- Only bytes after the last valid record of the last segment are tail, and only they are cut.
- Bytes that were published as durable are never cut. If they can't be read any more that is damage, and stays
  where it is, for `check` to report and so that no position is ever used twice.
- Marks come from the newest segment header that is valid, and from the records since. That is the last segment's,
  unless that very header is damaged. Who lives comes from the same records: a segment begins with their begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from embertrace.errors import RecordingError
from embertrace.recording.layout import (
    BEGIN,
    END,
    Record,
    pack_record,
    pack_segment_header,
    scan_segment,
    unpack_segment_header,
)
from embertrace.wire.batch import BATCH, GAP, MAX_SEQ


class Recovered(NamedTuple):
    """`begun`: what the producers that had not ended said of themselves (the payload of their begin);
    `last_ns`: the latest time there, of a record or of a segment's begin.
    `end`: the position to append at. `again`: the last segment's bytes from `durable` to `end`, to be written
    once more: a failed fsync may have marked them clean in the page cache without their being on disk. `cut`: the
    bytes of the torn tail. `missing`: those between the end of the file and the published position."""

    marks: dict[bytes, int]
    begun: dict[bytes, bytes]
    last_ns: int
    end: int
    durable: int
    again: bytes
    cut: int
    missing: int


def note_mark(marks: dict[bytes, int], kind: int, producer: bytes, last_seq: int) -> None:
    """What a record does to the marks."""
    if kind in (BATCH, GAP):
        marks[producer] = last_seq


def note_life(begun: dict[bytes, bytes], kind: int, producer: bytes, about: bytes | memoryview) -> None:
    """What a record does to the begins without an end."""
    if kind == BEGIN:
        begun[producer] = bytes(about)
    elif kind == END:
        begun.pop(producer, None)


def segment_head(base: int, now_ns: int, marks: Mapping[bytes, int], begun: Mapping[bytes, bytes]) -> bytes:
    """What a segment begins with: its header, and the begins of those that live, at `now_ns` and a nanosecond each."""
    head = pack_segment_header(base, now_ns, marks)
    parts, position = [head], base + len(head)
    for nth, (producer, about) in enumerate(begun.items(), 1):
        first = min(marks.get(producer, 0) + 1, MAX_SEQ)
        parts.append(pack_record(BEGIN, now_ns + nth, producer, first, 0, about, position))
        position += len(parts[-1])
    return b"".join(parts)


def recover(bases: Sequence[int], read: Callable[[int], bytes], synced: int) -> Recovered:
    """From the bases of the segments (at least one), a function that reads one, and the published position.

    Holds one segment in memory at a time.
    """
    marks: dict[bytes, int] = {}
    begun: dict[bytes, bytes] = {}
    last_ns = 0
    begin = len(bases) - 1
    for begin in range(len(bases) - 1, -1, -1):
        try:
            header = unpack_segment_header(read(bases[begin]), bases[begin])
            marks, last_ns = dict(header.marks), header.created_ns
            break
        except RecordingError:
            continue
    for base in bases[begin:]:
        buffer = read(base)
        readable = base + _header_length(buffer, base)
        for item in scan_segment(buffer, base):
            if isinstance(item, Record):
                note_mark(marks, item.kind, item.producer, item.last_seq)
                last_ns = max(last_ns, item.received_ns)
                note_life(begun, item.kind, item.producer, item.payload)
                readable = item.end
    last, size = bases[-1], len(buffer)
    # A published position beyond the file says nothing: its bytes are gone, or the eight bytes are damaged.
    durable = synced if last <= synced <= last + size else last
    end = max(readable, durable)
    again, missing = buffer[durable - last : end - last], max(0, synced - last - size)
    return Recovered(marks, begun, last_ns, end, durable, again, last + size - end, missing)


def _header_length(buffer: bytes, base: int) -> int:
    try:
        return unpack_segment_header(buffer, base).length
    except RecordingError:
        return 0
