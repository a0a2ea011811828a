"""Questions about scores and time, by stage and by operator."""

from __future__ import annotations

from embertrace.analysis.answers import Rule
from embertrace.analysis.correctness import Grade
from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.results import Rows, Table


class ActivityQuestions(Asks):
    """Asked of the selected calls; computed in `questions.distributions`, `costs`, `flowing`."""

    def accuracy_distribution(self) -> Table:
        """{"type:stage": {"mean", "std" (population), "samples"}} of all scores named accuracy; empty of none."""
        return self._table("accuracy_distribution")

    def stages(self) -> Rows:
        """Per stage: calls, errors, lost, open, and the 50th and 95th percentile of duration in seconds."""
        return self._rows("stages")

    def operators(self) -> Rows:
        """As `stages`, per operator."""
        return self._rows("operators")

    def cost(self, *, answer: Rule = None, grade: Grade | None = None) -> Rows:
        """What was spent: in total, per stage, per operator (`of`, `name`), by the scores tokens_in, tokens_out, usd.

        `calls` have such scores, of which several in one call are summed; `correct` counts right answers (a tie of a
        majority as its expected value), of the total those of the judges, else of majorities, else of roots, as
        `notes` say. `usd_per_correct` and `tokens_per_correct` are None where nothing is labelled, scored or right.
        Attempts that were left out count with `attempts="all"`. No rows where nothing was spent.
        """
        return self._rows("cost", answer=answer, grade=grade)

    def timeline(self, *, by: str = "all", bucket_s: float | None = None, answer: Rule = None) -> Table:
        """{"start", "bucket_s", "buckets", "groups"}: per stretch of time calls, errors, latency and disagreement.

        Each group (`by`: "all", "stage", "operator", "type") has a list of `buckets` values for each column: calls,
        errors, lost, open, p50_s, p95_s, p99_s (None where no call ended), disagreement (None without ensembles),
        ensembles. Times are Unix seconds, lengths seconds; without `bucket_s` at most 240 buckets are made. Several
        runs are shown together.
        """
        return self._table("timeline", by=by, bucket_s=bucket_s, answer=answer)

    def flow(self) -> Table:
        """{"nodes": operators with counts, disagreement and accuracy, "edges": calls between them, and links}."""
        return self._table("flow")
