"""Calls put into trees: what `table.shape` says of places, as calls with parents, children, scores and labels.

Rules:
- A call inherits run, item and tags from its parent, nearest first; what it brings along itself goes before.
- Scores are merged into their calls in the order of their origins, later over earlier. Those of attempts left out are
  left out.
- Everything is made when it is asked for. Of one place there is one Call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from embertrace.analysis.calls import Call, Metric, Origin, Sighting
from embertrace.analysis.clocks import starts_of
from embertrace.analysis.labels import Labels, is_label
from embertrace.analysis.runs import is_run
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.events import NO_CALL
from embertrace.analysis.table.intake import Intake
from embertrace.analysis.table.shape import LOST, OPEN, OUTCOMES, Shape
from embertrace.event import METRIC
from embertrace.lineage import CallKey
from embertrace.wire.clock import Offset
from embertrace.wire.columns import CONTEXT, LINKS, unpack_tail
from embertrace.wire.context import NOTHING_ADDED, unpack_context
from embertrace.wire.event import to_nanoseconds


class Trees:
    """A finished picture of a forest: `calls`, `roots`, `scores`, `runs`, `labels`.

    `by_id` leads to the selected attempt of a call: that is what links and scores mean. `shape` has the same as arrays.
    """

    def __init__(
        self,
        taken: Intake,
        ended: Iterable[bytes],
        offsets: Mapping[bytes, Iterable[Offset]],
        every_attempt: bool = False,
    ) -> None:
        self.table, self._executions, self._offsets = taken.events, taken.executions, offsets
        self.texts, self.items = taken.texts, taken.items
        self.kept: dict[Any, Any] = {}
        """What questions made of these trees and may need again, by their own names."""
        taken.contexts.catch_up()
        gone = np.array([taken.events.producer(code) for code in ended], np.int64)
        self.shape = Shape(taken.events, taken.executions, taken.contexts, gone, every_attempt)
        self._views: dict[int, Call] = {}
        self.by_id = ById(self)

    def at(self, place: int) -> Call:
        """The call at a place of the shape."""
        call = self._views.get(place)
        if call is None:
            call = self._views[place] = Call(self, place)
        return call

    @cached_property
    def calls(self) -> list[Call]:
        """All of them, in the order of their origins."""
        return [self.at(place) for place in range(len(self.shape))]

    @cached_property
    def roots(self) -> list[Call]:
        return [self.at(place) for place in np.flatnonzero(self.shape.parent < 0).tolist()]

    @property
    def metrics(self) -> list[Metric]:
        """All metric events, in the order of their origins; scores know their calls."""
        assert self._scoring
        return self._metrics

    @cached_property
    def _metrics(self) -> list[Metric]:
        return [Metric(self.sighting(row)) for row in self.metric_rows.tolist()]

    @cached_property
    def metric_rows(self) -> Any:
        """The table's rows of metric events, in the order of their origins."""
        rows = np.flatnonzero(self.table.kind.values == METRIC)
        return rows[self.table.in_order(rows)]

    @cached_property
    def all_runs(self) -> list[int]:
        """The numbers of the runs that calls are of."""
        found: list[int] = counted(self.shape.run)[0].tolist()
        return found

    @cached_property
    def metric_kinds(self) -> Any:
        """Of each of `metric_rows` what it is: a SCORE, a LABEL, a RUN, or that it only LINKS_ONLY."""
        numbers = self.texts.numbers(self.metric_rows)
        return np.array(self.texts.read("kind of metric", kind_of_metric), np.uint8)[numbers]

    def _of_kind(self, kind: int) -> list[Metric]:
        return [Metric(self.sighting(row)) for row in self.metric_rows[self.metric_kinds == kind].tolist()]

    @cached_property
    def run_events(self) -> list[Metric]:
        return self._of_kind(RUN)

    @cached_property
    def labels(self) -> Labels:
        return Labels(self._of_kind(LABEL))

    @property
    def scores(self) -> list[Metric]:
        """What was scored: of calls that count, and of calls that nobody saw."""
        return self._scoring[0]

    @cached_property
    def _scoring(self) -> tuple[list[Metric], dict[int, list[Metric]]]:
        """The scores; and by place all metric events of a call, those that only link among them."""
        scores: list[Metric] = []
        by_place: dict[int, list[Metric]] = {}
        places, known = (found.tolist() for found in self.places_of_metrics)
        for metric, place, is_known in zip(self._metrics, places, known, strict=True):
            if is_run(metric.data) or is_label(metric.data):
                continue
            if place >= 0:
                by_place.setdefault(place, []).append(metric)
                if metric.data:  # else it only links
                    metric.belongs_to(self.at(place))
                    scores.append(metric)
            elif not is_known:
                scores.append(metric)
        return scores, by_place

    @cached_property
    def places_of_metrics(self) -> tuple[Any, Any]:
        """Of each of `metric_rows` its call's place, and whether anything was seen of that call."""
        rows = self.metric_rows
        calls, attempts = self.table.call.values[rows], self.table.attempt.values[rows]
        executions = self._executions.find(calls, attempts)
        places = np.append(self.shape.place_of_execution, -1)[executions]  # an execution of -1 is that last one
        return places, self._executions.are_known(calls)

    def progress(self, run: str | None, events: int) -> dict[str, int]:
        """As `Forest.progress` has it; `events` are those of all runs."""
        shape, runs = self.shape, self.shape.contexts.runs
        numbers = np.array([run is None or name == run for name in runs])
        chosen = numbers[shape.run]
        outcomes = np.bincount(shape.outcome[chosen], minlength=len(OUTCOMES))
        if run is not None:
            halves = (shape.begin_row[chosen] >= 0).sum() + (shape.end_row[chosen] >= 0).sum()
            events = int(halves) + sum(metric.run == run for metric in self.metrics)
        return {
            "calls": int(chosen.sum()),
            "open": int(outcomes[OPEN]),
            "lost": int(outcomes[LOST]),
            "missing": shape.missing_among(chosen),
            "roots": int((self.table.parent.values[shape.first_row[chosen]] == NO_CALL).sum()),
            "events": events,
        }

    # What calls read.

    def attribute(self, name: str, place: int) -> Any:
        """The value of an attribute of the call at a place."""
        return _ATTRIBUTES[name](self, place)

    def sighting(self, row: int) -> Sighting:
        return Sighting(Origin(*self.table.origin(row)), self.table.event(row))

    def duration_ns(self, place: int) -> int | None:
        row = self._row(self.shape.end_row, place)
        duration = self.table.duration(row) if row is not None else None
        return None if duration is None else to_nanoseconds(duration)

    def slots(self, place: int) -> int:
        row = self._row(self.shape.end_row, place)
        return int(self.table.slots.values[row]) if row is not None else 0

    def missing(self, place: int) -> int:
        return int(self.shape.missing[place])

    def begin_data(self, place: int) -> bytes | None:
        return self._data(self._row(self.shape.begin_row, place))

    def end_data(self, place: int) -> bytes | None:
        return self._data(self._row(self.shape.end_row, place))

    def _data(self, row: int | None) -> bytes | None:
        return None if row is None else unpack_tail(self.table.tail(row))[2]

    @staticmethod
    def _row(rows: Any, place: int) -> int | None:
        row = int(rows[place])
        return row if row >= 0 else None

    def _first(self, place: int) -> int:
        return int(self.shape.first_row[place])

    def _sighting(self, row: int | None) -> Sighting | None:
        return None if row is None else self.sighting(row)

    def _call_id(self, place: int) -> int:
        return self.table.call_id(self.table.call.values[self._first(place)])

    def _parent_key(self, place: int) -> CallKey:
        row = self._first(place)
        return self.table.call_id(self.table.parent.values[row]), int(self.table.parent_attempt.values[row])

    def _name(self, place: int, part: int) -> str:
        return self.table.names.triples[int(self.shape.name[place])][part]

    def _trace_id(self, place: int) -> str | None:
        trace = self.table.trace_id(self._first(place))
        return None if trace is None else trace.hex()

    def _origin(self, place: int) -> Origin:
        return Origin(*self.table.origin(self._first(place)))

    def _follows(self, place: int) -> int:
        rows = (self._first(place), int(self.shape.end_row[place]))
        return next((found for row in rows if row >= 0 and (found := self._followed(row))), 0)

    def _followed(self, row: int) -> int:
        return self.table.call_id(self.table.follows.values[row])

    def _links(self, place: int) -> tuple[int, ...]:
        links: dict[int, None] = {}
        for row in (self._first(place), int(self.shape.end_row[place])):
            if row >= 0 and self.table.flags.values[row] & LINKS:
                links |= dict.fromkeys(unpack_tail(self.table.tail(row))[0])
        for metric in self._scoring[1].get(place, ()):
            links |= dict.fromkeys(metric.event.links)
        return tuple(links)

    def _scores_of(self, place: int) -> dict[str, Any]:
        scores: dict[str, Any] = {}
        for metric in self._scoring[1].get(place, ()):
            scores.update(metric.data)
        return scores

    def _ancestors(self, place: int) -> Any:
        row = self._first(place)
        has_context = self.table.flags.values[row] & CONTEXT
        added = unpack_context(unpack_tail(self.table.tail(row))[1]) if has_context else NOTHING_ADDED
        return added.frames

    def _tags(self, place: int) -> dict[str, Any]:
        parts: list[int] = []
        while place >= 0:
            parts.append(int(self.shape.own_tags[place]))
            place = int(self.shape.parent[place])
        tags: dict[str, Any] = {}
        for number in reversed(parts):
            tags.update(self.shape.contexts.tags.mapping(number))
        return tags

    def _parent(self, place: int) -> Call | None:
        above = self._row(self.shape.parent, place)
        return None if above is None else self.at(above)

    @cached_property
    def _start_ns(self) -> list[int]:
        return starts_of(self.shape, self._offsets)


