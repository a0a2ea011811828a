"""What the analyst does with more than fits its memory: cut, read again, late events, pieces, what is kept."""

from __future__ import annotations

import gc
import pathlib
import pickle
import weakref
from typing import Any

import pytest

from aggregator import browse
from aggregator.parts import Parts
from embertrace.analysis.forest import Forest
from embertrace.analysis.trees import Trees
from embertrace.analysis.verbs import understood
from embertrace.event import CALL, call_hex
from embertrace.recording import Record, Recording, Retention
from embertrace.recording.retention import Limits
from support.forests import Placed, Story, grown
from support.laws import questions
from support.parts import TINY, alike, batched, both, record
from support.recordings import ticking


def told() -> Story:
    """Questions with truths; retries, scores, labels, a judge beside its ensemble, an open call, a debate."""
    story = Story("one", run="r")
    story.describe_run("r", name="nightly")
    open_call = story.begin("waits", item={"key": "w"})
    for key in range(12):
        story.question(key % 8, ["a", "b", "a", None, ValueError][key % 3 :], "a", "b" if key % 2 else "a")
        story.judge("a", follows=story.ensemble(["a", "b"]))
        story.judge("b", links=[story.ensemble(["a", "b"])], follows=0)
    for attempt in (0, 1):
        root = story.begin("pipeline", args=["x"], attempt=attempt, call_id=9000)
        for _ in range(2):
            story.ensemble(["x", "y"], parent=root)
        story.judge("x", parent=root)
    story.end(root, error="ValueError")
    story.score(root, accuracy=0.5, correct=True, usd=0.1, tokens_in=3)
    story.end(open_call, "late")
    story.label(1, "b", by="ann")
    story.label(2, "c", by="bob")
    story.begin("open")
    return story


SMALL = 20_000
"""Bytes: room for a judge beside the ensemble that it judged outside any call, just before."""


@pytest.fixture
def one_by_one(tmp_path: pathlib.Path) -> tuple[Forest, Parts, list[Placed]]:
    events = told().events
    return *both(record(tmp_path / "rec", batched(events, 5)), SMALL), events


def test_every_question_has_the_answer_of_one_forest(one_by_one: tuple[Forest, Parts, list[Placed]]) -> None:
    whole, parts, events = one_by_one
    assert len(parts) > 2 and parts.live.rows < len(events) / 2
    alike(whole, parts, questions(events), [])
    alike(whole, parts, [("health", {}), ("items", {}), ("judge_lift", {})], [["run", "nightly"]])


def test_several_runs_are_pooled_as_silently_as_in_one_forest(tmp_path: pathlib.Path) -> None:
    first, second = Story("one", run="r1"), Story("two", run="r2", first_id=10_000)
    for story in (first, second):
        story.describe_run(story.run or "", name=f"named {story.run}")
        for key in range(6):
            story.question(key, ["a", "b"], "a", "a")
    whole, parts = both(record(tmp_path / "rec", batched([*first.events, *second.events], 5)))
    assert len(parts) > 1
    asked: list[tuple[str, dict[str, Any]]] = [
        ("judge_accuracy", {}),
        ("judge_accuracy", {"pool": True}),
        ("runs", {}),
        ("items", {"pool": True}),
        ("no such", {}),
        ("failures", {"outcome": "none"}),
    ]
    alike(whole, parts, asked, [])
    alike(whole, parts, asked, [["run", "named r2"]])


def test_of_several_shares_parts_refuse_what_one_forest_refuses(tmp_path: pathlib.Path) -> None:
    story = Story("one", run="r")
    for key, share in enumerate([0.1, 0.5, 0.1, 0.5, 0.1, 0.1]):
        story.share = share
        story.question(key, ["a", "b"], "a", "a")
        failed = story.begin("fails", item={"key": key}, share=0.0)
        story.end(failed, error="ValueError")
    whole, parts = both(record(tmp_path / "rec", batched(story.events, 5)))
    assert len(parts) > 1
    asked: list[tuple[str, dict[str, Any]]] = [
        ("judge_accuracy", {}),
        ("stages", {}),
        ("health", {}),
        ("failures", {"outcome": "error"}),
    ]
    alike(whole, parts, asked, [])
    alike(whole, parts, asked, [["share", 0.5]])
    assert len(parts.ask({"verb": "failures", "options": {"outcome": "error"}}).to_data()["rows"]) == 6


def test_what_its_producer_left_open_is_lost_also_in_parts(tmp_path: pathlib.Path) -> None:
    story = Story("one", run="r")
    for key in range(6):
        story.question(key, ["a", "b"], "a")
        story.begin("left", item={"key": key})
    recording = record(tmp_path / "rec", batched(story.events, 5), ended=[story])
    whole, parts = both(recording)
    alike(whole, parts, [("health", {}), ("failures", {"outcome": "lost"}), ("runs", {})], [])


