"""Chrome traces: the rules of the trace-event format, whatever the calls did."""

from __future__ import annotations

import asyncio
import json
import pathlib
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import embertrace as et
from embertrace.analysis import Forest, LocalSource, OperatorAnalysis
from embertrace.errors import ExportError
from embertrace.interop import chrome
from embertrace.interop.lanes import JITTER_NS, lay_out
from support.forests import Story


def drawn(analysis: OperatorAnalysis, tmp_path: pathlib.Path, **options: Any) -> list[dict[str, Any]]:
    done = chrome.write(analysis, tmp_path / "trace.json", **options)
    trace = json.loads(done.path.read_text(encoding="utf-8"))
    assert set(trace) == {"displayTimeUnit", "otherData", "traceEvents"}
    events = with_slices(trace["traceEvents"])
    check_rules(events)
    return events


def with_slices(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events with a begin and its end as one of kind "X", as who reads them pairs them: by lane, in order."""
    lanes: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    last: dict[tuple[int, int], float] = defaultdict(float)
    found = []
    for event in events:
        lane = event["pid"], event["tid"]
        if event["ph"] not in "BE":
            found.append(event)
            continue
        assert event["ts"] >= last[lane], "begins and ends of a lane come in the order of time"
        last[lane] = event["ts"]
        if event["ph"] == "B":
            lanes[lane].append(event)
        else:
            begin = lanes[lane].pop()
            found.append({**begin, "ph": "X", "dur": event["ts"] - begin["ts"]})
    assert not any(lanes.values()), "what began has an end"
    return found


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == kind]


def nanoseconds(event: dict[str, Any]) -> tuple[int, int]:
    start = round(event["ts"] * 1000)
    return start, round((event["ts"] + event["dur"]) * 1000)


def check_rules(events: list[dict[str, Any]]) -> None:
    """Slices of a lane nest or are apart, every lane has a name, every arrow begins and ends inside a slice."""
    lanes: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and event["name"]
        if event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] > 0
            lanes[event["pid"], event["tid"]].append(nanoseconds(event))
    for slices in lanes.values():
        stack: list[tuple[int, int]] = []
        for start, end in sorted(slices, key=lambda piece: (piece[0], -piece[1])):
            while stack and stack[-1][1] <= start:
                stack.pop()
            assert not stack or end <= stack[-1][1], "two slices of a lane overlap"
            stack.append((start, end))
    named = {(event["pid"], event["tid"]) for event in of_kind(events, "M") if event["name"] == "thread_name"}
    assert set(lanes) == named
    starts, ends = ({event["id"]: event for event in of_kind(events, kind)} for kind in "sf")
    assert starts.keys() == ends.keys() and all(event["bp"] == "e" for event in ends.values())
    for event in (*starts.values(), *ends.values()):
        at, lane = round(event["ts"] * 1000), lanes[event["pid"], event["tid"]]
        assert any(start <= at < end for start, end in lane), "an arrow holds on to nothing"


def bound(events: list[dict[str, Any]], arrow: dict[str, Any]) -> str:
    """The name of the innermost slice that an arrow's end lies in."""
    at = round(arrow["ts"] * 1000)
    around = [
        event
        for event in of_kind(events, "X")
        if (event["pid"], event["tid"]) == (arrow["pid"], arrow["tid"])
        and nanoseconds(event)[0] <= at < nanoseconds(event)[1]
    ]
    return str(min(around, key=lambda event: event["dur"])["name"])


def test_a_run_has_slices_lanes_and_arrows(tmp_path: pathlib.Path) -> None:
    @et.trace(type="member", name="member")
    def member(answer: str) -> str:
        return inner(answer)

    @et.trace
    def inner(answer: str) -> str:
        return answer

    @et.trace(type="judge", name="judge")
    def judge(answers: list[str]) -> str:
        return inner(answers[0])

    with et.collect_events() as events, et.item("q", truth="a"), et.operator("pipeline"):
        with et.operator("panel", type="ensemble"):
            answers = [member(answer) for answer in "ab"]
        judge(answers)
    found = drawn(OperatorAnalysis(events), tmp_path)
    assert {event["tid"] for event in of_kind(found, "X")} == {1}, "one after the other is one lane"
    arrows = [(bound(found, s), bound(found, f)) for s, f in zip(of_kind(found, "s"), of_kind(found, "f"), strict=True)]
    assert arrows == [("member", "judge")] * 2
    pipeline = next(event for event in of_kind(found, "X") if event["name"] == "pipeline")
    assert pipeline["ts"] == 0 and pipeline["args"]["item"] == "q" and pipeline["args"]["outcome"] == "result"


def test_calls_that_overlap_in_one_thread_get_lanes_of_their_own(tmp_path: pathlib.Path) -> None:
    @et.trace(type="member")
    async def member(gate: asyncio.Barrier) -> None:
        await gate.wait()

    async def scenario() -> None:
        gate = asyncio.Barrier(4)
        with et.operator("panel", type="ensemble"):
            await asyncio.gather(*(member(gate) for _ in range(4)))

    with et.collect_events() as events:
        asyncio.run(scenario())
    slices = of_kind(drawn(OperatorAnalysis(events), tmp_path), "X")
    assert len({event["tid"] for event in slices if event["name"] != "panel"}) == 4
    (panel,) = (event for event in slices if event["name"] == "panel")
    assert sum(event["tid"] == panel["tid"] for event in slices) == 2, "the first lies below the panel"


def test_nothing_is_a_valid_trace(tmp_path: pathlib.Path) -> None:
    assert drawn(OperatorAnalysis([]), tmp_path) == []


def test_processes_are_named_and_links_cross_them(tmp_path: pathlib.Path) -> None:
    driver, worker = Story("driver"), Story("worker", first_id=100)
    root = driver.begin("root")
    far = worker.call("far", 1, parent=root, call_id=77)
    driver.end(driver.begin("consumer", parent=root, links=[far]), 2)
    driver.end(root)
    forest = driver.forest()
    for place in worker.events:
        forest.add(*place)
    hosts = {driver.producer: ("node-a", 17)}
    events = drawn(OperatorAnalysis(LocalSource(forest)), tmp_path, processes=hosts)
    names = {event["args"]["name"] for event in of_kind(events, "M") if event["name"] == "process_name"}
    assert names == {"node-a", f"producer {worker.producer.hex()[:8]}"}
    (start,), (end,) = of_kind(events, "s"), of_kind(events, "f")
    assert (bound(events, start), bound(events, end)) == ("far", "consumer") and end["pid"] == 17 != start["pid"]


def test_strange_calls_are_drawn(tmp_path: pathlib.Path) -> None:
    story = Story()
    story.begin("open")
    story.end(story.begin("\ud800", args=["\ud800", b"\xff"]), error="ValueError")
    story.call("far ago", at=-5.0)
    story.call("", 1)
    first = story.begin("task", call_id=7)
    story.end(story.begin("task", call_id=7, attempt=1), "x" * 5000)
    story.call("consumer", links=[first])
    events = drawn(OperatorAnalysis(LocalSource(story.forest())), tmp_path)
    assert len(of_kind(events, "X")) == 7 and len(of_kind(events, "s")) == 1
    assert all(len(json.dumps(event)) < 4000 for event in events)


def test_an_unwritable_place_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ExportError, match="can't be written"):
        chrome.write(OperatorAnalysis([]), tmp_path / "no" / "trace.json")
    assert list(tmp_path.iterdir()) == []


