"""Questions that ensembles answered, as a new judge can be asked them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from embertrace.analysis.results import Rows


class Given(list[Any]):
    """The answers of an ensemble's members, in slot order. `calls` are their ids, `members` their names."""

    def __init__(self, answers: Iterable[Any], calls: Iterable[str], members: Iterable[str]) -> None:
        super().__init__(answers)
        self.calls, self.members = tuple(calls), tuple(members)


class Question(NamedTuple):
    """What an ensemble was asked, what its members said, and the truth (None where nobody knows)."""

    item: Any
    question: Any
    answers: Given
    truth: Any


class Posed(list[Question]):
    """The questions of `ensembles()`; `left_out` and `notes` as of any result."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(
            Question(row["item"], row["question"], Given(row["answers"], row["calls"], row["members"]), row["truth"])
            for row in rows
        )
        self.left_out, self.notes = rows.left_out, rows.notes
