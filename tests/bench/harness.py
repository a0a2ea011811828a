"""What a benchmark is: a function that gives figures. How they are timed, judged and shown.

Rules:
- A timing is the median of several runs, with the least and the largest beside it; a ratio is of two such medians.
- A figure with a target is met or missed, and says so. One without is there to be compared with.
- A benchmark that needs something that is not installed gives a figure that says what.
- Whatever is compared is measured in turns in the same run, so that what disturbs one disturbs the other.
"""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RUNS = 5


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds (or another measure) of several runs, and what the last run gave."""

    runs: tuple[float, ...]
    value: Any = None

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def shown(self, scale: float = 1.0, digits: int = 2) -> str:
        low, high = min(self.runs) * scale, max(self.runs) * scale
        return f"{self.median * scale:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table. `met` is None where there is no target; `peers` are name → what they showed.

    `runs` are the single measurements behind `value`, where there are several. `key` names it for `capacity`.
    """

    row: str
    what: str
    shown: str
    value: float
    target: str = ""
    met: bool | None = None
    peers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    runs: Sequence[float] = ()
    key: str = ""

    def to_data(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says. `events` is None where a benchmark should take its own number.

    `short` asks for sizes at which everything runs in seconds and no figure means anything.
    """

    events: int | None = None
    runs: int = RUNS
    short: bool = False

    def sized(self, full: int, short: int) -> int:
        """A size: what the command line says, else a benchmark's own."""
        return self.events or (short if self.short else full)

    def chosen(self, full: Any, short: Any) -> Any:
        """As `sized`, for what the command line can't say."""
        return short if self.short else full


Benchmark = Callable[[Options], Sequence[Figure]]


def timed(
    work: Callable[[], Any],
    runs: int = RUNS,
    prepare: Callable[[], Any] | None = None,
    at_most_s: float = 60.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time `work` several times, each after `prepare`; fewer times once that took `at_most_s` together."""
    taken: list[float] = []
    value = None
    while len(taken) < runs and sum(taken) < at_most_s:
        value = None
        if prepare is not None:
            prepare()
        gc.collect()
        start = clock()
        value = work()
        taken.append(clock() - start)
    return Timing(tuple(taken), value)


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least `share` (0 to 1) of `values` do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


VERDICTS = {True: "met", False: "MISSED", None: ""}


def rows_of(figures: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The figures' data as cells, a heading first, with a column for each peer and without empty columns."""
    peers = list(dict.fromkeys(name for figure in figures for name in figure["peers"]))
    rows = [["", "what", "embertrace", *peers, "target", "verdict"]]
    for figure in figures:
        shown = [figure["peers"].get(name, "") for name in peers]
        rows.append([figure["row"], figure["what"], figure["shown"], *shown, figure["target"], VERDICTS[figure["met"]]])
    kept = [place for place in range(len(rows[0])) if place < 3 or any(row[place] for row in rows[1:])]
    return [[row[place] for place in kept] for row in rows]


def table(figures: Sequence[Figure]) -> str:
    """The figures as text for a terminal."""
    rows = rows_of([figure.to_data() for figure in figures])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
