"""What judges do with answers, weighted majorities, and questions by groups; small stories, counted by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import Estimate, Groups, OperatorAnalysis, result_from_data
from embertrace.analysis.source import LocalSource
from embertrace.analysis.statistics import holm
from embertrace.errors import QueryError
from support.forests import Story


def ask(story: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()))


def questions(*rows: tuple[Any, Any, str]) -> Story:
    """(answers, verdict, truth) of each item."""
    story = Story()
    for place, (answers, verdict, truth) in enumerate(rows):
        story.question(f"q{place}", answers, verdict, truth or None)
    return story


# Judges.


def test_selection_counts_only_where_somebody_was_right() -> None:
    asked = ask(questions(("abb", "a", "a"), ("abb", "b", "a"), ("bbb", "b", "a"), ("abb", "c", ""), ("abb", "a", "a")))
    found = asked.selection_accuracy()
    assert found == pytest.approx(2 / 3)
    assert (found.n, found.left_out) == (3, {"without a right answer": 1, "unlabelled": 1})


def test_a_judge_that_failed_is_wrong_among_the_attempted() -> None:
    story = questions(("ab", "a", "a"))
    root = story.begin("pipeline", item={"key": "failed", "truth": "a"})
    story.ensemble("ab", parent=root)
    story.end(story.begin("chooser", "judge", "judge_1", root), error="ValueError")
    story.end(root)
    found = ask(story).selection_accuracy()
    assert (found, found.of_attempted, found.left_out) == (1.0, 0.5, {"failed": 1})


def test_overrides_are_majority_times_judge() -> None:
    asked = ask(questions(("aab", "a", "a"), ("aab", "b", "b"), ("aab", "b", "a"), ("aab", "a", "b"), ("ab", "a", "a")))
    found = asked.judge_overrides()
    assert {name: float(share) for name, share in found.items()} == pytest.approx(
        {
            "overridden": 2 / 5,
            "both right": (1 + 0.5) / 5,  # of a tie the majority is right half the time
            "judge alone right": (1 + 0.5) / 5,
            "majority alone right": 1 / 5,
            "both wrong": 1 / 5,
        }
    )
    assert asked.judge_overrides(ties="abstain").left_out == {"tied": 1}
    gained = found["judge alone right"] - found["majority alone right"]
    assert gained == pytest.approx(float(asked.judge_lift()))


def test_a_judge_that_failed_loses_to_its_majority_among_the_attempted() -> None:
    story = questions(("aab", "a", "a"), ("abb", "a", "a"))
    for key, answers in (("majority right", "aab"), ("majority wrong", "abb"), ("no majority", [ValueError] * 2)):
        root = story.begin("pipeline", item={"key": key, "truth": "a"})
        story.ensemble(answers, parent=root)
        error = "ValueError" if key != "no majority" else None
        story.end(story.begin("chooser", "judge", "judge_1", root), "a", error=error)
        story.end(root)
    asked = ask(story)
    lift, left_out = asked.judge_lift(), {"failed": 2, "without answers": 1}
    assert (lift, lift.n, lift.left_out) == (0.5, 2, left_out)
    assert lift.of_attempted == (0 + 1 - 1 + 0 + 1) / 5
    found = asked.judge_overrides()
    assert found.left_out == left_out
    attempted = {name: round(5 * row.of_attempted) for name, row in found.items()}
    assert attempted == {
        "overridden": attempted["overridden"],  # of those that chose
        "both right": 1,
        "judge alone right": 2,
        "majority alone right": 1,
        "both wrong": 1,
    }
    assert found["overridden"].of_attempted == found["overridden"] == 0.5


def test_choices_are_shared_by_those_who_gave_the_answer() -> None:
    found = ask(questions(("abc", "a", ""), ("aab", "a", ""), ("abc", "z", ""))).judge_choices()
    assert {name: float(share) for name, share in found["members"].items()} == {"m0": 0.75, "m1": 0.25, "m2": 0.0}
    assert {name: float(share) for name, share in found["positions"].items()} == {"0": 0.75, "1": 0.25, "2": 0.0}
    assert found.left_out == {"of none of the members": 1}
    assert math.isnan(found["p_value"])
    assert "each stands in one place throughout" in found.notes[0]


def shuffled(verdict: Any, rows: int = 120, **item: Any) -> Story:
    """Members in random order, each with an answer of its own; `verdict` picks a place of the order."""
    story, dice = Story(), random.Random(5)
    for row in range(rows):
        order = dice.sample(["m0", "m1", "m2"], 3)
        root = story.begin("pipeline", item={"key": row}, tags={"lang": "de" if row % 2 else "en"})
        panel = story.begin("panel", "ensemble", "ensemble_1", root)
        for name in order:
            story.member(panel, name, f"{name} says {row}")
        story.end(panel)
        story.judge(f"{verdict(order, dice)} says {row}", parent=root)
        story.end(root)
    return story


def test_a_judge_that_prefers_the_first_is_found_out() -> None:
    found = ask(shuffled(lambda order, dice: order[0] if dice.random() < 0.6 else dice.choice(order))).judge_choices()
    assert found["p_value"] < 0.001
    assert found["positions"]["0"] > 0.6
    assert all(0.2 < share < 0.5 for share in found["members"].values())


def test_a_judge_that_prefers_a_member_has_no_position_bias() -> None:
    found = ask(shuffled(lambda order, dice: "m1" if dice.random() < 0.8 else dice.choice(order))).judge_choices()
    assert found["members"]["m1"] > 0.7
    assert found["p_value"] > 0.05


def test_position_bias_is_a_fair_test() -> None:
    """Of 60 indifferent judges about one in twenty looks biased."""
    small = sum(ask(_indifferent(seed)).judge_choices()["p_value"] < 0.1 for seed in range(60))
    assert 1 <= small <= 13  # of 6 expected; beyond that lie fewer than one in a thousand


def _indifferent(seed: int) -> Story:
    own = random.Random(seed)
    return shuffled(lambda order, dice: own.choice(order), rows=20)


# Weights.


def test_weights_of_members_decide() -> None:
    asked = ask(questions(("aab", None, "b"), ("aab", None, "a")))
    assert asked.majority_accuracy() == 0.5
    assert asked.majority_accuracy(weights={"m0": 1, "m1": 1, "m2": 3}) == 0.5
    assert asked.item("q0").majority_accuracy(weights={"m2": 1}) == 1.0
    assert asked.item("q0").majority_accuracy(weights={"m0": 0.1, "m1": 0.2, "m2": 0.3}) == 0.5  # a tie, as written
    assert asked.majority_accuracy(weights={}).left_out == {"without weights": 2}


def test_weights_of_a_score() -> None:
    story = Story()
    panel = story.begin("panel", "ensemble", item={"key": 1, "truth": "b"})
    for name, value, confidence in (("m0", "a", 0.2), ("m1", "a", 0.3), ("m2", "b", 0.9)):
        story.score(story.member(panel, name, value), confidence=confidence)
    story.end(panel)
    assert ask(story).majority_accuracy() == 0.0
    assert ask(story).majority_accuracy(weights="confidence") == 1.0
    assert math.isnan(ask(story).majority_accuracy(weights="zeal"))


@pytest.mark.parametrize(
    "weights", [{"m0": -1}, {"m0": math.nan}, {"m0": math.inf}, {"m0": "x"}, {"m0": True}, 3, ["m0"]]
)
def test_weights_that_are_none_are_refused(weights: Any) -> None:
    with pytest.raises(QueryError, match="weights"):
        ask(Story()).majority_accuracy(weights=weights)


# Groups.


def test_a_question_by_stage_epoch_and_tag() -> None:
    story = Story()
    for place, (answers, stage, lang) in enumerate((("ab", "one", "de"), ("aa", "two", "de"), ("ab", "two", "en"))):
        story.ensemble(answers, stage=stage, item={"key": 1, "epoch": place}, tags={"lang": lang})
    asked = ask(story)
    by_stage = asked.by("stage").ensemble_disagreement()
    assert by_stage == {"members": 2 / 3, "one": 1.0, "two": 0.5}
    assert asked.by("tag:lang").ensemble_disagreement() == {"de": 0.5, "en": 1.0}
    assert asked.by("epoch").ensemble_disagreement() == {"0": 1.0, "1": 0.0, "2": 1.0}
    assert asked.stage("two").by("operator").ensemble_disagreement() == {"panel": 0.5}
    assert asked.by("operator").ensemble_disagreement()["m0"].left_out == {"with fewer than two answers": 3}
    assert asked.by("tag:colour").ensemble_disagreement().left_out == {"without colour": 9}
    assert asked.by("stage").judge_accuracy() == {}
    assert set(asked.by("stage").latency()) == {"members", "one", "two"}
    assert isinstance(by_stage["one"], Estimate) and by_stage["one"].n == 1
    assert result_from_data(by_stage.to_data()).to_data() == by_stage.to_data()
    with pytest.raises(QueryError, match="none of stage, operator"):
        asked.by("colour")
    with pytest.raises(AttributeError, match="no question 'colours'"):
        asked.by("stage").colours
    assert "majority_accuracy" in dir(asked.by("stage"))


def test_values_that_look_alike_are_two_groups() -> None:
    story = Story()
    for value in (1, "1"):
        story.ensemble("ab", tags={"size": value})
    assert set(ask(story).by("tag:size").ensemble_disagreement()) == {"1", "'1'"}


def test_p_values_by_group_are_adjusted() -> None:
    asked = ask(shuffled(lambda order, dice: order[0] if dice.random() < 0.5 else dice.choice(order)))
    found = asked.by("tag:lang").judge_choices()
    raw = {name: float(row["p_value"]) for name, row in found.items()}
    assert isinstance(found, Groups) and found.p_holm == holm(raw)
    assert min(found.p_holm.values()) == pytest.approx(2 * min(raw.values()))
    assert "p, Holm: de " in repr(found)
    again = result_from_data(found.to_data())
    assert isinstance(again, Groups) and again.p_holm == found.p_holm and repr(again) == repr(found)


def test_two_analyses_are_compared_within_groups() -> None:
    def run(verdicts: str) -> OperatorAnalysis:
        story = Story()
        for place, verdict in enumerate(verdicts):
            root = story.begin("p", item={"key": place, "truth": "a"}, tags={"lang": "de" if place < 4 else "en"})
            story.judge(verdict, parent=root)
            story.end(root)
        return ask(story)

    found = run("bbbbaaaa").by("tag:lang").compare(run("aaaaaaaa"))
    assert {name: row.difference for name, row in found.items()} == {"de": 1.0, "en": 0.0}
    assert found.p_holm == pytest.approx({"de": 0.25, "en": 1.0})


def test_holm_1979() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    adjusted = holm({"a": 0.9, "b": math.nan, "c": 0.8})
    assert math.isnan(adjusted.pop("b")) and adjusted == {"a": 1.0, "c": 1.0}
    assert holm({}) == {}


def test_answers_that_stand_for_none() -> None:
    with et.collect_events() as events:
        for key, answers in {"q1": ["a", "a", "pass"], "q2": ["pass", "b", "a"]}.items():
            with et.item(key, truth="a"), et.operator("panel", type="ensemble") as panel:
                for place, value in enumerate(answers):
                    with et.operator(f"m{place}", type="member") as member:
                        member.result(value)
                panel.result(answers)
    assert OperatorAnalysis(events).non_unanimous_rate() == 1
    asked = OperatorAnalysis(events, abstain=["pass"])
    assert asked.non_unanimous_rate() == 0.5
    assert asked.majority_accuracy() == 0.75  # a tie counts one half
    assert asked.majority_accuracy(answer="casefold") == 0.75
    assert asked.judge_accuracy_by_agreement() == {}
    assert [row["used"] for row in asked.majority_accuracy().explain()] == [True, True]
    with pytest.raises(QueryError, match="abstain='pass' is no list of answers"):
        OperatorAnalysis(events, abstain="pass")
