"""Executions put into trees: which of them count, under whom each stands, in which order. All with arrays.

Rules:
- The selected attempt of a call is the highest that ended; where none ended, the highest. What ran under another
  attempt is left out, with everything below it. Of a parent that never emitted, the highest attempt named counts.
- With `every_attempt` nothing is left out: each attempt is a call of its own, with what ran under it.
- Calls of items that were not chosen (share 0) are parts of trees, kept for their errors: they are there with
  `partial` only.
- Calls whose parents run in a circle (a damaged stream) become roots, all of the circle alike.
- Order of arrival never decides: calls stand in the order of their first event's origin, children in that of slots.

A place is the position of a call in that order; arrays here are by place unless they say otherwise.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from embertrace.analysis.table.column import Array, blocks
from embertrace.analysis.table.contexts import Contexts
from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.executions import NONE, Executions
from embertrace.analysis.table.shares import WHOLE
from embertrace.analysis.table.withheld import Withheld
from embertrace.event import ERROR, FOREIGN_SLOT
from embertrace.wire.columns import DURATION, FLOAT_DURATION

RESULT_OUTCOME, ERROR_OUTCOME, OPEN, LOST = range(4)
OUTCOMES = ("result", "error", "open", "lost")


class Shape:
    """The calls of a table as trees, at one moment: of each call the attempt that counts, or every attempt.

    `ended` are the producers (by number) that are known to be gone.
    """

    def __init__(
        self,
        events: EventTable,
        executions: Executions,
        contexts: Contexts,
        ended: Array,
        every_attempt: bool = False,
        partial: bool = False,
    ) -> None:
        self.events, self.contexts, self._executions, self._ended = events, contexts, executions, ended
        self._rows = len(events)
        first = executions.first_rows
        self._selected = selected_attempts(executions)
        self._call = executions.call.values
        chosen = np.ones(len(executions), bool) if every_attempt else self._selected
        up = self._parents(first, chosen)
        in_circle, top = _tops(up)
        stands = np.ones(len(up), bool)
        if not every_attempt:
            strays = np.flatnonzero((up == NONE) & ~in_circle)
            stands[strays] = self._under_right_attempt(first[strays], chosen[strays], len(first))
        if contexts.shares.is_sampled and not partial:
            chosen = chosen & ~self._not_chosen(first, top)
        self._put_in_order(first, up, top, chosen, stands)

    def _parents(self, first: Array, chosen: Array) -> Array:
        """Of each execution the one above it; NONE where that is not chosen."""
        up = np.empty(len(first), np.int32)
        for part in blocks(len(up)):
            rows = first[part]
            found = self._executions.find(self.events.parent.values[rows], self.events.parent_attempt.values[rows])
            found[(found >= 0) & ~chosen[found]] = NONE
            up[part] = found
        return up

    def _put_in_order(self, first: Array, up: Array, top: Array, chosen: Array, stands: Array) -> None:
        """Give places to those executions that are chosen, and below one that stands."""
        counts = np.empty(len(first), bool)
        for part in blocks(len(counts)):
            counts[part] = chosen[part] & stands[top[part]]
        order = np.arange(len(first), dtype=np.int32)
        if not counts.all():
            order, first = order[counts], first[counts]
        if not self.events.are_in_order(first):
            by_origin = self.events.in_order(first)
            order, first = order[by_origin], first[by_origin]
        self.execution, self.first_row = order, first
        self.place_of_execution = place = np.full(len(counts), NONE, np.int32)
        for part in blocks(len(order)):
            place[order[part]] = np.arange(part.start, part.stop)
        self.begin_row, self.end_row, self.parent, self.root = (np.empty(len(order), np.int32) for _ in range(4))
        self.name = np.empty(len(order), self.events.name.values.dtype)
        for part in blocks(len(order)):
            own = order[part].astype(np.int64)
            self.begin_row[part] = self._executions.begin.values[own]
            self.end_row[part] = self._executions.end.values[own]
            above = up[own]
            self.parent[part] = np.where(above >= 0, place[above], NONE)
            self.root[part] = place[top[own]]
            self.name[part] = self.events.name.values[first[part]]

    def __len__(self) -> int:
        return len(self.execution)

    def _not_chosen(self, first: Array, top: Array) -> Array:
        """By execution: whether it is of an item that was not chosen, as itself or the root above it says."""
        not_chosen = self.contexts.shares.of_rows(first) == 0
        found: Array = not_chosen | not_chosen[top]
        return found

    def _under_right_attempt(self, first: Array, chosen: Array, upto: int) -> Array:
        """Of executions without a parent here, whether each stands under the attempt of it that counts."""
        parents, attempts = self.events.parent.values[first], self.events.parent_attempt.values[first]
        never_seen: Array = ~self._executions.are_known(parents, upto)
        if not attempts.any():
            return never_seen
        highest = np.zeros(len(self.events.ids), np.uint64)
        counting = np.flatnonzero(never_seen & chosen)
        np.maximum.at(highest, parents[counting], attempts[counting].astype(np.uint64))
        highest_named: Array = attempts == highest[parents]
        return never_seen & highest_named

    @cached_property
    def children_of_all(self) -> tuple[Array, Array]:
        """The children of all calls, one after the other; and where those of each begin."""
        below = np.flatnonzero(self.parent >= 0)
        slots = self.events.slot.values[self.first_row[below]]
        below = below[np.argsort(slots, kind="stable")]
        below = below[np.argsort(self.parent[below], kind="stable")]
        counts = np.bincount(self.parent[below], minlength=len(self))
        return below.astype(np.int32), np.concatenate([[0], np.cumsum(counts)])

    def children(self, place: int) -> Array:
        """The places of a call's children, in slot order."""
        all_children, starts = self.children_of_all
        return all_children[starts[place] : starts[place + 1]]

    @cached_property
    def outcome(self) -> Array:
        """As codes: an index into OUTCOMES."""
        ended = self.end_row >= 0
        found = np.full(len(self), OPEN, np.uint8)
        found[ended] = self.events.kind.values[self.end_row[ended]] == ERROR  # else it is a result
        if len(self._ended):
            begun = np.flatnonzero(~ended & (self.begin_row >= 0))
            producers, _ = self.events.emitted(self.begin_row[begun])
            found[begun[np.isin(producers, self._ended)]] = LOST
        return found

    @cached_property
    def has_duration(self) -> Array:
        """Whether a call's end says how long it took."""
        ended = self.end_row >= 0
        found: Array = ended & ((self.events.flags.values[self.end_row] & DURATION) != 0) if len(ended) else ended
        return found

    @cached_property
    def duration_ns(self) -> Array | None:
        """Nanoseconds, where `has_duration`; None where some are no integers on the wire, or beyond 64 bits."""
        if self.events.far or (self.events.flags.values & FLOAT_DURATION).any():
            return None
        return self.events.duration_bits.values[self.end_row].astype(np.int64) if len(self) else self.end_row

    @cached_property
    def missing(self) -> Array:
        """Children that were begun, as a call's end or a process that they entered says, and that nobody recorded."""
        announced = np.zeros(len(self), np.uint64)
        ended = self.end_row >= 0
        announced[ended] = self.events.slots.values[self.end_row[ended]]
        below, _ = self.children_of_all
        parents, at = self.parent[below], self.events.slot.values[self.first_row[below]]
        distinct = np.append(True, (parents[1:] != parents[:-1]) | (at[1:] != at[:-1]))[: len(below)]
        seen = np.bincount(parents[distinct & (at < FOREIGN_SLOT)], minlength=len(self)).astype(np.uint64)
        found: Array = np.where(announced > seen, announced - seen, np.uint64(0))
        if self.contexts.shares.is_filtered:
            told = self.withheld_elsewhere
            np.add.at(found, told.caller[told.slot >= FOREIGN_SLOT], np.uint64(1))  # no end announces those
        return found

    @cached_property
    def withheld(self) -> Array:
        """Those of the missing that a filter kept from being recorded: nobody waits for them."""
        found = np.zeros(len(self), np.int64)
        if self.contexts.shares.is_filtered:
            ended = np.flatnonzero(self.end_row >= 0)
            found[ended] = self.contexts.shares.withheld(self.end_row[ended])
            np.add.at(found, self.withheld_elsewhere.caller, 1)
        return found

    @cached_property
    def withheld_elsewhere(self) -> Withheld:
        """Those of them of which the end of their caller does not tell."""
        return Withheld(self.events, self._executions, self.contexts, self.place_of_execution, self._rows)

    def awaited_among(self, chosen: Array) -> int:
        """How many of the missing of some calls may still come.

        The sum is exact: what a damaged end announces may be beyond 64 bits together.
        """
        withheld = self.withheld[chosen].astype(np.uint64)
        missing = self.missing[chosen]
        counts, times = np.unique(np.where(missing > withheld, missing - withheld, 0), return_counts=True)
        return sum(count * often for count, often in zip(counts.tolist(), times.tolist(), strict=True))

    @cached_property
    def _brought(self) -> tuple[Array, Array, Array, Array]:
        """What each call itself brought along: numbers of run, item and tags, and whether it is a member."""
        return self.contexts.of_rows(self.first_row)

    @cached_property
    def member(self) -> Array:
        return self._brought[3]

    @cached_property
    def run(self) -> Array:
        """The number of each call's run: its own, or else inherited."""
        runs = self._brought[0]
        named = np.fromiter(map(bool, self.contexts.runs), bool, len(self.contexts.runs))
        return runs[self._nearest(named[runs])]

    @cached_property
    def item(self) -> Array:
        """The number of each call's item: its own, or else inherited."""
        items = self._brought[1]
        return items[self._nearest(items > 0)]

    @cached_property
    def share(self) -> Array:
        """The share of all items that is recorded where each call is: as it says itself, or else inherited."""
        if not self.contexts.shares.is_sampled:
            return np.full(len(self), WHOLE)
        shares = self.contexts.shares.of_rows(self.first_row)
        found: Array = shares[self._nearest(shares != WHOLE)]
        return found

    @property
    def own_tags(self) -> Array:
        """The number of the tags that each call adds to its parent's."""
        return self._brought[2]

    def _nearest(self, has: Array) -> Array:
        """Of each call the nearest one from it upwards that has something; where none has, the root."""
        own = np.arange(len(self))
        return _jump(np.where(has | (self.parent < 0), own, self.parent))

    @cached_property
    def by_call(self) -> Array:
        """By a call's number: the place of the attempt that counts, NONE where there is none."""
        found = np.full(len(self.events.ids), NONE, np.int32)
        selected = np.flatnonzero(self._selected)
        found[self._call[selected]] = self.place_of_execution[selected]
        return found


