"""OTLP export: what a receiver gets, and what becomes of an export whose receiver misbehaves."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import embertrace as et
from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.errors import ConfigError, ExportError
from embertrace.interop.otlp import MAX_SPANS, Exported, OtlpExporter
from embertrace.interop.otlp_http import Answer, Poster, headers_of, retry_after_s, traces_url
from embertrace.interop.otlp_mapping import ATTRIBUTES, MAPPING_VERSION
from embertrace.interop.phoenix import annotations_url
from support.forests import Story
from support.otlp_receiver import Receiver, attributes, receiving


def asked(story: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()))


def exported(receiver: Receiver, analysis: OperatorAnalysis, **options: Any) -> Exported:
    return OtlpExporter(receiver.url, **options).export(analysis)


def by_name(receiver: Receiver) -> dict[str, Any]:
    return {span.name: span for span in receiver.spans()}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def told() -> Story:
    """One item of a project's run: three members, a judge, a score, a label."""
    story = Story(run="r1")
    story.describe_run("r1", name="nightly", project="team-a")
    root = story.begin("pipeline", item={"key": "q-17", "epoch": 2}, tags={"split": "test"}, args=["Who?"])
    panel = story.begin("panel", "ensemble", "ensemble_1", root)
    members = [story.member(panel, f"m{n}", answer) for n, answer in enumerate("aab")]
    story.end(panel, list("aab"))
    story.judge("a", parent=root, links=[panel])
    story.score(members[0], accuracy=0.5, usd=0.25, tokens_in=7)
    story.end(root, "a")
    story.label("q-17", "a", by="human:ann")
    return story


def test_ids_parents_and_the_project_are_kept(receiver: Receiver) -> None:
    story = told()
    done = exported(receiver, asked(story))
    assert (done.spans, done.rejected, done.requests, done.retries, done.left_out) == (6, 0, 1, 0, 0)
    assert receiver.paths == ["/v1/traces"] and receiver.headers[0]["Content-Type"] == "application/x-protobuf"
    calls = {call.operator_id: call for call in asked(story).calls}
    for name, span in by_name(receiver).items():
        call = calls[name]
        assert span.trace_id.hex() == call.trace_id and span.span_id.hex() == f"{call.call_id:016x}"
        assert span.parent_span_id == (call.parent.call_id.to_bytes(8, "big") if call.parent else b"")
        assert span.start_time_unix_nano == call.start_ns
        assert span.end_time_unix_nano - span.start_time_unix_nano == call.duration_ns
    resource = attributes(receiver.resources()[0].resource)
    assert resource["service.name"] == resource["openinference.project.name"] == "team-a"
    assert resource["embertrace.run.id"] == "r1" and resource["embertrace.run.name"] == "nightly"
    assert resource["embertrace.mapping_version"] == MAPPING_VERSION


def test_kinds_inputs_outputs_and_the_graph(receiver: Receiver) -> None:
    exported(receiver, asked(told()))
    spans = {name: attributes(span) for name, span in by_name(receiver).items()}
    kinds = {name: found["openinference.span.kind"] for name, found in spans.items()}
    assert kinds == {
        "pipeline": "CHAIN",
        "panel": "CHAIN",
        "chooser": "EVALUATOR",
        "m0": "LLM",
        "m1": "LLM",
        "m2": "LLM",
    }
    assert spans["pipeline"]["input.value"] == "Who?" and spans["pipeline"]["input.mime_type"] == "text/plain"
    assert spans["panel"]["output.value"] == '["a","a","b"]'
    assert spans["panel"]["output.mime_type"] == "application/json"
    assert spans["m0"]["graph.node.id"] == "m0" and spans["m0"]["graph.node.parent_id"] == "panel"
    assert "graph.node.parent_id" not in spans["pipeline"]
    assert spans["m0"]["gen_ai.operation.name"] == "chat" and spans["m0"]["gen_ai.usage.input_tokens"] == 7
    assert spans["m0"]["llm.cost.total"] == 0.25
    assert spans["chooser"]["embertrace.item.key"] == "q-17" and spans["chooser"]["embertrace.item.truth"] == "a"
    assert spans["chooser"]["metadata"] == '{"split":"test"}'
    names = {row.name for row in ATTRIBUTES}
    assert all(set(found) <= names for found in spans.values()), "the table says every attribute"


