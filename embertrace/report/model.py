"""What a report is made of: sections of blocks, each of which the terminal, the page and JSON show alike.

Rules of this file: pure data. A block holds results as the analysis gave them; nothing is rounded before it is
written. Pictures show numbers that also stand in a block beside them, so nothing is in one form of the report alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from embertrace.analysis import Estimate, Rows


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Named estimates, or plain numbers, one below the other. `bars` shows shares as bars, too."""

    rows: Mapping[str, Any]
    title: str = ""
    bars: bool = False


@dataclasses.dataclass(frozen=True)
class Grid:
    """Rows with the same columns; with a `depth` column, a tree. Of many, the first `most` are shown."""

    rows: Rows
    title: str = ""
    columns: Sequence[str] = ()
    most: int = 40

    @property
    def names(self) -> list[str]:
        """The columns that are shown, in order: those asked for, else all that say something."""
        given = list(self.columns) or [name for name in (self.rows[0] if self.rows else ()) if name != "depth"]
        return [name for name in given if any(row.get(name) not in (None, "", [], {}) for row in self.rows)]


@dataclasses.dataclass(frozen=True)
class Lines:
    """Sentences."""

    lines: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Picture:
    """An SVG for the page, made by this library: the only block that is markup. Its numbers stand beside it."""

    svg: str
    caption: str = ""


Block = Numbers | Grid | Lines | Picture


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what stands under it. `data` is the same as plain data.

    `headline` are the numbers that a reader wants to see first; the page repeats them at its top.
    """

    title: str
    blocks: Sequence[Block]
    data: Any
    about: str = ""
    headline: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Report:
    """All sections; what the report is of, and the sentences that hold for all of its numbers."""

    title: str
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    about: str = ""

    def to_data(self) -> dict[str, Any]:
        """By section title: plain data, NaN as None."""
        return {section.title: section.data for section in self.sections}
