"""Stories on disk: a recording of what a story tells, without an aggregator."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

from embertrace.recording import BATCH, END, RecordingWriter
from embertrace.wire.event import pack_event
from support.forests import Placed
from support.recordings import ticking


def record(directory: pathlib.Path, events: Iterable[Placed]) -> pathlib.Path:
    """The recording of a story's events, each producer's stream ended."""
    streams: dict[bytes, list[bytes]] = {}
    for producer, _, event in events:
        streams.setdefault(producer, []).append(pack_event(event))
    with RecordingWriter(directory, clock_ns=ticking()) as writer:
        for producer, packed in streams.items():
            writer.append(BATCH, producer, 1, len(packed), b"".join(packed))
            writer.append(END, producer, len(packed), 0, b"")
    return directory