SCORE, LABEL, RUN, LINKS_ONLY = range(4)


def kind_of_metric(data: Mapping[str, Any]) -> int:
    """What a metric event with such data is."""
    if is_run(data):
        return RUN
    if is_label(data):
        return LABEL
    return SCORE if data else LINKS_ONLY


class ById:
    """Calls by their ids: of each the attempt that counts."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees

    def __getitem__(self, call_id: int) -> Call:
        call = self.get(call_id)
        if call is None:
            raise KeyError(call_id)
        return call

    def __contains__(self, call_id: int) -> bool:
        return self.get(call_id) is not None

    def get(self, call_id: int) -> Call | None:
        """The call with an id; None where nothing that counts was seen of it."""
        if not 0 <= call_id < 1 << 64:
            return None
        shape = self._trees.shape
        number = int(self._trees.table.ids.find(np.array([call_id], np.uint64))[0])
        place = int(shape.by_call[number]) if 0 <= number < len(shape.by_call) else -1
        return self._trees.at(place) if place >= 0 else None


_ATTRIBUTES: dict[str, Callable[[Trees, int], Any]] = {
    "ancestors": Trees._ancestors,
    "attempt": lambda trees, place: int(trees.table.attempt.values[trees._first(place)]),
    "begin": lambda trees, place: trees._sighting(trees._row(trees.shape.begin_row, place)),
    "call_id": Trees._call_id,
    "children": lambda trees, place: [trees.at(child) for child in trees.shape.children(place).tolist()],
    "end": lambda trees, place: trees._sighting(trees._row(trees.shape.end_row, place)),
    "follows": Trees._follows,
    "item": lambda trees, place: trees.shape.contexts.items.mapping(int(trees.shape.item[place])),
    "links": Trees._links,
    "member": lambda trees, place: bool(trees.shape.member[place]),
    "operator_id": lambda trees, place: trees._name(place, 0),
    "operator_type": lambda trees, place: trees._name(place, 1),
    "stage": lambda trees, place: trees._name(place, 2),
    "origin": Trees._origin,
    "outcome": lambda trees, place: OUTCOMES[trees.shape.outcome[place]],
    "parent": Trees._parent,
    "parent_key": Trees._parent_key,
    "root": lambda trees, place: trees.at(int(trees.shape.root[place])),
    "run": lambda trees, place: trees.shape.contexts.runs[trees.shape.run[place]],
    "scores": Trees._scores_of,
    "slot": lambda trees, place: int(trees.table.slot.values[trees._first(place)]),
    "start_ns": lambda trees, place: trees._start_ns[place],
    "tags": Trees._tags,
    "timestamp": lambda trees, place: trees._origin(place).nanoseconds / 1e9,
    "trace_id": Trees._trace_id,
}
"""How each attribute of a Call is read."""
