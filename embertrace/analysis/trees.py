"""Calls put into trees: what `table.shape` says of places, as calls with parents, children, scores and labels.

Rules:
- A call inherits run, item and tags from its parent, nearest first; what it brings along itself goes before.
- Scores are merged into their calls in the order of their origins, later over earlier. Those of attempts left out are
  left out.
- Everything is made when it is asked for. Of one place there is one Call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import starmap
from typing import Any, TypeVar

import numpy as np

from embertrace.analysis.attributes import ATTRIBUTES
from embertrace.analysis.calls import Call, Metric, Origin, Sighting, Stamp, answer_in, mapping_of
from embertrace.analysis.clocks import starts_of
from embertrace.analysis.labels import Labels, is_label
from embertrace.analysis.runs import is_run
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import first_of_each
from embertrace.analysis.table.events import NO_CALL, EventTable
from embertrace.analysis.table.intake import Intake
from embertrace.analysis.table.items import NONE
from embertrace.analysis.table.shape import LOST, OPEN, OUTCOMES, Shape
from embertrace.event import FOREIGN_SLOT, METRIC
from embertrace.lineage import CallKey
from embertrace.wire.clock import Offset
from embertrace.wire.columns import data_of

T = TypeVar("T")


class Trees:
    """A finished picture of a forest: `calls`, `roots`, `scores`, `runs`, `labels`.

    `by_id` leads to the selected attempt of a call: that is what links and scores mean. `shape` has the same as arrays.
    """

    table: EventTable
    shape: Shape
    attributes = ATTRIBUTES

    def __init__(
        self,
        taken: Intake,
        ended: Iterable[bytes],
        offsets: Mapping[bytes, Iterable[Offset]],
        every_attempt: bool = False,
        partial: bool = False,
    ) -> None:
        self.table, self._executions, self._offsets = taken.events, taken.executions, offsets
        self.texts, self.items = taken.texts, taken.items
        self.kept: dict[Any, Any] = {}
        """What questions counted over all calls: under a rule for answers their keys, votes, kinds and decisions; and
        accuracies. See `keep`."""
        self.known: dict[Callable[[Trees], Any], Any] = {}
        """What `once` was asked for, by who makes it."""
        taken.contexts.catch_up()
        gone = np.array([taken.events.producer(code) for code in ended], np.int64)
        self.shape = Shape(taken.events, taken.executions, taken.contexts, gone, every_attempt, partial)
        self._rows = len(taken.events)
        """More may come while these trees stand; they are of what there was."""
        self._views: dict[int, Call] = {}
        self.by_id = ById(self)

    def once(self, make: Callable[[Trees], T]) -> T:
        """What follows from these trees alone and is no answer to a question: it is made once, whoever asks."""
        if make not in self.known:
            self.known[make] = make(self)
        found: T = self.known[make]
        return found

    def keep(self, name: Hashable, make: Callable[[], T]) -> T:
        """What a question counts, made once: whoever asks for the name again gets the same."""
        if name not in self.kept:
            self.kept[name] = make()
        found: T = self.kept[name]
        return found

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

    def roots_about(self, key: bytes) -> list[Call]:
        """Those that are about an item with this packed key, or above a call that is."""
        about = self.items.having(key)[self.shape.item]
        return [self.at(place) for place in np.unique(self.shape.root[about]).tolist()]

    def keyless_roots(self) -> list[Call]:
        """Those whose items have no key."""
        return [self.at(place) for place in self.keyless_places.tolist()]

    @cached_property
    def keyless_places(self) -> Array:
        """The places of those roots."""
        found: Array = np.flatnonzero((self.shape.parent < 0) & (self.items.identity()[self.shape.item] == NONE))
        return found

    @property
    def metrics(self) -> list[Metric]:
        """All metric events, in the order of their origins; scores know their calls."""
        assert self._scoring is not None  # it makes them known
        return self._metrics

    @cached_property
    def _metrics(self) -> list[Metric]:
        return [Metric(self.sighting(row)) for row in self.metric_rows.tolist()]

    @cached_property
    def metric_rows(self) -> Any:
        """The table's rows of metric events, in the order of their origins."""
        rows = np.flatnonzero(self.table.kind.values[: self._rows] == METRIC)
        return rows[self.table.in_order(rows)]

    @cached_property
    def all_runs(self) -> list[int]:
        """The numbers of the runs that calls are of."""
        found: list[int] = self.calls_of_runs[0].tolist()
        return found

    @cached_property
    def calls_of_runs(self) -> tuple[Array, Array, Array]:
        """The numbers of those runs, where the first call of each is, and how many it has."""
        return first_of_each(self.shape.run)

    @cached_property
    def metric_kinds(self) -> Any:
        """Of each of `metric_rows` what it is: a SCORE, a LABEL, a RUN, or that it only LINKS_ONLY."""
        numbers = self.metric_texts
        return self.texts.numbered("kind of metric", kind_of_metric, np.uint8)[numbers]

    @cached_property
    def metric_texts(self) -> Array:
        """Of each of `metric_rows` the number of its text."""
        return self.texts.numbers(self.metric_rows)

    def _of_kind(self, kind: int) -> list[Metric]:
        return [Metric(self.sighting(row)) for row in self.metric_rows[self.metric_kinds == kind].tolist()]

    @cached_property
    def run_events(self) -> list[Metric]:
        return self._of_kind(RUN)

    @cached_property
    def labels(self) -> Labels:
        return Labels(self._of_kind(LABEL), self.run_events)

    @property
    def scores(self) -> list[Metric]:
        """What was scored: of calls that count, and of calls that nobody saw."""
        return self._scoring

    @cached_property
    def _scoring(self) -> list[Metric]:
        scores: list[Metric] = []
        places, known = (found.tolist() for found in self.places_of_metrics)
        for metric, place, is_known in zip(self._metrics, places, known, strict=True):
            if is_run(metric.data) or is_label(metric.data):
                continue
            if place >= 0:
                if metric.data:  # else it only links
                    metric.belongs_to(self.at(place))
                    scores.append(metric)
            elif metric.data and not is_known:
                scores.append(metric)
        return scores

    @cached_property
    def _metrics_by_place(self) -> tuple[Array, Array]:
        """Rows of the metric events of calls, by the call's place and then in order; and where those of each begin."""
        places, _ = self.places_of_metrics
        at = np.flatnonzero((places >= 0) & np.isin(self.metric_kinds, (SCORE, LINKS_ONLY)))
        order = np.argsort(places[at], kind="stable")
        counts = np.bincount(places[at], minlength=len(self.shape))
        return self.metric_rows[at[order]], np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def places_of_metrics(self) -> tuple[Any, Any]:
        """Of each of `metric_rows` its call's place, and whether anything was seen of that call.

        What was said beside a call, and not in one of its attempts, is of the attempt that counts.
        """
        rows = self.metric_rows
        calls, attempts = self.table.call.values[rows], self.table.attempt.values[rows]
        executions = self._executions.find(calls, attempts)
        upto = len(self.shape.place_of_execution)
        executions[executions >= upto] = -1
        places = np.append(self.shape.place_of_execution, -1)[executions]  # an execution of -1 is that last one
        beside = self._said_beside & (calls < len(self.shape.by_call))
        places[beside] = self.shape.by_call[calls[beside]]
        return places, self._executions.are_known(calls, upto)

    @property
    def _said_beside(self) -> Array:
        """Of each of `metric_rows` whether it links a call and names no operator: see `continuation.tell_links`."""
        nameless = self.table.names.which(lambda names: not names[0] and not names[1])
        found: Array = nameless[self.table.name.values[self.metric_rows]] & (self.metric_kinds == LINKS_ONLY)
        return found

    def progress(self, run: str | None, events: int, elsewhere: Iterable[int] | None = None) -> dict[str, int]:
        """As `Forest.progress` has it; `events` are those of all runs.

        `elsewhere` makes it the progress of a part: without the calls of these ids, and without what all parts have.
        """
        shape, runs = self.shape, self.shape.contexts.runs
        numbers = np.array([run is None or name == run for name in runs])
        chosen = numbers[shape.run]
        withheld_roots = shape.withheld_elsewhere.roots(numbers) if shape.contexts.shares.is_filtered else 0
        going_on = [call.place for call in map(self.by_id.get, elsewhere or ()) if call is not None]
        chosen[going_on] = False
        outcomes = np.bincount(shape.outcome[chosen], minlength=len(OUTCOMES))
        if run is not None:
            halves = (shape.begin_row[chosen] >= 0).sum() + (shape.end_row[chosen] >= 0).sum()
            everywhere = np.isin(self.metric_kinds, (LABEL, RUN)) & (elsewhere is not None)
            metrics = zip(self.metrics, everywhere.tolist(), strict=True)
            events = int(halves) + sum(metric.run == run for metric, left_out in metrics if not left_out)
        return {
            "calls": int(chosen.sum()),
            "open": int(outcomes[OPEN]),
            "lost": int(outcomes[LOST]),
            "missing": shape.awaited_among(chosen) - self._seen_below(going_on, chosen),
            "roots": int((self.table.parent.values[shape.first_row[chosen]] == NO_CALL).sum()) + withheld_roots,
            "events": events,
        }

    def _seen_below(self, places: list[int], chosen: Any) -> int:
        """How many chosen calls are children that such calls will announce."""
        slots = self.table.slot.values[self.shape.first_row]
        return int((chosen & np.isin(self.shape.parent, places) & (slots < FOREIGN_SLOT)).sum())

    def sighting(self, row: int) -> Sighting:
        """The event in a row of the table."""
        return Sighting(Origin(*self.table.origin(row)), self.table.event(row))

    def metrics_of(self, place: int) -> Sequence[Metric]:
        """All metric events of a call, those that only link among them, in the order of their origins."""
        rows, starts = self._metrics_by_place
        return [Metric(self.sighting(row)) for row in rows[starts[place] : starts[place + 1]].tolist()]

    def origins(self, places: Array) -> list[Origin]:
        """Where the first event of each call stands."""
        return list(starmap(Origin, self.stamps(places)))

    def stamps(self, places: Array) -> Iterator[Stamp]:
        """The same as plain tuples: of a million of them collecting garbage takes no notice."""
        return self.table.origins(self.shape.first_row[places])

    def call_ids(self, places: Array) -> list[int]:
        found: list[int] = self.table.ids.ids[self.table.call.values[self.shape.first_row[places]]].tolist()
        return found

    def call_keys(self, places: Array) -> list[CallKey]:
        """Of each call its id and attempt."""
        attempts: list[int] = self.table.attempt.values[self.shape.first_row[places]].tolist()
        return list(zip(self.call_ids(places), attempts, strict=True))

    def trace_ids(self, places: Array) -> list[str | None]:
        """The trace of each call, as `Call.trace_id`; of the same call the same text."""
        rows, of = np.unique(self.shape.first_row[places], return_inverse=True)
        traces = [None if (trace := self.table.trace_id(row)) is None else trace.hex() for row in rows.tolist()]
        return list(map(traces.__getitem__, of.tolist()))

    def asked(self, places: Array) -> Iterator[tuple[Any, Any]]:
        """With what calls were called, as `Call.args` and `Call.kwargs` have it."""
        rows = self.shape.begin_row[places]
        tails = self.table.tails.of_rows(rows[rows >= 0])
        told = (mapping_of(data_of(next(tails))) if row >= 0 else {} for row in rows.tolist())
        return ((data.get("args"), data.get("kwargs")) for data in told)

    def answers(self, places: Array) -> list[Any]:
        """What calls answered that have ended, as `Call.answer` has it; equal payloads are one value."""
        return self.texts.values(self.shape.end_row[places], answer_in)

    def origins_ns(self, places: Array) -> Array:
        """When the first event of each call says that it happened, by its host's clock; exactly."""
        rows = self.shape.first_row[places]
        if self.table.is_exact:
            return self.table.times(rows)
        return np.array([self.table.nanoseconds(row) for row in rows.tolist()], object)

    @cached_property
    def starts_ns(self) -> Array:
        """When each call started, on one clock for all."""
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
