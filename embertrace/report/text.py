"""A report as plain text, for the terminal: no escape codes, and the same numbers as the page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from embertrace.analysis import Estimate
from embertrace.markup import shortened
from embertrace.report import words
from embertrace.report.model import Block, Grid, Lines, Numbers, Report, Section

BAR = 24
"""Characters of a full bar: enough to see a difference of 5%."""


def as_text(report: Report) -> str:
    """The report as plain text; pictures are left out, their numbers are not."""
    parts = [
        "\n".join([shortened(section.title, 200), *(f"  {line}" for line in _lines(section))])
        for section in report.sections
    ]
    return "\n\n".join(parts)


def _lines(section: Section) -> Iterator[str]:
    for block in section.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Numbers):
        yield from _numbers(block)
    elif isinstance(block, Grid):
        yield from _grid(block)
    elif isinstance(block, Lines):
        yield from (shortened(line, 2000) for line in block.lines)


def _numbers(block: Numbers) -> Iterator[str]:
    if block.title:
        yield f"{shortened(block.title, 200)}:"
    indent = "  " if block.title else ""
    names = {name: shortened(name, words.MAX_CELL) for name in block.rows}
    width = max((len(name) for name in names.values()), default=0)
    for name, value in block.rows.items():
        told = words.estimate(value) if isinstance(value, Estimate) else words.cell(name, value)
        bar = f"{_bar(float(value))} " if block.bars and isinstance(value, Estimate) else ""
        yield f"{indent}{names[name]:<{width}}  {bar}{told}".rstrip()
        yield from (f"{indent}  {note}" for note in getattr(value, "notes", ()) if not note.startswith("based on"))


def _grid(block: Grid) -> Iterator[str]:
    if block.title:
        yield f"{shortened(block.title, 200)}:"
    columns, rows = block.names, block.rows[: block.most]
    tree = [f"{'  ' * min(row['depth'], 20) if 'depth' in row else ''}" for row in rows]
    cells = [
        [(indent if not place else "") + words.cell(name, row.get(name)) for place, name in enumerate(columns)]
        for indent, row in zip(tree, rows, strict=True)
    ]
    lines = [[words.heading(name) for name in columns], *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    right = [any(isinstance(row.get(name), int | float) for row in rows) for name in columns]
    for line in lines:
        padded = (
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(line, widths, right, strict=True)
        )
        yield "  ".join(padded).rstrip()
    if len(block.rows) > block.most:
        yield f"… and {len(block.rows) - block.most} more"
    if block.rows.left_out:
        yield f"({words.left_out(block.rows.left_out)})"


def _bar(share: float) -> str:
    full = 0 if math.isnan(share) else round(max(0.0, min(1.0, share)) * BAR)
    return "█" * full + "·" * (BAR - full)
