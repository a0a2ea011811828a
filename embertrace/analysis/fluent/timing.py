"""Questions about time: how long calls take, which of them bound a trace, and which members are waited for."""

from __future__ import annotations

from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.results import Rows


class TimingQuestions(Asks):
    """Asked of the selected calls that have ended, in seconds; computed in `questions.timing` and
    `questions.slowest`."""

    def latency(self) -> Rows:
        """Per stage, type and operator: mean, p50, p90, p95, p99 and maximum of the durations.

        Quantiles lie between their neighbours as numpy's do. p50 and p95 have intervals (Woodruff 1952: the quantiles
        at Wilson's interval of their share, at n/deff). Calls without a duration are left out. Empty of none.
        """
        return self._rows("latency")

    def critical_path(self, *, each: bool = False) -> Rows:
        """Per stage, type and operator: the time for which it, and nothing below it, bounds its trace.

        Backwards from the end of each call, the child that ended last bounds it until that child began. So own_s of all
        calls add up to the duration of the traces; `share` is of that sum, `traces` counts those with such a call on
        the chain. Largest first. With `each`, the chains themselves, as trees. Empty of none.
        """
        return self._rows("critical_path", each=each)

    def stragglers(self) -> Rows:
        """Per stage and member: how often it ends last, and what share of the fan-out's wall time is owed to that.

        Owed is (last end − the end before)/(last end − first begin), 0 … 1, and 0 where it is not the last; the sum
        over members is what would be won if nobody waited for the last. Columns stage, member, slowest (share), owed,
        low, high (t on unit means), n, items. Ensembles that ask one member after the other are left out. Empty of
        none.
        """
        return self._rows("stragglers")

    def slowest(self) -> Rows:
        """The calls of the trace that took longest, as a tree, with `start_s` since its begin; of selected calls only.

        Of the traces whose root is selected and has ended: `item(…)` or `trace(…)` choose one. Empty of none.
        """
        return self._rows("slowest")
