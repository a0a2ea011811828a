"""Questions about judges: how right they are, and what they add to a majority."""

from __future__ import annotations

from embertrace.analysis.answers import Rule
from embertrace.analysis.correctness import Grade
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.judged_at_once import Over
from embertrace.analysis.questions.voting import Ties
from embertrace.analysis.results import Estimate, Table


class JudgeQuestions(Asks):
    """Asked of the selected judges; computed in `questions.judging`."""

    def judge_accuracy(self, *, answer: Rule = None, grade: Grade | None = None) -> Estimate:
        """Share of judge calls that are right, of those that answered and are labelled; NaN of none."""
        return self._estimate("judge_accuracy", answer=answer, grade=grade)

    def judge_accuracy_by_agreement(
        self, *, answer: Rule = None, over: Over = "attempted", grade: Grade | None = None
    ) -> Table:
        """{"3/3": share right, "2/3": …}: by the largest group of equal answers over the members; empty of none.

        `over="answered"` counts only the members that answered. Judges of two ensembles have a row in each.
        """
        return self._table("judge_accuracy_by_agreement", answer=answer, over=over, grade=grade)

    def judge_lift(self, *, answer: Rule = None, ties: Ties = "expected", grade: Grade | None = None) -> Estimate:
        """Judge right − majority right, paired over the same judge calls; −1 … 1, NaN of none."""
        return self._estimate("judge_lift", answer=answer, ties=ties, grade=grade)
