"""The trace that took longest, as a tree with the time at which each call began: what a waterfall shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.durations import durations_of
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.items import described, walk
from embertrace.analysis.results import Rows


class Slowest:
    """The slowest trace of one part of the events: of equally slow ones that which began first."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.found: tuple[tuple[int, Origin], Any, dict[Origin, dict[str, Any]]] | None = None

    def merge(self, other: Slowest) -> Slowest:
        self.names = self.names.merge(other.names)
        if other.found is not None and (self.found is None or _before(other.found[0], self.found[0])):
            self.found = other.found
        return self

    def lists(self, call: Origin) -> bool:
        return self.found is not None and call in self.found[2]

    def finish(self) -> Rows:
        if self.found is None:
            return Rows([])
        _, item, rows = self.found
        key = self.names.finish()(item)
        return Rows({"item": key, **row} for row in rows.values())


def slowest(selection: Selection) -> Slowest:
    """Of the traces whose root is selected and has ended."""
    found, trees = Slowest(Names(selection)), selection.trees
    shape = trees.shape
    roots = np.flatnonzero((shape.parent < 0) & shape.has_duration & selection.mask)
    if not len(roots):
        return found
    durations = durations_of(trees, roots)
    longest = int(durations.max())
    root = trees.at(int(roots[np.flatnonzero(durations == longest)[0]]))  # the first of them: places are in order
    rows = {call.origin: _placed(call, depth, root) for depth, call in walk(root) if selection.has(call)}
    found.found = (longest, root.origin), found.names.of(root)[0], rows
    return found


def _before(one: tuple[int, Origin], other: tuple[int, Origin]) -> bool:
    return one[0] > other[0] or (one[0] == other[0] and one[1] < other[1])


def _placed(call: Call, depth: int, root: Call) -> dict[str, Any]:
    return {"depth": depth, **described(call), "start_s": (call.start_ns - root.start_ns) / 1e9}
