"""A small recording with every kind of record, always of the same bytes but for its random id."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from embertrace import payload
from embertrace.event import METRIC
from embertrace.recording import BATCH, BEGIN, CLOCK, END, GAP, Record, Recording, RecordingWriter
from embertrace.wire.clock import Offset, pack_offset
from embertrace.wire.event import RawEvent, pack_event

ONE, TWO = bytes(range(16)), bytes(range(100, 116))


def ticking() -> Callable[[], int]:
    """A clock that goes on by one second each time it is looked at."""
    ticks = itertools.count(1_700_000_000_000_000_000, 1_000_000_000)
    return lambda: next(ticks)


def events(first: int, count: int) -> bytes:
    """The payload of a batch: metrics that carry their seq."""
    return b"".join(
        pack_event(
            RawEvent(METRIC, seq, None, 0, 0, 0, 0, 0, "op", "t", "s", None, 0, 0, (), b"", payload.pack({"seq": seq}))
        )
        for seq in range(first, first + count)
    )


def append_batch(writer: RecordingWriter, producer: bytes, first: int, count: int) -> int:
    return writer.append(BATCH, producer, first, count, events(first, count))


def make_small(directory: Path) -> None:
    """Two segments: the first is rolled after its second sync, the second begins with the marks of both producers and
    with the begin of the one that said who it is."""
    with RecordingWriter(directory, name="small", clock_ns=ticking(), segment_bytes=480) as writer:
        writer.append(BEGIN, ONE, 0, 0, payload.pack({"host": "h", "pid": 1, "library": "embertrace 0.1.0"}))
        append_batch(writer, ONE, 1, 2)
        writer.sync()
        append_batch(writer, TWO, 1, 1)
        append_batch(writer, ONE, 3, 1)
        writer.append(CLOCK, ONE, 0, 0, pack_offset(Offset(1, -5, 6)))
        writer.sync()
        writer.append(GAP, TWO, 2, 5, payload.pack({"reason": "spool full"}))
        append_batch(writer, TWO, 7, 2)
        writer.append(END, ONE, 3, 0, b"")


def records(directory: Path, start: int = 0, stop: int | None = None) -> list[Record]:
    """All records of an undamaged recording."""
    items = list(Recording.open(directory).records(start, stop))
    assert all(isinstance(item, Record) for item in items), items
    return [item for item in items if isinstance(item, Record)]


def segments(directory: Path) -> list[Path]:
    return sorted((directory / "segments").iterdir())
