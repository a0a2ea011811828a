"""Questions about what went wrong or is missing."""

from __future__ import annotations

from typing import Any

from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.results import Rows, Table


class IncidentQuestions(Asks):
    """Asked of the selected calls; computed in `questions.incidents`."""

    def errors(self) -> Rows:
        """The calls that raised."""
        return self._rows("failures", outcome="error")

    def lost(self) -> Rows:
        """The calls that have no end and whose producer is gone."""
        return self._rows("failures", outcome="lost")

    def open_calls(self) -> Rows:
        """The calls that have no end yet."""
        return self._rows("failures", outcome="open")

    def unlinked(self) -> Rows:
        """The judge calls of which nobody knows what they judged."""
        return self._rows("unlinked")

    def explain(self, question: str, **options: Any) -> Rows:
        """Which calls an answer is made of, and which were left out: `explain("judge_lift", answer="str")`.

        A row for each judge, ensemble, score or call that the question looked at, in the order of their begin: item,
        `used`, `why` not (reasons as in `left_out`: unlabelled, unlinked, incomplete …), the `rows` of the answer in
        which it counts, then what is known of the call, and whom a judge `judged` (call ids). Any question may be
        named that is about those; of others, all calls are `used`. Raises QueryError for a question there is not.
        """
        given = {name: value for name, value in options.items() if value is not None}
        return self._rows("explain", question=question, options=given or None)

    def gaps(self) -> int:
        """How many events are known never to arrive."""
        return int(self.health()["gaps"])

    def losses(self) -> Rows:
        """Where those were lost: producer, host, pid, events, reason. Every answer has their sum in its `notes`."""
        return self._rows("losses")

    def health(self) -> Table:
        """Counts of calls, errors, lost, open, missing, unlinked, and of events, gaps, undecodable ones."""
        return self._table("health")

    def runs(self) -> Rows:
        """The runs the selected calls belong to: id, name, status, config and what else was said of them."""
        return self._rows("runs")
