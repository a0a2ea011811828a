"""Rounds of debates and iterations, and the answers that change between them."""

from __future__ import annotations

from typing import Any

import pytest

from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.source import LocalSource
from embertrace.errors import QueryError
from support.forests import Story


def ask(story: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()))


def debate(*rounds: str, truth: str = "a", story: Story | None = None, key: Any = "q", operator: str = "") -> Story:
    """A panel per round; a character per member, who are one operator or have names of their own."""
    story = story or Story()
    root = story.begin("pipeline", item={"key": key, "truth": truth})
    for answers in rounds:
        panel = story.begin("panel", "ensemble", "panel", root)
        for place, value in enumerate(answers):
            story.member(panel, operator or f"m{place}", ValueError if value == "!" else value)
        story.end(panel, list(answers))
    story.end(root, rounds[-1][0])
    return story


@pytest.mark.parametrize("operator", ["", "gpt"])
def test_members_are_compared_with_themselves_in_the_next_round(operator: str) -> None:
    found = ask(debate("bab", "aab", "aba", operator=operator)).flips()
    assert [(row["round"], row["before"], row["after"]) for row in found] == [
        (1, "b", "a"),
        (2, "a", "b"),
        (2, "b", "a"),
    ]
    assert [(row["correct_before"], row["correct_after"]) for row in found] == [(0, 1), (1, 0), (0, 1)]
    assert found.notes == ("3 of 6 steps changed the answer: 2 to a better one, 1 to a worse one",)
    assert found[0]["item"] == "q" and found[0]["operator"] == (operator or "m0")


def test_an_operator_called_again_goes_one_round_on() -> None:
    story = Story()
    root = story.begin("loop", item={"key": "q"})
    for draft in ("a", "b", "b"):
        story.call("reviser", draft, parent=root)
    story.end(root, "b")
    asked = ask(story)
    assert [[call.answer for call in asked.operator("reviser").round(number).calls] for number in range(4)] == [
        ["a"],
        ["b"],
        ["b"],
        [],
    ]
    assert [(row["round"], row["correct_after"]) for row in asked.flips()] == [(1, None)]


def test_items_and_repetitions_have_rounds_of_their_own() -> None:
    story = debate("ab", "bb", key="q1")
    debate("aa", "ab", story=story, key="q2")
    debate("aa", story=story, key="q1")
    assert [(row["item"], row["round"], row["operator"]) for row in ask(story).flips()] == [
        ("q1", 1, "m0"),
        ("q2", 1, "m1"),
    ]


def test_questions_by_round() -> None:
    story = debate("abc", "aab", "aaa")
    found = ask(story).by("round").ensemble_disagreement()
    assert list(found.items()) == [("0", 1.0), ("1", 0.5), ("2", 0.0)]
    assert ask(story).by("round").majority_accuracy()["2"] == 1
    assert ask(story).round(1).ensemble_disagreement() == 0.5
    with pytest.raises(QueryError, match="round"):
        ask(story).by("lap")


def test_steps_that_can_not_be_compared_are_left_out() -> None:
    found = ask(debate("ab", "!b", "ab")).flips()
    assert found == [] and found.left_out == {"failed": 2}
    assert found.notes == ("0 of 2 steps changed the answer: 0 to a better one, 0 to a worse one",)
    assert ask(debate("ab")).flips().notes == ()
    assert ask(Story()).flips() == []


def test_attempts_are_one_round() -> None:
    story = Story()
    root = story.begin("loop", item={"key": "q"})
    for attempt in (0, 1):
        story.end(story.begin("m", parent=root, attempt=attempt, call_id=77, slot=0), "a")
    story.end(story.begin("m", parent=root, slot=1), "b")
    story.end(root)
    asked = OperatorAnalysis(LocalSource(story.forest()), attempts="all")
    assert [len(asked.operator("m").round(number).calls) for number in range(3)] == [2, 1, 0]
