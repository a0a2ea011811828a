"""The questions an aggregator answers: a table {name: function}. No sockets; all doors serve the same table.

Each function takes the state and plain parameters, returns plain data, and raises QueryError with one sentence for
what it can't answer. Results are bounded: lists of events come in pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from aggregator import browse
from aggregator.child import MEMORY
from aggregator.drawing import drawing
from aggregator.paging import asked_page, cut, filters
from aggregator.parts import Parts
from aggregator.producers import Roll, order
from aggregator.recent import Recent
from embertrace.analysis import Forest, Rows
from embertrace.analysis.compare import compare as compare_outcomes
from embertrace.analysis.results import plain
from embertrace.analysis.verbs import VERBS
from embertrace.analysis.window import DEFAULT_WINDOW, check_window, rates
from embertrace.errors import QueryError
from embertrace.payload import canonical
from embertrace.recording import Damage, Record, Recording
from embertrace.recording.plant import sign_of
from embertrace.wire.batch import BATCH
from embertrace.wire.event import BadEvent, iter_events, pack_event

PAGE_BYTES = 4 * 1024 * 1024
"""One page of events: a few batches, well under the answer's limit."""
MAX_LOSSES = 5
"""Of a snapshot: enough to know where to look; the question of that name has all."""
MAX_KEPT = 4
"""Answers kept for the next page of them: a few readers, each at one table."""
FIRST_LOOK = ("runs", "stages", "judge_accuracy_by_agreement", "majority_accuracy")
"""What the page and a report ask first: of a large recording that takes seconds, which most questions then need not."""
MAX_POSITION = (1 << 63) - 1
"""As far as a file reaches on any system."""


class State:
    """What the analyst knows: what it followed, in parts, who sent it, and the recording itself for the events.

    `ingest` is what the process that records last said of itself; empty if it never did.
    """

    def __init__(self, recording: Recording, memory: int = MEMORY) -> None:
        """`memory` is how many bytes the events may take."""
        self.recording = recording
        self.parts = Parts(recording, memory)
        self.recent = Recent(recording)
        self.roll = Roll()
        self.position = 0
        self.ingest: Mapping[str, Any] = {}
        self._kept: dict[bytes, Rows] = {}

    @property
    def forest(self) -> Forest:
        """What is in memory: it knows all counts, and of all producers."""
        return self.parts.live

    def extend(self, items: list[Record] | list[Damage], position: int) -> None:
        """Take in what the follower read; `position` is where it has got to."""
        for item in items:
            self.parts.take(item)
            if isinstance(item, Record):
                self.recent.trail.take(item)
                self.roll.take(item)
        if items:
            self._kept.clear()
        self.position = position

    def look(self) -> None:
        """Make what every first look at a recording needs: the trees, and what was answered in them."""
        for verb in FIRST_LOOK:
            self.parts.ask({"verb": verb, "options": {"pool": True}})

    def rows(self, query: Mapping[str, Any]) -> Rows:
        """The rows of one question; those of the last few are kept until something new comes. Raises QueryError."""
        name = canonical(query)
        if name not in self._kept:
            found = self.parts.ask(query)
            if not isinstance(found, Rows):
                raise QueryError(f"{query.get('verb')!r} gives no rows")
            if len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = found
        return self._kept[name]


Method = Callable[[State, Mapping[str, Any]], Any]


def ping(state: State, params: Mapping[str, Any]) -> Any:
    """Whether anybody is there."""
    return "pong"


def info(state: State, params: Mapping[str, Any]) -> Any:
    """The recording, and how far it was followed."""
    counts = {
        "recording": state.recording.id,
        "name": state.recording.name,
        "directory": str(state.recording.directory),
        "position": state.position,
        "events": state.forest.events,
        "producers": state.forest.producers,
        "gaps": state.forest.gaps,
        "undecodable": state.forest.undecodable,
        "removed_segments": state.recording.removed().segments,
    }
    return plain(counts)  # gaps that were declared may add up to more than 64 bits


def query(state: State, params: Mapping[str, Any]) -> Any:
    """One question of the analysis: {verb, filters, options}."""
    return state.parts.ask(params).to_data()


def snapshot(state: State, params: Mapping[str, Any]) -> Any:
    """What the last `window` events say (see embertrace.analysis.window), with `info` and the worst `losses`.

    The cost of an answer depends on the window alone, and not on what was recorded before it.
    """
    size = check_window(params.get("window", DEFAULT_WINDOW))
    now = time.time()
    window = state.recent.window(state.position, size)
    losses = sorted(state.forest.losses, key=lambda loss: (-loss.events, loss.producer, loss.reason))
    return {
        "info": info(state, params),
        "losses": plain([loss.to_row() for loss in losses[:MAX_LOSSES]]),
        "window": {"size": size, "events": len(window.arrivals)},
        "rates": plain(rates(window.arrivals, window.complete_since, now)._asdict()),
        **window.overview.to_data(),
    }


def runs(state: State, params: Mapping[str, Any]) -> Any:
    """All runs in the recording."""
    return state.parts.ask({"verb": "runs"}).to_data()


def progress(state: State, params: Mapping[str, Any]) -> Any:
    """How far a run is: counts of calls, open, lost, missing, roots, events."""
    run = params.get("run")
    if run is not None and not isinstance(run, str):
        raise QueryError(f"run is {run!r}; it must be a run's id")
    return plain(state.parts.progress(run))


