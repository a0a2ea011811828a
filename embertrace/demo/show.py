"""What `embertrace demo` shows: both data sets traced and recorded, the answers, the flow graph, what to do next."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import embertrace as et
from embertrace.demo import raters
from embertrace.errors import MissingExtraError
from embertrace.report import as_text, report

ProgressBar = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int, int], None]]]

RAY_MEMORY = 100_000_000
"""Bytes of Ray's object store: the demo passes images of 64 numbers."""


def show_demo(directory: pathlib.Path, items: int | None, progress: ProgressBar) -> None:
    """Run the demo into `directory`. Raises MissingExtraError where scikit-learn or Ray are not installed."""
    for module in ("sklearn", "ray"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("the demo", "demo")
    recorded = [("digits", trace_digits(directory, items, progress))]
    if raters.available():
        recorded.append(("raters", trace_raters(directory, items, progress)))
    else:
        print("The human raters are left out: pip install vaderSentiment afinn", file=sys.stderr)
    for title, analysis in recorded:
        print(f"\n═══ {title} ═══\n")
        print(as_text(report(analysis)))
    drawn = draw(recorded[0][1], directory)
    print(NEXT.format(directory=directory, drawn=drawn))


NEXT = """
The recording is in {directory}, the flow of the digits' operators in {drawn}.

What next:
  embertrace report {directory} --run digits       the same report again, from the recording
  embertrace show {directory} 7 --run digits       one item: every call, answer and time
  embertrace flow {directory} --run raters -o flow.svg
  embertrace aggregate runs/other                   an aggregator; then, in another terminal:
  embertrace replay {directory} --to tcp://127.0.0.1:5557 --speed max
  embertrace report tcp://127.0.0.1:5557 --run digits   the same numbers, answered by the aggregator"""


def trace_digits(directory: pathlib.Path, items: int | None, progress: ProgressBar) -> et.OperatorAnalysis:
    """Trace the digits on Ray into `directory`; returns the analysis of the run."""
    import ray

    from embertrace.demo import digits

    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, object_store_memory=RAY_MEMORY, include_dashboard=False, logging_level=logging.ERROR)
    try:
        with et.session(directory, run="digits", project="demo", config={"train_size": digits.TRAIN_SIZE}) as session:
            total = min(items or digits.TEST_SIZE, digits.TEST_SIZE)
            _follow("digits on Ray", digits.read_digits(items), total, progress)
    finally:
        if started:
            ray.shutdown()
    return session.analysis()


def trace_raters(directory: pathlib.Path, items: int | None, progress: ProgressBar) -> et.OperatorAnalysis:
    """Trace the human raters into `directory`; returns the analysis of the run."""
    with et.session(
        directory, run="raters", project="demo", config={"panels": list(raters.PANELS)}, quiet=True
    ) as session:
        total = raters.count_words() if items is None else items * len(raters.PANELS)
        _follow("human raters", raters.rate_words(items), total, progress)
    return session.analysis()


def _follow(title: str, steps: Any, total: int, progress: ProgressBar) -> None:
    with progress(title, total) as advance:
        for done in steps:
            advance(done, total)


def draw(analysis: et.OperatorAnalysis, directory: pathlib.Path) -> pathlib.Path:
    """Write the flow graph beside the recording as .dot and .svg; returns the latter's path."""
    path = directory.with_name(f"{directory.name}-flow.svg")
    path.write_text(et.visualize_operator_flow(analysis, format="svg"), encoding="utf-8")
    path.with_suffix(".dot").write_text(et.visualize_operator_flow(analysis, format="dot"), encoding="utf-8")
    return path
