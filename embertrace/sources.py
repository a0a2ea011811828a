"""Where an analysis gets its events: a recording on disk, or an aggregator over RPC. The same verbs on both."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import embertrace.flow  # noqa: F401  (an analysis shows its flow in a notebook)
from embertrace import collect, keys
from embertrace.analysis import Forest, OperatorAnalysis
from embertrace.analysis.operator_analysis import Attempts
from embertrace.analysis.source import LocalSource, events_of
from embertrace.analysis.verbs import wrapped
from embertrace.client import Client
from embertrace.event import OperatorEvent
from embertrace.keys import ClientKey
from embertrace.recording import Recording
from embertrace.recording.plant import Sign, plant, plant_sign
from embertrace.wire.event import unpack_event

Progress = Callable[[int, int], None]
"""Called now and then with (bytes read, bytes in all)."""


def open(
    directory: str | os.PathLike[str],
    *,
    pool: bool = False,
    attempts: Attempts = "selected",
    abstain: Sequence[Any] = (),
    progress: Progress | None = None,
) -> OperatorAnalysis:
    """The analysis of a recording on disk, as it is now; also of one that is being written.

    `pool=True` takes several runs as one, `attempts="all"` shows every attempt of a call that was retried, `abstain`
    names answers that are none: see `OperatorAnalysis`.

    Damaged places are skipped and counted, and so is what retention removed, as every answer then says. Raises
    RecordingError for what is no readable recording.
    """
    return OperatorAnalysis(read(directory, progress=progress), pool=pool, attempts=attempts, abstain=abstain)


def read(directory: str | os.PathLike[str], *, progress: Progress | None = None) -> LocalSource:
    """The source behind `open`. Raises as that does."""
    recording = Recording.open(pathlib.Path(directory))
    forest, end = Forest(), max(1, recording.end())
    forest.removed_segments = recording.removed().segments
    forest.expect(recording.length())
    for record in recording.records():
        plant(forest, record)
        if progress is not None:
            progress(record.position, end)
    return LocalSource(forest, place=os.fspath(directory))


def connect(
    endpoint: str,
    *,
    key: str | os.PathLike[str] | ClientKey | None = None,
    pool: bool = False,
    attempts: Attempts = "selected",
    abstain: Sequence[Any] = (),
    timeout_s: float = 30.0,
) -> OperatorAnalysis:
    """The analysis of what an aggregator has recorded so far: every question is answered there.

    `runs()` lists its runs, `run(…)` chooses one; `pool`, `attempts` and `abstain` are as for `open`. `key` is the file
    of a client's key (default: EMBERTRACE_KEY), for an aggregator that asks for one. Raises AggregatorError where none
    answers, SecurityError where one refuses the key.
    """
    found = keys.load(key if key is not None else collect.settings.key)
    source = RemoteSource(Client(endpoint, timeout_s=timeout_s, key=found))
    return OperatorAnalysis(source, pool=pool, attempts=attempts, abstain=abstain)


class RemoteSource:
    """Answers over RPC. Thread-safe as far as its client is."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def name(self) -> str:
        return self._client.endpoint

    def answer(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(self._client.call("query", **wrapped(query)))

    def events(self) -> Iterable[OperatorEvent]:
        """All events recorded so far, fetched page by page."""
        return list(events_of(self.forest()))

    def forest(self) -> Forest:
        """The calls recorded so far, and what is known of their producers."""
        forest = Forest()
        start: int | None = 0
        while start is not None:
            page = self._client.call("events", start=start)
            for producer, seq, packed in page["events"]:
                forest.add(producer, seq, unpack_event(packed))
            for sign in page["signs"]:
                plant_sign(forest, Sign(*sign))
            forest.undecodable += page["undecodable"]
            start = page["next"]
        return forest
