"""The calls below an item, in a trace, or around one call, wherever they are. Pure.

Rules:
- Parts are looked into one after the other; what is yielded is to be read before the next is taken.
- An item's roots come in the order of their begin. One that has no key is known by the name that it has among all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aggregator.parts import Parts
from embertrace.analysis import Forest
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection, key_of
from embertrace.analysis.questions.items import walk

NAMED = "args:"
"""So names of items without a key begin."""
Filters = Sequence[Sequence[Any]]


class Root(NamedTuple):
    """A root call, and the trace it is in."""

    origin: Origin
    trace: str | None


class Roots:
    """The roots that may be of an item, as far as one part of the events knows: a partial state."""

    def __init__(self, selection: Selection, key: Any) -> None:
        trees = selection.trees
        self._about = [list(map(_root, trees.roots_about(reading))) for reading in _readings(key)]
        self._names: Names | None = None
        self._named: list[tuple[Any, Root]] = []
        if isinstance(key, str) and key.startswith(NAMED):
            self._names = names = Names(selection)
            self._named = [(names.of(root)[0], _root(root)) for root in trees.keyless_roots()]

    def merge(self, other: Roots) -> Roots:
        self._about = [[*mine, *theirs] for mine, theirs in zip(self._about, other._about, strict=True)]
        if self._names is not None and other._names is not None:
            self._names = self._names.merge(other._names)
            self._named = [*self._named, *other._named]
        return self

    def finish(self, key: Any) -> list[Root]:
        """Those of the item."""
        for roots in self._about:
            if roots:
                return _in_order(roots)
        final = self._names.finish() if self._names is not None else None
        return _in_order(root for name, root in self._named if final is not None and final(name) == key)


def _root(call: Call) -> Root:
    return Root(call.origin, call.trace_id)


def _in_order(roots: Iterable[Root]) -> list[Root]:
    """In the order of their begin, each once: in pieces, several parts have it."""
    return sorted(set(roots), key=lambda root: root.origin)


class Finder:
    """Finds calls that pass filters."""

    def __init__(self, parts: Parts, given: Filters, every_attempt: bool) -> None:
        self._parts, self._filters, self._every_attempt = parts, given, every_attempt
        self._selection: Selection | None = None
        self._roots: Mapping[Origin, Call] = {}

    def of_item(self, key: Any) -> Iterator[tuple[int, Call]]:
        """The calls below all roots of an item, each with its depth. Raises QueryError for what can be no key."""
        here = Roots(self._select(self._parts.live), key)
        name = ["item", key, self._filters, self._every_attempt]
        older = self._parts.older(name, lambda forest: Roots(self._new_selection(forest), key))
        for root in (here if older is None else older.merge(here)).finish(key):
            for forest in self._parts.holding(_trace_id(root.trace)):
                yield from self._below(forest, [root.origin])

    def of_trace(self, trace: Any) -> Iterator[tuple[int, Call]]:
        """The calls of a trace, by its 32 hexadecimal digits."""
        wanted = _trace_id(trace)
        for forest in self._parts.holding(wanted) if wanted is not None else ():
            self._select(forest)
            yield from self._below(forest, [origin for origin, root in self._roots.items() if root.trace_id == trace])

    def around(self, call_id: int) -> Iterator[tuple[int, Call]]:
        """The calls below the root of one."""
        forest = self._parts.where(lambda forest: call_id in self._select(forest).trees.by_id)
        found = self._select(forest).trees.by_id.get(call_id)
        return self._below(forest, [found.root.origin] if found is not None else [])

    def _below(self, forest: Forest, origins: Sequence[Origin]) -> Iterator[tuple[int, Call]]:
        selection = self._select(forest)
        for root in [self._roots[origin] for origin in origins if origin in self._roots]:
            yield from ((depth, found) for depth, found in walk(root) if selection.has(found))

    def _select(self, forest: Forest) -> Selection:
        """What the filters leave of a forest; that of the forest before is dropped."""
        if self._selection is None or self._selection.forest is not forest:
            self._roots, self._selection = {}, None
            self._selection = self._new_selection(forest)
            self._roots = {root.origin: root for root in self._selection.trees.roots}
        return self._selection

    def _new_selection(self, forest: Forest) -> Selection:
        return Selection(forest, self._filters, every_attempt=self._every_attempt)


def _readings(key: Any) -> list[bytes]:
    """An item's key as it is compared; what is written like a number may also be one."""
    readings = [key_of(key)]
    if isinstance(key, str) and len(key) < 20 and key.lstrip("-").isdecimal() and key.isascii():
        readings.append(key_of(int(key)))
    return readings


def _trace_id(trace: Any) -> bytes | None:
    """A trace's id; None for what is none."""
    try:
        packed = bytes.fromhex(trace) if isinstance(trace, str) else b""
    except ValueError:
        return None
    return packed if len(packed) == 16 else None
