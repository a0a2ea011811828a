"""Executions: (call, attempt), each with the row of its begin and of its end. Numbered densely as they arrive.

Rules:
- Where two different events claim the same begin or the same end, the earliest origin counts.
- Metric events and events without a call id belong to no execution.
"""

from __future__ import annotations

import numpy as np

from embertrace.analysis.table.column import Array, Column, NarrowColumn
from embertrace.analysis.table.events import NO_CALL, EventTable
from embertrace.event import CALL, METRIC

NONE = -1


class Executions:
    """Numbers 0, 1, 2, … for executions of the calls in a table; `call` and `attempt` lead back."""

    def __init__(self, events: EventTable) -> None:
        self._events = events
        self.call, self.attempt = Column(np.int32), NarrowColumn()
        self.begin, self.end = Column(np.int32), Column(np.int32)
        self._first = Column(np.int32)
        """Of each call's number the execution that was seen first: nearly always the only one."""
        self._others: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.call)

    @property
    def single(self) -> bool:
        """Whether each call has one execution only."""
        return not self._others

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in (self.call, self.attempt, self.begin, self.end, self._first))

    def reserve(self, length: int) -> None:
        """Room for those of so many rows, if they are like those that are here."""
        each = length / max(1, len(self._events))
        for column in (self.call, self.attempt, self.begin, self.end, self._first):
            column.reserve(int(len(column) * each))

    @property
    def first_rows(self) -> Array:
        """Of each execution its begin, else its end."""
        return np.where(self.begin.values >= 0, self.begin.values, self.end.values)

    def add(self, start: int) -> None:
        """Take in the table's rows from `start` on."""
        events = self._events
        self._first.grow(len(events.ids), NONE)
        kinds, calls, attempts = (each.values[start:] for each in (events.kind, events.call, events.attempt))
        counts, begins = (kinds != METRIC) & (calls != NO_CALL), kinds == CALL
        for column, half in ((self.begin, counts & begins), (self.end, counts & ~begins)):
            at = np.flatnonzero(half)
            numbers = self._numbers(calls[at].astype(np.int64), attempts[at])
            self.begin.grow(len(self), NONE)
            self.end.grow(len(self), NONE)
            self._place(column, numbers, at + start)

    def find(self, calls: Array, attempts: Array) -> Array:
        """The executions of calls (by number) and attempts; NONE for those that were not seen."""
        first = self._first.values
        if not len(self):
            return np.full(len(calls), NONE, np.int32)
        inside = calls < len(first)
        numbers: Array = first[calls] if inside.all() else np.where(inside, first[np.where(inside, calls, 0)], NONE)
        for place in np.flatnonzero((self.attempt.values[numbers] != attempts) & (numbers >= 0)).tolist():
            numbers[place] = self._others.get((int(calls[place]), int(attempts[place])), NONE)
        return numbers

    def are_known(self, calls: Array, upto: int) -> Array:
        """Of calls (by number) whether any of the executions below `upto` is one of theirs."""
        known = np.zeros(len(calls), bool)
        inside = calls < len(self._first)
        first = self._first.values[calls[inside]]
        known[inside] = (first != NONE) & (first < upto)
        return known

    def _numbers(self, calls: Array, attempts: Array) -> Array:
        """As `find`, with new ones for those that were not seen."""
        new = np.flatnonzero(self._first.values[calls] == NONE)
        if len(new):
            new_calls = calls[new]
            places = np.arange(len(new))
            self._first.values[new_calls[::-1]] = places[::-1]  # of several the last is kept: which was seen first
            speaks = new[self._first.values[new_calls] == places]
            self._first.values[calls[speaks]] = np.arange(len(self), len(self) + len(speaks))
            self._append(calls[speaks], attempts[speaks])
        numbers = self._first.values[calls].astype(np.int64)
        for place in np.flatnonzero(self.attempt.values[numbers] != attempts).tolist():
            key = (int(calls[place]), int(attempts[place]))
            if key not in self._others:
                self._others[key] = len(self)
                self._append(calls[place : place + 1], attempts[place : place + 1])
            numbers[place] = self._others[key]
        return numbers

    def _append(self, calls: Array, attempts: Array) -> None:
        self.call.extend(calls)
        self.attempt.extend(attempts)

    def _place(self, column: Column, numbers: Array, rows: Array) -> None:
        free = column.values[numbers] == NONE
        if free.all():
            column.values[numbers] = rows
        else:
            column.values[numbers[free]] = rows[free]
        for place in np.flatnonzero(column.values[numbers] != rows).tolist():
            number, row = int(numbers[place]), int(rows[place])
            if self._events.origin(row) < self._events.origin(int(column.values[number])):
                column.values[number] = row
