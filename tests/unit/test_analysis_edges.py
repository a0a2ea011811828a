"""What people also write: numbers no float holds, labels that say nothing, filters that are no names."""

from __future__ import annotations

from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import Forest, OperatorAnalysis
from embertrace.analysis.answers import Answers
from embertrace.analysis.source import LocalSource
from embertrace.analysis.verbs import ask
from embertrace.errors import ConfigError, QueryError
from support.forests import Story


def scored(*values: Any) -> OperatorAnalysis:
    with et.collect_events() as events:
        for value in values:
            with et.operator("m", type="member"):
                et.score(accuracy=value)
    return OperatorAnalysis(events)


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 10**5000, "0.5", float("inf"), float("nan")],
    ids=["big", "small", "huge", "text", "inf", "nan"],
)
def test_an_accuracy_that_no_float_holds_is_left_out_and_counted(value: Any) -> None:
    table = scored(0.5, value).accuracy_distribution()
    assert table == {"member:default": {"mean": 0.5, "std": 0.0, "samples": 1}}
    assert table.left_out == {"not a finite number": 1}


def test_the_spread_of_the_largest_accuracies_is_a_number() -> None:
    assert scored(1e308, -1e308).accuracy_distribution()["member:default"] == {"mean": 0.0, "std": 1e308, "samples": 2}


def test_the_spread_of_the_smallest_accuracies_is_not_nothing() -> None:
    assert scored(1e-200, 3e-200).accuracy_distribution()["member:default"]["std"] == pytest.approx(
        1e-200, rel=1e-12, abs=0
    )


def labelled(*truths: str | None, by: str | None = None) -> OperatorAnalysis:
    """A judge that says "a" about an item that brought no truth along, and labels that came one after the other."""
    with et.collect_events() as events:
        with et.item("q"), et.operator("j", type="judge") as judge:
            judge.result("a")
        for truth in truths:
            et.label("q", truth=truth, by=by)
    return OperatorAnalysis(events)


@pytest.mark.parametrize(
    ("truths", "accuracy"), [(["a"], 1.0), (["b"], 0.0), (["a", "b"], 0.0), (["b", None, "a"], 1.0)]
)
def test_the_last_label_counts(truths: list[str | None], accuracy: float) -> None:
    assert labelled(*truths).judge_accuracy() == accuracy


@pytest.mark.parametrize("truths", [[None], ["a", None], ["a", "b", None, None]])
def test_a_label_without_a_truth_withdraws_the_label_and_scores_nothing(truths: list[str | None]) -> None:
    asked = labelled(*truths)
    assert asked.judge_accuracy().left_out == {"unlabelled": 1}
    assert not asked._forest.trees.scores


def test_a_withdrawal_is_the_annotators_own() -> None:
    story = Story()
    story.judge("a", item={"key": "q", "truth": "x"})
    story.label("q", "a", by="ann")
    story.label("q", "b", by="bob")
    story.label("q", None, by="bob")
    assert ask(story.forest(), {"verb": "judge_accuracy"}) == 1
    story.label("q", None, by="ann")
    assert ask(story.forest(), {"verb": "judge_accuracy"}) == 0  # what the item itself brought along


@pytest.mark.parametrize("label", [{"truth": "a"}, {}, {"by": "ann"}])
def test_a_label_that_names_nothing_is_no_score(label: dict[str, Any]) -> None:
    story = Story()
    story.score(label=label)
    assert not story.forest().trees.scores
    assert len(story.forest().trees.labels) == 0


@pytest.mark.parametrize("key", ["k" * 2100, "é" * 1100])
def test_a_key_that_items_can_not_have_is_said_where_it_is_labelled(key: Any) -> None:
    with pytest.raises(ConfigError, match=r"label\(\) got a key .*2048 bytes"):
        et.label(key, truth="a")


@pytest.mark.parametrize("length", [1, 1000, 2000])
def test_a_long_key_that_items_can_have_is_labelled(length: int) -> None:
    key = "k" * length
    with et.collect_events() as events:
        with et.item(key), et.operator("j", type="judge") as judge:
            judge.result("a")
        et.label(key, truth="a")
    assert OperatorAnalysis(events).judge_accuracy() == 1


@pytest.mark.parametrize("name", ["stage", "operator", "type", "trace", "run", "tag"])
@pytest.mark.parametrize("value", [["a"], {"a"}, {"a": 1}, None, 3, b"a"], ids=str)
def test_a_filter_by_name_takes_a_name(name: str, value: Any) -> None:
    said = rf"{name}\(\) takes a name, not a {type(value).__name__}"
    with pytest.raises(QueryError, match=said):
        getattr(OperatorAnalysis([]), name)(value)
    with pytest.raises(QueryError, match=said):
        ask(Forest(), {"verb": "stages", "filters": [[name, value]]})


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"filters": [[["x"], 1]]}, "there is no filter"),
        ({"filters": [[{}]]}, "there is no filter"),
        ({"filters": 3}, "filters are lists"),
        ({"options": 3}, "options are a mapping"),
        ({"filters": [["stage", "a", "b"]]}, "2 arguments"),
        ({"filters": [["stage"]]}, "0 arguments"),
    ],
)
def test_a_query_of_the_wrong_shape_is_one_clear_error(query: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        ask(Forest(), {"verb": "stages", **query})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("GPT-4", 4), ("gpt-4.5", 4.5), ("3-4", 4), ("2024-01-05", 5), ("x_-4", 4), ("f(x)-4", 4), ("5%-10", 10),
        ("-4", -4), ("x = -4", -4), ("x=-4", -4), ("(-4)", -4), ("−4", -4), ("-$1,200.50", -1200.5), ("$-4", -4),
        ("+4", 4), ("10 - 4", 4), ("1e-3", 0.001), ("-1.5e-3", -0.0015), ("No. 7, not -7", -7),
    ],
)  # fmt: skip
def test_a_hyphen_is_a_sign_only_in_front_of_a_number(text: str, number: float) -> None:
    rule = Answers("number")
    assert rule.of_value(text) == rule.of_value(number)


def test_ensembles_of_many_sizes_are_counted_as_one_by_one() -> None:
    """The shares of ensembles of p + 1 members have no common denominator that 64 bits hold."""
    story = Story()
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53):
        story.question(prime, "b" + "a" * prime, "a")
    analysis = OperatorAnalysis(LocalSource(story.forest()))
    for key in ("ensemble_disagreement", "non_unanimous_rate"):
        at_once, singly = getattr(analysis, key)(), getattr(analysis, key)(answer=lambda answer: answer)
        assert at_once.to_data() == singly.to_data()
    assert round(analysis.ensemble_disagreement(), 4) == 0.1050