def test_tools_retrievers_and_members_that_call_have_their_kinds(receiver: Receiver) -> None:
    story = Story()
    panel = story.begin("panel", "ensemble")
    agent = story.begin("agent", "member", parent=panel)
    story.call("search", "…", type="tool", parent=agent)
    story.call("docs", ["…"], type="retriever", parent=agent)
    story.end(agent, "a")
    story.end(panel, ["a"])
    exported(receiver, asked(story))
    kinds = {name: attributes(span)["openinference.span.kind"] for name, span in by_name(receiver).items()}
    assert kinds == {"panel": "CHAIN", "agent": "AGENT", "search": "TOOL", "docs": "RETRIEVER"}


def test_a_judge_links_to_what_it_consumed_and_to_every_member(receiver: Receiver) -> None:
    exported(receiver, asked(told()))
    spans = by_name(receiver)
    links = {link.span_id: attributes(link)["embertrace.link"] for link in spans["chooser"].links}
    members = {spans[f"m{n}"].span_id: "member" for n in range(3)}
    assert links == {spans["panel"].span_id: "link", **members}
    assert all(link.trace_id == spans["chooser"].trace_id for link in spans["chooser"].links)
    assert not spans["m0"].links


def test_scores_and_late_labels_are_evaluations(receiver: Receiver) -> None:
    exported(receiver, asked(told()))
    spans = by_name(receiver)
    (score,) = (attributes(event) for event in spans["m0"].events)
    assert score == {"gen_ai.evaluation.name": "accuracy", "gen_ai.evaluation.score.value": 0.5}
    (event,) = spans["pipeline"].events
    assert event.name == "gen_ai.evaluation.result"
    assert attributes(event) == {
        "gen_ai.evaluation.name": "truth",
        "gen_ai.evaluation.score.label": "a",
        "embertrace.label.by": "human:ann",
    }


def test_withdrawn_labels_are_none_and_those_of_unknown_items_are_counted(receiver: Receiver) -> None:
    story = told()
    story.label("q-17", None, by="human:ann")
    story.label("q-99", "b")
    done = exported(receiver, asked(story))
    assert done.left_out == 1
    assert not by_name(receiver)["pipeline"].events


def test_attempts_are_spans_of_their_own_and_children_stay_below_theirs(receiver: Receiver) -> None:
    story = Story()
    first = story.begin("task", call_id=77)
    story.call("under-first", parent=first)
    second = story.begin("task", call_id=77, attempt=1)
    below = story.begin("under-second", parent=second)
    story.end(below)
    story.end(second, "done")
    exported(receiver, asked(story))
    tasks = [span for span in receiver.spans() if span.name == "task"]
    ids = {attributes(span)["embertrace.attempt"]: span.span_id for span in tasks}
    assert ids[0] == (77).to_bytes(8, "big") and len({*ids.values()}) == 2
    assert by_name(receiver)["under-first"].parent_span_id == ids[0]
    assert by_name(receiver)["under-second"].parent_span_id == ids[1]
    again = Receiver("", [])
    with receiving() as other:
        exported(other, asked(story))
        again = other
    assert sorted(span.span_id for span in again.spans()) == sorted(span.span_id for span in receiver.spans())


def test_errors_are_exception_events_and_lost_and_open_calls_say_so(receiver: Receiver) -> None:
    story = Story()
    story.end(story.begin("raised"), error="ValueError")
    open_call = story.begin("open")
    story.call("below", parent=open_call)
    forest = story.forest()
    gone = Story(producer="gone", first_id=500)
    gone.begin("lost")
    for place in gone.events:
        forest.add(*place)
    forest.note_end(gone.producer, 1, 1)
    exported(receiver, OperatorAnalysis(LocalSource(forest)))
    spans = by_name(receiver)
    (event,) = spans["raised"].events
    assert event.name == "exception" and attributes(event)["exception.type"] == "ValueError"
    assert spans["raised"].status.code == Status.STATUS_CODE_ERROR
    assert attributes(spans["raised"])["error.type"] == "ValueError"
    assert attributes(spans["lost"])["error.type"] == "lost"
    assert spans["open"].status.code == Status.STATUS_CODE_UNSET
    assert spans["open"].end_time_unix_nano >= spans["below"].end_time_unix_nano
    assert spans["below"].status.code == Status.STATUS_CODE_OK


def test_calls_whose_parent_was_never_seen_keep_its_id(receiver: Receiver) -> None:
    story = Story()
    phantom = story.begin("phantom")
    story.events.clear()
    story.call("orphan", 1, parent=phantom)
    exported(receiver, asked(story))
    (span,) = receiver.spans()
    assert span.parent_span_id == phantom.call_id.to_bytes(8, "big")
    assert "graph.node.parent_id" not in attributes(span)


