"""Spans as they come about: what is sent when, what is said late, and what is kept meanwhile. No clock, no network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.interop.live import export as live_export
from embertrace.interop.live import memory, traces
from embertrace.interop.live.export import LiveExport, Portion
from embertrace.interop.live.messages import Messages
from embertrace.interop.otlp_http import Answer
from embertrace.interop.otlp_spans import Spans, span_id
from embertrace.recording import BATCH, BEGIN, END, Record
from embertrace.wire.event import pack_event
from support.forests import Begun, Placed, Story, grown
from support.otlp_receiver import attributes

LATER = traces.QUIET_S


def batch(placed: Placed, position: int = 0) -> Record:
    producer, seq, event = placed
    return Record(BATCH, 0, producer, seq, 1, pack_event(event), position, 0)


class Following:
    """A story that is followed: `tell` takes in what is new of it at a time, `due` gives what is due then."""

    def __init__(self, story: Story, export: LiveExport | None = None) -> None:
        self.story, self.export, self.told = story, export or LiveExport(), 0

    def tell(self, now: float = 0.0) -> None:
        for place, placed in enumerate(self.story.events[self.told :], self.told):
            self.export.take(batch(placed, place), now)
        self.told = len(self.story.events)

    def due(self, now: float, *, everything: bool = False) -> Portion:
        return self.export.portion(now, everything=everything) or Portion([], [], [], {})


def names(portion: Portion) -> list[str]:
    return [span.name for _, span in portion.spans]


def offline(events: Iterable[Placed]) -> list[Any]:
    analysis = OperatorAnalysis(LocalSource(grown(events)))
    return [span for _, span in Spans(analysis.selection(every_attempt=True))]


def said(portion: Portion) -> list[tuple[str, Any, str | None, bytes]]:
    return [(one.evaluation.name, one.evaluation.value, one.evaluation.by, one.sent.span_id) for one in portion.late]


def questions() -> Story:
    story = Story(run="r1")
    story.describe_run("r1", name="nightly", project="team-a")
    for number in range(3):
        story.question(f"q{number}", "aab", verdict="a", truth="a")
    return story


def test_a_trace_at_rest_is_sent_as_an_export_of_the_recording_would() -> None:
    follow = Following(questions())
    follow.tell()
    assert not follow.due(LATER / 2).spans
    portion = follow.due(LATER)
    assert [span for _, span in portion.spans] == offline(follow.story.events)
    assert {run for run, _ in portion.spans} == {"r1"} and portion.runs["r1"]["project"] == "team-a"
    assert follow.export.portion(1000.0) is None


def test_a_call_that_has_not_ended_waits_and_its_trace_with_it() -> None:
    follow = Following(Story())
    root = follow.story.begin("pipeline")
    follow.story.call("first", parent=root)
    follow.tell()
    assert not follow.due(LATER).spans
    assert names(follow.due(traces.PARTIAL_S)) == ["first"], "a long trace is seen as it grows"
    follow.story.call("second", parent=root)
    follow.story.end(root)
    follow.tell(traces.PARTIAL_S)
    assert names(follow.due(traces.PARTIAL_S + LATER)) == ["pipeline", "second"]


def test_calls_of_a_producer_that_is_gone_are_lost() -> None:
    follow = Following(Story())
    follow.story.begin("pipeline")
    follow.tell()
    producer = follow.story.events[0][0]
    follow.export.take(Record(BEGIN, 1, producer, 0, 0, b"", 1, 0), 0.0)
    follow.export.take(Record(END, 2, producer, 1, 0, b"", 2, 0), 1.0)
    ((_, span),) = follow.due(1.0 + LATER).spans
    assert attributes(span)["embertrace.outcome"] == "lost"


def sent_question() -> tuple[Following, Begun]:
    follow = Following(Story(run="r1"))
    follow.story.describe_run("r1", name="nightly", project="team-a")
    root = follow.story.begin("pipeline", item={"key": "q-1", "epoch": 0})
    member = follow.story.call("m0", "a", parent=root)
    follow.story.end(root, "a")
    follow.tell()
    assert len(follow.due(LATER).spans) == 2
    return follow, member


ROOT, MEMBER = span_id(1, 0), span_id(2, 0)


@pytest.mark.parametrize("when", [2 * LATER, 10 * traces.KEEP_S], ids=["while it is kept", "after it was let go"])
def test_scores_and_labels_that_come_late_are_evaluations_of_their_own(when: float) -> None:
    follow, member = sent_question()
    follow.export.portion(when)
    follow.story.score(member, accuracy=0.5, tokens_in=7)
    follow.story.label("q-1", "a", by="human:ann")
    follow.story.label("q-1", "b", by="human:bo", run="nightly", epoch=0)
    follow.tell(when)
    found = follow.due(when)
    assert not found.spans
    assert said(found) == [
        ("accuracy", 0.5, None, MEMBER),
        ("truth", "a", "human:ann", ROOT),
        ("truth", "b", "human:bo", ROOT),
    ]


def test_what_names_something_else_says_nothing_and_a_changed_mind_says_it_anew() -> None:
    follow, _ = sent_question()
    for more in ({"run": "weekly"}, {"epoch": 1}):
        follow.story.label("q-1", "a", by="ann", **more)
    follow.story.label("q-2", "a", by="ann")
    follow.story.label("q-1", None, by="ann")
    for truth in ("a", "b", "b"):
        follow.story.label("q-1", truth, by="ann")
    follow.tell()
    assert [value for _, value, _, _ in said(follow.due(LATER))] == ["a", "b"]


def test_a_label_that_comes_before_its_item_goes_with_it() -> None:
    follow = Following(Story())
    follow.story.label("q-1", "a", by="ann")
    follow.tell()
    assert follow.export.portion(LATER) is None
    follow.story.question("q-1", "aab")
    follow.tell(LATER)
    portion = follow.due(2 * LATER)
    assert [one.evaluation.value for one in portion.said] == ["a"] and not portion.late


def test_a_label_of_one_call() -> None:
    follow, member = sent_question()
    events = Story()
    events._emit(events._roots, 3, {"label": {"call": f"{member.call_id:016x}", "truth": "yes", "by": "ann"}})
    events._emit(events._roots, 3, {"label": {"call": "no id", "truth": "yes", "by": "ann"}})
    for _, seq, event in events.events:
        follow.export.take(batch((b"labeller........", seq, event)), 5.0)
    assert said(follow.due(5.0)) == [("truth", "yes", "ann", MEMBER)]


def test_links_lead_to_calls_that_were_sent_before() -> None:
    follow, member = sent_question()
    judge = Story("other", first_id=50)
    judge.judge("a", links=[member])
    for placed in judge.events:
        follow.export.take(batch(placed), 200.0)
    ((_, span),) = follow.due(300.0).spans
    assert [(link.trace_id, link.span_id) for link in span.links] == [(member.trace, MEMBER)]


def test_what_was_held_is_let_go_and_the_position_moves_on() -> None:
    follow, _ = sent_question()
    held = follow.export.traces
    assert held.position(99) == 99 and held.events == 4
    follow.story.begin("open")
    follow.tell(LATER)
    assert held.position(99) == follow.told - 1
    assert not follow.due(LATER + traces.KEEP_S).spans
    assert len(held.held) == 1 and held.events == 1


def test_what_starts_again_knows_the_runs() -> None:
    follow, _ = sent_question()
    again = Following(Story(run="r1", first_id=90), LiveExport(follow.export.kept))
    again.story.call("later")
    again.tell()
    assert again.due(LATER).runs["r1"]["project"] == "team-a"


def test_one_endless_trace_is_cut_and_its_open_calls_keep_their_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_EVENTS", 20)
    follow = Following(Story())
    root = follow.story.begin("run", item={"key": "all"})
    for _ in range(3):
        for _ in range(10):
            follow.story.call("step", parent=root)
        follow.tell()
        portion = follow.due(0.0)
        assert names(portion) == ["step"] * 10
        assert all(attributes(span)["embertrace.item.key"] == "all" for _, span in portion.spans)
        assert follow.export.traces.events == 1
    follow.story.end(root)
    follow.tell()
    assert names(follow.due(LATER)) == ["run"] and follow.export.traces.unfinished == 0


def test_traces_at_rest_make_room_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_EVENTS", 20)
    follow = Following(questions())
    follow.tell()
    follow.due(LATER, everything=True)
    follow.story.begin("young")
    follow.tell(LATER)
    assert not follow.due(LATER).spans
    assert follow.export.traces.events == 13, "two of three were let go"


def test_calls_that_never_end_are_let_go_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_EVENTS", 5)
    follow = Following(Story())
    for _ in range(8):
        follow.story.begin("open")
    follow.tell()
    assert not follow.due(0.0).spans
    assert follow.export.traces.unfinished == 3 and follow.export.traces.events == 5


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_LABELS", "MAX_RUNS", "MAX_PRODUCERS"):
        monkeypatch.setattr(live_export, name, 3)
    monkeypatch.setattr(memory, "MAX_CALLS", 3)
    story = Story()
    for number in range(9):
        story.describe_run(f"r{number}", name="nightly")
        story.label(f"q{number}", "a")
        story.question(f"q{number}", "ab")
    follow = Following(story)
    follow.tell()
    assert len(follow.due(LATER).spans) == 36 and len(follow.export.kept) == 3
    story.label("q0", "b")
    story.label("q8", "b")
    follow.tell()
    assert len(said(follow.due(LATER))) == 1, "of what is forgotten, nothing is said"


def test_hostile_bytes_and_events_of_no_trace_are_passed_over() -> None:
    story = Story()
    story.question("q", "ab")
    story.score(accuracy=1.0)
    export = LiveExport()
    export.take(Record(BATCH, 0, b"p" * 16, 1, 3, b"\xc1\xc1", 0, 0), 0.0)
    for producer, seq, event in story.events:
        export.take(batch((producer, seq, event._replace(trace_id=b"short" if event.call_id % 2 else None))), 0.0)
    portion = export.portion(LATER)
    assert portion is not None and {len(span.trace_id) for _, span in portion.spans} == {16}
    assert len(portion.spans) == 2, "an id of the wrong length can't be decoded"
    assert export.left_out == 1, "a score of no call and no trace is about nothing"


# As requests.


def posted(portion: Portion, **options: Any) -> list[tuple[str, Any]]:
    messages = Messages("http://127.0.0.1:1", post=lambda body, headers: Answer(200, None, b""), **options)
    made = messages.of(portion)
    return [(message.poster.url.rpartition("/")[2], message.pack(message.parts)) for message in made]


def test_other_receivers_get_late_evaluations_as_spans_below_the_call() -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    follow, member = sent_question()
    follow.story.score(member, accuracy=0.5)
    follow.tell(LATER)
    ((path, body),) = posted(follow.due(LATER))
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (span,) = resource.scope_spans[0].spans
    assert path == "traces" and attributes(resource.resource)["openinference.project.name"] == "team-a"
    assert (span.name, span.parent_span_id, span.trace_id) == ("evaluation accuracy", MEMBER, member.trace)
    assert attributes(span)["gen_ai.evaluation.score.value"] == 0.5


def test_phoenix_gets_all_evaluations_as_annotations() -> None:
    import json

    follow = Following(questions())
    follow.story.score(Begun(2, "", "", "", None, 0, 0, (1).to_bytes(16, "big")), note=1.0, sure=True)
    for by in ("human:ann", "llm:big", ""):
        follow.story.label("q0", "a", by=by)
    follow.tell()
    paths = posted(follow.due(LATER), phoenix=True)
    assert [path for path, _ in paths] == ["traces", "span_annotations"]
    found = [
        (one["name"], one["annotator_kind"], one["identifier"], one["result"]["score"], one["result"]["label"])
        for one in json.loads(paths[1][1])["data"]
    ]
    assert found == [
        ("truth", "HUMAN", "human:ann", None, "a"),
        ("truth", "LLM", "llm:big", None, "a"),
        ("truth", "HUMAN", "embertrace", None, "a"),
        ("note_", "CODE", "embertrace", 1.0, None),
        ("sure", "CODE", "embertrace", 1.0, "true"),
    ]
