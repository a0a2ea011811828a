"""Checking a recording: every byte, every checksum, every event, every producer's seqs. Reads, and writes nothing.

Each finding has its position in the recording, and with it the file and the offset in that file. Every byte of a
segment is under a checksum, so every change of one is found; `repair` makes a copy without what is damaged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from embertrace.recording.files import place_in
from embertrace.recording.layout import BEGIN, CLOCK, END, Damage, Record
from embertrace.recording.reader import Recording
from embertrace.wire.batch import BATCH, GAP
from embertrace.wire.event import BadEvent, iter_events

MOST_LISTED = 100
"""Findings of one sort that are listed in full; more are only counted. A person reads the first few."""


class Undecodable(NamedTuple):
    """`lost` events from place `place` on, in the batch whose record is at `position`, can't be decoded."""

    position: int
    place: int
    lost: int
    reason: str


class Discontinuity(NamedTuple):
    """A record does not begin where its producer's stream had got to: seqs are missing, or there twice."""

    position: int
    producer: bytes
    expected: int
    found: int


@dataclasses.dataclass(slots=True)
class CheckReport:
    """What is in a recording, and what is wrong with it."""

    path: str
    id: str
    name: str
    segments: int = 0
    removed_segments: int = 0
    """Segments that retention removed. That is no fault."""
    bytes: int = 0
    """On disk, from the first segment's begin to the last one's end."""
    records: int = 0
    batches: int = 0
    events: int = 0
    """Events that can be decoded."""
    gaps: int = 0
    gap_seqs: int = 0
    """Seqs that were declared lost by gaps. That is a loss, but no fault of the recording."""
    producers: int = 0
    producers_ended: int = 0
    damages: list[Damage] = dataclasses.field(default_factory=list)
    """Stretches that hold no readable record, up to 100 of them; `damaged_bytes` counts all."""
    damaged_bytes: int = 0
    undecodable: list[Undecodable] = dataclasses.field(default_factory=list)
    """Up to 100; `undecodable_events` counts all."""
    undecodable_events: int = 0
    discontinuities: list[Discontinuity] = dataclasses.field(default_factory=list)
    """Up to 100; `discontinuity_count` counts all."""
    discontinuity_count: int = 0
    torn_tail: Damage | None = None
    """The unsynced end of a write that was cut short: expected after a crash or beside a living writer."""
    missing_bytes: int = 0
    """Bytes that were durable once (`synced` says so) and are no longer there."""
    bases: list[int] = dataclasses.field(default_factory=list, repr=False)
    """The positions at which the segments begin, ascending."""

    @property
    def ok(self) -> bool:
        """Nothing is damaged, missing, twice or undecodable. Gaps and a torn tail are no faults."""
        return not (self.damages or self.undecodable or self.discontinuities or self.missing_bytes)

    def __str__(self) -> str:
        """For people: a line on what is there, then one for each thing that is wrong, with its file and offset."""
        gaps = f", {self.gap_seqs} more declared lost" if self.gap_seqs else ""
        there = f"{self.name}: {self.events} events of {self.producers} producers in {self.segments} segments{gaps}"
        if self.removed_segments:
            there += f"; {self.removed_segments} segments before them were removed by retention"
        wrong = [f"damaged {self._at(bad.position)}: {bad.length} bytes, {bad.reason}" for bad in self.damages]
        wrong += [
            f"undecodable {self._at(bad.position)}: {bad.lost} events from event {bad.place} of the batch on, "
            f"{bad.reason}"
            for bad in self.undecodable
        ]
        wrong += [
            f"out of order {self._at(jump.position)}: producer {jump.producer.hex()} goes on with seq {jump.found}, "
            f"not {jump.expected}"
            for jump in self.discontinuities
        ]
        if self.missing_bytes:
            wrong.append(f"missing: {self.missing_bytes} bytes that were durable once")
        if self.torn_tail is not None:
            torn = self.torn_tail
            wrong.append(f"torn tail {self._at(torn.position)}: {torn.length} bytes, a write cut short; no fault")
        return "\n".join([there, *(wrong or ["everything is there and readable"])])

    def to_data(self) -> dict[str, Any]:
        """The same as plain values for JSON; producers as hexadecimal text, findings with `file` and `offset`."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "bases"}
        data["damages"] = [self._located(damage) for damage in self.damages]
        data["undecodable"] = [self._located(bad) for bad in self.undecodable]
        data["discontinuities"] = [
            {**self._located(jump), "producer": jump.producer.hex()} for jump in self.discontinuities
        ]
        data["torn_tail"] = self.torn_tail and self._located(self.torn_tail)
        return {"ok": self.ok, **data}

    def _at(self, position: int) -> str:
        file, offset = place_in(self.bases, position)
        return f"in {file} at offset {offset}"

    def _located(self, finding: Damage | Undecodable | Discontinuity) -> dict[str, Any]:
        file, offset = place_in(self.bases, finding.position)
        return {**finding._asdict(), "file": file, "offset": offset}


def check(path: str | Path, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Read the whole recording at `path` and report. `progress` is called with (bytes done, bytes in all).

    An empty recording is ok. Beside a living writer, what it appends meanwhile may or may not be seen. Raises
    RecordingError if there is no recording, it is of a newer format, or the system can't read it.
    """
    recording = Recording.open(path)
    synced, bases, end = recording.synced(), recording.bases(), recording.end()
    begin = bases[0] if bases else 0
    report = CheckReport(
        str(path),
        recording.id,
        recording.name,
        len(bases),
        recording.removed().segments,
        bytes=end - begin,
        bases=bases,
    )
    report.missing_bytes = max(0, synced - end)
    marks = recording.marks_before()
    seen: set[bytes] = set()
    for item in recording.records():
        if isinstance(item, Damage):
            _note_damage(report, item, synced)
        else:
            seen.add(item.producer)
            _note_record(report, item, marks)
        if progress is not None:
            progress(min(item.end, end) - begin, end - begin)
    report.producers = len(seen)
    return report


def _note_damage(report: CheckReport, damage: Damage, synced: int) -> None:
    if damage.tail and damage.position >= synced:
        report.torn_tail = damage
        return
    report.damaged_bytes += damage.length
    if len(report.damages) < MOST_LISTED:
        report.damages.append(damage)


def _note_record(report: CheckReport, record: Record, marks: dict[bytes, int]) -> None:
    report.records += 1
    if record.kind == END:
        report.producers_ended += 1
    if record.kind in (BEGIN, CLOCK):
        return
    expected = marks.get(record.producer, 0) + 1
    found = record.first_seq + 1 if record.kind == END else record.first_seq  # an end names the last seq of its stream
    if found != expected:
        report.discontinuity_count += 1
        if len(report.discontinuities) < MOST_LISTED:
            report.discontinuities.append(Discontinuity(record.position, record.producer, expected, found))
    if record.kind == END:
        return
    marks[record.producer] = record.last_seq
    if record.kind == GAP:
        report.gaps += 1
        report.gap_seqs += record.count
    elif record.kind == BATCH:
        report.batches += 1
        _note_events(report, record)


def _note_events(report: CheckReport, record: Record) -> None:
    for event in iter_events(record.payload, record.count):
        if not isinstance(event, BadEvent):
            report.events += 1
            continue
        report.undecodable_events += event.lost
        if len(report.undecodable) < MOST_LISTED:
            report.undecodable.append(Undecodable(record.position, event.place, event.lost, event.reason))
