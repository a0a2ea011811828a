"""A repaired copy: everything readable of a recording, as a recording with which `check` finds nothing wrong.

Rules:
- The original is only read. The copy is a directory of its own, and becomes a recording last of all: one whose making
  was interrupted is none.
- It is the same recording: its id, its name, its producers' ids, seqs and marks. Whoever sent to the original goes on
  with the copy.
- Every readable record is there with the bytes it had. A record names its own place, so after the first stretch that
  was left out that field and the checksum over it are new; the payload, its checksum and all else never change.
- Where seqs are missing a gap declares exactly them, before the record, or in front of the segment, that reveals it.
  A record whose seqs are there already is left out, whole.
- What retention removed stays removed, and said so.
- Batches are kept whatever their events hold: events that can't be decoded came so from their producer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from embertrace.errors import RecordingError
from embertrace.recording.check import MOST_LISTED
from embertrace.recording.files import SEGMENTS, place_in, segment_path, write_durably
from embertrace.recording.layout import BEGIN, CLOCK, END, Damage, Record, pack_record, pack_segment_header
from embertrace.recording.manifest import Manifest, write_manifest
from embertrace.recording.reader import Recording
from embertrace.recording.removed import write_removed
from embertrace.wire.batch import BATCH, GAP, gap_payload

REASON = "left out by a repair"
"""What the gaps say of themselves."""


class LeftOut(NamedTuple):
    """`length` bytes of a file of the original, from an offset on, that hold no readable record."""

    file: str
    offset: int
    length: int
    reason: str


class Missing(NamedTuple):
    """`count` seqs of a producer from `first_seq` on: no longer readable, declared lost by a gap in the copy."""

    producer: bytes
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose, as in Record


@dataclasses.dataclass(slots=True)
class RepairReport:
    """What a repaired copy holds, and what it lacks."""

    path: str
    """The copy."""
    records: int = 0
    events: int = 0
    """Events in the batches that were kept, decodable or not."""
    left_out: list[LeftOut] = dataclasses.field(default_factory=list)
    """Stretches of the original without a readable record, up to 100 of them; `left_out_bytes` counts all."""
    left_out_bytes: int = 0
    repeated: int = 0
    """Records that were left out because their seqs were there already."""
    gaps: list[Missing] = dataclasses.field(default_factory=list)
    """Up to 100; `gap_events` counts all."""
    gap_events: int = 0
    """Events that are known to have been in what was left out."""

    def __str__(self) -> str:
        """For people: what was kept, then a line for each thing that was left out."""
        kept = f"{self.path}: a repaired copy with {self.records} records, {self.events} events"
        lacks = [
            f"left out {bad.length} bytes of {bad.file} from offset {bad.offset} on: {bad.reason}"
            for bad in self.left_out
        ]
        lacks += [
            f"gap: {gap.count} events of producer {gap.producer.hex()} from seq {gap.first_seq} on" for gap in self.gaps
        ]
        if self.repeated:
            lacks.append(f"left out {self.repeated} records whose seqs were there already")
        return "\n".join([kept, *(lacks or ["nothing was left out"])])

    def to_data(self) -> dict[str, Any]:
        """The same as plain values for JSON; producers as hexadecimal text."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data["left_out"] = [bad._asdict() for bad in self.left_out]
        data["gaps"] = [{**gap._asdict(), "producer": gap.producer.hex()} for gap in self.gaps]
        return data


def repair(path: str | Path, out: str | Path, progress: Callable[[int, int], None] | None = None) -> RepairReport:
    """Write a repaired copy of the recording at `path` to `out`, a new or empty directory; say what it lacks.

    `progress` is called with (bytes done, bytes in all). A copy of an undamaged recording has the same segments, byte
    by byte. Beside a living writer it holds what was there when it was read. Holds one segment in memory, twice.

    Raises RecordingError if there is no recording at `path`, `out` is not empty, or the system refuses.
    """
    original, directory = Recording.open(path), Path(out)
    try:
        _make_empty(directory)
        copy = _Copy(original, directory)
        begin, end = copy.position, original.end()
        for item in original.records():
            copy.take(item)
            if progress is not None:
                progress(min(item.end, end) - begin, max(1, end - begin))
        copy.finish()
    except OSError as error:
        raise RecordingError(f"a repaired copy can't be written to {directory}: {error.strerror or error}") from error
    return copy.report


