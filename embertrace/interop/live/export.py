"""From the records of a recording that goes on to what a receiver gets: spans, and what is said of them. Pure.

Rules:
- A call is sent once, when it has ended (or is lost) and its trace is due (see `traces`): as an offline export of these
  events would send it. Its scores and labels that are known by then go with it.
- What is said later is an evaluation of its own (see `late`), as is what is said of a trace that was let go. A label
  stands for items to come too: the last MAX_LABELS are kept. Withdrawn labels say nothing.
- What starts again reads from `position` on, with `kept` of before: some spans are sent twice then, with the same ids.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from embertrace.analysis import Call, Forest
from embertrace.analysis.calls import Metric, Origin, Sighting
from embertrace.analysis.labels import Label, is_label, read_label
from embertrace.analysis.query import Selection
from embertrace.analysis.runs import is_run
from embertrace.event import METRIC, parse_call_id
from embertrace.interop.evaluations import LABEL, Evaluation
from embertrace.interop.live.memory import Memory, Sent
from embertrace.interop.live.traces import Placed, Trace, Traces
from embertrace.interop.otlp_mapping import is_evaluation
from embertrace.interop.otlp_spans import Spans
from embertrace.recording import BATCH, BEGIN, CLOCK, END, Record
from embertrace.recording.plant import Sign, plant_sign, sign_of
from embertrace.wire.event import BadEvent, RawEvent, iter_events, to_nanoseconds

MAX_LABELS = 2_000
"""Labels that may come before their items; each is gone through with every portion."""
MAX_RUNS = 256
MAX_PRODUCERS = 10_000


class Said(NamedTuple):
    """An evaluation, and the span it is about."""

    sent: Sent
    evaluation: Evaluation


class Portion(NamedTuple):
    """What to send now. `spans` are by run; `runs` describes these. `said` came with its span, `late` after it."""

    spans: list[tuple[str | None, Span]]
    said: list[Said]
    late: list[Said]
    runs: dict[str, dict[str, Any]]


class LiveExport:
    """Takes records, gives portions. `left_out` counts scores and labels about nothing that is known. Not thread-safe.

    `kept` of an earlier one is what describes runs: (producer, seq, event).
    """

    def __init__(self, kept: Iterable[Placed] = ()) -> None:
        self.traces = Traces()
        self.memory = Memory()
        self.left_out = 0
        self._late: list[Said] = []
        self._labels: OrderedDict[tuple[bytes, int], RawEvent] = OrderedDict()
        self._runs: OrderedDict[str, dict[tuple[bytes, int], RawEvent]] = OrderedDict()
        self._names: dict[str, str] = {}
        self._signs: OrderedDict[bytes, dict[int, Sign]] = OrderedDict()
        for producer, seq, event in kept:
            self._take_metric(producer, seq, event, 0, 0.0)

    @property
    def kept(self) -> list[Placed]:
        """What describes the runs that are known."""
        return [(*place, event) for events in self._runs.values() for place, event in events.items()]

    def take(self, record: Record, now: float) -> None:
        """Take in one record. What can't be decoded is passed over."""
        if record.kind != BATCH:
            self._take_sign(sign_of(record), now)
            return
        seq = record.first_seq
        for event in iter_events(record.payload, record.count):
            if isinstance(event, BadEvent):
                seq += event.lost
                continue
            if event.type == METRIC:
                self._take_metric(record.producer, seq, event, record.position, now)
            else:
                self.traces.add(record.producer, seq, event, record.position, now)
            seq += 1

    def portion(self, now: float, *, everything: bool = False) -> Portion | None:
        """What is due now; None where nothing is. With `everything` also what would be due later, for an end."""
        due = self.traces.rest() if everything else self.traces.due(now)
        late, self._late = self._late, []
        if not due:
            return Portion([], [], late, self._described()) if late else None
        found = Portion([], [], late, self._described())
        spans = Spans(Selection(self._forest(due), every_attempt=True), self._span_of)
        traces = {key: trace for trace in due for key in trace.calls()}
        for call in spans.calls():
            if call.outcome != "open" and call.key in traces:
                self._send(call, spans, traces[call.key], found)
        self.traces.flushed(due, now)
        return found

    def _send(self, call: Call, spans: Spans, trace: Trace, found: Portion) -> None:
        is_sent, sent = call.key in trace.sent, self.memory.of_call(*call.key)
        if not is_sent:
            span = spans.span(call)
            sent = Sent(span.trace_id, span.span_id, call.run, set())
            found.spans.append((call.run, span))
            self.memory.remember(call, sent)
            trace.sent.add(call.key)
        for evaluation in spans.evaluations.of(call):
            if sent is not None and sent.is_news(evaluation):
                (found.late if is_sent else found.said).append(Said(sent, evaluation))

    def _forest(self, due: Iterable[Trace]) -> Forest:
        """The events of these traces, with what is known of who emitted them, of runs and of labels."""
        forest, producers = Forest(), dict[bytes, None]()
        for trace in due:
            for producer, seq, event in trace.events:
                producers[producer] = None
                forest.add(producer, seq, event)
        for (producer, seq), event in self._labels.items():
            forest.add(producer, seq, event)
        for placed in self.kept:
            forest.add(*placed)
        for producer in producers:
            for sign in self._signs.get(producer, {}).values():
                plant_sign(forest, sign)
        return forest

    def _described(self) -> dict[str, dict[str, Any]]:
        forest = Forest()
        for placed in self.kept:
            forest.add(*placed)
        return {run["id"]: run for run in forest.runs()}

    def _take_sign(self, sign: Sign, now: float) -> None:
        if sign.kind not in (BEGIN, END, CLOCK):
            return
        signs = self._signs.setdefault(sign.producer, {})
        signs[sign.kind] = sign
        if sign.kind == BEGIN:
            signs.pop(END, None)
        self._signs.move_to_end(sign.producer)
        if len(self._signs) > MAX_PRODUCERS:
            self._signs.popitem(last=False)
        if sign.kind == END:
            self.traces.end(sign.producer, now)

    def _take_metric(self, producer: bytes, seq: int, event: RawEvent, position: int, now: float) -> None:
        metric = Metric(Sighting(Origin(to_nanoseconds(event.timestamp), producer, seq), event))
        if is_run(metric.data):
            self._take_run(metric.data["run"], producer, seq, event)
        elif is_label(metric.data):
            self._labels[producer, seq] = event
            if len(self._labels) > MAX_LABELS:
                self._labels.popitem(last=False)
            self._say(self._labelled(read_label(metric)))
        elif (about := self._scored(event)) is not None:
            given = ((str(name), value) for name, value in metric.data.items() if is_evaluation(str(name)))
            self._say(Said(about, Evaluation(*score, None, metric.origin.nanoseconds)) for score in given)
        elif event.trace_id is not None:
            self.traces.add(producer, seq, event, position, now)
        else:
            self.left_out += 1

    def _take_run(self, about: dict[str, Any], producer: bytes, seq: int, event: RawEvent) -> None:
        run = about["id"]
        self._runs.setdefault(run, {})[producer, seq] = event
        self._runs.move_to_end(run)
        if isinstance(about.get("name"), str):
            self._names[run] = about["name"]
        if len(self._runs) > MAX_RUNS:
            self._names.pop(self._runs.popitem(last=False)[0], None)

    def _scored(self, event: RawEvent) -> Sent | None:
        """The span that a score is late for; None where its span is still to be sent."""
        if event.call_id:
            return self.memory.of_call(event.call_id, event.attempt)
        if event.trace_id is None or event.trace_id in self.traces.held:
            return None
        return self.memory.root_of(event.trace_id)

    def _labelled(self, label: Label | None) -> Iterator[Said]:
        if label is None or label.truth is None:
            return
        evaluation = Evaluation(LABEL, label.truth, label.by, label.origin.nanoseconds)
        for sent in self._named(label):
            yield Said(sent, evaluation)

    def _named(self, label: Label) -> Sequence[Sent]:
        if label.target.kind != "call":
            return list(self.memory.of_item(label.target, self._names))
        try:
            sent = self.memory.last_of_call(parse_call_id(label.names))
        except ValueError:  # made by hand, and no id
            return ()
        return () if sent is None else (sent,)

    def _say(self, found: Iterable[Said]) -> None:
        self._late += [said for said in found if said.sent.is_news(said.evaluation)]

    def _span_of(self, call_id: int) -> tuple[bytes, bytes] | None:
        """The ids of the trace and the span of a call that was sent before."""
        sent = self.memory.last_of_call(call_id)
        return None if sent is None else (sent.trace_id, sent.span_id)
