"""Blocks of lines, for files, pipes and terminals that can do no more. What is written is decided here; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embertrace.top.cells import clock, fit, shown, width
from embertrace.top.model import TABLES, TITLES, Column, Reading, Sentence, health, pace, rows, title

MAX_LINES = {"stages": 20, "slowest": 5, "errors": 5}
"""Rows of each table in a block: one that is read as it comes should fit a screen."""
MAX_CELL = 40
MAX_LAST_CELL = 100
"""Columns of a cell; the last of a row has nothing behind it to be pushed away."""


def block(reading: Reading) -> str:
    """One reading as lines, with no escape codes."""
    return "\n".join(_lines(reading))


def _lines(reading: Reading) -> Iterator[str]:
    at = clock(reading.at)
    yield from (f"{at}  ! {sentence}" for sentence in reading.news)
    if reading.trouble is not None or reading.snapshot is None:
        yield f"{at}  {shown(reading.endpoint)} does not answer: {shown(reading.trouble)}"
        return
    found = reading.snapshot
    yield f"{at}  {title(reading)}"
    yield f"  {_joined(pace(found))}"
    yield f"  {_joined(health(found))}"
    for table, most in MAX_LINES.items():
        cells = rows(found, table)
        if cells:
            yield f"  {TITLES[table]}"
            yield from (f"    {line}" for line in _table(TABLES[table], cells[:most]))
        if len(cells) > most and table == "stages":
            yield f"    and {len(cells) - most} more"


def _joined(sentences: Sequence[Sentence]) -> str:
    return ", ".join(sentence.text if sentence.level == "ok" else f"{sentence.text} (!)" for sentence in sentences)


def _table(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [[column.title for column in columns], *cells]
    limits = [MAX_CELL] * (len(columns) - 1) + [MAX_LAST_CELL]
    widths = [min(limit, max(width(line[place]) for line in lines)) for place, limit in enumerate(limits)]
    for line in lines:
        written = [
            _right(text, columns_) if column.number else fit(text, columns_)
            for text, columns_, column in zip(line, widths, columns, strict=True)
        ]
        yield "  ".join(written).rstrip()


def _right(text: str, columns: int) -> str:
    return " " * (columns - width(text)) + text if width(text) <= columns else fit(text, columns)