def test_foreign_values_and_ids_become_something_every_receiver_takes(receiver: Receiver) -> None:
    events = [
        et.OperatorEvent("op", "t", "s", kind, 1.5, {"operators": []}, data, trace_id=trace, call_id=call)
        for call, trace in (("1", None), ("ab", "c" * 32), ("00000000000000ff", "0" * 32))
        for kind, data in (
            ("call", {"args": ["\ud800", b"\xff", 2**70, float("nan"), {1: {2}}], "kwargs": {"x": object()}}),
            ("result", {"result": {"deep": [[[None]]], "n": float("inf")}}),
        )
    ]
    events.append(
        et.OperatorEvent("op", "t", "s", "metric", 2.0, {}, {"n": 2**70, "ok": True, "why": "\ud800"}, "c" * 32, "ab")
    )
    exported(receiver, OperatorAnalysis(events))
    spans = receiver.spans()
    assert len(spans) == 3 and all(len(span.span_id) == 8 and len(span.trace_id) == 16 for span in spans)
    assert len({span.trace_id for span in spans}) == 3 and not any(span.trace_id == bytes(16) for span in spans)
    assert attributes(spans[0])["input.mime_type"] == "application/json"
    assert '"Infinity"' in attributes(spans[0])["output.value"] or "inf" in attributes(spans[0])["output.value"]
    found = next(span for span in spans if span.events)
    assert {attributes(event)["gen_ai.evaluation.name"] for event in found.events} == {"n", "ok", "why"}


def test_many_calls_go_in_bounded_requests_and_none_sends_nothing(receiver: Receiver) -> None:
    assert exported(receiver, OperatorAnalysis([])).requests == 0 and not receiver.requests
    story = Story()
    for number in range(MAX_SPANS + 1):
        story.call(f"c{number}", number)
    done = exported(receiver, asked(story))
    assert (done.spans, done.requests) == (MAX_SPANS + 1, 2)
    assert len({span.span_id for span in receiver.spans()}) == MAX_SPANS + 1


def test_runs_are_resources_of_their_own(receiver: Receiver) -> None:
    story = Story()
    for run, project in (("r1", "a"), ("r2", None), ("r1", "a")):
        story.run = run
        story.describe_run(run, **({"project": project} if project else {}))
        story.call("op")
    exported(receiver, asked(story))
    projects = [attributes(r.resource)["openinference.project.name"] for r in receiver.resources()]
    assert projects == ["a", "embertrace"] and len(receiver.spans()) == 3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_receivers_are_asked_again_when_they_say(status: int) -> None:
    slept: list[float] = []
    with receiving((status, {"Retry-After": "7"}, b""), (status, {}, b"")) as receiver:
        done = exported(receiver, asked(told()), sleep=slept.append)
    assert slept == [7.0, 1.0] and (done.spans, done.retries, done.requests) == (6, 2, 3)
    assert "2 of them were retries" in str(done)


def test_a_receiver_that_stays_busy_ends_the_export_after_bounded_pauses() -> None:
    slept: list[float] = []
    asks_for_a_day = (503, {"Retry-After": "86400"}, b"")
    with receiving(*[asks_for_a_day] * 9) as receiver, pytest.raises(ExportError, match=r"answered 503.*tried 3 times"):
        exported(receiver, asked(told()), sleep=slept.append, attempts=3)
    assert slept == [30.0, 30.0] and len(receiver.paths) == 3


def test_a_receiver_that_is_down_is_said_in_one_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        slept: list[float] = []
        with pytest.raises(ExportError, match=f"{url}/v1/traces did not take the spans.*refused.*tried 2 times"):
            OtlpExporter(url, attempts=2, sleep=slept.append).export(asked(told()))
    assert slept == [0.5]


def test_a_receiver_that_is_slow_is_given_up_and_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        exporter = OtlpExporter(url, attempts=2, timeout_s=0.05, sleep=lambda _: None)
        with pytest.raises(ExportError, match="timed out"):
            exporter.export(asked(told()))
    assert exporter.exported().retries == 1


def test_one_refused_request_does_not_stop_the_others() -> None:
    story = Story()
    for number in range(MAX_SPANS + 1):
        story.call(f"c{number}", number)
    with receiving((400, {}, b"\x12\x0bbad trace id")) as receiver:
        done = exported(receiver, asked(story))
    assert (done.spans, done.rejected) == (1, MAX_SPANS)
    assert done.reasons == ("status 400 (bad trace id)",) and done.to_data()["rejected"] == MAX_SPANS


