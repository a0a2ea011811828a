"""How each attribute of a Call is read from the columns of its trees. `calls.Call` says what each of them is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from embertrace.analysis.calls import Call, Origin, Sighting
from embertrace.analysis.table.shape import OUTCOMES
from embertrace.event import Frame
from embertrace.lineage import CallKey
from embertrace.wire.columns import CONTEXT, LINKS, context_of, data_of, unpack_tail
from embertrace.wire.context import NOTHING_ADDED, unpack_context
from embertrace.wire.event import to_nanoseconds

if TYPE_CHECKING:
    from embertrace.analysis.trees import Trees


def _first(trees: Trees, place: int) -> int:
    """The row of a call's begin, else of its end."""
    return int(trees.shape.first_row[place])


def _rows(trees: Trees, place: int) -> list[int]:
    """That row, and the one of its end."""
    end = int(trees.shape.end_row[place])
    return [_first(trees, place), *([end] if end >= 0 else [])]


def _sighting(trees: Trees, row: int) -> Sighting | None:
    return trees.sighting(row) if row >= 0 else None


def _origin(trees: Trees, row: int) -> Origin | None:
    return Origin(*trees.table.origin(row)) if row >= 0 else None


def _data(trees: Trees, row: int) -> bytes | None:
    return data_of(trees.table.tails.of_row(row)) if row >= 0 else None


def _name(part: int) -> Callable[[Trees, int], str]:
    return lambda trees, place: trees.table.names.triples[int(trees.shape.name[place])][part]


def _call_id(trees: Trees, place: int) -> int:
    return trees.table.call_id(trees.table.call.values[_first(trees, place)])


def _parent_key(trees: Trees, place: int) -> CallKey:
    row = _first(trees, place)
    return trees.table.call_id(trees.table.parent.values[row]), int(trees.table.parent_attempt.values[row])


def _parent(trees: Trees, place: int) -> Call | None:
    above = int(trees.shape.parent[place])
    return trees.at(above) if above >= 0 else None


def _trace_id(trees: Trees, place: int) -> str | None:
    trace = trees.table.trace_id(_first(trees, place))
    return None if trace is None else trace.hex()


def _follows(trees: Trees, place: int) -> int:
    followed = (trees.table.call_id(trees.table.follows.values[row]) for row in _rows(trees, place))
    return next(filter(None, followed), 0)


def _links(trees: Trees, place: int) -> tuple[int, ...]:
    links: dict[int, None] = {}
    for row in _rows(trees, place):
        if trees.table.flags.values[row] & LINKS:
            links |= dict.fromkeys(unpack_tail(trees.table.tails.of_row(row))[0])
    for metric in trees.metrics_of(place):
        links |= dict.fromkeys(metric.event.links)
    return tuple(links)


def _scores(trees: Trees, place: int) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for metric in trees.metrics_of(place):
        scores.update(metric.data)
    return scores


def _ancestors(trees: Trees, place: int) -> tuple[Frame, ...]:
    row = _first(trees, place)
    has_context = trees.table.flags.values[row] & CONTEXT
    return (unpack_context(context_of(trees.table.tails.of_row(row))) if has_context else NOTHING_ADDED).frames


def _tags(trees: Trees, place: int) -> dict[str, Any]:
    """Those of all calls above, root first, and its own."""
    parts: list[int] = []
    while place >= 0:
        parts.append(int(trees.shape.own_tags[place]))
        place = int(trees.shape.parent[place])
    tags: dict[str, Any] = {}
    for number in reversed(parts):
        tags.update(trees.shape.contexts.tags.mapping(number))
    return tags


def _duration_ns(trees: Trees, place: int) -> int | None:
    row = int(trees.shape.end_row[place])
    duration = trees.table.duration(row) if row >= 0 else None
    return None if duration is None else to_nanoseconds(duration)


def _slots(trees: Trees, place: int) -> int:
    row = int(trees.shape.end_row[place])
    return int(trees.table.slots.values[row]) if row >= 0 else 0


ATTRIBUTES: dict[str, Callable[[Trees, int], Any]] = {
    "ancestors": _ancestors,
    "attempt": lambda trees, place: int(trees.table.attempt.values[_first(trees, place)]),
    "begin": lambda trees, place: _sighting(trees, int(trees.shape.begin_row[place])),
    "begin_data": lambda trees, place: _data(trees, int(trees.shape.begin_row[place])),
    "call_id": _call_id,
    "children": lambda trees, place: [trees.at(child) for child in trees.shape.children(place).tolist()],
    "duration_ns": _duration_ns,
    "end": lambda trees, place: _sighting(trees, int(trees.shape.end_row[place])),
    "end_data": lambda trees, place: _data(trees, int(trees.shape.end_row[place])),
    "end_origin": lambda trees, place: _origin(trees, int(trees.shape.end_row[place])),
    "follows": _follows,
    "item": lambda trees, place: trees.shape.contexts.items.mapping(int(trees.shape.item[place])),
    "links": _links,
    "member": lambda trees, place: bool(trees.shape.member[place]),
    "missing": lambda trees, place: int(trees.shape.missing[place]),
    "operator_id": _name(0),
    "operator_type": _name(1),
    "origin": lambda trees, place: _origin(trees, _first(trees, place)),
    "outcome": lambda trees, place: OUTCOMES[trees.shape.outcome[place]],
    "parent": _parent,
    "parent_key": _parent_key,
    "root": lambda trees, place: trees.at(int(trees.shape.root[place])),
    "run": lambda trees, place: trees.shape.contexts.runs[trees.shape.run[place]],
    "scores": _scores,
    "share": lambda trees, place: float(trees.shape.share[place]),
    "slot": lambda trees, place: int(trees.table.slot.values[_first(trees, place)]),
    "slots": _slots,
    "stage": _name(2),
    "start_ns": lambda trees, place: int(trees.starts_ns[place]),
    "tags": _tags,
    "timestamp": lambda trees, place: trees.table.nanoseconds(_first(trees, place)) / 1e9,
    "trace_id": _trace_id,
}
"""By name: a function of the trees and a call's place in them."""
