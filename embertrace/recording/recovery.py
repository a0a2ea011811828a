"""What a writer makes of the segments that an earlier one left: the marks, and where to go on. Decides only.

Rules:
- Only bytes after the last valid record of the last segment are tail, and only they are cut.
- Bytes that were published as durable are never cut. If they can't be read any more that is damage, and stays
  where it is, for `check` to report and so that no position is ever used twice.
- Marks come from the newest segment header that is valid, and from the records since. That is the last segment's,
  unless that very header is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from embertrace.errors import RecordingError
from embertrace.recording.layout import BEGIN, END, Record, scan_segment, unpack_segment_header
from embertrace.wire.batch import BATCH, GAP


class Recovered(NamedTuple):
    """`begun`: what producers said of themselves that began, and did not end, in the segments that were read;
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
                if item.kind == END:
                    begun.pop(item.producer, None)
                elif item.kind == BEGIN and item.payload:
                    begun[item.producer] = item.payload
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
