"""Rounds of a debate, or of any iteration: the ordinal of a call among those of its operator about its item.

Rules:
- Rounds count from 0, within one item of one trace, in the order in which calls began. Attempts of a call share one.
- The place tells members of one ensemble apart that are the same operator: the k-th of them there is compared with the
  k-th of that operator in the item's next ensemble. Outside ensembles an operator has one place: every call of it is
  one more round.
"""

from __future__ import annotations

import numpy as np

from embertrace.analysis.arrays.ballots import places_of_type
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import dense, each_once, firsts, in_groups, together
from embertrace.analysis.table.items import NONE
from embertrace.analysis.trees import Trees
from embertrace.payload import canonical
from embertrace.wire.columns import NO_TRACE


class Rounds:
    """The rounds of all calls of some trees, by place."""

    def __init__(self, trees: Trees) -> None:
        first = firsts(trees.table.call.values[trees.shape.first_row].astype(np.int64))
        own = np.flatnonzero(first == np.arange(len(first)))
        line = _lines(trees)[own]
        order = in_groups(line)
        self._sequence = own[order]
        starts = np.flatnonzero(np.diff(line[order], prepend=-1))
        self._starts = np.append(starts, len(order))
        self.of_place = np.empty(len(first), np.int64)
        self.of_place[self._sequence] = np.arange(len(order)) - np.repeat(starts, np.diff(self._starts))
        self.of_place = self.of_place[first]

    def steps(self, chosen: Array) -> tuple[Array, Array]:
        """The chosen calls (by place: whether it is one) that have one before them in their place: that, and they."""
        line = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        kept = chosen[self._sequence]
        places, line = self._sequence[kept], line[kept]
        same = line[1:] == line[:-1]
        return places[:-1][same], places[1:][same]


def rounds_of(trees: Trees) -> Rounds:
    """Those of all calls."""
    return trees.once(Rounds)


def _lines(trees: Trees) -> Array:
    """By place a number for trace, run, item, operator and place within its ensemble: calls that have one number are
    rounds of each other."""
    shape, table = trees.shape, trees.table
    ids: dict[tuple[str, str], int] = {}
    operators = np.array([ids.setdefault(names[:2], len(ids)) for names in table.names.triples], np.int64)
    operator = operators[shape.name] if len(shape) else np.zeros(0, np.int64)
    runs: dict[str | None, int] = {}
    run = np.array([runs.setdefault(name, len(runs)) for name in shape.contexts.runs], np.int64)[shape.run]
    return together(_traces(trees), run, _items(trees), operator, _which(trees))


def _traces(trees: Trees) -> Array:
    """A number for each call's trace; of one without a trace, for its root."""
    shape, table = trees.shape, trees.table
    halves = table.trace.values[shape.first_row]
    numbers = together(_numbered(halves[:, 0]), _numbered(halves[:, 1]))
    without = np.flatnonzero(table.flags.values[shape.first_row] & NO_TRACE)
    roots = table.call.values[shape.first_row[shape.root[without]]].astype(np.int64)
    numbers[without] = int(numbers.max(initial=0)) + 1 + roots
    return numbers


def _numbered(values: Array) -> Array:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _items(trees: Trees) -> Array:
    """A number for each call's key and epoch; the key of an item that has none is None."""
    known = trees.items
    numbers = known.identity()[trees.shape.item].astype(np.int64)
    bare = np.flatnonzero(numbers == NONE)
    codes: dict[bytes, int] = {}

    def number(item: int) -> int:
        code = canonical(None) + canonical(trees.shape.contexts.items.mapping(item).get("epoch"))
        return known.number_of_identity(code, codes)

    numbers[bare] = each_once(trees.shape.item[bare], number)
    return numbers


def _which(trees: Trees) -> Array:
    """Of an ensemble's calls of one operator, the ordinal by slot; 0 outside ensembles."""
    shape = trees.shape
    found = np.zeros(len(shape), np.int64)
    below, _ = shape.children_of_all
    below = below[places_of_type(trees, "ensemble")[shape.parent[below]]]  # in the order of slots within each
    ids: dict[str, int] = {}
    of_names = np.array([ids.setdefault(names[0], len(ids)) for names in trees.table.names.triples], np.int64)
    group = dense(shape.parent[below].astype(np.int64) * max(1, len(ids)) + of_names[shape.name[below]])
    order = in_groups(group)
    group, slot = group[order], trees.table.slot.values[shape.first_row[below[order]]].astype(np.uint64)
    is_new = np.append(True, (group[1:] != group[:-1]) | (slot[1:] != slot[:-1]))[: len(group)]
    is_first = np.append(True, group[1:] != group[:-1])[: len(group)]
    ordinal = np.cumsum(is_new)
    starts = np.flatnonzero(is_first)
    found[below[order]] = ordinal - np.repeat(ordinal[starts], np.diff(np.append(starts, len(group))))
    return found
