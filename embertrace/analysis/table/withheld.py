"""Calls that a filter withheld, where the end of their caller can't tell: they say so themselves, in a metric event."""

from __future__ import annotations

import numpy as np

from embertrace.analysis.table.column import Array
from embertrace.analysis.table.contexts import Contexts
from embertrace.analysis.table.events import NO_CALL, EventTable
from embertrace.analysis.table.executions import NONE, Executions
from embertrace.event import METRIC


class Withheld:
    """Such calls, once each however many attempts of them say so."""

    def __init__(
        self, events: EventTable, executions: Executions, contexts: Contexts, place_of_execution: Array, upto: int
    ) -> None:
        """`upto`: how many of the table's rows count."""
        rows = contexts.shares.withholding
        rows = rows[rows < upto]
        rows = rows[events.kind.values[rows] == METRIC]
        rows = rows[np.unique(events.call.values[rows], return_index=True)[1]]
        callers = executions.find(events.parent.values[rows], events.parent_attempt.values[rows])
        callers[callers >= len(place_of_execution)] = NONE
        places = np.append(place_of_execution, NONE)[callers]
        below = np.flatnonzero(places >= 0)
        self.caller = places[below]
        """Places of the callers that are here."""
        self.slot = events.slot.values[rows[below]].astype(np.uint64)
        self._run_of_root = contexts.of_rows(rows[events.parent.values[rows] == NO_CALL])[0]

    def roots(self, runs: Array) -> int:
        """How many of them stand under no other call, in some runs (by number: whether it is one of them)."""
        return int(runs[self._run_of_root].sum())
