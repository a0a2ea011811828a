"""The calls of one trace over its time: each a bar from its begin to its end, below the call that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from embertrace.report.plots.canvas import (
    hinted,
    known,
    label_room,
    line,
    linear,
    picture,
    rect,
    text,
    ticks,
)
from embertrace.report.words import time

WIDTH = 860.0
ROW, TOP, FOOT, MOST_LABEL, INDENT, TIMES = 22.0, 8.0, 26.0, 230.0, 12.0, 70.0
MOST_ROWS, MOST_INDENT = 200, 8
ROLES = ("ensemble", "judge")


class Span(NamedTuple):
    """One call: seconds since the trace began, how long it took (None while open), and what became of it."""

    label: str
    depth: int
    start: float
    duration: float | None
    outcome: str = "result"
    type: str = ""


def waterfall(spans: Sequence[Span], *, described: str = "the calls of one trace over time") -> str:
    """A row for each span, in the given order. What never ended is drawn to the end of the trace. "" for none."""
    shown = [span for span in spans if known(span.start)][:MOST_ROWS]
    if not shown:
        return ""
    first = min(span.start for span in shown)
    last = max(span.start + (span.duration or 0.0) for span in shown)
    left = label_room(("  " * min(span.depth, MOST_INDENT) + span.label for span in shown), MOST_LABEL) + 12
    place = linear(first, last, left, WIDTH - TIMES)
    bottom = TOP + ROW * len(shown)
    body = []
    for mark in ticks(0.0, last - first):
        x = place(first + mark)
        body.append(line(x, TOP, x, bottom, "grid"))
        body.append(text(x, bottom + 18, time(mark), "faint", anchor="middle"))
    for index, span in enumerate(shown):
        body.append(_row(span, TOP + ROW * index, place(span.start), place(_end(span, last)), left))
    return picture("waterfall wide", WIDTH, bottom + FOOT, described, body)


def _end(span: Span, last: float) -> float:
    return last if span.duration is None else span.start + span.duration


def _row(span: Span, y: float, start: float, end: float, left: float) -> str:
    indent = INDENT * min(span.depth, MOST_INDENT)
    role = next((role for role in ROLES if role in span.type.lower()), "operator")
    kind = f"span {role}" + (f" {span.outcome}" if span.outcome in ("error", "lost", "open") else "")
    ended = time(span.duration) if span.duration is not None else span.outcome
    marks = [
        text(indent, y + ROW / 2 + 4, span.label, "label", room=left - indent - 8),
        rect(start, y + 5, max(1.5, end - start), ROW - 10, kind),
        text(end + 6, y + ROW / 2 + 4, ended, "faint failed" if span.outcome == "error" else "faint"),
    ]
    return hinted(f"{span.label} ({span.type}): {ended}, from {time(span.start)}, {span.outcome}", marks)
