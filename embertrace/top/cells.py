"""Numbers, times and other people's text as they stand on a line. Pure."""

from __future__ import annotations

import math
import time
import unicodedata
from typing import Any

from embertrace.doctor.findings import printable

NOTHING = "–"
MAX_SHOWN = 200
"""Characters of a text that are looked at: more than a line has room for, whatever was sent."""


def shown(value: Any) -> str:
    """Text of others on one line, escaped and cut; a dash for None."""
    if value is None:
        return NOTHING
    text = value if isinstance(value, str) else str(value)
    return (
        printable(" ".join(text[: MAX_SHOWN + 1].split())) if len(text) <= MAX_SHOWN else f"{shown(text[:MAX_SHOWN])}…"
    )


def count(value: Any) -> str:
    """1,204; a dash for what is no number."""
    return f"{value:,}" if isinstance(value, int) else NOTHING


def some(value: Any) -> str:
    """As `count`, and nothing for 0: a column of noughts hides the one that matters."""
    return "" if value == 0 else count(value)


def rate(value: Any) -> str:
    """Per second, in three digits: 0.2, 12.5, 1,250."""
    number = _number(value)
    if math.isnan(number):
        return NOTHING
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"


def share(value: Any) -> str:
    """A fraction in four digits."""
    number = _number(value)
    return NOTHING if math.isnan(number) else f"{number:.3f}"


def some_share(value: Any) -> str:
    """As `share`, and nothing for none: most stages have no ensembles, or no judges."""
    return "" if math.isnan(_number(value)) else share(value)


def percent(value: Any) -> str:
    """A fraction in hundredths: 1.5 %."""
    number = _number(value)
    return NOTHING if math.isnan(number) else f"{number * 100:.1f} %"


def duration(value: Any) -> str:
    """Seconds in three digits with a unit: 1.23 ms, 45 s, 12.3 min."""
    number = _number(value)
    if math.isnan(number):
        return NOTHING
    if number >= 600:
        return f"{number / 60:,.3g} min" if number < 36_000 else f"{number / 3600:,.1f} h"
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if number * factor >= 1:
            return f"{number * factor:.3g} {unit}"
    return f"{number * 1e9:.0f} ns"


def clock(value: Any) -> str:
    """Unix seconds as a time of day, of this machine's zone."""
    number = _number(value)
    try:
        return NOTHING if math.isnan(number) else time.strftime("%H:%M:%S", time.localtime(number))
    except (OverflowError, OSError, ValueError):
        return NOTHING


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_columns(char) for char in text)


def fit(text: str, columns: int) -> str:
    """A text in exactly so many columns: padded, or cut with a mark that says so."""
    if width(text) <= columns:
        return text + " " * (columns - width(text))
    kept, left = "", columns - 1
    for char in text:
        left -= _columns(char)
        if left < 0:
            break
        kept += char
    return fit(f"{kept}…", columns)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
