"""The calls below an item, in a trace, or around one call, wherever they are. Pure.

Rules:
- Parts are looked into one after the other; what is yielded is to be read before the next is taken.
- An item's roots come in the order of their begin. One that has no key is known by the name that it has among all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aggregator.parts import Parts
from embertrace.analysis import Forest
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.naming import Keyless, Names
from embertrace.analysis.query import Selection, key_of
from embertrace.analysis.questions.items import walk

Filters = Sequence[Sequence[Any]]


class Root(NamedTuple):
    """A root call, the trace it is in, and what it may be about: keys as they are compared, and Keyless ones."""

    origin: Origin
    trace: str | None
    about: list[bytes | Keyless]


class Roots:
    """The roots that may be of an item, as far as one part of the events knows: a partial state."""

    def __init__(self, selection: Selection, readings: Sequence[bytes], name: Any) -> None:
        self._names = Names(selection)
        self._roots: dict[Origin, Root] = {}
        for wanted in readings:
            for root in selection.trees.roots_about(wanted):
                self._add(root, wanted)
        for root in selection.trees.keyless_roots():
            keyless = self._names.of(root)[0]
            if isinstance(name, str) and name.partition("#")[0] == keyless.name:
                self._add(root, keyless)

    def _add(self, root: Call, about: bytes | Keyless) -> None:
        self._roots.setdefault(root.origin, Root(root.origin, root.trace_id, [])).about.append(about)

    def merge(self, other: Roots) -> Roots:
        self._names = self._names.merge(other._names)
        self._roots |= other._roots
        return self

    def finish(self, wanted: bytes) -> list[Root]:
        """Those of an item, by its key as it is compared."""
        final = self._names.finish()
        origins = (
            origin
            for origin, root in self._roots.items()
            if any(one == wanted if isinstance(one, bytes) else key_of(final(one)) == wanted for one in root.about)
        )
        return [self._roots[origin] for origin in sorted(origins)]


class Finder:
    """Finds calls that pass filters."""

    def __init__(self, parts: Parts, given: Filters, every_attempt: bool) -> None:
        self._parts, self._filters, self._every_attempt = parts, given, every_attempt
        self._selection: Selection | None = None
        self._roots: Mapping[Origin, Call] = {}

    def of_item(self, key: Any) -> Iterator[tuple[int, Call]]:
        """The calls below all roots of an item, each with its depth. Raises QueryError for what can be no key."""
        readings = _readings(key)
        name = ["item", key, self._filters, self._every_attempt]
        here = Roots(self._select(self._parts.live), readings, key)
        older = self._parts.older(name, lambda forest: Roots(self._new_selection(forest), readings, key))
        found = here if older is None else older.merge(here)
        for wanted in readings:
            roots = found.finish(wanted)
            for root in roots:
                for forest in self._parts.holding(_trace_id(root.trace)):
                    yield from self._below(forest, [root.origin])
            if roots:
                return

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
        return Selection(forest, self._filters, every_attempt=self._every_attempt, partial=True)


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
