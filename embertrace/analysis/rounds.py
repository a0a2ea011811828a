"""Rounds of a debate, or of any iteration: the ordinal of a call among those of its operator about its item.

Rules:
- Rounds count from 0, within one item of one trace, in the order in which calls began. Attempts of a call share one.
- The place tells members of one ensemble apart that are the same operator: the k-th of them there is compared with the
  k-th of that operator in the item's next ensemble. Outside ensembles an operator has one place: every call of it is
  one more round.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from embertrace.analysis.calls import Call
from embertrace.analysis.ensembles import is_ensemble
from embertrace.payload import canonical


class Rounds:
    """The rounds of calls, given in the order in which they began (as `Trees.calls` has them), all of a trace."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._of: dict[int, int] = {}
        self._places: dict[Hashable, dict[int, Call]] = {}
        for call in calls:
            if call.call_id not in self._of:
                place = self._places.setdefault(_place(call), {})
                self._of[call.call_id] = len(place)
                place[call.call_id] = call

    def of(self, call: Call) -> int | None:
        """The round of a call; None of one that was not given."""
        return self._of.get(call.call_id)

    def sequences(self) -> Iterator[list[Call]]:
        """The calls of each place, in the order of their rounds."""
        return (list(place.values()) for place in self._places.values())


def _place(call: Call) -> Hashable:
    trace = call.trace_id if call.trace_id is not None else call.root.call_id
    item = canonical([call.item.get("key"), call.item.get("epoch")])
    return trace, call.run, item, call.operator_type, call.operator_id, which_of_its_operator(call)


def which_of_its_operator(call: Call) -> int:
    """Of an ensemble's calls of one operator, the ordinal by slot; 0 outside ensembles."""
    if call.parent is None or not is_ensemble(call.parent):
        return 0
    slots = sorted({child.slot for child in call.parent.children if child.operator_id == call.operator_id})
    return slots.index(call.slot)
