"""The starting document, snippet by snippet: what it shows works as it shows it, with the design's rulings."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

import pytest

import embertrace as et
from embertrace import (
    AccuracyMetric,
    Ensemble,
    EventCollector,
    ExecutionContext,
    Operator,
    OperatorAnalysis,
    OperatorEvent,
    OperatorMetadata,
    OperatorMonitor,
    TracedOperator,
    collect_events,
    trace,
    visualize_operator_flow,
)


@trace(stage="members")
class Member(Operator):
    def __init__(self, name: str, answer: str) -> None:
        self.name = name
        self.answer = answer

    def __call__(self, question: str) -> str:
        return self.answer


@trace(stage="ensemble_1")
class Panel(Ensemble):
    def __call__(self, question: str) -> list[str]:
        return super().__call__(question)


@trace(stage="judge_1")
class Chooser(et.Judge):
    def __call__(self, question: str, answers: list[str]) -> str:
        return max(sorted(set(answers)), key=answers.count)


def pipeline(question: str, answers: str) -> str:
    members = [Member(f"m{index}", answer) for index, answer in enumerate(answers)]
    return Chooser()(question, Panel(members)(question))


def test_event_model_has_the_seven_fields_in_order() -> None:
    event = OperatorEvent("m", "member", "stage_1", "call", 1.5, {"operators": []}, {"args": []})
    assert (event.operator_id, event.operator_type, event.stage, event.event_type) == ("m", "member", "stage_1", "call")
    assert (event.timestamp, event.context, event.data) == (1.5, {"operators": []}, {"args": []})


def test_an_event_takes_what_is_not_given_from_the_current_call_and_the_clock() -> None:
    before = time.time()
    with ExecutionContext().operator("a", "ensemble", "ensemble_1"):
        event = OperatorEvent(event_type="metric", data={"accuracy": 1.0})
    assert (event.operator_id, event.operator_type, event.stage) == ("a", "ensemble", "ensemble_1")
    assert before <= event.timestamp <= time.time()
    assert [frame["id"] for frame in event.context["operators"]] == ["a"]


def test_execution_context_stacks_frames_and_takes_them_away() -> None:
    with ExecutionContext().operator("outer", "ensemble", "s1"):
        with pytest.raises(ZeroDivisionError), ExecutionContext().operator("inner", "member", "s2"):
            frames = ExecutionContext.current()["operators"]
            assert [(f["id"], f["type"], f["stage"]) for f in frames] == [
                ("outer", "ensemble", "s1"),
                ("inner", "member", "s2"),
            ]
            1 / 0
        assert len(ExecutionContext.current()["operators"]) == 1
    assert ExecutionContext.current()["operators"] == []


def test_the_traced_operator_written_out_as_in_the_document() -> None:
    class Written:
        def __init__(self, func: Any, metadata: OperatorMetadata) -> None:
            self.func, self.metadata = func, metadata

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            identity = {
                "operator_id": self.metadata.id,
                "operator_type": self.metadata.type_hint,
                "stage": self.metadata.tags.get("stage", "default"),
            }
            with ExecutionContext().operator(self.metadata.id, self.metadata.type_hint, identity["stage"]):
                EventCollector.emit(
                    OperatorEvent(
                        **identity,
                        event_type="call",
                        timestamp=time.time(),
                        context=ExecutionContext.current(),
                        data={"args": args, "kwargs": kwargs},
                    )
                )
                result = self.func(*args, **kwargs)
                EventCollector.emit(OperatorEvent(**identity, event_type="result", data={"result": result}))
                return result

    operator = Written(lambda x: x + 1, OperatorMetadata("plus", "function", {"stage": "s"}))
    with collect_events() as events:
        assert operator(1) == 2
    assert [(e.event_type, e.operator_id, e.stage) for e in events] == [("call", "plus", "s"), ("result", "plus", "s")]
    assert events[0].call_id == events[1].call_id
    assert events[0].data == {"args": [1], "kwargs": {}}
    assert events[1].data == {"result": 2}


def test_traced_operator() -> None:
    operator = TracedOperator(lambda x: x * 2, OperatorMetadata("double", "function", {"stage": "s", "lang": "en"}))
    with collect_events() as events:
        assert operator(4) == 8
    assert [(e.event_type, e.operator_id, e.operator_type, e.stage) for e in events] == [
        ("call", "double", "function", "s"),
        ("result", "double", "function", "s"),
    ]
    assert events[0].context["tags"] == {"lang": "en"}


def test_simple_usage_and_the_three_questions() -> None:
    with collect_events() as events:
        for index, answers in enumerate(["aaa", "aab", "abc", "aab"]):
            with et.item(f"q{index}", truth="a"):
                pipeline("which?", answers)
    analysis = OperatorAnalysis(events)

    assert analysis.stage("ensemble_1").ensemble_disagreement() == pytest.approx((0 + 0.5 + 1 + 0.5) / 4)
    judge_perf = analysis.judge_accuracy_by_agreement()
    assert dict(judge_perf) == {"3/3": 1.0, "2/3": 1.0, "1/3": 1.0}
    assert analysis.accuracy_distribution() == {}
    assert len(analysis.events) == len(events)


def test_accuracy_distribution_is_keyed_by_type_and_stage() -> None:
    with collect_events() as events, ExecutionContext().operator("m", "member", "s1"):
        for value in (1.0, 0.0, 0.5):
            et.score(accuracy=value)
    found = OperatorAnalysis(events).accuracy_distribution()["member:s1"]
    assert (found["mean"], found["samples"]) == (0.5, 3)
    assert found["std"] == pytest.approx(math.sqrt(1 / 6))


def test_events_flow_only_inside_the_block() -> None:
    with collect_events() as events:
        pipeline("in", "ab")
    count = len(events)
    pipeline("out", "ab")
    assert len(events) == count == 8


def test_trace_reads_tags_as_a_mapping_and_changes_nothing() -> None:
    tags = {"stage": "from_tags"}

    class Tagged(Operator):
        metadata = OperatorMetadata("t", "tagged", tags)

        def __call__(self) -> None: ...

    stated, overridden = trace()(Tagged), trace(stage="given")(type("Sub", (Tagged,), {}))
    with collect_events() as events:
        stated()()
        overridden()()
    assert [event.stage for event in events if event.event_type == "call"] == ["from_tags", "given"]
    assert tags == {"stage": "from_tags"}


def test_accuracy_metric_called_and_attached() -> None:
    metric = AccuracyMetric("answer")

    @trace(type="member", stage="s", metrics=[metric])
    def attached(question: dict[str, str]) -> str:
        return "4"

    with collect_events() as events:
        attached({"text": "2+2", "answer": "4"})
        with ExecutionContext().operator("m", "member", "s"):
            assert metric("5", {"answer": "4"}) == 0.0
    assert OperatorAnalysis(events).accuracy_distribution()["member:s"]["mean"] == 0.5


def test_visualize_operator_flow_gives_dot() -> None:
    with collect_events() as events:
        pipeline("q", "aab")
    dot = visualize_operator_flow(events)
    assert dot.startswith("digraph")
    assert "Panel" in dot
    assert "Chooser" in dot


def test_operator_monitor_rolls() -> None:
    monitor = OperatorMonitor(window_size=100)
    try:
        pipeline("q", "ab")
        stats = monitor.get_rolling_stats()
    finally:
        monitor.close()
    assert stats["disagreement_rate"] == 1.0
    assert stats["accuracy_by_stage"] == {}
    pipeline("q", "aa")
    assert monitor.get_rolling_stats()["disagreement_rate"] == 1.0


def test_a_registered_deque_receives_events_until_unregistered() -> None:
    seen: deque[OperatorEvent] = deque(maxlen=3)
    EventCollector.register(seen.append)
    try:
        pipeline("q", "ab")
    finally:
        EventCollector.unregister(seen.append)
    assert len(seen) == 3
    assert [frame["id"] for frame in seen[-1].context["operators"]] == ["Chooser"]
    pipeline("q", "zz")
    assert seen[-1].data == {"result": "a"}
