"""Single columns of the rows of `items`, without the rows: what a table is sorted by, and narrowed down to.

As with pages, columns can't always tell (see `item_pages`); nor can they where ensembles vote through lists, where a
judge is right by a share, or where labels name calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.votes import Votes
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.forest import Forest
from embertrace.analysis.item_pages import Some, begin, rows_about
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.items import usd_of
from embertrace.analysis.questions.said import Said, agreements, answers_of_members, judgements, truths
from embertrace.analysis.results import Rows
from embertrace.analysis.statistics import rounded
from embertrace.analysis.table.column import Array
from embertrace.analysis.verbs import Question


class Cells:
    """The columns of all rows, in the order of `items`; `total` is how many rows there are."""

    def __init__(
        self, question: Question, answers: Answers, selection: Selection, votes: Votes, some: Some, chosen: Array
    ) -> None:
        """`chosen` are the numbers of the keys and epochs that have rows; `some` makes rows."""
        self._question, self._answers = question, answers
        self._selection, self._votes, self._some = selection, votes, some
        self._right = Correctness(self._answers, selection.trees.labels)
        self._names = Names(selection)
        known = selection.trees.items.identities
        self._numbers = np.array(sorted(chosen.tolist(), key=known.__getitem__), np.int64)
        self._place = np.zeros(len(known), np.int64)
        self._place[self._numbers] = np.arange(len(self._numbers))

    @property
    def total(self) -> int:
        return len(self._numbers)

    def column(self, name: str) -> Sequence[Any] | None:
        """The cells of one column; None where that can't be told."""
        return COLUMNS[name](self)

    def rows(self, places: Sequence[int]) -> Rows:
        """The rows in some places, in this order."""
        made = rows_about(self._question, self._some, self._numbers[list(places)].tolist())
        rank = {place: at for at, place in enumerate(sorted(places))}
        return Rows((made[rank[place]] for place in places), made.left_out, made.notes)

    def given(self, name: str) -> list[Any]:
        """What an item itself says under a name."""
        known = self._selection.trees.items
        return [known.with_identity(number).get(name) for number in self._numbers.tolist()]

    def calls(self) -> list[int]:
        codes = self._names.codes(self._selection.places)
        found: list[int] = np.bincount(self._place[codes], minlength=self.total).tolist()
        return found

    def truths(self) -> list[Any]:
        return self._spread(truths(self._names, self._selection, self._right))

    def agreements(self) -> list[Any]:
        return self._spread(agreements(self._names, self._votes))

    def judged(self) -> list[Any] | None:
        """What judges answered, and whether that is right."""
        said, alone = judgements(self._names, self._selection, self._right)
        return None if len(alone) else self._spread(said)

    def costs(self) -> list[float | None]:
        rows, places = self._selection.scored_with(("usd",))
        spent: dict[int, Fraction] = {}
        codes = self._place[self._names.codes(places)].tolist()
        for place, usd in zip(codes, self._selection.trees.texts.values(rows, usd_of), strict=True):
            if usd is not None:
                spent[place] = spent.get(place, Fraction(0)) + usd
        return [rounded(spent[place]) if place in spent else None for place in range(self.total)]

    def having(self, answer: str) -> list[bool] | None:
        """Whether a member or the judge is shown with this answer."""
        judged = self.judged()
        if judged is None:
            return None
        has = [one is not None and one[0] == answer for one in judged]
        said, _ = answers_of_members(self._names, self._selection, self._answers, self._votes)
        for place, value in zip(self._place[said.code].tolist(), said.value, strict=True):
            has[place] = has[place] or value == answer
        return has

    def _spread(self, said: Said) -> list[Any]:
        cells: list[Any] = [None] * self.total
        for place, value in zip(self._place[said.code].tolist(), said.value, strict=True):
            cells[place] = value
        return cells


def _part(cells: Cells, part: int) -> list[Any] | None:
    judged = cells.judged()
    return None if judged is None else [None if one is None else one[part] for one in judged]


COLUMNS: Mapping[str, Callable[[Cells], Sequence[Any] | None]] = {
    "item": lambda cells: cells.given("key"),
    "epoch": lambda cells: cells.given("epoch"),
    "truth": Cells.truths,
    "agreement": Cells.agreements,
    "judge": lambda cells: _part(cells, 0),
    "correct": lambda cells: _part(cells, 1),
    "cost": Cells.costs,
    "calls": Cells.calls,
}


def cells_of_items(forest: Forest, filters: Sequence[Sequence[Any]], options: Mapping[str, Any]) -> Cells | None:
    """The columns of the rows that the question has; None where columns can't tell. Raises QueryError as it does."""
    found = begin(forest, filters, options)
    if found is None:
        return None
    question, some, chosen = found
    selection, answers = Selection(forest, filters), Answers(question.options.get("answer"))
    votes = selection.votes(answers)
    if votes is None or len(votes.rest) or selection.trees.labels.name_calls:
        return None
    return Cells(question, answers, selection, votes, some, chosen)
