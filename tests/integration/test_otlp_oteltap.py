"""OTLP export into a receiver that others wrote."""

from __future__ import annotations

import asyncio
from typing import Any

from oteltap.oteltap_http_protobuf_receiver import OtelTapHttpProtobufReceiver
from oteltap.oteltap_http_protobuf_receiver_settings import OtelTapHttpProtobufReceiverSettings

import embertrace as et
from embertrace.interop.otlp import OtlpExporter
from support.otlp_receiver import attributes
from support.ports import free_port


@et.trace(type="member", stage="members")
def member(question: str, answer: str) -> str:
    if answer == "boom":
        raise ValueError("no answer")
    return answer


@et.trace(type="judge", stage="judge_1")
def judge(question: str, answers: list[str]) -> str:
    return answers[0]


def traced() -> et.OperatorAnalysis:
    with et.collect_events() as events, et.item("q-1", truth="yes"), et.operator("pipeline"):
        with et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
            answers = [member("Is it?", answer) for answer in ("yes", "no")]
            try:
                member("Is it?", "boom")
            except ValueError:
                pass
            panel.result(answers)
        judge("Is it?", answers)
        et.score(accuracy=1.0)
    return et.OperatorAnalysis(events)


def test_a_foreign_receiver_takes_the_trace_whole() -> None:
    analysis = traced()

    async def scenario() -> None:
        port = free_port()
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as receiver:
            waiting = {
                name: asyncio.ensure_future(receiver.await_trace(lambda span, name=name: span.name == name, 30))
                for name in ("pipeline", "panel", "judge")
            }
            failed = asyncio.ensure_future(receiver.await_trace(lambda span: span.name == "member" and span.events, 30))
            await asyncio.sleep(0)  # so that they listen
            done = await asyncio.to_thread(OtlpExporter(f"http://127.0.0.1:{port}").export, analysis)
            assert (done.spans, done.rejected) == (6, 0)
            spans = {name: await waiting[name] for name in waiting}
            check(spans["pipeline"], spans["panel"], spans["judge"], await failed)

    def check(pipeline: Any, panel: Any, judged: Any, failed: Any) -> None:
        calls = {call.operator_id: call for call in analysis.calls}
        assert panel.parent_span_id == pipeline.span_id
        assert pipeline.trace_id.hex() == calls["pipeline"].trace_id
        kinds = [attributes(span)["openinference.span.kind"] for span in (pipeline, panel, judged)]
        assert kinds == ["CHAIN", "CHAIN", "EVALUATOR"]
        assert len(judged.links) == 3
        assert failed.events[0].name == "exception"
        assert pipeline.events[0].name == "gen_ai.evaluation.result"

    asyncio.run(scenario())
