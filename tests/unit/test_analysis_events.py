"""OperatorAnalysis over what users have: events made by hand, lists of collected events, another source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from embertrace.analysis.compare import compare
from embertrace.analysis.forest import Forest
from embertrace.analysis.operator_analysis import OperatorAnalysis
from embertrace.analysis.source import LocalSource, events_of
from embertrace.errors import QueryError
from embertrace.event import EventType, OperatorEvent
from embertrace.wire.event import pack_event
from support.forests import Story, grown


def frame(name: str, kind: str, stage: str) -> dict[str, Any]:
    return {"id": name, "type": kind, "stage": stage}


PANEL = frame("panel", "ensemble", "ensemble_1")


def event(operator: dict[str, Any], kind: EventType, data: Any, *above: dict[str, Any], **more: Any) -> OperatorEvent:
    """An event as the first design shows it: seven fields, no ids."""
    context = {"operators": [*above, operator], **more}
    return OperatorEvent(operator["id"], operator["type"], operator["stage"], kind, 1.0, context, data)


def told(answers: str, correct: bool | None = None, panel_ends: bool = False, **more: Any) -> list[OperatorEvent]:
    events = [
        event(frame(f"m{place}", "member", "members"), "result", {"result": value}, PANEL, **more)
        for place, value in enumerate(answers)
    ]
    if panel_ends:
        events.append(event(PANEL, "result", {"result": list(answers)}, **more))
    if correct is not None:
        events.append(event(frame("j", "judge", "judge_1"), "result", {"result": "a", "correct": correct}, **more))
    return events


@pytest.mark.parametrize("panel_ends", [False, True])
def test_events_without_ids_in_the_order_of_a_program(panel_ends: bool) -> None:
    events = [*told("aaa", True, panel_ends), *told("aab", False, panel_ends), *told("abc", True, panel_ends)]
    asked = OperatorAnalysis(events)
    assert asked.ensemble_disagreement() == 0.5
    assert asked.stage("ensemble_1").ensemble_disagreement().n == 3
    assert asked.stage("members").ensemble_disagreement() == 0.5
    assert asked.judge_accuracy_by_agreement() == {"3/3": 1.0, "2/3": 0.0, "1/3": 1.0}
    assert list(asked.events) == events
    assert [found.operator_id for found in asked.stage("judge_1").events] == ["j"] * 3


def test_events_without_ids_are_told_apart_by_item_whatever_their_order() -> None:
    stories = [told(answers, True, item={"key": answers}) for answers in ("aaa", "aab", "abc")]
    mixed = [found for step in zip(*stories, strict=True) for found in step]
    assert OperatorAnalysis(mixed).ensemble_disagreement() == 0.5
    assert list(OperatorAnalysis(mixed).judge_accuracy_by_agreement()) == ["3/3", "2/3", "1/3"]


def test_calls_and_results_without_ids_pair_up() -> None:
    member = frame("m", "member", "s")
    events = [event(member, kind, data) for kind, data in (
        ("call", {"args": [1]}), ("result", {"result": "a"}), ("call", {"args": [2]}),
        ("error", {"error": {"type": "E"}}),
        ("metric", {"accuracy": 1.0}), ("call", {"args": [3]}),
    )]  # fmt: skip
    asked = OperatorAnalysis(events)
    assert [(call.args, call.outcome) for call in asked.calls] == [([1], "result"), ([2], "error"), ([3], "open")]
    assert [call.scores for call in asked.calls] == [{}, {"accuracy": 1.0}, {}]


def test_metrics_by_hand_need_no_call() -> None:
    events = [OperatorEvent("m", "member", "s", "metric", 1.0, {}, {"accuracy": value}) for value in (1, 0)]
    assert OperatorAnalysis(events).accuracy_distribution() == {"member:s": {"mean": 0.5, "std": 0.5, "samples": 2}}


def test_a_frame_with_a_call_id_is_the_parent() -> None:
    story = Story()
    panel = story.begin("panel", "ensemble", "e")
    story.end(panel)
    known = {**frame("panel", "ensemble", "e"), "call_id": f"{panel.call_id:016x}"}
    events = [*events_of(story.forest())]
    events += [event(frame(name, "member", "m"), "result", {"result": name}, known) for name in "ab"]
    assert OperatorAnalysis(events).ensemble_disagreement() == 1.0


def rich_story() -> Story:
    story = Story(run="r")
    story.question("q0", "aab", "b", "a", group="g")
    story.question("q1", ["a", ValueError, None], "a", "a")
    story.score(story.call("m", 1, tags={"k": "v"}), accuracy=0.3)
    return story


def test_decoded_events_answer_as_the_wire_events_did() -> None:
    story = rich_story()
    wired = OperatorAnalysis(LocalSource(story.forest()))
    decoded = OperatorAnalysis(list(wired.events))
    for one, other in ((wired.items(), decoded.items()), (wired.judge_lift(), decoded.judge_lift()),
                       (wired.operators(), decoded.operators()), (wired.show("q0"), decoded.show("q0"))):  # fmt: skip
        assert one.to_data() == other.to_data()


class Packed:
    """What a list of collected events is to an analysis."""

    def __init__(self, story: Story, broken: int = 0) -> None:
        self.story, self.broken = story, broken

    def packed(self) -> Iterator[tuple[bytes, int, bytes]]:
        for producer, seq, raw in self.story.events:
            yield producer, seq, pack_event(raw)
        for seq in range(self.broken):
            yield b"x" * 16, seq, b"\xc1"


def test_packed_events_are_taken_as_they_are() -> None:
    story = rich_story()
    asked = OperatorAnalysis(Packed(story, broken=2))  # type: ignore[arg-type]
    assert asked.items() == OperatorAnalysis(LocalSource(story.forest())).items()
    assert asked.health()["undecodable"] == 2


class Elsewhere:
    """A source over plain data only, as one behind RPC is."""

    def __init__(self, story: Story) -> None:
        self._local = LocalSource(story.forest())
        self.asked: list[Any] = []

    def answer(self, query: Any) -> Any:
        self.asked.append(query)
        return self._local.answer(query)

    def events(self) -> Any:
        return self._local.events()

    def forest(self) -> Forest:
        return self._local.forest()


def test_another_source_has_the_same_questions_and_takes_no_callables() -> None:
    source = Elsewhere(rich_story())
    asked = OperatorAnalysis(source)
    assert asked.stage("ensemble_1").ensemble_disagreement(answer="str").n == 1
    query = {"verb": "ensemble_disagreement", "filters": [["stage", "ensemble_1"]], "options": {"answer": "str"}}
    assert source.asked == [query]
    assert repr(asked) == "OperatorAnalysis(events)"
    assert [call.operator_id for call in asked.type("judge").calls] == ["chooser", "chooser"]
    with pytest.raises(QueryError, match="works locally only"):
        asked.where(lambda call: True).items()
    with pytest.raises(QueryError, match="answer=<callable> works locally only"):
        asked.items(answer=len)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(QueryError, match="element 1 is a dict"):
        OperatorAnalysis([told("a")[0], {}]).items()  # type: ignore[list-item]


def judged(correct: str, run: str, **about: Any) -> OperatorAnalysis:
    """One item per character: 1 right, 0 wrong."""
    story = Story(run=run)
    story.describe_run(run, status="finished", **about)
    for key, mark in enumerate(correct):
        story.question(key, "ab", "a" if mark == "1" else "b", "a")
    return OperatorAnalysis(LocalSource(story.forest()))


def test_compare_is_paired_by_item() -> None:
    before, after = judged("1100110010", "r1", config={"k": 3}), judged("111111111", "r2", config={"k": 5})
    found = before.compare(after)
    assert (found.n, found.only_before, found.only_after, found.test) == (9, 0, 4, "exact McNemar")
    assert found.p_value == 0.125
    assert found.difference == pytest.approx(4 / 9)
    assert found.interval[0] < found.difference < found.interval[1]
    assert [flip["item"] for flip in found.flips] == [2, 3, 6, 7]
    assert found.unmatched == ([9], [])
    assert found.config == {"k": (3, 5)}
    assert "+0.4444" in repr(found)
    assert after.compare(before).difference == -found.difference
    assert before.compare(after, on="majority").difference == 0


def test_compare_averages_epochs_and_says_when_a_run_goes_on() -> None:
    def side(marks: list[str], status: str) -> OperatorAnalysis:
        story = Story(run="r")
        story.describe_run("r", status=status)
        for key, epochs in enumerate(marks):
            for epoch, mark in enumerate(epochs):
                story.question(key, "ab", "a" if mark == "1" else "b", "a", epoch=epoch)
        return OperatorAnalysis(LocalSource(grown(story.events)))

    found = side(["110", "000", "111"], "finished").compare(side(["111", "100", "111"], "running"))
    assert found.test == "sign-flip permutation"
    assert found.difference == pytest.approx(2 / 9)
    assert found.notes == ("p is interim: r not finished",)


def test_comparing_what_has_nothing_in_common() -> None:
    found = compare([{"item": 1, "n": 1, "correct": 1.0, "failed": 0}], [])
    assert (found.n, found.test, found.unmatched) == (0, "no joined items", ([1], []))
