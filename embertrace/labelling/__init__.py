"""Labels from a file, given to a recording or to the aggregator that writes it.

    rows       a CSV file as labels, all of it or none
    matching   which items the keys name
    delivery   appended to a recording that nobody writes, or sent as any producer sends

Labels are events like all others: nothing that was recorded changes, and analyses join them when they are asked.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from embertrace import collect, keys, sources
from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.runs import check_run
from embertrace.labelling.delivery import append, packed, send
from embertrace.labelling.matching import Found, match
from embertrace.labelling.rows import Row, TruthAs, read_rows
from embertrace.recording import Recording

MAX_SHOWN = 20
"""Keys in the printed report; `unknown` has them all."""


@dataclasses.dataclass(frozen=True)
class Labelled:
    """What became of a file: labels written, rows without a truth, repeated rows, and keys that name no item."""

    labels: int
    without_truth: int
    repeated: int
    unknown: tuple[Any, ...]

    def to_data(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "unknown": list(self.unknown)}

    def __str__(self) -> str:
        lines = [f"{self.labels} labels written"]
        if self.without_truth:
            lines.append(f"{self.without_truth} rows without a truth skipped")
        if self.repeated:
            lines.append(f"{self.repeated} rows repeat an item, an epoch and an annotator: the last of each counts")
        if self.unknown:
            shown = ", ".join(str(key) for key in self.unknown[:MAX_SHOWN])
            more = f" and {len(self.unknown) - MAX_SHOWN} more" if len(self.unknown) > MAX_SHOWN else ""
            lines.append(f"{len(self.unknown)} keys name no item that was seen so far: {shown}{more}")
        return "\n".join(lines)


def label_file(
    source: str | os.PathLike[str],
    file: str | os.PathLike[str],
    *,
    by: str | None = None,
    run: str | None = None,
    truth_as: TruthAs = "text",
    timeout_s: float = 30.0,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Labelled:
    """Give the labels of a CSV file (columns key, truth[, epoch, by]) to a recording's directory or an endpoint.

    `by` is the annotator where the file names none; `run` narrows all labels to one run. `truth_as="json"` reads each
    truth as JSON: numbers, lists of accepted answers, null to withdraw. A key of digits names the item with that text
    as its key, or else with that number. An aggregator gets `timeout_s` seconds to acknowledge each part.

    Nothing is written where anything in the file can't be used. Raises ConfigError for the file, LockedError for a
    recording that an aggregator writes (label its endpoint), QueryError for a run that was not seen, RecordingError,
    AggregatorError, SecurityError.
    """
    rows = read_rows(pathlib.Path(file), by, truth_as)
    target = os.fspath(source)
    if target.startswith("tcp://"):
        key = keys.load(collect.settings.key)
        found = _matched(rows.labels, run, sources.connect(target, key=key, timeout_s=timeout_s))
        send(target, key, packed(found.labels, run, clock_ns()), timeout_s)
    else:
        found = _append(pathlib.Path(target), rows.labels, run, clock_ns)
    return Labelled(len(found.labels), rows.without_truth, rows.repeated, found.unknown)


def _append(directory: pathlib.Path, labels: Sequence[Row], run: str | None, clock_ns: Callable[[], int]) -> Found:
    """Under the recording's lock, so that what is matched is what is there."""
    Recording.open(directory)  # says what is wrong with a directory that is none, before anything is made in it
    with append(directory, clock_ns) as write:
        found = _matched(labels, run, sources.open(directory))
        write(packed(found.labels, run, clock_ns()))
    return found


def _matched(labels: Sequence[Row], run: str | None, analysis: OperatorAnalysis) -> Found:
    if run is not None:
        check_run(run, analysis.runs())
    return match(labels, run, analysis.unknown_items)


__all__ = ["Labelled", "TruthAs", "label_file"]
