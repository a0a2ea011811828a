"""Spans of time on a logarithmic scale: from the median to the 95th percentile, and the maximum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from embertrace.report.plots.canvas import (
    WIDTH,
    circle,
    decades,
    hinted,
    known,
    label_room,
    line,
    logarithmic,
    picture,
    rect,
    text,
)
from embertrace.report.words import time

ROW, TOP, FOOT, MOST_LABEL = 26.0, 8.0, 26.0, 150.0
MOST_ROWS = 40
LEAST_S = 1e-9


class Range(NamedTuple):
    """Durations in seconds of one operator: median, 95th percentile, maximum (None where unknown); n calls."""

    label: str
    p50: float
    p95: float
    most: float | None = None
    n: int = 0


def ranges(rows: Sequence[Range], *, described: str = "durations by operator") -> str:
    """A bar from p50 to p95 and a dot at the maximum, for each row. "" where nothing was measured."""
    shown = [row for row in rows if known(row.p50) and known(row.p95)][:MOST_ROWS]
    if not shown:
        return ""
    ends = [max(LEAST_S, end) for row in shown for end in (row.p50, row.p95, row.most) if end is not None]
    low, high = min(ends) / 1.5, max(ends) * 1.5
    left = label_room((row.label for row in shown), MOST_LABEL) + 12
    bottom = TOP + ROW * len(shown)
    place = logarithmic(low, high, left, WIDTH - 14)
    body = []
    for mark in decades(low, high):
        body.append(line(place(mark), TOP, place(mark), bottom, "grid"))
        body.append(text(place(mark), bottom + 18, time(mark), "faint", anchor="middle"))
    for index, row in enumerate(shown):
        y = TOP + ROW * (index + 0.5)
        marks = [text(left - 12, y + 4, row.label, "label", anchor="end", room=MOST_LABEL)]
        if row.most is not None and known(row.most):
            marks += [line(place(row.p95), y, place(row.most), y, "tail"), circle(place(row.most), y, 2.5, "end")]
        marks.append(rect(place(row.p50), y - 5, max(3.0, place(row.p95) - place(row.p50)), 10, "bar"))
        most = f", at most {time(row.most)}" if row.most is not None else ""
        body.append(hinted(f"{row.label}: p50 {time(row.p50)}, p95 {time(row.p95)}{most}, n = {row.n}", marks))
    return picture("ranges", WIDTH, bottom + FOOT, described, body)
