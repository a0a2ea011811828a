"""Answers as bytes: JSON, NDJSON (one row a line), or Arrow (an IPC stream of record batches). Pure.

Bytes are hexadecimal text in all of them, as `embertrace … --json` prints them. In Arrow, a column of numbers, text or
booleans is one; lists, mappings and mixed cells are text of JSON.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from embertrace.errors import MissingExtraError, QueryError

JSON, NDJSON, ARROW = "json", "ndjson", "arrow"
MEDIA = {
    JSON: "application/json",
    NDJSON: "application/x-ndjson",
    ARROW: "application/vnd.apache.arrow.stream",
}

MAX_INT = 1 << 63
"""Whole numbers beyond are text: Arrow has none of mixed sizes."""

Row = Mapping[str, Any]


def chosen(name: str | None, accept: str) -> str:
    """The format that is asked for, by its name, else by an Accept header; JSON if by neither. Raises QueryError.

    For Arrow the library is loaded, and so this takes a moment the first time; MissingExtraError where it is not there.
    """
    if name is not None and name not in MEDIA:
        raise QueryError(f"format is {name[:40]!r}; it is one of {', '.join(MEDIA)}")
    if name is None:
        named = [known for known, media in MEDIA.items() if media in accept]
        name = named[0] if named else JSON
    if name == ARROW:
        pyarrow()
    return name


def pyarrow() -> Any:
    """The library. Raises MissingExtraError."""
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise MissingExtraError("Arrow", "frames") from None
    return pyarrow


def to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_hexadecimal).encode()


def to_ndjson(rows: Iterable[Row]) -> bytes:
    return b"".join(to_json(row) + b"\n" for row in rows)


def _hexadecimal(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} is no plain data")


class ArrowStream:
    """Rows in portions as one stream; all portions have the columns and types of the first."""

    def __init__(self, types: Mapping[str, str] | None = None) -> None:
        """`types` says which type each column has, by pyarrow's names; else the first portion does."""
        self._arrow = pyarrow()
        self._sink = io.BytesIO()
        self._schema: Any = None
        self._writer: Any = None
        if types is not None:
            self._open([(name, self._arrow.type_for_alias(type_)) for name, type_ in types.items()])

    def add(self, rows: Sequence[Row]) -> bytes:
        """The bytes of one portion; the first has the schema before it."""
        if self._schema is None:
            names = dict.fromkeys(name for row in rows for name in row)
            self._open([(name, self._type_of([row.get(name) for row in rows])) for name in names])
        if rows:
            columns = [
                self._arrow.array([_cell(field.type, row.get(field.name), self._arrow) for row in rows], field.type)
                for field in self._schema
            ]
            self._writer.write_batch(self._arrow.record_batch(columns, schema=self._schema))
        return self._taken()

    def end(self) -> bytes:
        if self._schema is None:
            self._open([])
        self._writer.close()
        return self._taken()

    def _open(self, fields: list[tuple[str, Any]]) -> None:
        self._schema = self._arrow.schema(fields)
        self._writer = self._arrow.ipc.new_stream(self._sink, self._schema)

    def _taken(self) -> bytes:
        taken = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return taken

    def _type_of(self, cells: Sequence[Any]) -> Any:
        kinds = {type(cell) for cell in cells if cell is not None}
        if kinds == {bool}:
            return self._arrow.bool_()
        if kinds == {int} and all(abs(cell) < MAX_INT for cell in cells if cell is not None):
            return self._arrow.int64()
        return self._arrow.float64() if kinds and kinds <= {int, float} and kinds != {int} else self._arrow.string()


def _cell(type_: Any, value: Any, arrow: Any) -> Any:
    if value is None or not arrow.types.is_string(type_):
        return value
    if isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else to_json(value).decode()
