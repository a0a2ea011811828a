"""Payloads that say the same are one text: numbers for the tails of rows, and what each text says, read once.

Members of an ensemble choose among few answers, and scores are often 0 or 1, so that there are many fewer texts than
rows. Where all differ (free text), this costs what reading each once costs. A row is looked at when it is first asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from embertrace.analysis.calls import mapping_of
from embertrace.analysis.table.column import Array, Column
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.numbered import Numbered
from embertrace.wire.columns import data_of
from embertrace.wire.spans import alike, pieces

UNKNOWN = -1
READING_BYTES = 100
"""About what a reading takes: an answer, say, and its key."""


class Texts:
    """Numbers 0, 1, 2, … for tails."""

    def __init__(self, events: EventTable) -> None:
        self._events = events
        self._number = Column(np.int32)
        self._numbers = Numbered()
        self._readings: dict[str, list[Any]] = {}
        self._arrays: dict[str, Array] = {}

    @property
    def nbytes(self) -> int:
        readings = sum(map(len, self._readings.values()))
        return self._number.nbytes + self._numbers.nbytes + readings * READING_BYTES

    def numbers(self, rows: Array) -> Array:
        """The number of each row's text."""
        self._number.grow(len(self._events), UNKNOWN)
        numbers = self._number.values
        found: Array = numbers[rows]
        new = rows[found == UNKNOWN]
        if not len(new):
            return found
        for places, buffer, starts, lengths in self._events.tails.packed(new):
            first = alike(buffer, starts, lengths)
            own = np.flatnonzero(first == np.arange(len(first)))
            texts = pieces(buffer, starts[own], lengths[own])
            given = np.empty(len(first), np.int32)
            given[own] = np.fromiter(map(self._numbers.__getitem__, texts), np.int32, len(own))
            numbers[new[places]] = given[first]
        return numbers[rows]

    def values(self, rows: Array, reader: Callable[[dict[str, Any]], Any]) -> list[Any]:
        """What a reader makes of each row's data. Each text is read once, and nothing of it is kept."""
        numbers = self.numbers(rows)
        texts = list(self._numbers)
        found = {number: reader(mapping_of(data_of(texts[number]))) for number in counted(numbers)[0].tolist()}
        return list(map(found.__getitem__, numbers.tolist()))

    def which(self, test: Callable[[dict[str, Any]], bool]) -> Array:
        """By number whether each text's data passes a test. Nothing of it is kept."""
        return np.fromiter((test(mapping_of(data_of(text))) for text in self._numbers), bool, len(self._numbers))

    def read(self, name: str, reader: Callable[[dict[str, Any]], Any]) -> list[Any]:
        """By number what a reader makes of each text's data, under a name that stands for that reader alone."""
        found = self._readings.setdefault(name, [])
        if len(found) < len(self._numbers):
            for text in list(self._numbers)[len(found) :]:
                found.append(reader(mapping_of(data_of(text))))
        return found

    def numbered(self, name: str, reader: Callable[[dict[str, Any]], Any], dtype: Any) -> Array:
        """The same as an array: what a reader makes of data are numbers of this type."""
        found = self.read(name, reader)
        if name not in self._arrays or len(self._arrays[name]) < len(found):
            self._arrays[name] = np.array(found, dtype)
        return self._arrays[name]
