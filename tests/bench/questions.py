"""What every question takes over a recording that was loaded: asked first, and asked again when nothing new came.

A million events of the questionnaire (see `analysis`), and each question with the options that it needs. First means
that no question before it left anything behind but what payloads say; it is the one to look at. Rows are what the
answer has: questions about items give one for each of 77,000. Seconds are those of the CPU, as nothing else is waited
for.

Kappas are computed by libraries, which a process imports once, when the first such question is asked. That is no part
of what a question takes over its events: those that are installed are imported beforehand, and what that takes stands
in a line of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import embertrace as et
from bench.harness import Figure, Options, Timing, timed
from bench.questionnaire import write_recording
from embertrace.analysis.verbs import VERBS, ask

EVENTS = 1_000_000
SHORT = 2_000
FIRST_S, WITH_ROWS_S = 1.0, 3.0
"""Seconds for a million events; for questions that give a row for each item or call."""
FEW_ROWS = 1_000
KEY = "question-00000001"
LIBRARIES = {"statsmodels": "statsmodels.stats.inter_rater", "krippendorff": "krippendorff"}
"""By package, what questions import of it."""
GIVEN: dict[str, list[dict[str, Any]]] = {
    "outcomes": [{}, {"on": "majority"}, {"on": "calls"}, {"score": "accuracy"}],
    "critical_path": [{}, {"each": True}],
    "item": [{"key": KEY}],
    "failures": [{"outcome": "error"}],
    "cohen_kappa": [{"a": "member_0", "b": "member_1"}],
    "groups": [{"by": "stage"}, {"by": "round"}],
    "unknown_items": [{"targets": [[KEY, None, None]]}],
    "explain": [],
}
"""Options of the questions that need some, or have several ways. `explain` asks each call anew: that is for few."""


def figures(options: Options) -> list[Figure]:
    """How many questions took too long; and two figures for each."""
    installed = [name for package, name in LIBRARIES.items() if importlib.util.find_spec(package) is not None]
    libraries = timed(lambda: [importlib.import_module(name) for name in installed], 1, clock=time.process_time)
    with tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch:
        directory = pathlib.Path(scratch) / "recording"
        written = write_recording(directory, options.sized(EVENTS, SHORT))
        queries = [{"verb": verb, "options": given} for verb in VERBS for given in GIVEN.get(verb, [{}])]
        asked = [_asked(directory, query, options.runs) for query in queries]
    late = sum(first.median > _limit(first.value) * max(1, written / EVENTS) for _, first, _ in asked)
    what = f"questions over {written:,} events that take longer than they should"
    shown = f"{late} of {len(asked)}"
    return [
        Figure("P8", what, shown, late, "none", not late),
        Figure(
            "", f"imported before: {', '.join(installed) or 'nothing'}", f"{libraries.median:.2f} s", libraries.median
        ),
        *(figure for query, first, again in asked for figure in _shown(query, first, again)),
    ]


def _asked(directory: pathlib.Path, query: dict[str, Any], runs: int) -> tuple[dict[str, Any], Timing, Timing]:
    """Asked first, with how many rows the answer has; and again."""
    forest = et.open(directory)._forest
    forest.trees
    first = timed(lambda: _rows(ask(forest, query)), 1, clock=time.process_time)
    return query, first, timed(lambda: ask(forest, query), runs, at_most_s=2.0, clock=time.process_time)


def _rows(result: Any) -> int:
    return len(result) if isinstance(result, list) else 0


def _limit(rows: int) -> float:
    return WITH_ROWS_S if rows > FEW_ROWS else FIRST_S


def _shown(query: dict[str, Any], first: Timing, again: Timing) -> Iterator[Figure]:
    given = query["options"] if query["verb"] != "unknown_items" else {}
    name = f"{query['verb']}({', '.join(f'{name}={value!r}' for name, value in given.items())})"
    rows = f", {first.value:,} rows" if first.value > FEW_ROWS else ""
    yield Figure("", name + rows, f"{first.median:.2f} s", first.median, f"≤ {_limit(first.value):g} s")
    yield Figure("", "  asked again", again.shown(1e3, 0) + " ms", again.median)
