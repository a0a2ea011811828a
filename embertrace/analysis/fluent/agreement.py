"""Questions about agreement: how far members agree, by pairs, by entropy, and beyond chance."""

from __future__ import annotations

from embertrace.analysis.answers import Rule
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.kappas import Chance, Level
from embertrace.analysis.results import Estimate, Rows, Table


class AgreementQuestions(Asks):
    """Asked of the selected ensembles; computed in `questions.agreement` and `questions.kappas`.

    Incomplete ensemble calls and such with unknown answers are left out. The kappas need the extra `stats`, and raise
    MissingExtraError without it; over an aggregator it is the aggregator that needs it.
    """

    def pairwise_agreement(self, *, answer: Rule = None) -> Rows:
        """Per stage and pair of members: the share of calls, of those both answered, in which their answers are equal.

        Columns stage, a, b, agreement (0 … 1), low, high (Wilson at n/deff), n calls, items units. Empty of none.
        """
        return self._rows("pairwise_agreement", answer=answer)

    def vote_entropy(self, *, answer: Rule = None) -> Table:
        """{stage: mean of −Σ p·log₂ p over ensemble calls}, p the shares of the answers; bits, bootstrap interval.

        0 is unanimity, log₂ n is n answers all distinct (Shannon 1948). Calls with fewer than two answers are left
        out. Empty of none.
        """
        return self._table("vote_entropy", answer=answer)

    def answer_distribution(self, *, answer: Rule = None, top: int = 50) -> Rows:
        """Per stage and answer: how often members gave it, and its share of all their answers.

        Columns stage, answer, count, share (0 … 1), low, high (Wilson at n/deff), n answers, items units; the most
        frequent first. Beyond `top` per stage, answers are counted in `left_out`. Raises QueryError for a `top` below
        1. Empty of none.
        """
        return self._rows("answer_distribution", answer=answer, top=top)

    def fleiss_kappa(self, *, answer: Rule = None, chance: Chance = "fleiss") -> Estimate:
        """(P̄ − Pₑ)/(1 − Pₑ) over ensemble calls (Fleiss 1971, by statsmodels); ≤ 1, 0 is chance; bootstrap interval.

        P̄ is the mean share of agreeing pairs. Pₑ is Σ p² of all answers, or 1/(number of distinct answers seen) with
        chance="randolph" (2005). Only calls with the most frequent number of answers count, the rest is left out.
        NaN of none; NaN with a note where all answers are equal.
        """
        return self._estimate("fleiss_kappa", answer=answer, chance=chance)

    def cohen_kappa(self, a: str, b: str, *, answer: Rule = None) -> Estimate:
        """(p₀ − pₑ)/(1 − pₑ) of two members (Cohen 1960, by statsmodels), by their names; bootstrap interval.

        p₀ is the share of calls in which they agree, pₑ that expected of their own shares. Calls without an answer of
        both are left out. NaN of none, with a note where a name is unknown or all answers are equal.
        """
        return self._estimate("cohen_kappa", a=a, b=b, answer=answer)

    def krippendorff_alpha(self, level: Level = "nominal", *, answer: Rule = None) -> Estimate:
        """1 − Dₒ/Dₑ over all ensemble calls with two answers or more (Krippendorff 2011, by krippendorff); ≤ 1.

        `level` says how answers differ: "nominal" (equal or not), or as numbers, "ordinal", "interval", "ratio"; then
        answers that are no numbers are left out (answer="number" finds them in texts). Bootstrap interval, as far as
        there are few distinct answers. NaN of none; NaN with a note where all are equal or too many are distinct.
        """
        return self._estimate("krippendorff_alpha", level=level, answer=answer)
