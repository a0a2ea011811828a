"""Records as columns of other libraries: Arrow, pandas, polars. The only file that knows them.

Rules:
- A column of booleans, whole numbers, numbers or texts is one; everything else (lists, mappings, mixed cells, whole
  numbers beyond 63 bits) is text of JSON. NaN is null; bytes are hexadecimal text. A column of nothing is of text.
- A number or a moment that its column can't hold is null.
- Events and calls have the schemas written here, whatever was recorded: a new column may be added at the end, none
  changes its type. A column of the Parquet files (`interop.tables`), which have more of them, is the same there.
- Libraries are imported when asked for; without them the error names the extra `frames`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from embertrace.analysis.optional import library
from embertrace.analysis.plain import as_json, optional_text
from embertrace.errors import QueryError

MAX_INT = 1 << 63
Record = Mapping[str, Any]

TIME, TEXT, VALUE, JSON, WHOLE = "time", "text", "value", "json", "whole"
"""Nanoseconds UTC; text; a text as it is or anything else as JSON; JSON; 64 bits."""

EVENT_SCHEMA = {
    "time": TIME,
    "event_type": TEXT,
    "operator_id": TEXT,
    "operator_type": TEXT,
    "stage": TEXT,
    "trace_id": TEXT,
    "call_id": TEXT,
    "parent_call_id": TEXT,
    "attempt": WHOLE,
    "run": TEXT,
    "item_key": VALUE,
    "tags": JSON,
    "duration_ns": WHOLE,
    "data": JSON,
}
"""Columns of `analysis.events`. `time` is on the clock of who emitted it."""

CALL_SCHEMA = {
    "start": TIME,
    "operator_id": TEXT,
    "operator_type": TEXT,
    "stage": TEXT,
    "outcome": TEXT,
    "duration_ns": WHOLE,
    "trace_id": TEXT,
    "call_id": TEXT,
    "parent_call_id": TEXT,
    "attempt": WHOLE,
    "run": TEXT,
    "item_key": VALUE,
    "tags": JSON,
    "answer": VALUE,
    "error_type": TEXT,
    "error_message": TEXT,
    "scores": JSON,
}
"""Columns of `analysis.calls`. `start` is on the aggregator's clock."""


def arrow(records: Sequence[Record], schema: Mapping[str, str] | None = None) -> Any:
    """A pyarrow.Table of the records. Raises MissingExtraError without pyarrow."""
    pa = library("pyarrow", "Arrow tables", "frames")
    if schema is None:
        names = list(dict.fromkeys(name for record in records for name in record))
        columns = {name: _guessed(pa, [record.get(name) for record in records]) for name in names}
    else:
        columns = {name: _typed(pa, [one.get(name) for one in records], kind) for name, kind in schema.items()}
    return pa.table(columns)


def stream(records: Sequence[Record], schema: Mapping[str, str] | None, requested: object) -> object:
    """The Arrow C stream of the records, for whatever reads it, such as pyarrow and polars."""
    found: object = arrow(records, schema).__arrow_c_stream__(requested)
    return found


def pandas(records: Sequence[Record], schema: Mapping[str, str] | None = None) -> Any:
    """A pandas.DataFrame of the records. Raises MissingExtraError without pandas or pyarrow."""
    library("pandas", "pandas frames", "frames")
    return arrow(records, schema).to_pandas()


def polars(records: Sequence[Record], schema: Mapping[str, str] | None = None) -> Any:
    """A polars.DataFrame of the records. Raises MissingExtraError without polars or pyarrow."""
    pl = library("polars", "polars frames", "frames")
    return pl.from_arrow(arrow(records, schema))


def _guessed(pa: Any, cells: list[Any]) -> Any:
    cells = [None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in cells]
    kinds = {_kind(cell) for cell in cells if cell is not None}
    if kinds == {bool}:
        return pa.array(cells, pa.bool_())
    if kinds == {int}:
        return pa.array(cells, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    told = cells if kinds == {str} else [_json(cell) for cell in cells]
    return pa.array([None if cell is None else _text(cell) for cell in told], pa.string())


def _kind(cell: Any) -> type:
    if isinstance(cell, bool):
        return bool
    if isinstance(cell, int):
        return int if -MAX_INT <= cell < MAX_INT else object
    return next((kind for kind in (float, str) if isinstance(cell, kind)), object)


def _typed(pa: Any, cells: list[Any], kind: str) -> Any:
    if kind in (TIME, WHOLE):
        fitting = [cell if cell is not None and -MAX_INT <= cell < MAX_INT else None for cell in cells]
        return pa.array(fitting, pa.timestamp("ns", tz="UTC") if kind == TIME else pa.int64())
    if kind == JSON:
        return pa.array([None if cell is None else as_json(cell) for cell in cells], pa.string())
    return pa.array([optional_text(cell) for cell in cells], pa.string())


def _text(cell: Any) -> str:
    return str(cell).encode("utf-8", "replace").decode()


def _json(cell: Any) -> str | None:
    """A cell as JSON; None stays null. What JSON has no form for is told as text."""
    if cell is None:
        return None
    try:
        return json.dumps(cell, ensure_ascii=False, allow_nan=False, default=_told)
    except (ValueError, TypeError):  # NaN within, or keys that are no text
        return json.dumps(str(cell), ensure_ascii=False)


def _told(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def records_of(data: Any) -> list[dict[str, Any]]:
    """The plain data of a result as records: one for an estimate, one a name for a table, the rows of rows."""
    kind = data.get("result")
    if kind == "estimate":
        return [_estimate(data)]
    if kind in ("table", "groups"):
        return list(_named(data["rows"]))
    if kind == "rows":
        return list(data["rows"])
    raise QueryError(f"a result of kind {kind!r} has no table")


def _estimate(data: Record) -> dict[str, Any]:
    low, high = data["interval"]
    return {"value": data["value"], "low": low, "high": high, **{name: data[name] for name in COUNTS}}


COUNTS = ("n", "items", "of_attempted")


def _named(rows: Iterable[tuple[str, Any]], above: str = "") -> Iterable[dict[str, Any]]:
    """Tables in a table are told by both names: "accuracy · 3/3"."""
    for own, value in rows:
        name = f"{above} · {own}" if above else own
        if isinstance(value, dict) and value.get("result") == "estimate":
            yield {"name": name, **_estimate(value)}
        elif isinstance(value, dict) and value.get("result") in ("table", "groups"):
            yield from _named(value["rows"], name)
        elif isinstance(value, dict) and value.get("result") == "rows":
            yield from ({"name": name, **row} for row in value["rows"])
        else:
            yield {"name": name, **value} if isinstance(value, dict) else {"name": name, "value": value}
