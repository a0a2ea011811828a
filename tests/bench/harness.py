"""What a benchmark is: a function that gives figures. How they are timed, judged and shown.

Rules:
- A timing is the median of several runs, with the least and the largest beside it; a ratio is of two such medians.
- A figure with a target is met or missed, and says so. One without is there to be compared with.
- A benchmark that needs something that is not installed gives a figure that says what.
"""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

RUNS = 5


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of several runs, and what the last run gave."""

    runs: tuple[float, ...]
    value: Any = None

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def shown(self, scale: float = 1.0, digits: int = 2) -> str:
        low, high = min(self.runs) * scale, max(self.runs) * scale
        return f"{self.median * scale:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table. `met` is None where there is no target; `peers` are name → what they showed."""

    row: str
    what: str
    shown: str
    value: float
    target: str = ""
    met: bool | None = None
    peers: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says. `events` is None where a benchmark should take its own number."""

    events: int | None = None
    runs: int = RUNS


Benchmark = Callable[[Options], Sequence[Figure]]


def timed(
    work: Callable[[], Any], runs: int = RUNS, prepare: Callable[[], Any] | None = None, at_most_s: float = 60.0
) -> Timing:
    """Time `work` several times, each after `prepare`; fewer times once that took `at_most_s` together."""
    taken: list[float] = []
    value = None
    while len(taken) < runs and sum(taken) < at_most_s:
        value = None
        if prepare is not None:
            prepare()
        gc.collect()
        start = time.perf_counter()
        value = work()
        taken.append(time.perf_counter() - start)
    return Timing(tuple(taken), value)


def table(figures: Sequence[Figure]) -> str:
    """The figures as text, a column for each peer."""
    peers = list(dict.fromkeys(name for figure in figures for name in figure.peers))
    rows = [["", "what", "embertrace", *peers, "target", "verdict"]]
    for figure in figures:
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        shown = [figure.peers.get(name, "") for name in peers]
        rows.append([figure.row, figure.what, figure.shown, *shown, figure.target, verdict])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
