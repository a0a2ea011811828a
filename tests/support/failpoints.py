"""Kills a writer at each of its failpoints: `python -m support.failpoints DIRECTORY`, a line of JSON for each.

For each operation on the disk, and before, half-way through and after it, a child writes as an aggregator does, and
dies there. What it acknowledged, and what a next writer then finds and completes, is said in a line. Single-threaded,
so that it may fork. Each series ends with the first place that its child does not reach any more. With "early" after
the directory the children acknowledge before they sync, which is wrong, and must be seen.
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from embertrace.recording import BATCH, Disk, RecordingWriter, check
from support.disks import KILLED, MOMENTS, KillingDisk
from support.recordings import ONE, append_batch, records, segments

SYNCS = 6
BATCHES_PER_SYNC = 2
EVENTS = 3
"""Events per batch."""
SEGMENT_BYTES = 700
"""So that every other sync seals a segment."""


def open_on(disk: Disk, directory: pathlib.Path) -> RecordingWriter:
    return RecordingWriter(directory, name="n", clock_ns=time.time_ns, segment_bytes=SEGMENT_BYTES, disk=disk)


def write(directory: pathlib.Path, disk: Disk, acknowledge: Callable[[int], object], early: bool = False) -> None:
    """Write as an aggregator does: some batches, one sync, then the acknowledgement; or too early."""
    with open_on(disk, directory) as writer:
        for _ in range(SYNCS):
            for _ in range(BATCHES_PER_SYNC):
                append_batch(writer, ONE, writer.marks.get(ONE, 0) + 1, EVENTS)
            if early:
                acknowledge(writer.marks[ONE])
            writer.sync()
            acknowledge(writer.marks[ONE])


def killed_at(directory: pathlib.Path, place: int, moment: str, early: bool) -> tuple[int, int]:
    """(Exit code, last acknowledged seq) of a child that dies there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            write(directory, KillingDisk(place, moment), lambda seq: os.write(writing, b"%d\n" % seq), early)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as acknowledged:
        seqs = [int(line) for line in acknowledged]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), max(seqs, default=0)


def left_torn(directory: pathlib.Path) -> int:
    """What a crash left: a sealed segment, a durable batch, and half of another one. Returns the acknowledged seq."""
    acknowledged: list[int] = []
    write(directory, Disk(), acknowledged.append)
    with segments(directory)[-1].open("ab") as last:
        last.write(b"\x89ETR and then it was killed")
    return acknowledged[-1]


def outcome(directory: pathlib.Path, place: int, moment: str, torn: bool, early: bool) -> dict[str, Any]:
    before = left_torn(directory) if torn else 0
    code, acknowledged = killed_at(directory, place, moment, early)
    with open_on(Disk(), directory) as writer:
        found = writer.marks.get(ONE, 0)
        append_batch(writer, ONE, found + 1, 1)
    seqs = [
        seq
        for record in records(directory)
        if record.kind == BATCH
        for seq in range(record.first_seq, record.last_seq + 1)
    ]
    return {
        "place": place,
        "moment": moment,
        "torn": torn,
        "code": code,
        "lost": max(0, max(acknowledged, before) - found),
        "contiguous": seqs == list(range(1, found + 2)),
        "whole": check(directory).ok,
    }


def main(directory: pathlib.Path, early: bool) -> None:
    for torn, moment in itertools.product((False, True), MOMENTS):
        for place in itertools.count(1):
            shutil.rmtree(directory, ignore_errors=True)
            told = outcome(directory, place, moment, torn, early)
            print(json.dumps(told), flush=True)
            if told["code"] != KILLED:
                break


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) / "rec", sys.argv[2:] == ["early"])
