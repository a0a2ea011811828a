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
from typing import Any, Generic, NamedTuple, TypeVar

from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.query import Selection
from embertrace.analysis.tally import State
from embertrace.payload import canonical, digest

P = TypeVar("P", bound=State)


class Keyless(NamedTuple):
    """The item of a root call without a key, as far as one part of the events knows it; in the order of numbers."""

    left_out: bool
    origin: Origin
    run: str | None
    name: str


class Names:
    """The items of calls, and the names of those without a key: a partial state."""

    def __init__(self, selection: Selection) -> None:
        self._of: dict[int, Keyless] = {}
        for left_out, trees in ((False, selection.forest.trees), (True, selection.trees)):
            for root in trees.keyless_roots():
                if root.call_id not in self._of:
                    name = f"args:{digest(canonical([root.args, root.kwargs])).hex()[:12]}"
                    self._of[root.call_id] = Keyless(left_out, root.origin, root.run, name)
        self._keyless = set(self._of.values())

    def of(self, call: Call) -> tuple[Any, Any]:
        """Key (or Keyless) and epoch."""
        if "key" in call.item:
            return call.item["key"], call.item.get("epoch")
        return call.root.item["key"] if "key" in call.root.item else self._of[call.root.call_id], None

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


class ByItem(Generic[P]):
    """Partial states, one for each key and epoch."""

    def __init__(self, names: Names, new: Callable[[], P]) -> None:
        self.names, self._new = names, new
        self._found: dict[Any, tuple[Any, Any, P]] = {}

    def at(self, key: Any, epoch: Any = None) -> P:
        """The state of an item, by what `Names.of` says of a call."""
        place = key if isinstance(key, Keyless) else (canonical(key), canonical(epoch))
        if place not in self._found:
            self._found[place] = (key, epoch, self._new())
        return self._found[place][2]

    def merge(self, other: ByItem[P]) -> ByItem[P]:
        self.names = self.names.merge(other.names)
        _gather(self._found, other._found)
        return self

    def finish(self) -> Iterator[tuple[Any, Any, P]]:
        """(key, epoch, state) of every item, in the order of their packed keys."""
        final = self.names.finish()
        named: dict[Any, tuple[Any, Any, P]] = {}
        for place, (key, epoch, state) in self._found.items():
            if isinstance(key, Keyless):
                place, key = (canonical(final(key)), canonical(epoch)), final(key)
            _gather(named, {place: (key, epoch, state)})
        return (named[place] for place in sorted(named))


def _gather(into: dict[Any, tuple[Any, Any, P]], more: dict[Any, tuple[Any, Any, P]]) -> None:
    for place, (key, epoch, state) in more.items():
        known = into.get(place)
        into[place] = (key, epoch, state if known is None else known[2].merge(state))
