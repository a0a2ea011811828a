"""Recorded calls and events as Arrow tables and Parquet files; so pandas, polars and DuckDB have them in one line.

    arrow.calls(analysis)                      a pyarrow.Table, which pandas, polars and DuckDB take
    arrow.write(analysis, "out")               out/calls.parquet and out/events.parquet
    arrow.write(analysis, "calls.parquet")     one table
    arrow.read("out")                          an analysis again, with the same answers

Rules:
- Every table and file says which it is and in which schema version; a newer one than this library knows is refused.
- A file appears under its name when it is whole. Rows are written in portions: a large recording needs no more
  memory than its analysis.
- pyarrow (`embertrace[frames]`) is imported with this module, and nowhere else in the library.
"""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from embertrace.analysis import Forest, LocalSource, OperatorAnalysis
from embertrace.errors import ExportError, MissingExtraError, QueryError, RecordingError, VersionError, WireError
from embertrace.interop.tables import SCHEMA_VERSION, TABLES, TableName, Type, rows
from embertrace.wire.event import unpack_event

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    raise MissingExtraError("Arrow and Parquet", "frames") from None

PORTION = 20_000
"""Rows converted at a time, and of one row group: some megabytes of text, passed over by their statistics."""
TABLE_KEY, VERSION_KEY = b"embertrace.table", b"embertrace.schema_version"

_TYPES: dict[Type, Any] = {
    "text": pyarrow.string(),
    "int64": pyarrow.int64(),
    "bool": pyarrow.bool_(),
    "nanoseconds": pyarrow.timestamp("ns", tz="UTC"),
    "texts": pyarrow.list_(pyarrow.string()),
    "binary": pyarrow.binary(),
}


class Written(NamedTuple):
    """A file that was written: where, which table, how many rows."""

    path: pathlib.Path
    table: TableName
    rows: int

    def __str__(self) -> str:
        return f"wrote {self.path}: {self.rows} {self.table}"


def table_name(text: str) -> TableName:
    """A table's name. Raises QueryError for any other."""
    for name in TABLES:
        if text == name:
            return name
    raise QueryError(f"there is no table {text!r}; known are {', '.join(TABLES)}")


def schema(table: TableName) -> pyarrow.Schema:
    """The Arrow schema of a table, with its name and version as metadata."""
    metadata = {TABLE_KEY: table.encode(), VERSION_KEY: str(SCHEMA_VERSION).encode()}
    return pyarrow.schema([(column.name, _TYPES[column.type]) for column in TABLES[table]], metadata)


def calls(analysis: OperatorAnalysis) -> pyarrow.Table:
    """The selected calls, one row for each attempt; no rows where there are none."""
    return pyarrow.Table.from_batches(_batches(analysis, "calls"), schema("calls"))


def events(analysis: OperatorAnalysis) -> pyarrow.Table:
    """The events of the selected calls and of their runs; no rows where there are none."""
    return pyarrow.Table.from_batches(_batches(analysis, "events"), schema("events"))


def write(
    analysis: OperatorAnalysis, output: str | os.PathLike[str], *, table: TableName = "calls"
) -> tuple[Written, ...]:
    """Write Parquet: one `table` where `output` ends in .parquet, else both into that directory, made if need be.

    Files that are there already are replaced. Raises ExportError where they can't be written.
    """
    path = pathlib.Path(output)
    chosen = {path: table} if path.suffix == ".parquet" else {path / f"{name}.parquet": name for name in TABLES}
    try:
        if path.suffix != ".parquet":
            path.mkdir(parents=True, exist_ok=True)
        return tuple(Written(at, name, _write_table(analysis, name, at)) for at, name in chosen.items())
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error.strerror or error}") from error


def read(source: str | os.PathLike[str]) -> OperatorAnalysis:
    """The analysis of events that `write` put into a directory, or into one file of events.

    Gaps, and what was known of producers' ends and clocks, is not in them: calls that were lost are open here. Raises
    RecordingError for what is no such file, VersionError for one of a newer schema.
    """
    path = pathlib.Path(source)
    path = path / "events.parquet" if path.is_dir() else path
    forest = Forest()
    for batch in _read_batches(path, "events"):
        columns = (batch.column(name).to_pylist() for name in ("producer_id", "seq", "packed"))
        for producer, seq, packed in zip(*columns, strict=True):
            try:
                forest.add(bytes.fromhex(producer), seq, unpack_event(packed))
            except (WireError, ValueError, TypeError):
                forest.undecodable += 1
    return OperatorAnalysis(LocalSource(forest))


def read_table(path: str | os.PathLike[str], table: TableName) -> pyarrow.Table:
    """One file as it was written, columns of later versions of the same schema included. Raises as `read` does."""
    at = pathlib.Path(path)
    with _opened(at, table) as file:
        return file.read()


def _batches(analysis: OperatorAnalysis, table: TableName) -> Iterator[pyarrow.RecordBatch]:
    described = schema(table)
    given = rows(analysis, table)
    while portion := list(itertools.islice(given, PORTION)):
        columns = zip(*portion, strict=True)
        arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, described, strict=True)]
        yield pyarrow.record_batch(arrays, schema=described)


def _write_table(analysis: OperatorAnalysis, table: TableName, path: pathlib.Path) -> int:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        with pyarrow.parquet.ParquetWriter(partial, schema(table), compression="zstd") as writer:
            for batch in _batches(analysis, table):
                writer.write_batch(batch)
                count += batch.num_rows
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _read_batches(path: pathlib.Path, table: TableName) -> Iterator[pyarrow.RecordBatch]:
    with _opened(path, table) as file:
        yield from file.iter_batches(PORTION)


def _opened(path: pathlib.Path, table: TableName) -> Any:
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise RecordingError(f"{path} can't be read as Parquet: {error}") from None
    metadata = file.schema_arrow.metadata or {}
    held, version = metadata.get(TABLE_KEY, b"").decode("utf-8", "replace"), metadata.get(VERSION_KEY, b"")
    try:
        if held != table or not version.isdigit():
            raise RecordingError(f"{path} holds no embertrace {table}; `embertrace export parquet` writes such files")
        if int(version) > SCHEMA_VERSION:
            raise VersionError(
                f"{path} holds {table} of schema version {int(version)}; this embertrace reads up to {SCHEMA_VERSION}: "
                "read it with a newer one"
            )
    except BaseException:
        file.close()
        raise
    return file
