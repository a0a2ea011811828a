"""Questions about members: what they are worth together at best, in smaller numbers, and each one."""

from __future__ import annotations

from collections.abc import Sequence

from embertrace.analysis.answers import Rule
from embertrace.analysis.correctness import Grade
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.calibration import Of
from embertrace.analysis.questions.voting import Ties
from embertrace.analysis.results import Estimate, Rows, Table


class MemberQuestions(Asks):
    """Asked of the selected ensembles; computed in `questions.members`, `.dependence` and `.calibration`.

    Incomplete calls, such with unknown answers, and the unlabelled are left out and counted.
    """

    def oracle_accuracy(self, *, answer: Rule = None, grade: Grade | None = None) -> Estimate:
        """Share of ensemble calls in which any member is right: what a perfect judge would reach; NaN of none.

        Calls without answers are wrong in `of_attempted`. Wilson at n/deff.
        """
        return self._estimate("oracle_accuracy", answer=answer, grade=grade)

    def accuracy_vs_size(
        self,
        *,
        sizes: Sequence[int] | None = None,
        replacement: bool = False,
        answer: Rule = None,
        grade: Grade | None = None,
    ) -> Rows:
        """Per stage and size k: expected accuracy of the majority of k members drawn at random (ties score 1/t).

        A draw without answers scores 0, as does a call in which nobody answered: of all members it is the
        of_attempted of majority_accuracy(). Sizes are 1 … all members unless given; of each, the calls with as many
        members count: where that changes along the curve, `notes` say so. With `replacement`, members are drawn as
        often as need be: what k calls of members like these would reach, for any k. Columns stage, size, accuracy, low,
        high (t on unit means), n, items, error: the standard error of sampling, 0 where the sum is exact. Raises
        QueryError for sizes below 1 or above a million, and for more than 1,000 of them. Empty of none.
        """
        if isinstance(sizes, range):
            sizes = [*sizes]
        return self._rows("accuracy_vs_size", sizes=sizes, replacement=replacement, answer=answer, grade=grade)

    def member_value(self, *, answer: Rule = None, grade: Grade | None = None) -> Rows:
        """Per stage and member: its Shapley value in the majority's accuracy, and what leaving it out costs.

        v(S) is the mean over calls of the accuracy of the majority of S (ties score 1/t), v(∅) = 0; a member that
        failed or abstained is worth nothing in that call. The values of a stage add up to the of_attempted of its
        majority_accuracy(), in which calls that nobody answered are wrong (Shapley 1953). Columns stage, member,
        shapley, low, high (t on unit means), n, items, error (of sampling; 0 where exact, as always up to 12 members),
        leave_one_out with its interval, accuracy (of its own answers) with its interval, answered. Largest first; empty
        of none.
        """
        return self._rows("member_value", answer=answer, grade=grade)

    def error_correlation(self, *, answer: Rule = None, grade: Grade | None = None) -> Rows:
        """Per stage and pair of members: Pearson's correlation of being wrong, over the calls both answered.

        Columns stage, a, b, correlation (−1 … 1), low, high (bootstrap), n, items. Members that are always right or
        always wrong have none; they are named in `notes`. Empty of none.
        """
        return self._rows("error_correlation", answer=answer, grade=grade)

    def effective_votes(self, *, answer: Rule = None, grade: Grade | None = None) -> Table:
        """{stage: n/(1 + (n − 1)·r̄)}: how many independent members n members with mean error correlation r̄ are worth.

        Kish 1965; bootstrap interval. n is the mean number of answers to a call, without those of members that are
        always right or always wrong. NaN where nothing is correlated or the denominator is not positive. Empty of none.
        """
        return self._table("effective_votes", answer=answer, grade=grade)

    def agreement_calibration(
        self, of: Of = "plurality", *, answer: Rule = None, ties: Ties = "expected", grade: Grade | None = None
    ) -> Table:
        """Is agreement a probability? {"accuracy": {"k/n": …}, "ece": …, "brier": …} of the plurality or the judge.

        k/n is the largest group of equal answers over the members attempted. ece is the mean of |accuracy − k/n| over
        the agreement shares, weighted by their calls (bootstrap interval); brier the mean of (k/n − right)². Both are
        0 at best and 1 at worst. Raises QueryError for another `of` or `ties`. Empty of none.
        """
        return self._table("agreement_calibration", of=of, answer=answer, ties=ties, grade=grade)
