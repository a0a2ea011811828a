"""Filters that no call passes: what answers say of them, so that a wrong name is not taken for an empty result.

Rules:
- Filters that match nothing have a defined answer: NaN with n = 0, no rows, an empty table. Its notes say which name
  nothing bears in these events, and what names there are; else, that no call passes all of the filters.
- Nothing is looked up where something passes.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from embertrace.analysis.query import NAME_PARTS, Selection
from embertrace.analysis.runs import names_of, told, unknown

Names = frozenset[str]


class Unmet(NamedTuple):
    """By the place of each filter whose name nothing bears, the names that calls do bear: a partial state.

    `passed`: whether anything passes all filters, which then are all met.
    """

    passed: bool
    known: Mapping[int, Names]

    def merge(self, other: Unmet) -> Unmet:
        if self.passed or other.passed:
            return MET
        both = sorted(self.known.keys() & other.known.keys())
        return Unmet(False, {place: self.known[place] | other.known[place] for place in both})

    def notes(self, filters: Sequence[Sequence[Any]]) -> Iterator[str]:
        if self.passed:
            return
        for place, names in self.known.items():
            kind, name = filters[place]
            yield unknown(kind, name, sorted(names))
        if not self.known:
            yield f"no call passes {spelled(filters):.200}"


MET = Unmet(True, {})


def spelled(filters: Sequence[Sequence[Any]]) -> str:
    """Filters as one would type them: `stage('judge').item('q7')`."""
    return ".".join(f"{name}({', '.join(map(_spelled, arguments))})" for name, *arguments in filters)


def _spelled(argument: Any) -> str:
    """A value as it is; a callable by its name and where it stands: the same in every process, and to be found."""
    if not callable(argument):
        return repr(argument)
    function = getattr(argument, "func", argument)  # of a functools.partial
    name = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    return name if code is None else f"{name} at {pathlib.PurePath(code.co_filename).name}:{code.co_firstlineno}"


def unmet_of(selection: Selection, filters: Sequence[Sequence[Any]]) -> Unmet:
    """What one forest says of the filters of a selection."""
    if not filters or selection.mask.any() or selection.scored.any():
        return MET
    known = {}
    for place, (kind, *arguments) in enumerate(filters):
        if kind == "run":
            runs = selection.forest.runs()
            if arguments[0] not in names_of(runs):
                known[place] = frozenset(map(told, runs))
        elif kind in NAME_PARTS:
            part, names = NAME_PARTS[kind], selection.trees.table.names.triples
            if all(triple[part] != arguments[0] for triple in names):
                known[place] = frozenset(names[number][part] for number in set(selection.trees.shape.name.tolist()))
    return Unmet(False, known)
