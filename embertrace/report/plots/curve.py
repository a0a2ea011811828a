"""Values over a number, such as accuracy over the size of an ensemble, and a line that explains them."""

from __future__ import annotations

from collections.abc import Sequence

from embertrace.report.plots.canvas import (
    WIDTH,
    Point,
    circle,
    domain,
    hinted,
    known,
    line,
    linear,
    path,
    picture,
    text,
    ticks,
)
from embertrace.report.words import share

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 250.0, 46.0, 12.0, 12.0, 44.0
MOST_LABELS = 12
"""So many numbers stand below the axis without touching."""


def curve(
    points: Sequence[Point],
    fitted: Sequence[tuple[float, float]] = (),
    *,
    across: str = "size",
    within: tuple[float, float] | None = (0.0, 1.0),
    described: str = "values by size",
) -> str:
    """Points at their `x` with intervals, and `fitted` (x, y) as a line over them. "" where there is no point."""
    shown = sorted((point for point in points if known(point.value) and known(point.x)), key=lambda point: point.x)
    if not shown:
        return ""
    lines = [Point("", y, x=x) for x, y in fitted if known(y)]
    low, high = domain([*shown, *lines], within)
    xs = [point.x for point in (*shown, *lines)]
    across_at = linear(min(xs), max(xs), LEFT + 14, WIDTH - RIGHT - 14)
    up = linear(low, high, HEIGHT - BOTTOM, TOP)
    body = []
    for mark in ticks(low, high):
        body.append(line(LEFT, up(mark), WIDTH - RIGHT, up(mark), "grid"))
        body.append(text(LEFT - 8, up(mark) + 4, f"{mark:.4g}", "faint", anchor="end"))
    labelled = _labelled([point.x for point in shown])
    body += [text(across_at(x), HEIGHT - BOTTOM + 18, f"{x:g}", "faint", anchor="middle") for x in labelled]
    body.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, across, "faint", anchor="middle"))
    if len(lines) > 1:
        body.append(path([(across_at(point.x), up(point.value)) for point in lines], "fitted"))
    for point in shown:
        x, marks = across_at(point.x), []
        if known(point.low) and known(point.high):
            marks.append(line(x, up(point.low), x, up(point.high), "whisker"))
        marks.append(circle(x, up(point.value), 4.5, "dot"))
        interval = f" [{share(point.low)}, {share(point.high)}]" if known(point.low) else ""
        body.append(hinted(f"{point.label or f'{point.x:g}'}: {share(point.value)}{interval}, n = {point.n}", marks))
    return picture("curve", WIDTH, HEIGHT, described, body)


def _labelled(xs: Sequence[float]) -> list[float]:
    step = -(-len(xs) // MOST_LABELS)
    return list(xs[::step])