def test_late_events_and_labels_reach_parts_that_were_asked_before(tmp_path: pathlib.Path) -> None:
    story = Story("one", run="r")
    for key in range(8):
        story.question(key, ["a", "b", "a"], "a")
    early = len(story.events)
    first = next(event for *_, event in story.events if event.operator_type == "judge")
    story.label(0, "a", by="ann")
    label, score = early, early + 1
    story.score(correct=False)
    producer, seq, event = story.events[score]
    story.events[score] = (
        producer,
        seq,
        event._replace(trace_id=first.trace_id, call_id=first.call_id, operator_type="judge"),
    )
    recording = record(tmp_path / "rec", batched(story.events, 1))
    whole, parts = Forest(), Parts(recording, TINY)
    asked: list[tuple[str, dict[str, Any]]] = [("judge_accuracy", {}), ("accuracy_distribution", {}), ("items", {})]
    for place, item in enumerate(recording.records()):
        assert isinstance(item, Record)
        parts.take(item)
        whole.add_batch(item.producer, item.first_seq, item.count, item.payload)
        if place >= early - 1:
            alike(whole, parts, asked, [])
    assert place == score > label and len(parts)


def test_a_question_asked_again_reads_nothing_again(
    one_by_one: tuple[Forest, Parts, list[Placed]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, parts, _ = one_by_one
    query = {"verb": "judge_accuracy", "filters": [["run", "r"]]}
    expected = parts.ask(query).to_data()
    reads: list[object] = []
    monkeypatch.setattr(Recording, "records", lambda *_: reads.append(1) or iter(()))
    assert parts.ask(query).to_data() == expected and not reads


@pytest.mark.parametrize("attempts", ["selected", "all"])
def test_no_state_of_a_question_holds_on_to_its_part(attempts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Trees) -> Any:
        raise AssertionError("trees travel with a state")

    monkeypatch.setattr(Trees, "__reduce__", refuse, raising=False)
    story = Story("one", run="r")
    for key in range(2):
        story.question(key, ["a", "b", None, ValueError], "a", "b" if key else "a")
    story.score(story.ensemble(["x", "y"]), accuracy=0.5, usd=0.1)
    story.label(1, "b", by="ann")
    events = [*story.events]
    whole = grown(events)
    gc.freeze()
    for name, options in questions(events):
        question = understood({"verb": name, "options": {**options, "attempts": attempts, "pool": True}})
        forest = grown(events)
        left = weakref.ref(forest.trees), weakref.ref(forest.table)
        state = pickle.loads(pickle.dumps(question.of(forest)))
        del forest
        gc.collect()
        assert [ref() for ref in left] == [None, None], name
        found, expected = question.finish(state, whole), question.finish(question.of(whole), whole)
        assert found.to_data() == expected.to_data(), name
    gc.unfreeze()


def test_trees_items_and_calls_are_found_in_every_part(one_by_one: tuple[Forest, Parts, list[Placed]]) -> None:
    _, parts, events = one_by_one
    alone = Parts(parts._recording, 1 << 30)
    for item in parts._recording.records():
        alone.take(item)
    assert not len(alone)
    rows = parts.ask({"verb": "items", "options": {"pool": True}})
    for row in rows:  # type: ignore[attr-defined]
        params = {"item": row["item"], "attempts": "all"}
        found = browse.trace(parts, params)
        assert found["rows"] and found == browse.trace(alone, params)
    for *_, event in events:
        if event.type == CALL and event.trace_id is not None:
            for params in ({"trace": event.trace_id.hex()}, {"call": call_hex(event.call_id), "limit": 2}):
                assert browse.trace(parts, params) == browse.trace(alone, params)
            asked = {"call": call_hex(event.call_id), "attempt": event.attempt}
            assert browse.call(parts, asked) == browse.call(alone, asked)
    assert browse.trace(parts, {"trace": "none"}) == browse.trace(parts, {"item": "none"}) == {"rows": [], "next": None}


def test_a_trace_larger_than_memory_is_counted_in_pieces(tmp_path: pathlib.Path) -> None:
    story = Story("one", run="r")
    root = story.begin("session")
    for key in range(900):
        question = story.begin("pipeline", parent=root, item={"key": key, "truth": "a"})
        story.judge("a" if key % 3 else "b", parent=question)
        story.end(question)
    story.end(root)
    whole, parts = both(record(tmp_path / "rec", batched(story.events, 20)), 300_000)
    assert len(parts) > 1
    found = parts.ask({"verb": "judge_accuracy", "filters": [["run", "r"]]})
    assert found.n == 900 and float(found) == pytest.approx(2 / 3)  # type: ignore[attr-defined, arg-type]
    assert found.notes == ("traces too large for memory, counted in pieces: 1",)
    assert parts.progress("r") == whole.progress("r") and parts.progress(None) == whole.progress()
    pages = [browse.trace(parts, {"trace": root.trace.hex(), "limit": 1000, "cursor": at}) for at in (0, 1000)]
    assert pages[1]["next"] is None
    shown = {row["call_id"] for page in pages for row in page["rows"]}
    assert shown == {call_hex(call.call_id) for call in whole.trees.calls}


def test_parts_that_retention_removed_say_nothing(tmp_path: pathlib.Path) -> None:
    story = Story("one", run="r")
    for key in range(12):
        story.question(key, ["a", "b"], "a")
    recording = record(tmp_path / "rec", batched(story.events, 5))
    _, parts = both(recording)
    before = parts.ask({"verb": "health"})["calls"], len(parts)  # type: ignore[index]
    assert Retention(recording.directory, Limits(keep_bytes=1), clock_ns=ticking()).enforce()
    after = parts.ask({"verb": "health"})["calls"], len(parts)  # type: ignore[index]
    assert after < before and len(parts) < before[1]
