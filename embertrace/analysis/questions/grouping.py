"""By what calls can be told apart: the values of one dimension among the selected calls. What `by` maps over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from embertrace.analysis.calls import Call
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows
from embertrace.analysis.table.counting import last_of_each
from embertrace.errors import QueryError
from embertrace.payload import canonical, pack

DIMENSIONS: dict[str, Callable[[Call], Any]] = {
    "stage": lambda call: call.stage,
    "operator": lambda call: call.operator_id,
    "type": lambda call: call.operator_type,
    "run": lambda call: call.run,
    "item": lambda call: call.item.get("key"),
    "epoch": lambda call: call.item.get("epoch"),
}
"""What a call has of each dimension, under the name of the filter that chooses it; None where it has none."""

TAG, ROUND = "tag:", "round"


def filter_of(by: str, value: Any) -> tuple[Any, ...]:
    """The filter that chooses one group."""
    return ("tag", by.removeprefix(TAG), value) if by.startswith(TAG) else (by, value)


def check_dimension(by: object) -> str:
    """Raises QueryError for what is no dimension."""
    if isinstance(by, str) and (by in DIMENSIONS or by == ROUND or (by.startswith(TAG) and len(by) > len(TAG))):
        return by
    raise QueryError(f"by({by!r}) is none of {', '.join(DIMENSIONS)}, {ROUND}, tag:NAME")


class Groups:
    """A partial state: the values met, and how many calls have each."""

    def __init__(self) -> None:
        self.values: dict[bytes, Any] = {}
        self.calls: Counter[bytes] = Counter()
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Groups) -> Groups:
        self.values |= other.values
        self.calls.update(other.calls)
        self.left_out.update(other.left_out)
        return self

    def finish(self) -> Rows:
        """`packed` is the value as a payload: rows are plain data, and not every value is."""
        values = ((self.values[key], self.calls[key]) for key in sorted(self.values))
        return Rows(({"value": value, "calls": calls, "packed": pack(value)} for value, calls in values), self.left_out)


def groups(selection: Selection, *, by: str) -> Groups:
    name = check_dimension(by).removeprefix(TAG)
    found = Groups()
    for call, times in _alike(selection, by):
        value = _value(selection, by, call)
        if value is None:
            found.left_out[f"without {name}"] += times
        else:
            key = canonical(value)
            found.values[key] = value
            found.calls[key] += times
    return found


def _value(selection: Selection, by: str, call: Call) -> Any:
    if by == ROUND:
        return selection.round_of(call)
    return call.tags.get(by.removeprefix(TAG)) if by.startswith(TAG) else DIMENSIONS[by](call)


def _alike(selection: Selection, by: str) -> Iterator[tuple[Call, int]]:
    """Selected calls, and how many each stands for: those that can't differ in what they are told apart by."""
    trees, places = selection.trees, selection.places
    if by.startswith(TAG) or not selection.at_once:
        yield from ((call, 1) for call in selection.calls)
        return
    numbers = {"run": trees.shape.run, "item": trees.shape.item, "epoch": trees.shape.item}.get(by, trees.shape.name)
    number = (selection.rounds.of_place if by == ROUND else numbers)[places]
    last, times = last_of_each(number)
    yield from zip(map(trees.at, places[last].tolist()), times.tolist(), strict=True)
