"""W3C trace context in and out, and links stated by hand."""

from __future__ import annotations

import logging
import re

import pytest

import embertrace as et
from embertrace.analysis.source import LocalSource
from embertrace.continuation import tell_links
from embertrace.errors import WireError
from embertrace.wire.event import unpack_event
from embertrace.wire.traceparent import pack_traceparent, unpack_traceparent
from support.forests import Placed, Story, grown

HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the example of the W3C recommendation


@et.trace(type="member", stage="members", answer=lambda result: result[0])
def member(answer: str) -> tuple[str, str | None]:
    return answer, et.call_id()


@et.trace(type="judge", stage="judge_1")
def judge(answers: list[str], sources: list[str]) -> str:
    et.link(*sources)
    return max(sorted(answers), key=answers.count)


def test_a_trace_that_began_elsewhere_continues_here() -> None:
    with et.collect_events() as events, et.continue_trace(HEADER):
        member("a")
        member("b")
    calls = [event for event in events if event.event_type == "call"]
    assert {event.trace_id for event in events} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert [event.parent_call_id for event in calls] == ["00f067aa0ba902b7"] * 2
    assert [frame["id"] for frame in calls[0].context["operators"]] == ["external", "member"]
    analysis = et.OperatorAnalysis(events)
    assert [call.parent for call in analysis.calls] == [None, None]
    assert analysis.health()["missing"] == 0


def test_a_trace_continues_elsewhere_below_the_current_call() -> None:
    with et.collect_events() as events, et.operator("outer"):
        header = et.traceparent()
    assert header == f"00-{events[0].trace_id}-{events[0].call_id}-01"
    with et.collect_events() as below, et.continue_trace(header):
        member("a")
    assert [tree.operator_id for tree in et.OperatorAnalysis([*events, *below]).trees] == ["outer"]


def test_what_came_in_goes_out_again() -> None:
    with et.collect_events(), et.continue_trace(HEADER):
        assert et.traceparent() == HEADER


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        HEADER.upper(),
        HEADER[:-3],
        "ff" + HEADER[2:],
        HEADER + "-more",
        "00-" + "0" * 32 + HEADER[35:],
        "00-" + "g" * 32 + HEADER[35:],
    ],
)
def test_an_unusable_header_is_said_and_changes_nothing(header: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "embertrace"), et.collect_events() as events, et.continue_trace(header):
        member("a")
    assert "unusable header" in caplog.text
    assert events[0].parent_call_id is None


def test_headers_of_later_versions_are_read_as_far_as_they_are_known() -> None:
    assert unpack_traceparent("cc" + HEADER[2:] + "-more").parent == 0x00F067AA0BA902B7
    assert pack_traceparent(*unpack_traceparent(HEADER)) == HEADER
    with pytest.raises(WireError, match="must look like"):
        unpack_traceparent("00")


def test_nothing_is_done_where_nothing_is_traced() -> None:
    with et.continue_trace(None):
        assert et.traceparent() is None
        assert et.call_id() is None
        et.link("00f067aa0ba902b7")
        assert member("a") == ("a", None)


def test_links_by_hand_tell_what_a_judge_judged() -> None:
    with et.collect_events() as events:
        stored = []
        for number, answers in enumerate(["aaa", "aab"]):
            with et.item(number, truth="a"):
                stored.append([member(answer) for answer in answers])
        for number, found in reversed(list(enumerate(stored))):
            with et.item(number, truth="a"):
                judge([answer for answer, _ in found], [source for _, source in found if source])
    analysis = et.OperatorAnalysis(events)
    assert dict(analysis.judge_accuracy_by_agreement()) == {"3/3": 1.0, "2/3": 1.0}
    assert analysis.accuracy_distribution() == {}
    assert analysis.health()["unlinked"] == 0


@pytest.mark.parametrize("source", ["not hex", "", 7, None, "0" * 17])
def test_links_to_what_is_no_call_are_refused(source: object) -> None:
    with et.collect_events(), et.operator("outer"), pytest.raises(TypeError, match=re.escape("link() takes ids")):
        et.link(source)


class Kept:
    """A sink that keeps what it gets, as events of one producer."""

    def __init__(self) -> None:
        self.placed: list[Placed] = []

    def put(self, packed: bytes) -> None:
        self.placed.append((b"beside".ljust(16), len(self.placed) + 1, unpack_event(packed)))


def test_what_is_linked_beside_a_call_is_of_the_attempt_that_counts() -> None:
    """Whoever submitted the judge, as `linked` does, knows nothing of its second attempt."""
    story, beside = Story(), Kept()
    panel = story.ensemble("aab")
    tried = [story.begin("chooser", "judge", attempt=attempt, call_id=900, follows=0) for attempt in (0, 1)]
    story.end(tried[0], error="ValueError")
    story.end(tried[1], "a")
    tell_links((panel.call_id,), 900, None, None, beside)
    forest = grown([*story.events, *beside.placed])
    asked = et.OperatorAnalysis(LocalSource(forest)).type("judge")
    assert asked.unlinked() == [] and [call.links for call in asked.calls] == [(panel.call_id,)]
    every = et.OperatorAnalysis(LocalSource(forest), attempts="all").type("judge").calls
    assert [(call.attempt, call.links) for call in every] == [(0, ()), (1, (panel.call_id,))]
