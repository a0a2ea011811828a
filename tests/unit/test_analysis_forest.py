"""Events of many producers become calls: pairing, attempts, parents, contexts, runs, progress, gaps."""

from __future__ import annotations

import numpy as np

from embertrace.analysis.forest import Forest
from embertrace.analysis.verbs import ask
from embertrace.event import Frame
from embertrace.payload import pack
from embertrace.wire.context import Added, pack_context
from support.forests import Story, grown


def outcomes(forest: Forest) -> dict[str, str]:
    return {call.operator_id: call.outcome for call in forest.trees.calls}


def test_a_call_has_what_its_two_events_say() -> None:
    story = Story(run="r1")
    root = story.begin("pipeline", item={"key": "q1", "truth": "a"}, tags={"lang": "en"}, args=["why?"])
    story.call("step", "a", parent=root, tags={"lang": "de", "k": 1})
    story.end(root, "a")
    pipeline, step = story.forest().trees.calls
    assert (pipeline.operator_id, pipeline.outcome, pipeline.args, pipeline.result) == (
        "pipeline",
        "result",
        ["why?"],
        "a",
    )
    assert (pipeline.duration_s, pipeline.slots, pipeline.children) == (1e-6, 1, [step])
    assert (step.parent, step.root, step.run, step.item["key"]) == (pipeline, pipeline, "r1", "q1")
    assert step.tags == {"lang": "de", "k": 1}
    assert pipeline.tags == {"lang": "en"}


def test_a_second_sighting_changes_nothing() -> None:
    story = Story()
    story.ensemble("aab")
    twice = grown([*story.events, *story.events])
    assert twice.events == len(story.events)
    assert twice.progress() == story.forest().progress()


def test_errors_and_calls_without_an_end() -> None:
    story = Story()
    story.begin("waiting")
    story.end(story.begin("broken"), error="ValueError")
    forest = story.forest()
    assert outcomes(forest) == {"waiting": "open", "broken": "error"}
    assert [call.error and call.error["type"] for call in forest.trees.calls] == [None, "ValueError"]
    forest.note_end(story.producer, 1, len(story.events))
    assert outcomes(forest) == {"waiting": "lost", "broken": "error"}
    assert forest.progress()["lost"] == 1


def test_a_lost_call_whose_end_arrives_later_is_no_longer_lost() -> None:
    story = Story()
    call = story.begin("slow")
    forest = story.forest()
    forest.note_end(story.producer, 1, len(story.events))
    assert outcomes(forest) == {"slow": "lost"}
    story.end(call, 1)
    forest.add(*story.events[-1])
    assert outcomes(forest) == {"slow": "result"}


def test_the_highest_attempt_that_ended_counts_and_children_of_others_are_left_out() -> None:
    story = Story()
    for attempt, ends in ((0, False), (1, True), (2, False)):
        call = story.begin("task", attempt=attempt, call_id=77)
        story.call(f"child{attempt}", parent=call)
        if ends:
            story.end(call, "done")
    forest = story.forest()
    assert [(call.operator_id, call.attempt) for call in forest.trees.calls] == [("task", 1), ("child1", 0)]
    assert forest.trees.by_id[77].result == "done"


def test_with_every_attempt_an_id_still_names_the_attempt_that_counts() -> None:
    story = Story()
    for attempt, ends in ((0, False), (1, True), (2, False)):
        call = story.begin("task", attempt=attempt, call_id=77)
        if ends:
            story.end(call, "done")
    forest = story.forest()
    assert [call.attempt for call in forest.trees_of(every_attempt=True).calls] == [0, 1, 2]
    assert forest.trees_of(every_attempt=True).by_id[77].attempt == forest.trees.by_id[77].attempt == 1


def test_without_any_end_the_highest_attempt_counts() -> None:
    story = Story()
    for attempt in (0, 3, 1):
        story.begin("task", attempt=attempt, call_id=7)
    assert [call.attempt for call in story.forest().trees.calls] == [3]


def test_a_parent_that_never_emitted_stays_as_frames() -> None:
    story = Story()
    ghost = story.begin("ghost", "ensemble", "s")
    story.call("child", parent=ghost)
    frames = (Frame("ghost", "ensemble", "s", ghost.call_id),)
    producer, seq, event = story.events[1]
    forest = grown([(producer, seq, event._replace(context=pack_context(Added(frames=frames)))), story.events[2]])
    (child,) = forest.trees.calls
    assert (child.parent, child.ancestors) == (None, frames)
    assert forest.progress()["roots"] == 0


def test_circles_end_and_their_calls_become_roots() -> None:
    story = Story()
    selfish = story.begin("selfish", call_id=5)
    below = story.begin("below", parent=selfish)
    one, two = story.begin("one", call_id=8), story.begin("two", call_id=9)
    events = list(story.events)
    parents = {0: 5, 2: 9, 3: 8}
    for place, parent in parents.items():
        producer, seq, event = events[place]
        events[place] = (producer, seq, event._replace(parent_call_id=parent))
    forest = grown(events)
    assert {call.operator_id for call in forest.trees.roots} == {"selfish", "one", "two"}
    assert forest.trees.by_id[below.call_id].parent is forest.trees.by_id[5]
    assert not forest.trees.by_id[one.call_id].children
    assert not forest.trees.by_id[two.call_id].children


