"""What a forest can let go of when it grew too large: whole traces that are over. Pure, with arrays.

Rules:
- A trace stays while a call of it is open, or while it is recent. Traces that belong together stay together: a judge
  outside any call, and what it judged.
- Where what would stay is more than half of the table, the longest silent go too. Of those, a trace of many events goes
  in pieces: what is there of it now goes, the begins of its open calls stay, and more may come.
- What labels something or describes a run stays always, and so do events without a trace, as long as they are few.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embertrace.analysis.forest import Forest
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.events import NO_CALL
from embertrace.analysis.table.traces import NO_KEY, keys_of
from embertrace.analysis.trees import LABEL, LINKS_ONLY, RUN, kind_of_metric
from embertrace.event import METRIC
from embertrace.wire.columns import LINKS, unpack_tail

RECENT = 4
"""The last quarter of the rows is recent."""
WHOLE_ROWS = 1000
"""Traces of fewer events are never cut into pieces: what comes later is read with them."""
MOST_STEPS = 1000
"""So far back a judge outside any call looks for what it judged."""
ENSEMBLE, JUDGE = "ensemble", "judge"


class Cut(NamedTuple):
    """`closed` are the keys of the traces that go, sorted; `pieces` those among them of which more may come.

    `gone` are the rows of those traces; `stays` are the rows that are carried on, the `spine` (begins of open calls of
    pieces) among them. All ascend.
    """

    closed: Array
    pieces: Array
    gone: Array
    stays: Array
    spine: Array


def cut(forest: Forest) -> Cut:
    """What goes of a forest now."""
    traces = _Traces(forest)
    goes, in_pieces = traces.chosen()
    row_goes = goes[traces.of_row] & ~traces.shared
    spine = np.intersect1d(traces.open_rows, np.flatnonzero(in_pieces[traces.of_row]))
    stays = ~row_goes
    stays[spine] = True
    return Cut(traces.keys[goes], traces.keys[in_pieces], np.flatnonzero(row_goes), np.flatnonzero(stays), spine)


def shared_rows(forest: Forest) -> Array:
    """The rows of what labels something or describes a run: it concerns calls of all traces."""
    return np.flatnonzero(_kinds(forest, (LABEL, RUN)))


def _kinds(forest: Forest, wanted: tuple[int, ...]) -> Array:
    """Of each row whether it is a metric event of some kinds."""
    found: Array = forest.table.kind.values == METRIC
    rows = np.flatnonzero(found)
    numbers = forest.texts.numbers(rows)
    if len(rows):
        by_text = forest.texts.numbered("kind of metric", kind_of_metric, np.uint8)
        found[rows] = np.isin(by_text[numbers], wanted)
    return found


class _Traces:
    """The traces of a table by number: their `keys`, which one each row is `of_row`, and what is open."""

    def __init__(self, forest: Forest) -> None:
        self._forest, self._table = forest, forest.table
        table = self._table
        keys = keys_of(table.trace.values, table.flags.values)
        self.keys, self.of_row = np.unique(np.append(keys, np.uint64(NO_KEY)), return_inverse=True)
        self.of_row = self.of_row[:-1]
        self.shared = _kinds(forest, (LABEL, RUN))
        self._row_of_call = np.full(len(table.ids), -1, np.int64)
        executions = forest.executions
        self._row_of_call[executions.call.values] = executions.first_rows
        bare = np.flatnonzero(_kinds(forest, (LINKS_ONLY,)) & (keys == NO_KEY))
        self.of_row[bare] = self._of_calls(table.call.values[bare])
        self.rows = np.bincount(self.of_row[~self.shared], minlength=len(self.keys))
        begun = executions.begin.values[(executions.begin.values >= 0) & (executions.end.values < 0)]
        ended = np.array([table.producer(code) for code in forest.ended], np.int64)
        self.open_rows = begun[~np.isin(table.emitted(begun)[0], ended)]

    def _of_calls(self, calls: Array) -> Array:
        """The traces of calls by number; that of no trace where nothing was seen of them."""
        rows = self._row_of_call[calls]
        found: Array = np.where((rows >= 0) & (calls != NO_CALL), self.of_row[rows], 0)
        return found

    def chosen(self) -> tuple[Array, Array]:
        """Of each trace whether it goes, and whether it does so in pieces."""
        total, number = len(self.of_row), len(self.keys)
        group = self._together(total // RECENT)
        rows = np.bincount(group, self.rows, number)
        last = np.zeros(number, np.int64)
        own = np.flatnonzero(~self.shared)
        np.maximum.at(last, group[self.of_row[own]], own)
        is_open = np.zeros(number, bool)
        is_open[group[self.of_row[self.open_rows]]] = True
        stays = is_open | (last >= total - total // RECENT)
        order = np.flatnonzero(stays)
        order = order[np.lexsort((-last[order], rows[order] > max(total // RECENT, WHOLE_ROWS)))]
        forced = np.zeros(number, bool)
        forced[order[np.cumsum(rows[order]) > total // 2]] = True
        goes, forced = (~stays | forced)[group], forced[group]
        in_pieces = forced & (self.rows > WHOLE_ROWS)
        goes[0] = in_pieces[0] = self.rows[0] > max(total // RECENT, WHOLE_ROWS)  # NO_KEY sorts first
        return goes & (self.rows > 0), in_pieces

    def _together(self, large: int) -> Array:
        """Of each trace the first of those that it belongs together with; large ones belong to none."""
        own, other = (np.concatenate(found) for found in zip(self._linked(), self._judged(), strict=True))
        fine = (own != other) & (own > 0) & (other > 0)
        fine &= (self.rows[own] <= max(large, WHOLE_ROWS)) & (self.rows[other] <= max(large, WHOLE_ROWS))
        own, other = own[fine], other[fine]
        group = np.arange(len(self.keys))
        while True:
            lowest = np.minimum(group[own], group[other])
            further = group.copy()
            np.minimum.at(further, own, lowest)
            np.minimum.at(further, other, lowest)
            further = further[further]
            if (further == group).all():
                return group
            group = further

    def _linked(self) -> tuple[Array, Array]:
        """Pairs of traces, of which one links to calls of the other."""
        rows = np.flatnonzero(self._table.flags.values & LINKS)
        links = [np.array(unpack_tail(tail)[0], np.uint64) for tail in self._table.tails.of_rows(rows)]
        if not links:
            return rows, rows
        calls = self._table.ids.find(np.concatenate(links))
        own = np.repeat(self.of_row[rows], [len(each) for each in links])
        return own[calls >= 0], self._of_calls(calls[calls >= 0])

    def _judged(self) -> tuple[Array, Array]:
        """Pairs of traces: that of a judge outside any call, and of what went before it, back to what it judged."""
        table, rows = self._table, self._row_of_call[self._row_of_call >= 0]
        judge = table.names.which(lambda names: names[1] == JUDGE)
        stops = judge | table.names.which(lambda names: names[1] == ENSEMBLE)
        rows = rows[judge[table.name.values[rows]] & (table.parent.values[rows] == NO_CALL)]
        own, at = self.of_row[rows], table.follows.values[rows].astype(np.int64)
        found: list[tuple[Array, Array]] = [(own[:0], own[:0])]
        for _ in range(MOST_STEPS):
            seen = (at != NO_CALL) & (self._row_of_call[at] >= 0)
            own, at = own[seen], at[seen]
            if not len(at):
                break
            found.append((own, self._of_calls(at)))
            row = self._row_of_call[at]
            on = ~stops[table.name.values[row]]
            own, at = own[on], table.follows.values[row[on]].astype(np.int64)
        owns, others = zip(*found, strict=True)
        return np.concatenate(owns), np.concatenate(others)