calls = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 40), st.integers(0, 60)), max_size=25)


@given(calls, st.sampled_from([1, JITTER_NS // 3, 10 * JITTER_NS]))
def test_lanes_nest_whatever_overlaps(told: list[tuple[int, int, int]], unit: int) -> None:
    """Calls with any parents, starts and lengths: slices of a lane nest, and none is moved by more than jitter."""
    story = Story()
    begun = [story.begin("root", at=1.0)]
    story.events.clear()
    forest = Forest()
    ended = []
    for parent, start, length in told:
        call = story.begin("c", parent=begun[parent % len(begun)], at=1.0 + start * unit / 1e9)
        begun.append(call)
        ended.append((call, length))
    for call, length in ended:
        story.end(call)
        producer, seq, event = story.events.pop()
        story.events.append((producer, seq, event._replace(duration=length * unit)))
    for place in story.events:
        forest.add(*place)
    slices = list(lay_out(forest.trees.calls))
    assert len(slices) == len(told)
    lanes = defaultdict(list)
    for piece in slices:
        assert 0 <= piece.start - piece.call.start_ns <= JITTER_NS and piece.end > piece.start
        lanes[piece.lane].append((piece.start, piece.end))
    assert set(lanes) == set(range(len(lanes)))
    for pieces in lanes.values():
        stack: list[tuple[int, int]] = []
        for start, end in sorted(pieces, key=lambda piece: (piece[0], -piece[1])):
            while stack and stack[-1][1] <= start:
                stack.pop()
            assert not stack or end <= stack[-1][1]
            stack.append((start, end))


@pytest.mark.parametrize(
    ("giver", "consumer", "arrow"),
    [
        ((0, 5), (5, 9), (4, 5)),
        ((2, 5), (0, 9), (4, 8)),
        ((2, 9), (0, 5), (2, 4)),
        ((5, 9), (0, 5), None),
        ((0, 1), (0, 1), (0, 0)),
    ],
    ids=["one after the other", "consumed while it ran", "ended before", "back in time", "one nanosecond"],
)
def test_arrows_never_go_back_in_time(
    giver: tuple[int, int], consumer: tuple[int, int], arrow: tuple[int, int] | None
) -> None:
    assert chrome.arrow_of(giver, consumer) == arrow
