"""Recordings that are taken into one forest, and into parts of little memory: they must answer alike."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterable
from typing import Any

from aggregator.parts import Parts
from embertrace.analysis.forest import Forest
from embertrace.analysis.verbs import ask
from embertrace.errors import QueryError
from embertrace.recording import BATCH, END, Recording, RecordingWriter
from embertrace.recording.plant import plant
from embertrace.wire.event import pack_event
from support.forests import Placed, Story
from support.recordings import ticking

TINY = 2000
"""Bytes: an empty table is larger, so that the live forest is cut whenever it grew by a quarter."""


def record(directory: pathlib.Path, batches: Iterable[list[Placed]], ended: Iterable[Story] = ()) -> Recording:
    """A recording of batches, each of one producer's events in a row; then the producers of some stories ended."""
    with RecordingWriter(directory, name="parts", clock_ns=ticking(), segment_bytes=4096) as writer:
        for batch in batches:
            producer, seq, _ = batch[0]
            writer.append(BATCH, producer, seq, len(batch), b"".join(pack_event(event) for *_, event in batch))
            writer.sync()
        for story in ended:
            writer.append(END, story.producer, len(story.events), 0, b"")
        writer.sync()
    return Recording.open(directory)


def batched(events: list[Placed], size: int) -> list[list[Placed]]:
    """Events as batches of one producer's, no longer than `size`."""
    found: list[list[Placed]] = []
    for placed in events:
        last = found[-1] if found else []
        if last and len(last) < size and placed[:2] == (last[-1][0], last[-1][1] + 1):
            last.append(placed)
        else:
            found.append([placed])
    return found


def both(recording: Recording, memory: int = TINY) -> tuple[Forest, Parts]:
    """All of a recording in one forest; and in parts."""
    whole, parts = Forest(), Parts(recording, memory)
    for item in recording.records():
        plant(whole, item)
        parts.take(item)
    return whole, parts


def told(ask: Any, query: dict[str, Any]) -> Any:
    try:
        return ask(query).to_data()
    except QueryError as error:
        return str(error)


def alike(whole: Forest, parts: Parts, asked: list[tuple[str, dict[str, Any]]], filters: list[Any]) -> None:
    """Both answer alike, also when asked again."""
    for name, options in asked:
        for attempts in ("selected", "all"):
            query = {"verb": name, "filters": filters, "options": {**options, "attempts": attempts}}
            expected = told(functools.partial(ask, whole), query)
            for _ in range(2):
                found = told(parts.ask, query)
                assert found == expected, (query, found, expected)
    for run in (None, "r", "r1", "r2"):
        assert parts.progress(run) == whole.progress(run)
