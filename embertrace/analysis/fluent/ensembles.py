"""Questions about ensembles: how their members vote, and what a majority of them is worth."""

from __future__ import annotations

from embertrace.analysis.answers import Rule
from embertrace.analysis.correctness import Grade
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.voting import Ties, Weights
from embertrace.analysis.results import Estimate


class EnsembleQuestions(Asks):
    """Asked of the selected ensembles; computed in `questions.voting`."""

    def ensemble_disagreement(self, *, answer: Rule = None) -> Estimate:
        """Mean of (distinct − 1)/(n − 1) over ensemble calls with n > 1 answers; 0 … 1, NaN of none.

        `answer` says what is compared: "str", "casefold", "number", "regex:…", a field's name or a callable.
        """
        return self._estimate("ensemble_disagreement", answer=answer)

    def non_unanimous_rate(self, *, answer: Rule = None) -> Estimate:
        """Share of ensemble calls with at least two distinct answers, of those with at least two; NaN of none."""
        return self._estimate("non_unanimous_rate", answer=answer)

    def majority_accuracy(
        self, *, answer: Rule = None, ties: Ties = "expected", weights: Weights = None, grade: Grade | None = None
    ) -> Estimate:
        """Share of ensemble calls whose most frequent answer is right, of the labelled ones; NaN of none.

        `ties`: "expected" (the truth among t leaders scores 1/t), "first" (by slot), "wrong", "abstain" (left out).
        `weights` counts votes by a mapping of members to numbers ≥ 0, or by a score of the members' calls, as
        "confidence"; a member without one counts 0, and a call where all do is left out. Sums are of the numbers as
        written, so .1 + .2 ties with .3. Raises QueryError for other weights.
        """
        return self._estimate("majority_accuracy", answer=answer, ties=ties, weights=weights, grade=grade)