def events(state: State, params: Mapping[str, Any]) -> Any:
    """A page of events from position `start` on: {events, undecodable, signs, next, position}.

    `events` are [[producer, seq, packed], …]; `signs` are [[kind, producer, received_ns, first seq, events, about], …]:
    what the recording's other records (see recording-format.md) say of the producers. `next` is where the next page
    starts, nil after the last. `position` is how far the recording was followed: where the next question goes on once
    `next` is nil. `since_ns` instead of `start` begins with the segment in which that time (Unix nanoseconds) lies.
    """
    page: dict[str, Any] = {
        "events": [], "undecodable": 0, "signs": [], "next": None, "position": state.position,
    }  # fmt: skip
    taken = 0
    for record in state.recording.records(_start(state, params), state.position):
        if isinstance(record, Record):
            if taken >= PAGE_BYTES:
                return {**page, "next": record.position}
            _add_to_page(page, record)
            taken += len(record.payload)
    return page


def _start(state: State, params: Mapping[str, Any]) -> int:
    start, since = params.get("start", 0), params.get("since_ns")
    if not isinstance(start, int) or not 0 <= start <= MAX_POSITION:
        raise QueryError(f"start is {start!r}; it must be a position in the recording, 0 for its beginning")
    if since is None:
        return start
    if not isinstance(since, int):
        raise QueryError(f"since_ns is {since!r}; it must be Unix nanoseconds")
    return max(start, state.recording.base_at(since))


def _add_to_page(page: dict[str, Any], record: Record) -> None:
    if record.kind != BATCH:
        page["signs"].append(list(sign_of(record)))
        return
    seq = record.first_seq
    for event in iter_events(record.payload, record.count):
        if isinstance(event, BadEvent):
            page["undecodable"] += event.lost
            seq += event.lost
        else:
            page["events"].append([record.producer, seq, pack_event(event)])
            seq += 1


def verbs(state: State, params: Mapping[str, Any]) -> Any:
    """The questions of the analysis: {name: {options, pools, attempts}}, as `query` takes them."""
    return {
        name: {"options": verb.options, "pools": verb.pools, "attempts": verb.attempts} for name, verb in VERBS.items()
    }


def items(state: State, params: Mapping[str, Any]) -> Any:
    """A page of items: {filters, options} as of the question, {search, sort, descending, only, cursor, limit}."""
    given: dict[str, Any] = {"verb": "items", "filters": filters(params), "options": params.get("options") or {}}
    page = None
    if not len(state.parts):  # else items may lie in several
        page = _page_of_columns(state.forest, given, params)
    return {**(page or browse.page_of_rows(state.rows(given), params)), "position": state.position}


def _page_of_columns(forest: Forest, given: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any] | None:
    """A page for which not all rows have to be made; None where they have to."""
    if not params.get("search"):
        return browse.page_of_items(forest, given, params)
    found = browse.rows_of_search(forest, given, params)
    return None if found is None else browse.page_of_rows(found, params)


def trace(state: State, params: Mapping[str, Any]) -> Any:
    """A page of one tree of calls, see browse.trace."""
    return {**browse.trace(state.parts, params), "position": state.position}


def flow_drawing(state: State, params: Mapping[str, Any]) -> Any:
    """The flow of operators laid out for a picture, see drawing.drawing."""
    return plain(drawing(state.parts.ask, params))


def one_call(state: State, params: Mapping[str, Any]) -> Any:
    """One call with its payloads: {call, attempt}."""
    return browse.call(state.parts, params)


def compare(state: State, params: Mapping[str, Any]) -> Any:
    """Two runs of this recording side by side, item by item: {before, after (names or ids), on, answer, abstain}."""
    sides: list[Rows] = []
    about: list[Rows] = []
    options = {name: params[name] for name in ("on", "answer", "abstain") if params.get(name) is not None}
    for name in ("before", "after"):
        run = params.get(name)
        if not isinstance(run, str):
            raise QueryError(f"{name} is {str(run)[:60]!r}; it must be a run's name or id")
        chosen = [["run", run]]
        about.append(state.rows({"verb": "runs", "filters": chosen}))
        if not about[-1]:
            raise QueryError(f"there is no run {run!r} in this recording")
        sides.append(state.rows({"verb": "outcomes", "filters": chosen, "options": options}))
    return compare_outcomes(sides[0], sides[1], *about, on=str(options.get("on", "judge"))).to_data()


def producers(state: State, params: Mapping[str, Any]) -> Any:
    """A page of who sent what is recorded, those connected and heard last ahead: {rows, total, next, position}."""
    found = sorted(state.roll.known.values(), key=order)
    page, following = cut(found, *asked_page(params))
    rows = plain([one.to_row() for one in page])
    return {"rows": rows, "total": len(found), "next": following, "position": state.position}


METHODS: dict[str, Method] = {
    "ping": ping,
    "info": info,
    "verbs": verbs,
    "query": query,
    "snapshot": snapshot,
    "runs": runs,
    "progress": progress,
    "items": items,
    "trace": trace,
    "drawing": flow_drawing,
    "call": one_call,
    "compare": compare,
    "producers": producers,
    "events": events,
}


def call(state: State, method: str, params: Mapping[str, Any]) -> Any:
    """The answer of one method. Raises QueryError."""
    if method not in METHODS:
        raise QueryError(f"there is no method {method!r}; known are {', '.join(METHODS)}")
    return METHODS[method](state, params)
