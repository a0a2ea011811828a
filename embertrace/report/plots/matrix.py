"""Pairs of names as a field of cells: the darker, the larger the value. Pairs have no order: half of it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from embertrace.report.plots.canvas import WIDTH, Point, hinted, known, label_room, picture, rect, text
from embertrace.report.words import share

MOST_NAMES = 30
"""Cells below about ten pixels can't be told apart."""
MOST_LABEL, MOST_CELL, GAP = 120.0, 56.0, 2.0
WRITTEN_FROM = 28.0
"""Pixels of a cell that its number fits into."""
MIDDLE_FROM, DARK_FROM = 0.55, 0.9
"""Shares of the range from which on a number needs another colour to be read: three, as the page decides them."""


def matrix(names: Sequence[str], cells: Mapping[tuple[str, str], Point], *, described: str = "pairs of members") -> str:
    """A cell for each pair (a, b) of `names` that is in `cells`, in either order. "" for fewer than two names.

    Shades run from the smallest value to the largest: differences are what is looked for. The numbers stand in the
    cells where they fit, and in what is said to those who point at them.
    """
    shown = list(dict.fromkeys(names))[:MOST_NAMES]
    found = {pair: point for pair, point in cells.items() if known(point.value)}
    if len(shown) < 2 or not found:
        return ""
    low = min(point.value for point in found.values())
    span = max(point.value for point in found.values()) - low
    left = label_room(shown, MOST_LABEL) + 10
    side = min(MOST_CELL, (WIDTH - left) / (len(shown) - 1))
    body = []
    for row, first in enumerate(shown[1:]):
        y = row * side
        body.append(text(left - 10, y + side / 2 + 4, first, "label", anchor="end", room=MOST_LABEL))
        for column, second in enumerate(shown[: row + 1]):
            point = found.get((first, second)) or found.get((second, first))
            if point is not None:
                shade = (point.value - low) / span if span else 0.5
                body.append(_cell(first, second, point, column * side + left, y, side, shade))
    height = (len(shown) - 1) * side
    for column, name in enumerate(shown[:-1]):
        x, y = left + (column + 0.5) * side, height + 8
        label = text(0, 0, name, "label", anchor="end", room=MOST_LABEL - 24)
        body.append(f'<g transform="translate({x + 3:.1f} {y + 4:.1f}) rotate(-40)">{label}</g>')
    foot = label_room(shown[:-1], MOST_LABEL - 24) * 0.66 + 18
    return picture("matrix", WIDTH, height + foot, described, body)


def _cell(first: str, second: str, point: Point, x: float, y: float, side: float, shade: float) -> str:
    marks = [rect(x, y, side - GAP, side - GAP, "cell", opacity=0.12 + 0.88 * shade)]
    if side >= WRITTEN_FROM:
        said = f"{point.value:.2f}".replace("0.", ".", 1)
        kind = "on-dark" if shade >= DARK_FROM else "on-middle" if shade >= MIDDLE_FROM else "on-light"
        marks.append(text(x + side / 2 - GAP / 2, y + side / 2 + 3, said, f"value {kind}", anchor="middle"))
    interval = f" [{share(point.low)}, {share(point.high)}]" if known(point.low) else ""
    return hinted(f"{second} and {first}: {share(point.value)}{interval}, n = {point.n}", marks)
