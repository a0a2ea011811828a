"""Questions about judges: how right they are, and what they add to a majority."""

from __future__ import annotations

from embertrace.analysis.answers import Rule
from embertrace.analysis.correctness import Grade
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.judging import Over
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
        """Judge right − majority right, paired over the same judge calls; −1 … 1, NaN of none.

        t on unit means. Where the judge, or all members, gave no answer, that side is wrong in `of_attempted`.
        """
        return self._estimate("judge_lift", answer=answer, ties=ties, grade=grade)

    def selection_accuracy(self, *, answer: Rule = None, grade: Grade | None = None) -> Estimate:
        """Share of judge calls that are right, of those where any member is; Wilson at n/deff, NaN of none.

        Judges that failed or abstained are wrong in `of_attempted`. Rows without a right answer are left out.
        """
        return self._estimate("selection_accuracy", answer=answer, grade=grade)

    def judge_overrides(self, *, answer: Rule = None, ties: Ties = "expected", grade: Grade | None = None) -> Table:
        """Majority right × judge right: the shares of both right, judge alone right, majority alone right, both wrong.

        "overridden" is the share of judge calls whose answer is none of the leading ones. A tie counts as its expected
        value. Each an estimate, 0 … 1, Wilson at n/deff (t where there are ties). Whoever gave no answer is wrong
        in `of_attempted` of these four. Empty of none.
        """
        return self._table("judge_overrides", answer=answer, ties=ties, grade=grade)

    def judge_choices(self, *, answer: Rule = None) -> Table:
        """{"members": {name: share}, "positions": {"0": share, …}, "p_value": …}: whose answer judges choose.

        A share is of the calls in which the member answered, or the place was taken (0 is the first of the members
        that answered); where several gave the chosen answer, each counts an equal part. `p_value` is of a permutation
        test that the place does not matter (10,000 draws, seed 0): orders are exchanged among calls with the same
        members. NaN with a note where the order never changes. Choices of nobody's answer are left out; empty of none.
        """
        return self._table("judge_choices", answer=answer)