def test_a_request_that_is_too_large_is_halved() -> None:
    with receiving((413, {}, b""), (413, {}, b"")) as receiver:
        done = exported(receiver, asked(told()))
    assert (done.spans, done.rejected, done.requests) == (6, 0, 5)
    assert len(receiver.spans()) == 6


def test_spans_that_were_refused_in_part_are_counted() -> None:
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="no quota")
    said = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    with receiving((200, {}, said)) as receiver:
        done = exported(receiver, asked(told()))
    assert (done.spans, done.rejected, done.reasons) == (4, 2, ("no quota",))


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_a_wrong_address_or_no_permission_ends_the_export(status: int) -> None:
    moved = (status, {"Location": "http://elsewhere/"}, b"")
    with receiving(moved) as receiver, pytest.raises(ExportError, match=f"answered {status}"):
        exported(receiver, asked(told()))
    assert len(receiver.paths) == 1


def test_requests_are_compressed_where_that_is_asked_for(receiver: Receiver) -> None:
    assert exported(receiver, asked(told()), compress=True).spans == 6
    assert receiver.headers[0]["Content-Encoding"] == "gzip" and len(receiver.spans()) == 6


def test_headers_are_sent(receiver: Receiver) -> None:
    exported(receiver, asked(told()), headers={"Authorization": "Bearer t"})
    assert receiver.headers[0]["Authorization"] == "Bearer t"


@pytest.mark.parametrize("url", ["", "localhost:4318", "grpc://host:4317", "http://", "http://host:many", "http://h:0"])
def test_unusable_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of an OTLP receiver"):
        OtlpExporter(url)


def test_addresses() -> None:
    assert traces_url("http://h:4318") == traces_url("http://h:4318/") == "http://h:4318/v1/traces"
    assert traces_url("https://h/otel/v1/traces") == "https://h/otel/v1/traces"


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s("12", 0.0) == 12.0
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 20.0) == 40.0
    assert retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT", 20.0) == 0.0
    assert retry_after_s("soon", 0.0) is None and retry_after_s(None, 0.0) is None


def test_no_attempts_are_none() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Poster("http://h", attempts=0, post=lambda body, headers: Answer(200, None, b""))


def test_a_span_can_be_made_alone_for_those_who_send_as_calls_end() -> None:
    from embertrace.interop.otlp_spans import Spans

    analysis = asked(told())
    span = Spans(analysis.selection()).span(analysis.calls[0])
    assert isinstance(span, Span) and span.name == "pipeline"


def test_phoenix_gets_scores_and_labels_as_annotations_after_their_spans() -> None:
    sent: list[tuple[str, bytes]] = []

    def post(body: bytes, headers: Any) -> Answer:
        sent.append((headers["Content-Type"], body))
        return Answer(200, None, b"{}" if headers["Content-Type"] == "application/json" else b"")

    done = OtlpExporter("http://127.0.0.1:1", phoenix=True, post=post).export(asked(told()))
    assert (done.spans, done.evaluations, done.rejected, done.requests) == (6, 2, 0, 2)
    assert "2 scores and labels as annotations" in str(done)
    assert [kind for kind, _ in sent] == ["application/x-protobuf", "application/json"]
    held = json.loads(sent[1][1])["data"]
    assert [(one["name"], one["identifier"], one["result"]) for one in held] == [
        ("truth", "human:ann", {"score": None, "label": "a"}),
        ("accuracy", "embertrace", {"score": 0.5, "label": None}),
    ]


def test_annotations_go_beside_the_traces_and_refusals_are_counted() -> None:
    assert annotations_url("http://h:6006/v1/traces") == "http://h:6006/v1/span_annotations"
    assert annotations_url("https://h/base/v1/traces") == "https://h/base/v1/span_annotations"

    def post(body: bytes, headers: Any) -> Answer:
        return Answer(422 if headers["Content-Type"] == "application/json" else 200, None, b"unprocessable")

    done = OtlpExporter("http://127.0.0.1:1", phoenix=True, post=post).export(asked(told()))
    assert (done.rejected, done.evaluations, done.reasons) == (2, 0, ("annotations: status 422 (unprocessable)",))


def test_headers_from_the_environment_are_as_opentelemetry_has_them() -> None:
    assert headers_of("") == {}
    found = headers_of("Authorization=Bearer%20abc, x-team = a=b,,=no")
    assert found == {"Authorization": "Bearer abc", "x-team": "a=b"}
