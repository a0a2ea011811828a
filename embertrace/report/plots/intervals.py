"""Named values with their intervals, one below the other: a dot, a whisker, and how many calls stand behind it."""

from __future__ import annotations

from collections.abc import Sequence

from embertrace.report.plots.canvas import (
    WIDTH,
    Point,
    Scale,
    circle,
    domain,
    hinted,
    known,
    label_room,
    line,
    linear,
    picture,
    text,
    ticks,
)
from embertrace.report.words import count, share

ROW, TOP, FOOT = 26.0, 8.0, 26.0
MOST_LABEL, COUNTS = 150.0, 62.0
MOST_ROWS = 60
"""More names than this are a table, no picture."""


def intervals(
    points: Sequence[Point],
    *,
    within: tuple[float, float] | None = (0.0, 1.0),
    full: bool = False,
    reference: float | None = None,
    described: str = "values with their intervals",
) -> str:
    """Points as rows. The axis covers them, or all of `within` where `full`. `reference` is marked by a line.

    Points without a value are left out; "" where none is left.
    """
    shown = [point for point in points if known(point.value)][:MOST_ROWS]
    if not shown:
        return ""
    marked = [*shown, Point("", reference)] if reference is not None and known(reference) else shown
    low, high = within if full and within is not None else domain(marked, within)
    left = label_room((point.label for point in shown), MOST_LABEL) + 12
    bottom = TOP + ROW * len(shown)
    place = linear(low, high, left, WIDTH - COUNTS - 8)
    body = [_grid(place, low, high, bottom)]
    if reference is not None and known(reference):
        body.append(line(place(reference), TOP, place(reference), bottom, "reference"))
    elif low < 0 < high:
        body.append(line(place(0), TOP, place(0), bottom, "reference"))
    for row, point in enumerate(shown):
        y = TOP + ROW * (row + 0.5)
        marks = [text(left - 12, y + 4, point.label, "label", anchor="end", room=MOST_LABEL)]
        if known(point.low) and known(point.high):
            marks.append(line(place(point.low), y, place(point.high), y, "whisker"))
        marks.append(circle(place(point.value), y, 4.5, "dot"))
        marks.append(text(WIDTH, y + 4, f"n {count(point.n)}", "faint", anchor="end") if point.n else "")
        body.append(hinted(_said(point), marks))
    return picture("intervals", WIDTH, bottom + FOOT, described, body)


def _grid(place: Scale, low: float, high: float, bottom: float) -> str:
    marks = ticks(low, high)
    lines = [line(place(mark), TOP, place(mark), bottom, "grid") for mark in marks]
    return "".join(
        [*lines, *(text(place(mark), bottom + 18, f"{mark:.4g}", "faint", anchor="middle") for mark in marks)]
    )


def _said(point: Point) -> str:
    interval = f" [{share(point.low)}, {share(point.high)}]" if known(point.low) else ""
    return f"{point.label}: {share(point.value)}{interval}" + (f", n = {point.n}" if point.n else "")
