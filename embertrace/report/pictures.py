"""From the rows of a question to its pictures: one for each stage, where there is something to compare.

Rules of this file: pure. Each takes a result and gives pictures, none where a picture would say less than a line of
text. Columns are named in the questions' docstrings; rows without them draw nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from embertrace.analysis import Estimate, Rows, Table
from embertrace.analysis.mixture import Mixture, fit_mixture
from embertrace.report.model import Picture
from embertrace.report.plots import Point, Range, Span, curve, intervals, matrix, ranges, waterfall
from embertrace.report.words import share

Draw = Callable[[Any], Iterable[Picture]]
NAN = float("nan")
DRAWN_TO = 1.5
"""How far beyond the largest measured size the fitted line goes: further on, it is a guess."""


def of_pairs(value: str) -> Draw:
    """A matrix of the column `value` over the pairs a, b of each stage."""

    def draw(rows: Rows) -> Iterator[Picture]:
        for stage, group in _stages(rows):
            names = sorted({row[side] for row in group for side in ("a", "b")}, key=_natural)
            cells = {(row["a"], row["b"]): _point(row, value) for row in group}
            if len(names) > 2:
                yield Picture(matrix(names, cells, described=f"{value} of the pairs of members of {stage}"), stage)

    return draw


def of_sizes(rows: Rows) -> Iterator[Picture]:
    """Accuracy over the number of members, and the two-level mixture that fits best."""
    for stage, group in _stages(rows):
        points = [_point(row, "accuracy", x=row["size"]) for row in group]
        if len(points) < 3:
            continue
        model = fit_mixture({row["size"]: row["accuracy"] for row in group})
        line = fitted_line(model, [row["size"] for row in group]) if model is not None else []
        svg = curve(points, line, across="members", described=f"accuracy by number of members of {stage}")
        yield Picture(svg, stage if model is None else f"{stage}. The line: {explained(model)}")


def fitted_line(model: Mixture, sizes: list[int]) -> list[tuple[float, float]]:
    """The model at odd sizes: at even ones it is as at the odd size below."""
    most = max(sizes) + round(max(sizes) * (DRAWN_TO - 1))
    return [(size, model.accuracy(size)) for size in range(1, most + 1, 2)]


def explained(model: Mixture) -> str:
    return (
        f"{model.easy:.2f} of the items are easy (a member is right with {model.p_easy:.2f}), "
        f"the others hard ({model.p_hard:.2f})"
    )


def of_members(value: str, *, within: tuple[float, float] | None = None) -> Draw:
    """The column `value` by member, of each stage."""

    def draw(rows: Rows) -> Iterator[Picture]:
        for stage, group in _stages(rows):
            points = [_point(row, value, label=row["member"]) for row in group]
            if len(points) > 1:
                yield Picture(intervals(points, within=within, described=f"{value} of the members of {stage}"), stage)

    return draw


def of_durations(rows: Rows) -> Iterator[Picture]:
    """The operators with the longest calls, on one scale."""
    longest = sorted(rows, key=lambda row: -(row.get("p95_s") or 0.0))[:16]
    seen = Counter(row["operator"] for row in longest)
    found = [
        Range(
            row["operator"] if seen[row["operator"]] == 1 else f"{row['operator']} · {row.get('stage')}",
            *(row["p50_s"], row["p95_s"], row.get("max_s"), row.get("n", 0)),
        )
        for row in longest
    ]
    if found:
        yield Picture(ranges(found), "From p50 to p95; the dot is the longest call.")


def of_trace(rows: Rows) -> Iterator[Picture]:
    spans = [
        Span(row["operator"], row["depth"], row["start_s"], row["duration_s"], row["outcome"], row["type"])
        for row in rows
    ]
    if len(spans) > 1:
        yield Picture(waterfall(spans))


def of_agreement(table: Mapping[str, Any], reference: float | None = None) -> Iterator[Picture]:
    """Accuracy by the size of the largest group of equal answers; the dashed line is at `reference`."""
    points = [_estimated(name, value) for name, value in table.items() if isinstance(value, Estimate)]
    if len(points) > 1:
        caption = f"Dashed: a plain majority of all, {share(reference)}." if reference is not None else ""
        yield Picture(intervals(points, full=True, reference=reference, described="accuracy by agreement"), caption)


def of_calibration(table: Table) -> Iterator[Picture]:
    accuracy = table.get("accuracy")
    if isinstance(accuracy, Mapping):
        yield from of_agreement(accuracy)


def _stages(rows: Rows) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row.get("stage", "")), []).append(row)
    return list(groups.items())


def _point(row: Mapping[str, Any], value: str, *, label: str = "", x: float = NAN) -> Point:
    found, low, high = (NAN if row.get(name) is None else float(row[name]) for name in (value, "low", "high"))
    return Point(label, found, low, high, row.get("n") or 0, x)


def _estimated(label: str, value: Estimate) -> Point:
    return Point(label, float(value), *value.interval, n=value.n)


def _natural(name: str) -> list[tuple[int, str]]:
    """rater-2 before rater-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