def _make_empty(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RecordingError(
            f"{directory} is not empty: a repaired copy needs a directory of its own, choose a new one"
        )
    (directory / SEGMENTS).mkdir(parents=True)


class _Copy:
    """The copy while it is written: it has a segment for each of the original's."""

    def __init__(self, original: Recording, directory: Path) -> None:
        self._original = original
        self._directory = directory
        self._ahead = original.bases()
        """The original's segments that were not come to yet."""
        self._removed = original.removed()
        self.position = self._base = self._removed.before
        header = original.header(self._ahead[0]) if self._ahead and self._removed.before else None
        self.marks = header.marks if header is not None else {}
        self._marks_known = not self._removed.before or header is not None
        self._parts: list[bytes] = []
        self._now_ns = 0
        self._bases = list(self._ahead)
        self.report = RepairReport(str(directory))

    def take(self, item: Record | Damage) -> None:
        """The next of what the original holds."""
        while self._ahead and item.position >= self._ahead[0]:
            self._begin_segment(self._ahead.pop(0))
        if isinstance(item, Damage):
            self._leave_out(item)
            return
        self._now_ns = item.received_ns
        if self._accept(item):
            self.report.records += 1
            self.report.events += item.count if item.kind == BATCH else 0
            self._write(item.kind, item.producer, item.first_seq, item.count, item.payload, item.payload_crc)
        else:
            self.report.repeated += 1

    def _accept(self, record: Record) -> bool:
        """Whether a record goes on where its producer has got to, once what it reveals as missing is declared."""
        if record.kind in (BEGIN, CLOCK):
            return True
        if record.kind == END:
            self._reach(record.producer, record.first_seq)
            return record.first_seq == self.marks.get(record.producer, 0)
        self._reach(record.producer, record.first_seq - 1)
        if record.first_seq <= self.marks.get(record.producer, 0):
            return False
        self.marks[record.producer] = record.last_seq
        return True

    def finish(self) -> None:
        """Write what is left; from here on it is a recording."""
        while self._ahead:
            self._begin_segment(self._ahead.pop(0))
        self._end_segment()
        if self._removed.segments:
            write_removed(self._directory, self._removed)
        write_manifest(self._directory, Manifest(self._original.id, self._original.name, self._original.created))

    def _begin_segment(self, original_base: int) -> None:
        """Follow the original into its next segment, whose header knows how far every producer had got."""
        header = self._original.header(original_base)
        if header is not None:
            for producer, mark in header.marks.items():
                self._reach(producer, mark)
        self._end_segment()
        self._write_header(header.created_ns if header is not None else self._now_ns)

    def _end_segment(self) -> None:
        if self._parts:
            write_durably(segment_path(self._directory, self._base), b"".join(self._parts))
        self._parts = []

    def _reach(self, producer: bytes, seq: int) -> None:
        """The original says that this producer had got to `seq`: declare lost what is not there of it."""
        mark = self.marks.get(producer)
        if mark is None and not self._marks_known:
            self.marks[producer] = seq  # how far it was before the first segment is not known any more
            return
        first = (mark or 0) + 1
        if seq < first:
            return
        if not self._parts:  # the original's first segment is gone
            self._write_header(self._now_ns)
        missing = Missing(producer, first, seq - first + 1)
        self.marks[producer] = seq
        self.report.gap_events += missing.count
        if len(self.report.gaps) < MOST_LISTED:
            self.report.gaps.append(missing)
        self._write(GAP, producer, first, missing.count, gap_payload(REASON), None)

    def _leave_out(self, damage: Damage) -> None:
        self.report.left_out_bytes += damage.length
        if len(self.report.left_out) < MOST_LISTED:
            file, offset = place_in(self._bases, damage.position)
            self.report.left_out.append(LeftOut(file, offset, damage.length, damage.reason))

    def _write_header(self, created_ns: int) -> None:
        self._base = self.position
        self._write_parts(pack_segment_header(self._base, created_ns, self.marks))

    def _write(self, kind: int, producer: bytes, first: int, count: int, payload: bytes, crc: int | None) -> None:
        self._write_parts(pack_record(kind, self._now_ns, producer, first, count, payload, self.position, crc))

    def _write_parts(self, part: bytes) -> None:
        self._parts.append(part)
        self.position += len(part)