def selected_attempts(executions: Executions) -> Array:
    """By execution: whether it is the attempt of its call that counts."""
    chosen = np.ones(len(executions), bool)
    if executions.single:
        return chosen
    calls, attempts = executions.call.values, executions.attempt.values
    several = np.flatnonzero((np.bincount(calls) > 1)[calls])
    order = several[np.lexsort((attempts[several], executions.end.values[several] >= 0, calls[several]))]
    chosen[order[:-1]] = calls[order[1:]] != calls[order[:-1]]
    return chosen


def _tops(up: Array) -> tuple[Array, Array]:
    """Whether each is in a circle, and what each stands under in the end. Cuts circles in `up`."""
    in_circle = np.zeros(len(up), bool)
    top = _jump(_pointers(up))
    endless = [np.flatnonzero(up[top[part]] >= 0) + part.start for part in blocks(len(up))]
    if any(map(len, endless)):
        in_circle[_circles(up, np.concatenate(endless))] = True
        up[in_circle] = NONE
        top = _jump(_pointers(up))
    return in_circle, top


def _pointers(up: Array) -> Array:
    """From each to the one above it; from those that have none, to themselves."""
    found = up.copy()
    tops = np.flatnonzero(up < 0)
    found[tops] = tops
    return found


def _jump(pointers: Array) -> Array:
    """Where pointers lead in the end; anywhere on the way where they lead round. Each round doubles the steps, at
    least. They are changed in place."""
    for _ in range(len(pointers).bit_length() + 1):
        is_done = True
        for part in blocks(len(pointers)):
            near = pointers[part]
            far = pointers[near]
            if (far != near).any():
                pointers[part] = far
                is_done = False
        if is_done:
            break
    return pointers


def _circles(up: Array, endless: Array) -> list[int]:
    """Those that are their own ancestors."""
    found: list[int] = []
    walked: dict[int, int] = {}
    for start in endless.tolist():
        at = start
        while at not in walked:
            walked[at] = start
            at = int(up[at])
        if walked[at] == start:
            first = at
            while True:
                found.append(at)
                at = int(up[at])
                if at == first:
                    break
    return found
