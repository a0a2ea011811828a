"""Questions about labels: the ground truth that people gave, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embertrace.analysis.answers import Rule
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.questions.kappas import Level
from embertrace.analysis.results import Rows, Table


class LabelQuestions(Asks):
    """Asked of the labels of the selected calls and their items; computed in `questions.labelling`, `verdicts`."""

    def labels(self, *, by: str | None = None) -> Rows:
        """Every label ever given, in order: item or call, epoch, run, by, truth, status, known, at (Unix seconds).

        `status` is "current" (the last of its annotator), "replaced" or "withdrawal"; `known` is whether what it names
        was seen: labels that name nothing are listed in `notes`, and left out where filters choose. `by` chooses one
        annotator, or with a colon at its end ("human:") all whose names begin so. No rows without labels.
        """
        return self._rows("labels", by=by)

    def label_agreement(self, *, level: Level = "nominal", by: str | None = None) -> Table:
        """How far annotators agree: {"alpha": Krippendorff's, "ann, bob": Cohen's kappa of each pair}.

        Over their current labels; alpha over what two or more labelled (`items`, of `n` labels), a kappa over what
        both did; bootstrap intervals over those. `level` is alpha's: others than "nominal" need numbers. NaN
        with the reason in `notes` where all labels are equal. Empty with fewer than two annotators. Raises
        MissingExtraError without the libraries of the extra "stats".
        """
        return self._table("label_agreement", level=level, by=by)

    def judge_vs_labels(self, *, answer: Rule = None, by: str | None = None, positive: Any = None) -> Table:
        """Judges held against labels: {"confusion": {label: {answer: calls}}, "accuracy", "kappa", "tpr", "tnr"}.

        The label is that of the annotator `by` ("human:" is any whose name begins so); without, the truth as known
        otherwise. Of several accepted answers it is the one given, else the first. `kappa` is Cohen's, with a bootstrap
        interval. `tpr` is the share of judges that say `positive` where the label does, `tnr` that say something else
        where it does; `positive` is True where it occurs, else NaN with a note until it is given. `of_attempted` of the
        shares takes judges that failed or abstained as wrong. Empty of no labelled judges.
        """
        return self._table("judge_vs_labels", answer=answer, by=by, positive=positive)

    def unknown_items(self, targets: Sequence[Sequence[Any]]) -> Rows:
        """Of [key, epoch or None, run or None]s, the places (from 0) of those that name no item that was seen."""
        return self._rows("unknown_items", targets=[list(target) for target in targets])
