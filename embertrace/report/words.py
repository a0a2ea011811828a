"""How numbers are written, in the terminal and on the page alike: the same number is the same text in both.

Rules of this file: pure. Shares have four digits, times three with a unit, counts all of theirs; what is unknown
is a dash. Text of unknown origin is made printable and cut, never trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from embertrace.analysis import Estimate
from embertrace.markup import shortened

UNKNOWN = "–"
MAX_CELL = 80
"""Characters of a cell: a row is for comparing; the whole text is in the recording."""
TIMES = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"))


def share(value: float | None) -> str:
    """A share, a difference of shares, or any other number without a unit."""
    return UNKNOWN if value is None or math.isnan(value) else f"{value:.4f}"


def count(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f") if value >= 10_000 else str(value)


def time(seconds: float | None) -> str:
    """Three digits with a unit: 1.23 ms."""
    if seconds is None or math.isnan(seconds):
        return UNKNOWN
    if seconds == 0:
        return "0 s"
    for factor, unit in TIMES:
        if abs(seconds) * factor >= 0.9995:
            return f"{seconds * factor:.3g} {unit}" if abs(seconds) < 1000 else f"{seconds:,.0f} s"
    return f"{seconds * 1e9:.0f} ns"


def money(usd: float | None) -> str:
    return UNKNOWN if usd is None or math.isnan(usd) else f"${usd:,.2f}" if abs(usd) >= 100 else f"${usd:.4g}"


def interval(low: float | None, high: float | None, written: Any = share) -> str:
    """ "[0.8937, 0.9211]"; "" where there is none."""
    return "" if low is None or high is None or math.isnan(low) else f"[{written(low)}, {written(high)}]"


def left_out(reasons: Mapping[str, int]) -> str:
    """ "left out: 12 unlabelled, 3 unlinked"; "" for nothing."""
    told = ", ".join(f"{number} {shortened(str(reason), MAX_CELL)}" for reason, number in sorted(reasons.items()))
    return f"left out: {told}" if told else ""


def estimate(value: Estimate) -> str:
    """An estimate on one line: value, interval, n, and what was left out."""
    parts = [share(value), interval(*value.interval), sample(value), attempted(value)]
    told = "  ".join(part for part in parts if part)
    remarks = left_out(value.left_out)
    return f"{told}  ({remarks})" if remarks else told


def sample(value: Estimate) -> str:
    return f"n = {value.n}" + (f" ({value.items} items)" if value.items not in (0, value.n) else "") if value.n else ""


def attempted(value: Estimate) -> str:
    """What it is where failed attempts count as wrong; "" where nothing failed."""
    same = math.isnan(value.of_attempted) or value.of_attempted == value
    return "" if same else f"{share(value.of_attempted)} of attempted"


def heading(column: str) -> str:
    """A column's name as people read it: own_s is a time, its cells say so."""
    return column.removesuffix("_s").replace("_", " ")


def cell(column: str, value: Any) -> str:
    """One cell of a table, by its column's name and its type."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return time(value) if column.endswith("_s") else money(value) if column.startswith("usd") else _float(value)
    if isinstance(value, Mapping):
        value = ", ".join(f"{name}: {part}" for name, part in list(value.items())[:8])
    elif isinstance(value, list | tuple):
        value = ", ".join(str(part) for part in value[:8])
    return shortened(" ".join(str(value)[: 4 * MAX_CELL].split()), MAX_CELL)


def _float(value: float) -> str:
    if math.isfinite(value) and (abs(value) >= 1000 or value == int(value)) and abs(value) > 1:
        return f"{value:,.6g}"
    return share(value)
