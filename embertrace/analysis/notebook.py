"""Results as HTML fragments, for notebooks: tables that are worth reading, in the notebook's own light or dark.

Rules of this file: pure; the picture of an analysis is drawn by whoever stands above (`draw_flow`), and stands apart
from the notebook's styles. Every text is made printable, cut and escaped; no script, address, class or id is written.
Colours are the notebook's own, made fainter, so that both of its themes are right.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embertrace.markup import escape, shortened

if TYPE_CHECKING:
    from embertrace.analysis.operator_analysis import OperatorAnalysis

draw_flow: Callable[[OperatorAnalysis], str] | None = None
"""Gives the SVG of an analysis' flow; set by `embertrace.flow` when it is imported."""
MOST_ROWS = 60
MAX_CELL = 120
EMPTY: tuple[Any, ...] = (None, "", [], {})
"""A column of nothing else is not shown."""
FAINT = "opacity:.65"
TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4em 0"
CELL = "padding:.25em 1.2em .25em 0;text-align:left;vertical-align:top;border:0"
RULE = "border-bottom:1px solid rgba(128,128,128,.35)"
NUMBER = "text-align:right"
TRACK = "display:inline-block;width:8em"
BAR = "display:inline-block;height:.55em;border-radius:.3em;background:currentColor;opacity:.4"


def picture(svg: str, told: str) -> str:
    """A picture that neither takes over the notebook's styles nor changes them; `told` is for who can't see it."""
    packed = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{escape(told)}" style="max-width:100%" src="data:image/svg+xml;base64,{packed}"/>'


def of_result(data: Mapping[str, Any], title: str = "") -> str:
    """A fragment for the plain data of any result (its `to_data`)."""
    body = {
        "estimate": _estimate,
        "table": _table,
        "groups": _table,
        "rows": _rows,
        "comparison": _comparison,
    }[data["result"]](data)
    head = f'<div style="font-weight:600">{tell(title)}</div>' if title else ""
    return f"<div>{head}{body}{_remarks(data)}</div>"


def tell(text: object, most: int = MAX_CELL) -> str:
    return escape(shortened(str(text), most))


def _estimate(data: Mapping[str, Any]) -> str:
    value = f'<span style="font-size:1.5em;font-weight:600">{_number(data["value"])}</span>'
    return f'<div>{value} <span style="{FAINT}">{tell(_about(data))}</span></div>'


def _about(data: Mapping[str, Any]) -> str:
    """An estimate's interval and sample."""
    low, high = data["interval"]
    parts = [f"[{_number(low)}, {_number(high)}]"] if low is not None else []
    parts.append(f"n = {data['n']}" + (f" ({data['items']} items)" if data["items"] not in (0, data["n"]) else ""))
    if data["of_attempted"] is not None and data["of_attempted"] != data["value"]:
        parts.append(f"{_number(data['of_attempted'])} of attempted")
    left_out = _reasons(data.get("left_out") or {})
    return " · ".join([*parts, *([left_out] if left_out else [])])


def _table(data: Mapping[str, Any]) -> str:
    if not data["rows"]:
        return f'<div style="{FAINT}">nothing</div>'
    return _html((), [[tell(name), *_cells(value)] for name, value in data["rows"][:MOST_ROWS]])


def _cells(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return [_cell(value), ""]
    if value.get("result") == "estimate":
        share = value["value"]
        width = 0.0 if share is None else 8 * max(0.0, min(1.0, share))
        bar = f'<span style="{TRACK}"><span style="{BAR};width:{width:.2f}em"></span></span>'
        return [_number(share), f'{bar} <span style="{FAINT}">{tell(_about(value))}</span>']
    if "result" in value:
        return ["", of_result(value)]
    return ["", tell(", ".join(f"{name} {_plain(part)}" for name, part in value.items()))]


def _rows(data: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, Any]] = data["rows"]
    if not rows:
        return f'<div style="{FAINT}">no rows</div>'
    columns = [name for name in rows[0] if name != "depth" and any(row.get(name) not in EMPTY for row in rows)]
    tree = "operator" if "operator" in columns else columns[0] if columns else ""
    lines = [[_indented(row, name, name == tree) for name in columns] for row in rows[:MOST_ROWS]]
    numeric = {place for place, name in enumerate(columns) if any(_is_number(row.get(name)) for row in rows)}
    more = f'<div style="{FAINT}">… and {len(rows) - MOST_ROWS} more</div>' if len(rows) > MOST_ROWS else ""
    return _html([tell(name) for name in columns], lines, numeric) + more


def _indented(row: Mapping[str, Any], name: str, tree: bool) -> str:
    indent = min(int(row["depth"]), 20) * 4 if tree and "depth" in row else 0
    return "\u00a0" * indent + _cell(row.get(name))


def _comparison(data: Mapping[str, Any]) -> str:
    sides = [", ".join(map(str, data["runs"][side])) or side for side in ("before", "after")]
    low, high = data["interval"]
    interval = f"[{_number(low)}, {_number(high)}]" if low is not None else ""
    told = f"{interval} n = {data['n']} · {data['test']}: p = {_number(data['p_value'])}"
    counts = f"{data['only_after']} gained, {data['only_before']} lost, {data['equal']} equal"
    flips = _rows({"rows": data["flips"]}) if data["flips"] else ""
    return (
        f"<div>{tell(sides[0])} {_number(data['before'])} → {tell(sides[1])} {_number(data['after'])}</div>"
        f'<div><span style="font-size:1.5em;font-weight:600">{_number(data["difference"], signed=True)}</span> '
        f'<span style="{FAINT}">{tell(told)}</span></div><div>{tell(counts)}</div>{flips}'
    )


def _html(head: Sequence[str], lines: Iterable[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    right = set(numeric)

    def styled(place: int) -> str:
        return f"{CELL};{NUMBER}" if place in right else CELL

    top = "".join(
        f'<th style="{styled(place)};{RULE};{FAINT};font-weight:500">{name}</th>' for place, name in enumerate(head)
    )
    cells = ("".join(f'<td style="{styled(place)}">{cell}</td>' for place, cell in enumerate(line)) for line in lines)
    body = "".join(f"<tr>{line}</tr>" for line in cells)
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div style="overflow-x:auto"><table style="{TABLE}">{top}<tbody>{body}</tbody></table></div>'


def _remarks(data: Mapping[str, Any]) -> str:
    left_out = data.get("left_out") or {}
    flat = _reasons(left_out) if data["result"] not in ("estimate", "comparison") else ""
    told = [*([flat] if flat else []), *(data.get("notes") or ())]
    return "".join(f'<div style="{FAINT}">{tell(line, 500)}</div>' for line in told)


def _reasons(left_out: Mapping[str, int]) -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    return f"left out: {told}" if told else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    return tell(_plain(value))


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return _number(value)
    return str(value) if not isinstance(value, str) else value[: 2 * MAX_CELL]


def _number(value: float | None, *, signed: bool = False) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:+.4g}" if signed else f"{value:.4g}"
