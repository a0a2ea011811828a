"""Questions about single items: what was said of each, and how right it was."""

from __future__ import annotations

from typing import Any

from embertrace.analysis.answers import Rule
from embertrace.analysis.correctness import Grade
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.outcomes import On
from embertrace.analysis.results import Rows


class ItemQuestions(Asks):
    """Asked of the items of the selected calls; computed in `questions.items`."""

    def items(self, *, answer: Rule = None, grade: Grade | None = None) -> Rows:
        """Per item: truth, the members' answers and agreement, the judge's answer, and whether it is right."""
        return self._rows("items", answer=answer, grade=grade)

    def show(self, key: Any) -> Rows:
        """The calls about one item, as a tree; no rows where no such item was seen."""
        return self._rows("item", key=key)

    def outcomes(
        self, *, on: On = "judge", score: str | None = None, answer: Rule = None, grade: Grade | None = None
    ) -> Rows:
        """Per item: how right it was (`correct`, 0 … 1, NaN of nothing), over its epochs. What `compare` joins.

        `on` says whose answers: "judge", "majority" of the ensembles, or all selected "calls". With `score`, `correct`
        is the mean of the scores of that name instead: of the selected calls, or with on="judge" of the judges alone.
        `n` values were averaged within each of `epochs` epochs, then over them; `failed` attempts count as 0 in
        `of_attempted`. `truth` and `answer` are the latest.
        """
        return self._rows("outcomes", on=on, score=score, answer=answer, grade=grade)
