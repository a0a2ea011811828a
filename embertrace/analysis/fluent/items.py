"""Questions about single items: what was said of each, and how right it was."""

from __future__ import annotations

from typing import Any

from embertrace.analysis.answers import Rule
from embertrace.analysis.correctness import Grade
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.outcomes import On
from embertrace.analysis.results import Rows


class ItemQuestions(Asks):
    """Asked of the items of the selected calls; computed in `questions.items`, `outcomes`, `flipping`."""

    def items(self, *, answer: Rule = None, grade: Grade | None = None) -> Rows:
        """Per item: truth, agreement, the members' answers, the judge's, whether it is right, and the cost in USD.

        `wrong()` of the result are those whose judge was wrong, `search(text)` those with the text in any cell. `cost`
        is the sum of the scores usd of the item's calls and of the item; None where there are none, or too large ones.
        """
        return self._rows("items", answer=answer, grade=grade)

    def flips(self, *, answer: Rule = None, grade: Grade | None = None) -> Rows:
        """Where an operator's answer changed from one round of its item to the next (see `round`): before and after.

        `round` is that of the later answer; `correct_before`, `correct_after` are None where nobody knows. Ensembles'
        own results are no answers here. `notes` say how many steps there were, and how many were for the better. Steps
        with a call that failed, is open, or can't be compared are left out.
        """
        return self._rows("flips", answer=answer, grade=grade)

    def show(self, key: Any) -> Rows:
        """The calls about one item, as a tree; no rows where no such item was seen."""
        return self._rows("item", key=key)

    def outcomes(
        self, *, on: On = "judge", score: str | None = None, answer: Rule = None, grade: Grade | None = None
    ) -> Rows:
        """Per item: how right it was (`correct`, 0 … 1, None of nothing), over its epochs. What `compare` joins.

        `on` says whose answers: "judge", "majority" of the ensembles, or all selected "calls". With `score`, `correct`
        is the mean of the scores of that name instead: of the selected calls, or with on="judge" of the judges alone.
        `n` values were averaged within each of `epochs` epochs, then over them; `failed` attempts count as 0 in
        `of_attempted`. `group` is the item's; `truth` and `answer` are the latest.
        """
        return self._rows("outcomes", on=on, score=score, answer=answer, grade=grade)