def test_a_chain_deeper_than_python_recursion() -> None:
    story = Story()
    call = story.begin("c")
    for _ in range(5000):
        call = story.begin("c", parent=call)
    assert len(story.forest().trees.calls) == 5001


def test_scores_merge_in_time_order_whatever_the_order_of_arrival() -> None:
    story = Story()
    call = story.call("m", "a")
    story.score(call, accuracy=0.1, usd=1)
    story.score(call, accuracy=0.9)
    for events in (story.events, story.events[::-1]):
        assert grown(events).trees.by_id[call.call_id].scores == {"accuracy": 0.9, "usd": 1}


def test_progress_counts_what_is_open_and_what_was_never_seen() -> None:
    story = Story(run="r")
    root = story.begin("root")
    story.call("seen", parent=root)
    story.begin("open", parent=root)
    story.end(root, missing=2)
    other = Story("other", run="s", first_id=1000)
    other.call("else")
    forest = grown([*story.events, *other.events])
    assert forest.progress("r") == {"calls": 3, "open": 1, "lost": 0, "missing": 2, "roots": 1, "events": 5}
    assert forest.progress() == {"calls": 4, "open": 1, "lost": 0, "missing": 2, "roots": 2, "events": 7}
    assert forest.progress("none") == dict.fromkeys(("calls", "open", "lost", "missing", "roots", "events"), 0)


def test_runs_are_merged_and_their_fate_is_known() -> None:
    first, second, third = Story("a", run="r1"), Story("b", run="r2", first_id=100), Story("c", run="r3", first_id=200)
    first.describe_run("r1", name="nightly", status="running", config={"k": 3})
    first.call("x")
    first.describe_run("r1", status="finished", roots=1)
    second.describe_run("r2", name="crashing", status="running")
    third.call("y")
    forest = grown([*third.events, *second.events, *first.events[::-1]])
    forest.note_end(second.producer, 1, len(second.events))
    runs = {run["id"]: run for run in forest.runs()}
    assert (runs["r1"]["status"], runs["r1"]["name"], runs["r1"]["roots"], runs["r1"]["calls"]) == (
        "finished",
        "nightly",
        1,
        1,
    )
    assert runs["r1"]["config"] == {"k": 3}
    assert (runs["r2"]["status"], runs["r3"]["status"]) == ("crashed", "unknown")


def test_overlapping_gaps_count_once() -> None:
    forest = Forest()
    for first, count in ((5, 10), (10, 10), (5, 10), (100, 1), (7, 0)):
        forest.note_gap(b"p", first, count)
    assert forest.gaps == 16


def test_undecodable_data_and_times_leave_a_call_standing() -> None:
    story = Story()
    story.call("m", "a")
    events = [(p, s, event._replace(data=b"\xc1", timestamp=float("nan"))) for p, s, event in story.events]
    (call,) = grown(events).trees.calls
    assert (call.args, call.result, call.timestamp) == (None, None, 0)


def test_nothing_is_nothing() -> None:
    forest = Forest()
    assert (forest.trees.calls, forest.runs(), forest.gaps) == ([], [], 0)
    assert set(forest.progress().values()) == {0}


def test_a_forest_goes_on_without_the_last_event_that_no_column_holds() -> None:
    story = Story()
    for operator in ("kept", "left"):
        story.end(story.begin(operator), 1)
    *events, (producer, seq, last) = story.events
    forest = grown([*events, (producer, seq, last._replace(timestamp=1 << 63))])
    found = forest.going_on(np.array([0, 1]), lambda columns: np.ones(len(columns.kind), bool))
    assert [call.operator_id for call in found.trees.calls] == ["kept"]


def test_what_questions_keep_of_items_and_texts_counts_as_memory() -> None:
    """Else a process that is told how much it may take takes more."""

    def told(count: int) -> int:
        story = Story(run="r")
        for key in range(count):
            long = f"{key:0200}"
            story.call("m", {"text": long}, item={"key": long, "truth": [long], "epoch": key}, tags={"t": long})
        forest = story.forest()
        forest.flush()
        before = forest.nbytes
        for verb in ("items", "judge_accuracy"):
            ask(forest, {"verb": verb, "options": {"pool": True}})
        ask(forest, {"verb": "outcomes", "options": {"on": "calls"}})
        after = forest.nbytes
        ask(forest, {"verb": "outcomes", "options": {"on": "calls"}})
        assert forest.nbytes == after
        return after - before

    of_one, of_many = told(1), told(101)
    item = len(pack({"key": "0" * 200, "truth": ["0" * 200], "epoch": 0}))
    tags, text, unit, identity, truth = (200 + len for len in (3, 10, 5, 3, 3))
    assert (of_many - of_one) / 100 > item + tags + text + unit + identity + truth
