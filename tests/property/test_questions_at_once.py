"""What is counted at once is, to the last digit, what is counted call by call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace import payload
from embertrace.analysis.arrays import feeding
from embertrace.analysis.forest import Forest
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Estimate, plain, result_from_data
from embertrace.analysis.statistics import quantile
from embertrace.analysis.verbs import answer
from support.forests import Placed, Story, grown

VALUES = st.sampled_from(["a", "b", "c", 1, 1.0, None, ValueError, payload.Summary("thing", {"repr": "?"})])
FILTERS: list[list[Any]] = [
    ["stage", "ensemble_1"], ["stage", "members"], ["type", "judge"], ["operator", "m0"], ["item", 1], ["tag", "lang"],
]  # fmt: skip
AT_ONCE = ("ensemble_disagreement", "non_unanimous_rate", "judge_accuracy_by_agreement")


@st.composite
def stories(draw: st.DrawFn) -> list[Placed]:
    """Questions in the ordinary and out of it: nested, late, lost, linked, labelled, scored, with groups and epochs."""
    story = Story("one", run="r")
    for _ in range(draw(st.integers(1, 5))):
        item = {"key": draw(st.sampled_from([0, 1, "q", "another"]))}
        for name, values in (("truth", ["a", "b", ["a", "c"]]), ("group", ["g", 2]), ("epoch", [1, 2])):
            if draw(st.booleans()):
                item[name] = draw(st.sampled_from(values))
        tags = {"lang": "en"} if draw(st.booleans()) else None
        root = story.begin("pipeline", item=item if draw(st.booleans()) else None, tags=tags)
        panels = [_panel(draw, story, root) for _ in range(draw(st.integers(1, 2)))]
        if draw(st.booleans()):
            story.call("between", "x", parent=root)
        for _ in range(draw(st.integers(0, 2))):
            above = draw(st.sampled_from([root, panels[0]]))
            links = draw(st.sampled_from([(), (), (), panels, panels[:1]]))
            judge = story.begin("chooser", "judge", "judge_1", parent=above, links=links)
            if draw(st.booleans()):
                story.ensemble(draw(st.lists(VALUES, max_size=3)), parent=judge)
            if draw(st.booleans()):
                story.score(judge, **draw(st.sampled_from([{"correct": 1}, {"correct": None}, {"correct": 0.5}, {}])))
            if draw(st.booleans()):
                story.score(judge, accuracy=draw(st.sampled_from([0, 1, True, 0.25, float("nan"), "no"])))
            ends = draw(st.sampled_from(["a", "b", None, ValueError, "open"]))
            if ends != "open":
                story.end(judge, None if ends is ValueError else ends, error="E" if ends is ValueError else None)
        if draw(st.booleans()):
            story.end(root, "a")
    for _ in range(draw(st.integers(0, 2))):
        story.label(draw(st.sampled_from([0, 1, "q"])), draw(st.sampled_from(["a", "b", None])))
    events = story.events
    return draw(st.permutations(events)) if draw(st.booleans()) else events


def _panel(draw: st.DrawFn, story: Story, root: Any) -> Any:
    kind = draw(st.sampled_from(["plain", "plain", "plain", "list", "late", "nested", "excluded"]))
    values = draw(st.lists(VALUES, min_size=1, max_size=4))
    missing = draw(st.sampled_from([0, 0, 0, 1]))
    if kind == "plain":
        return story.ensemble(values, parent=root, missing=missing)
    panel = story.begin("panel", "ensemble", "ensemble_1", parent=root)
    if kind == "list":
        return story.end(panel, [value for value in values if not isinstance(value, type)])
    first = story.begin("m0", "member", "members", panel)
    if kind == "nested":
        story.ensemble(values, parent=panel)
    story.begin("m1", "member", "members", panel, member=kind != "excluded")
    if kind == "late":
        story.end(panel, "a")
        return story.end(first, "a")
    story.end(first, "b")
    return story.end(panel, "a", missing=missing)


@contextmanager
def call_by_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(Selection, "votes", lambda *_: None)
        patched.setattr(Selection, "whole_votes", lambda *_: None)
        yield


def told(forest: Forest, verb: str, filters: list[Any], options: dict[str, Any]) -> dict[str, Any]:
    return answer(forest, {"verb": verb, "filters": filters, "options": {"pool": True, **options}})


@settings(max_examples=150, deadline=None)
@given(stories(), st.lists(st.sampled_from(FILTERS), max_size=2), st.sampled_from([None, "casefold", "number"]))
def test_counted_at_once_or_call_by_call(events: list[Placed], filters: list[Any], rule: str | None) -> None:
    options = {} if rule is None else {"answer": rule}
    with pytest.MonkeyPatch.context() as monkeypatch:
        for verb in AT_ONCE:
            over = [{"over": "answered"}] if verb == "judge_accuracy_by_agreement" else []
            for more in ({}, *over):
                at_once = told(grown(events), verb, filters, {**options, **more})
                with call_by_call(monkeypatch):
                    assert told(grown(events), verb, filters, {**options, **more}) == at_once


@settings(max_examples=100, deadline=None)
@given(stories(), st.lists(st.sampled_from(FILTERS), max_size=2))
def test_scores_and_health_are_those_of_the_calls(events: list[Placed], filters: list[Any]) -> None:
    selection = Selection(grown(events), filters)
    scores = [metric.data["accuracy"] for metric in selection.scores() if "accuracy" in metric.data]
    distribution = result_from_data(told(grown(events), "accuracy_distribution", filters, {}))
    finite = [score for score in scores if isinstance(score, int | float) and score == score]
    assert sum(row["samples"] for row in distribution.values()) == len(finite)
    assert sum(row["mean"] * row["samples"] for row in distribution.values()) == pytest.approx(sum(finite))
    health = result_from_data(told(grown(events), "health", filters, {}))
    unlinked = [call for call in selection.calls if call.operator_type == "judge" and not selection.links.feeds(call)]
    assert (health["calls"], health["unlinked"]) == (len(selection.calls), len(unlinked))
    assert health["missing"] == sum(call.missing for call in selection.calls)
    assert health["open"] == sum(call.outcome == "open" for call in selection.calls)
    stages = result_from_data(told(grown(events), "stages", filters, {}))
    for row in stages:
        durations = [call.duration_ns for call in selection.calls if call.stage == row["stage"]]
        known = {value: durations.count(value) for value in durations if value is not None}
        assert row["p95_s"] == plain(quantile(known, 0.95) / 1e9)
        assert row["calls"] == len(durations)


def test_ordinary_questions_are_counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    for key in range(3):
        story.question(key, "aab", "a", truth="a")
    forest = story.forest()
    assert (feeding.feeding_of(forest.trees).ensemble >= 0).all()
    monkeypatch.setattr(Selection, "judge", None)
    monkeypatch.setattr(Selection, "ensembles", None)
    for verb in AT_ONCE:
        assert told(forest, verb, [], {})
    found = result_from_data(told(forest, "judge_accuracy_by_agreement", [], {}))
    assert isinstance(found["2/3"], Estimate) and (found["2/3"].n, found["2/3"].items) == (3, 3)
