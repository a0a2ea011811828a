"""What all pictures share: points with their intervals, SVG elements, linear and logarithmic scales, ticks.

Rules of this file: pure. User text enters through `text` and `hint` only, which cut and escape it. Text is measured
by `flow.text`, never by a font.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from embertrace.flow.text import fit, text_width
from embertrace.markup import escape, shortened

NAN = float("nan")
WIDTH = 420.0
"""Pixels of a picture in its own measure. On a small telephone it is shown at 0.8 of that, and its text at 10."""
FONT = 12.0
MAX_HINT = 300
LEAST_SPAN = 1e-6
"""An axis is no finer than this share of its numbers: beyond, ticks are nothing but rounding."""

Scale = Callable[[float], float]


class Point(NamedTuple):
    """A value with its interval, over a label or a place `x`; NaN where there is none. `n` is 0 where unknown."""

    label: str
    value: float
    low: float = NAN
    high: float = NAN
    n: int = 0
    x: float = NAN


def picture(kind: str, width: float, height: float, described: str, body: Iterable[str]) -> str:
    """A complete picture for a page. `described` says what it shows to those who can't see it."""
    label = escape(shortened(described, MAX_HINT))
    size = f'viewBox="0 0 {number(width)} {number(height)}" style="--own-width: {number(width)}px"'
    return f'<svg class="plot {kind}" role="img" aria-label="{label}" {size}>{"".join(body)}</svg>'


def number(value: float) -> str:
    """A coordinate: a tenth of a pixel is finer than any eye."""
    told = f"{value:.1f}"
    return told[:-2] if told.endswith(".0") else told


def text(x: float, y: float, said: str, kind: str = "", *, anchor: str = "start", room: float = 0.0) -> str:
    """One line, its baseline at `y`; cut to `room` pixels where that is given."""
    shown = fit(said, room, FONT) if room else shortened(said, MAX_HINT)
    place = f'x="{number(x)}" y="{number(y)}"' + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f"<text{_class(kind)} {place}>{escape(shown)}</text>"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
    return f"<line{_class(kind)} {ends}/>"


def rect(x: float, y: float, width: float, height: float, kind: str, *, opacity: float | None = None) -> str:
    size = f'x="{number(x)}" y="{number(y)}" width="{number(max(width, 0.0))}" height="{number(height)}"'
    faded = "" if opacity is None else f' fill-opacity="{opacity:.3f}"'
    return f"<rect{_class(kind)} {size}{faded}/>"


def circle(x: float, y: float, radius: float, kind: str) -> str:
    return f'<circle{_class(kind)} cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    return f'<path{_class(kind)} d="M{"L".join(f"{number(x)} {number(y)}" for x, y in points)}"/>'


def hinted(said: str, body: Iterable[str]) -> str:
    """Elements that say something to those who point at them."""
    return f"<g><title>{escape(shortened(said, MAX_HINT))}</title>{''.join(body)}</g>"


def label_room(labels: Iterable[str], most: float) -> float:
    """Pixels that the longest label needs, at most `most`."""
    return min(most, max((text_width(shortened(label, 80), FONT) for label in labels), default=0.0) + 2)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Values low … high as pixels start … end; those beyond stay at the ends."""
    span = (high - low) or 1.0
    return lambda value: start + (end - start) * min(1.0, max(0.0, (value - low) / span))


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """As `linear`, by powers of ten; for low > 0."""
    inner = linear(math.log10(low), math.log10(high), start, end)
    return lambda value: inner(math.log10(max(value, low)))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within low … high, so that about as many are shown; ascending."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if span / (factor * power) <= about)
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten within low … high."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**power for power in range(first, last + 1)]


def known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def domain(points: Sequence[Point], within: tuple[float, float] | None = None) -> tuple[float, float]:
    """Round borders around all values and intervals, within the given ones."""
    seen = [bound for point in points for bound in (point.value, point.low, point.high) if known(bound)]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    room = max((high - low) * 0.08, max(abs(low), abs(high)) * LEAST_SPAN) or 0.05
    low, high = low - room, high + room
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
        if not low < high:  # all values lie beyond
            return within
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return (max(low, within[0]), min(high, within[1])) if within is not None else (low, high)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
