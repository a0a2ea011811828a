"""A CSV file as labels: read as a whole, or refused with the line that can't be used.

Columns `key` and `truth`, in any order, and where wanted `epoch` (a whole number) and `by`; others are ignored. UTF-8,
with commas and a first line of names. A row without a truth says nothing and is counted.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from embertrace.errors import ConfigError
from embertrace.metric import label_data

TruthAs = Literal["text", "json"]
MAX_FILE_BYTES = 64 * 1024 * 1024
"""A million labels of 64 bytes. All of a file is checked before any of it is written, so it is held in memory."""
MAX_FIELD = 1024 * 1024
"""Characters of a field; a truth is cut to what an event may hold, as that of `et.label` is."""
NEEDED = ("key", "truth")


class Row(NamedTuple):
    """One label, and the line that gave it."""

    line: int
    key: str | int
    truth: Any
    epoch: int | None
    by: str | None


class Rows(NamedTuple):
    """The labels in their order; how many rows had no truth, and how many repeat item, epoch and annotator."""

    labels: list[Row]
    without_truth: int
    repeated: int


def read_rows(path: Path, by: str | None = None, truth_as: TruthAs = "text") -> Rows:
    """The labels of a file. Raises ConfigError for a file, or a line, that can't be used."""
    if truth_as not in ("text", "json"):
        raise ConfigError(f"truths are read as {truth_as!r}; it must be text or json")
    labels: list[Row] = []
    without_truth = 0
    for line, cells in _lines(_text(path), path):
        if not cells["truth"].strip():
            without_truth += 1
            continue
        labels.append(_row(f"{path}, line {line}", line, cells, by, truth_as))
    distinct = {(row.key, row.epoch, row.by) for row in labels}
    return Rows(labels, without_truth, len(labels) - len(distinct))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path} has more than {MAX_FILE_BYTES >> 20} MiB: split it, labels may come in several files"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line} is not UTF-8 (byte {error.start}): save the file as UTF-8") from None


def _lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of every row that has any; `epoch` and `by` are "" where the file has no such column."""
    limit = csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_columns(names, path)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise ConfigError(
                    f"{path}, line {reader.line_num} has {len(cells)} cells for {len(names)} columns: "
                    "cells with commas are written in double quotes"
                )
            yield reader.line_num, {"epoch": "", "by": "", **dict(zip(names, cells, strict=True))}
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num} is no CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _check_columns(names: list[str], path: Path) -> None:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise ConfigError(
            f"{path} has no column {' and no '.join(missing)}, but {', '.join(names)[:200] or 'nothing'}: its first "
            "line names the columns, key and truth (epoch and by, where wanted), separated by commas"
        )
    twice = [name for name in (*NEEDED, "epoch", "by") if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{path} has two columns {twice[0]}: rename the one that is not meant")


def _row(where: str, line: int, cells: dict[str, str], by: str | None, truth_as: TruthAs) -> Row:
    if not cells["key"].strip():
        raise ConfigError(f"{where} has a truth and no key: name its item, or delete the line")
    try:
        epoch = int(cells["epoch"]) if cells["epoch"].strip() else None
    except ValueError:
        raise ConfigError(
            f"{where} has the epoch {cells['epoch']!r:.40}; it must be a whole number, or empty"
        ) from None
    truth: Any = cells["truth"]
    if truth_as == "json":
        try:
            truth = json.loads(truth)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where} has a truth that is no JSON: {error}") from None
    row = Row(line, cells["key"], truth, epoch, cells["by"].strip() or by)
    try:
        label_data(row.key, None)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return row
