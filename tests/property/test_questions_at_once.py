"""What is counted at once is, to the last digit, what is counted call by call."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace import payload
from embertrace.analysis.arrays import feeding
from embertrace.analysis.calls import Call
from embertrace.analysis.forest import Forest
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Estimate, plain, result_from_data
from embertrace.analysis.statistics import quantile
from embertrace.analysis.verbs import VERBS, answer
from embertrace.wire.event import RawEvent
from support.forests import Placed, Story, grown

VALUES = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "B",
        1,
        1.0,
        {"n": 1, "m": 2},
        {"m": 2, "n": 1},
        None,
        ValueError,
        payload.Summary("thing", {"repr": "?"}),
    ]
)
SCORES: list[dict[str, Any]] = [{"correct": True}, {"correct": 0}, {"correct": 0.5}, {"correct": "?"}, {"accuracy": 2}]
COSTS = st.sampled_from([None, 0.1, 2, "much"])
FILTERS: list[list[Any]] = [
    ["stage", "ensemble_1"], ["stage", "members"], ["type", "judge"], ["operator", "m0"], ["item", 1], ["tag", "lang"],
]  # fmt: skip
AT_ONCE: list[tuple[str, dict[str, Any]]] = [
    *((verb, {}) for verb in (
        "ensemble_disagreement", "non_unanimous_rate", "majority_accuracy", "judge_accuracy", "judge_lift",
        "judge_accuracy_by_agreement", "selection_accuracy", "judge_overrides", "judge_choices",
        "agreement_calibration", "pairwise_agreement", "vote_entropy", "answer_distribution", "fleiss_kappa",
        "krippendorff_alpha", "oracle_accuracy", "accuracy_vs_size", "member_value", "error_correlation",
        "effective_votes",
    )),
    ("judge_accuracy_by_agreement", {"over": "answered"}), ("agreement_calibration", {"of": "judge"}),
    ("agreement_calibration", {"ties": "first"}), ("majority_accuracy", {"ties": "abstain"}),
    ("majority_accuracy", {"weights": {"m0": 2, "m1": 0.5}}), ("majority_accuracy", {"weights": "accuracy"}),
    ("cohen_kappa", {"a": "m0", "b": "m1"}), ("judge_vs_labels", {}), ("judge_vs_labels", {"by": ""}), ("outcomes", {}),
    ("critical_path", {}), ("critical_path", {"each": True}), ("stragglers", {}), ("items", {}),
    ("outcomes", {"on": "majority"}),
    ("flips", {}), ("ensembles", {}), *(("groups", {"by": by}) for by in ("stage", "item", "epoch", "round")),
    ("outcomes", {"on": "calls"}), ("outcomes", {"score": "accuracy", "on": "calls"}),
    ("cost", {}), ("flow", {}), ("timeline", {"by": "stage"}),
]  # fmt: skip


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
                story.score(
                    judge, accuracy=draw(st.sampled_from([0, 1, True, 0.25, float("nan"), "no"])), usd=draw(COSTS)
                )
            ends = draw(st.sampled_from(["a", "b", None, ValueError, "open"]))
            if ends != "open":
                story.end(judge, None if ends is ValueError else ends, error="E" if ends is ValueError else None)
        if draw(st.booleans()):
            story.end(root, "a")
    for _ in range(draw(st.integers(0, 2))):
        story.label(draw(st.sampled_from([0, 1, "q"])), draw(st.sampled_from(["a", "b", None])))
    took = random.Random(draw(st.integers(0, 99)))
    events = [(producer, seq, _taking(took, event)) for producer, seq, event in story.events]
    return draw(st.permutations(events)) if draw(st.booleans()) else events


def _taking(took: random.Random, event: RawEvent) -> RawEvent:
    """An event with another duration, now and then an impossible one."""
    unusual = [None, 1 << 60, 0.25, -3] if took.random() < 0.01 else [0, 1, 2, 3, 7, 9, 40, 1000]
    return event if event.duration is None else event._replace(duration=took.choice(unusual))


def _panel(draw: st.DrawFn, story: Story, root: Any) -> Any:
    kind = draw(st.sampled_from(["plain", "plain", "plain", "list", "late", "nested", "excluded"]))
    values = draw(st.lists(VALUES, min_size=1, max_size=4))
    missing = draw(st.sampled_from([0, 0, 0, 1]))
    if kind == "plain":
        panel = story.begin("panel", "ensemble", "ensemble_1", parent=root)
        for place, value in enumerate(values):
            member = story.member(panel, draw(st.sampled_from(["m0", f"m{place}"])), value)
            if draw(st.booleans()):
                story.score(member, **draw(st.sampled_from(SCORES)))
        return story.end(panel, missing=missing)
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


def placed(calls: Iterable[Call]) -> Any:
    return np.array([call.place for call in calls], np.int64)


@contextmanager
def call_by_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(Selection, "at_once", False)
        patched.setattr(Selection, "judge_places", lambda self, rule: placed(judge for judge, *_ in self.judges(rule)))
        patched.setattr(Selection, "votes", lambda *_: None)
        patched.setattr(Selection, "kinds", lambda *_, **__: None)
        patched.setattr(Selection, "judged_kinds", lambda *_: None)
        patched.setattr(Selection, "judged_votes", lambda *_: None)
        yield


def told(forest: Forest, verb: str, filters: list[Any], options: dict[str, Any]) -> dict[str, Any]:
    return answer(forest, {"verb": verb, "filters": filters, "options": {"pool": True, **options}})


@settings(max_examples=150, deadline=None)
@given(stories(), st.lists(st.sampled_from(FILTERS), max_size=2), st.sampled_from([None, "casefold", "number"]))
def test_counted_at_once_or_call_by_call(events: list[Placed], filters: list[Any], rule: str | None) -> None:
    for verb, more in AT_ONCE:
        options = {"answer": rule} if rule is not None and "answer" in VERBS[verb].options else {}
        at_once = told(grown(events), verb, filters, {**options, **more})
        with pytest.MonkeyPatch.context() as monkeypatch, call_by_call(monkeypatch):
            assert told(grown(events), verb, filters, {**options, **more}) == at_once, verb


@settings(max_examples=50, deadline=None)
@given(stories(), st.sampled_from([["a"], ["b", 1], [{"n": 1, "m": 2}]]))
def test_who_gives_an_answer_that_is_none_abstained(events: list[Placed], none: list[Any]) -> None:
    """`abstain` is the same as a callable that gives None for these answers."""
    kept = {payload.canonical(value) for value in none}

    def rule(value: Any) -> Any:
        return None if payload.canonical(value) in kept else value

    for verb, more in AT_ONCE:
        if "answer" in VERBS[verb].options:
            by_values = told(grown(events), verb, [], {**more, "abstain": none})
            assert by_values == told(grown(events), verb, [], {**more, "answer": rule}), verb
    explained = {"question": "majority_accuracy", "abstain": none}
    by_rule = {"question": "majority_accuracy", "options": {"answer": rule}}
    assert told(grown(events), "explain", [], explained) == told(grown(events), "explain", [], by_rule)


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


@settings(max_examples=100, deadline=None)
@given(stories())
def test_rounds_count_the_calls_of_one_operator_about_one_item(events: list[Placed]) -> None:
    selection = Selection(grown(events))
    met: Counter[Any] = Counter()
    for call in selection.calls:
        which = 0
        if call.parent is not None and call.parent.operator_type == "ensemble":
            slots = {child.slot for child in call.parent.children if child.operator_id == call.operator_id}
            which = sorted(slots).index(call.slot)
        about = payload.canonical([call.item.get("key"), call.item.get("epoch")])
        line = call.trace_id, call.run, about, call.operator_type, call.operator_id, which
        assert selection.round_of(call) == met[line]
        met[line] += 1


def test_ordinary_questions_are_counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    for key in range(3):
        story.question(key, "aab", "a", truth="a")
    forest = story.forest()
    assert (feeding.feeding_of(forest.trees).ensemble >= 0).all()
    monkeypatch.setattr(Selection, "judges", None)
    monkeypatch.setattr(Selection, "ensembles", None)
    for verb, options in AT_ONCE:
        if options != {"weights": "accuracy"}:
            assert told(forest, verb, [], options)
    found = result_from_data(told(forest, "judge_accuracy_by_agreement", [], {}))
    assert isinstance(found["2/3"], Estimate) and (found["2/3"].n, found["2/3"].items) == (3, 3)
