"""P10: a live aggregator while events come at 200,000 a second.

Sixteen producers send events packed beforehand at that rate. Meanwhile one process asks for rolling statistics
(OperatorMonitor with a window of 1,000 events), makes one traced call, flushes its emitter, and asks the analyst for
its position until that has passed the call's events; again and again. Visibility is from the return of the call to
that answer: whatever is asked from then on counts the call. What a question over all calls takes at the end of a run
stands beside it: the first one after new events works out the trees of all of them anew.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from bench import children
from bench.harness import Figure, Options, Timing, percentile
from bench.load import write_load

RATE = 200_000.0
SECONDS, SHORT_S = 10.0, 0.5
PRODUCERS = 16
STATISTICS_S, VISIBLE_S = 0.05, 0.25
TENTH, HELD = 0.1, 0.98


def figures(options: Options) -> list[Figure]:
    """P10, at the full rate and, for comparison, at a tenth of it."""
    seconds = options.chosen(SECONDS, SHORT_S)
    with tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch:
        place = pathlib.Path(scratch)
        write_load(place / "load", int(RATE * seconds), PRODUCERS)
        runs = options.chosen(options.runs, 1)
        full = [_watched(place, RATE, seconds) for _ in range(runs)]
        tenth = [_watched(place, RATE * TENTH, seconds)]
    return [*_figures(RATE, full, judged=True), *_figures(RATE * TENTH, tenth, judged=False)]


def _watched(place: pathlib.Path, rate: float, seconds: float) -> Any:
    """What somebody who looked on saw, and what was acknowledged meanwhile."""
    with (
        tempfile.TemporaryDirectory(dir=place) as scratch,
        children.aggregator(pathlib.Path(scratch) / "recording") as (endpoint, _),
        children.started(str(children.HERE / "looking_on.py"), endpoint, f"{scratch}/spools") as (_, watcher),
        concurrent.futures.ThreadPoolExecutor(1) as thread,
    ):
        sending = thread.submit(children.step, "load.py", place / "load", endpoint, rate, seconds)
        sent = sending.result()
        return {**children.finish(watcher), "rate": sent["events"] / sent["seconds"]}


def _figures(rate: float, runs: Sequence[Any], judged: bool) -> Iterator[Figure]:
    reached = Timing(tuple(run["rate"] for run in runs))
    held = f"{reached.shown(digits=0)} events/s acknowledged"
    yield Figure("P10", f"at {rate:,.0f} events/s", held, reached.median, runs=reached.runs)
    for name, what, most in (
        ("statistics", "rolling statistics", STATISTICS_S),
        ("visible", "visibility", VISIBLE_S),
    ):
        every = [seconds for run in runs for seconds in run[name]]
        each = Timing(tuple(percentile(run[name], 0.95) for run in runs))
        met = bool(every) and each.median <= most and reached.median >= HELD * rate
        target = f"≤ {most * 1e3:.0f} ms"
        yield Figure(
            "P10", f"  {what}, 95th percentile ({len(every)} times)", f"{each.shown(1e3, 0)} ms", each.median,
            target if judged else "", met if judged else None, runs=each.runs,
        )  # fmt: skip
        half = Timing(tuple(percentile(run[name], 0.5) for run in runs))
        yield Figure("P10", f"  {what}, median", f"{half.shown(1e3, 0)} ms", half.median)
    question = Timing(tuple(run["question"][0] for run in runs))
    yield Figure("P10", "  a question over all calls, at the end", f"{question.shown(1e3, 0)} ms", question.median)
