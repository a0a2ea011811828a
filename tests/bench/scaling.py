"""Whether an event costs the same however many there are, whoever sends them, and whatever tree they make.

Loading: recordings of 10,000 to 10 million events, until their calls stand in trees, and one question about them.
Producers: the same events through an aggregator, from 1 to 64 of them. Depth and fan-out: chains of 1 to 1,000 calls,
and ensembles of 1 to 10,000 members, called in one process with the events collected in memory; and those read, and
asked one question. The cost is of one event; beside it stands how it compares with the first line of its series.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import embertrace as et
from bench import children
from bench.harness import Figure, Options, Timing, timed
from bench.ingest import taken_in
from bench.load import write_load
from bench.questionnaire import write_recording
from embertrace.analysis.verbs import answer

EVENTS, SHORT_EVENTS = (10_000, 100_000, 1_000_000, 10_000_000), (1_000, 5_000)
SENT, SHORT_SENT = 2_000_000, 10_000
PRODUCERS, SHORT_PRODUCERS = (1, 4, 16, 64), (1, 4)
DEPTHS, FANS = (1, 10, 100, 1_000), (1, 10, 100, 1_000, 10_000)
SHORT_SIZES = (1, 10)
CALLS, SHORT_CALLS = 20_000, 50
AT_MOST_S = 25.0
"""Of the timings of one size: the largest recordings are loaded fewer times."""


def figures(options: Options) -> list[Figure]:
    """Costs of an event in four series."""
    with tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch:
        place = pathlib.Path(scratch)
        return [
            *_loading(place, options),
            *_producers(place, options),
            *_shapes("deep", "chains of {:,}", options.chosen(DEPTHS, SHORT_SIZES), options),
            *_shapes("wide", "ensembles of {:,}", options.chosen(FANS, SHORT_SIZES), options),
        ]


def _loading(place: pathlib.Path, options: Options) -> Iterator[Figure]:
    loads, questions = [], []
    for events in options.chosen(EVENTS, SHORT_EVENTS):
        directory = place / f"recording-{events}"
        written = write_recording(directory, events)
        load = timed(lambda directory=directory: _load(directory), options.runs, at_most_s=AT_MOST_S)
        forest = load.value
        answer(forest, {"verb": "ensemble_disagreement"})
        question = timed(
            lambda forest=forest: answer(forest, {"verb": "ensemble_disagreement"}),
            options.runs, forest.trees.kept.clear, AT_MOST_S,
        )  # fmt: skip
        loads.append((f"loading {events:,} events", _each(load, written)))
        questions.append((f"ensemble_disagreement over {events:,} events", _each(question, written)))
        del load, forest
    yield from _series(loads)
    yield from _series(questions)


def _load(directory: pathlib.Path) -> Any:
    forest = et.open(directory)._forest
    forest.trees
    return forest


def _producers(place: pathlib.Path, options: Options) -> Iterator[Figure]:
    found = []
    for producers in options.chosen(PRODUCERS, SHORT_PRODUCERS):
        load = place / f"load-{producers}"
        write_load(load, options.chosen(SENT, SHORT_SENT), producers)
        runs = [taken_in(load, place) for _ in range(options.runs)]
        each = Timing(tuple(run["ingest_cpu"] / run["events"] for run in runs))
        found.append((f"CPU of the ingest, {producers} producers", each))
    yield from _series(found)


def _shapes(shape: str, named: str, sizes: Sequence[int], options: Options) -> Iterator[Figure]:
    found: dict[str, list[tuple[str, Timing]]] = {"calling": [], "asking": []}
    for size in sizes:
        run = children.step("shapes.py", shape, size, options.chosen(CALLS, SHORT_CALLS), options.runs)
        for what, line in found.items():
            line.append((f"{what}, {named.format(size)}", _each(Timing(tuple(run[what])), run["events"])))
    for line in found.values():
        yield from _series(line)


def _each(timing: Timing, events: int) -> Timing:
    return Timing(tuple(seconds / events for seconds in timing.runs))


def _series(line: Sequence[tuple[str, Timing]]) -> Iterator[Figure]:
    first = line[0][1].median
    for what, each in line:
        times = f", {each.median / first:.2f}×" if first > 0 else ""
        yield Figure("", what, f"{each.shown(1e9, 0)} ns an event{times}", each.median, runs=each.runs)
