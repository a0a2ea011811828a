"""However little memory the analyst has, it answers as one large forest does."""

from __future__ import annotations

import functools
import pathlib
import random
import tempfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.parts import Parts
from embertrace.analysis.forest import Forest
from embertrace.analysis.verbs import ask
from embertrace.errors import QueryError
from embertrace.recording import BATCH, END, Recording, RecordingWriter
from embertrace.recording.plant import plant
from embertrace.wire.event import pack_event
from support.forests import Placed
from support.laws import questions, recordings, stories
from support.recordings import ticking

TINY = 2000


def record(directory: pathlib.Path, batches: list[list[Placed]], ended: bytes | None = None) -> Recording:
    """A recording of batches, each of one producer's events in a row."""
    with RecordingWriter(directory, name="parts", clock_ns=ticking(), segment_bytes=4096) as writer:
        for batch in batches:
            producer, seq, _ = batch[0]
            writer.append(BATCH, producer, seq, len(batch), b"".join(pack_event(event) for *_, event in batch))
            writer.sync()
        if ended is not None:
            writer.append(
                END, ended, max(seq for batch in batches for producer, seq, _ in batch if producer == ended), 0, b""
            )
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


@given(st.one_of(stories(), recordings()), st.randoms(use_true_random=False), st.data())
@settings(max_examples=40, deadline=None)
def test_parts_answer_as_one_forest(events: list[Placed], chance: random.Random, data: st.DataObject) -> None:
    batches = batched(events, data.draw(st.sampled_from([1, 3, 20])))
    for _ in range(data.draw(st.integers(0, 6)) if batches else 0):  # some come late, some much too early
        batches.insert(chance.randrange(len(batches)), batches.pop(chance.randrange(len(batches))))
    filters = data.draw(st.sampled_from([[], [["type", "judge"]], [["run", "nightly"]], [["item", 1]]]))
    with tempfile.TemporaryDirectory() as directory:
        whole, parts = both(record(pathlib.Path(directory) / "rec", batches), data.draw(st.sampled_from([0, 20_000])))
        alike(whole, parts, questions(events), filters)
