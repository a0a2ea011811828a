"""The items that calls belong to: by the key that users gave, or by a derived one; and what is gathered by item.

Rules:
- An item without a key (nobody called `item(…)`) is the root call, and its key a digest of the call's arguments:
  "args:1f…". Repeats of such a key in one run are numbered in the order of their calls: "args:1f…#2".
- What number a root has is known once all parts of the events are together. Until then its item is a `Keyless`.
- Attempts of one call are one item. Those under which nothing counts are numbered after all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.query import Selection
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, dense
from embertrace.analysis.table.items import NONE
from embertrace.analysis.tally import State
from embertrace.analysis.trees import Trees
from embertrace.payload import canonical, digest

P = TypeVar("P", bound=State)


class Keyless(NamedTuple):
    """The item of a root call without a key, as far as one part of the events knows it; in the order of numbers."""

    left_out: bool
    origin: Origin
    run: str | None
    name: str


class Names:
    """The items of calls, and the names of those without a key: a partial state.

    A call's item also has a code, a number that is the same for all calls about it: the number of its key and epoch;
    above those, that of its root's key, as items within have it that have none of their own; above those, the place of
    a root that has none either.
    """

    def __init__(self, selection: Selection) -> None:
        self.trees = selection.trees
        self._of = selection.forest.trees.once(_keyless)
        if selection.trees is not selection.forest.trees:
            self._of = selection.trees.once(_keyless_left_out) | self._of
        self._keyless = set(self._of.values())

    def of(self, call: Call) -> tuple[Any, Any]:
        """Key (or Keyless) and epoch."""
        if "key" in call.item:
            return call.item["key"], call.item.get("epoch")
        return call.root.item["key"] if "key" in call.root.item else self._of[call.root.call_id], None

    def codes(self, places: Array) -> Array:
        """The code of each call's item."""
        shape, known = self.trees.shape, self.trees.items
        identity = known.identity()
        codes = identity[shape.item[places]].astype(np.int64)
        within = np.flatnonzero(codes == NONE)
        roots = shape.root[places[within]]
        of_root = identity[shape.item[roots]].astype(np.int64)
        keys = len(known.identities)
        codes[within] = np.where(of_root == NONE, 2 * keys + roots, keys + of_root)
        return codes

    def named(self, code: int) -> tuple[Any, Any]:
        """What `of` says of the calls with a code."""
        keys = len(self.trees.items.identities)
        if code >= 2 * keys:
            (call_id,) = self.trees.call_ids(np.array([code - 2 * keys]))
            return self._of[call_id], None
        key, epoch = self.trees.items.key_and_epoch(code % keys)
        return key, epoch if code < keys else None

    def __getstate__(self) -> dict[str, Any]:
        """As a state travels: without the trees."""
        return {"_keyless": self._keyless}

    def merge(self, other: Names) -> Names:
        self._keyless |= other._keyless
        return self

    def finish(self) -> Callable[[Any], Any]:
        """A function that gives the final key of what `of` gave."""
        seen: Counter[tuple[str | None, str]] = Counter()
        names: dict[Keyless, str] = {}
        for keyless in sorted(self._keyless):
            seen[keyless[2:]] += 1
            times = seen[keyless[2:]]
            names[keyless] = keyless.name if times == 1 else f"{keyless.name}#{times}"
        return lambda key: names[key] if isinstance(key, Keyless) else key


def _keyless(trees: Trees) -> dict[int, Keyless]:
    """The roots without a key, by their calls' ids; of several attempts the first."""
    return _find_keyless(trees, left_out=False)


def _keyless_left_out(trees: Trees) -> dict[int, Keyless]:
    """The same, of trees with attempts that others leave out."""
    return _find_keyless(trees, left_out=True)


def _find_keyless(trees: Trees, left_out: bool) -> dict[int, Keyless]:
    places = trees.keyless_places
    runs = map(trees.shape.contexts.runs.__getitem__, trees.shape.run[places].tolist())
    asked = (f"args:{digest(canonical([args, kwargs])).hex()[:12]}" for args, kwargs in trees.asked(places))
    told = map(Keyless, repeat(left_out), trees.origins(places), runs, asked)
    found: dict[int, Keyless] = {}
    for call_id, keyless in zip(trees.call_ids(places), told, strict=True):
        found.setdefault(call_id, keyless)
    return found


class ByItem(Generic[P]):
    """Partial states, one for each key and epoch."""

    def __init__(self, names: Names, new: Callable[[], P]) -> None:
        self.names, self._new = names, new
        self._found: dict[Any, tuple[Any, Any, P]] = {}
        self._by_code: dict[int, P] = {}

    def at(self, key: Any, epoch: Any = None) -> P:
        """The state of an item, by what `Names.of` says of a call."""
        place = key if isinstance(key, Keyless) else canonical(key) + canonical(epoch)
        if place not in self._found:
            self._found[place] = (key, epoch, self._new())
        return self._found[place][2]

    def each(self, codes: Array) -> tuple[list[P], Array]:
        """The states of some items, by their codes, each once; and of each code which of these is its own."""
        found, known = counted(codes)[0].tolist(), self._by_code
        for code in found if len(known) == 0 else [code for code in found if code not in known]:
            known[code] = self.at(*self.names.named(code))
        return list(map(known.__getitem__, found)), dense(codes)

    def merge(self, other: ByItem[P]) -> ByItem[P]:
        self.names = self.names.merge(other.names)
        _gather(self._found, other._found)
        return self

    def finish(self) -> Iterator[tuple[Any, Any, P]]:
        """(key, epoch, state) of every item, in the order of their packed keys and epochs."""
        final = self.names.finish()
        named = {place: found for place, found in self._found.items() if not isinstance(place, Keyless)}
        for place, (key, epoch, state) in self._found.items():
            if isinstance(place, Keyless):
                _gather(named, {canonical(final(key)) + canonical(epoch): (final(key), epoch, state)})
        return (named[place] for place in sorted(named))


def _gather(into: dict[Any, tuple[Any, Any, P]], more: dict[Any, tuple[Any, Any, P]]) -> None:
    for place, (key, epoch, state) in more.items():
        known = into.get(place)
        into[place] = (key, epoch, state if known is None else known[2].merge(state))
