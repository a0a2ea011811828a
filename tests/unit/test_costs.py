"""What was spent: sums by stage, operator and item, and the price of a right answer."""

from __future__ import annotations

from typing import Any

import pytest

from embertrace.analysis import OperatorAnalysis, Rows
from embertrace.analysis.source import LocalSource
from support.forests import Story


def ask(story: Story, **options: Any) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()), **options)


def priced() -> Story:
    """Two items; gpt costs 0.1, claude 0.2 an answer, the judge 0.01 and ten tokens."""
    story = Story()
    for key, (gpt, claude, verdict) in enumerate([("a", "b", "a"), ("a", "a", "b")]):
        root = story.begin("pipeline", item={"key": key, "truth": "a"})
        panel = story.begin("panel", "ensemble", "ensemble_1", root)
        for operator, value, usd in (("gpt", gpt, 0.1), ("claude", claude, 0.2)):
            member = story.member(panel, operator, value)
            story.score(member, usd=usd, tokens_in=100, tokens_out=5)
        story.end(panel, [gpt, claude])
        judge = story.judge(verdict, parent=root)
        story.score(judge, usd=0.01)
        story.score(judge, tokens_out=10, accuracy=1)
        story.end(root, verdict)
    return story


def row(rows: Rows, of: str, name: str = "") -> dict[str, Any]:
    (found,) = [row for row in rows if (row["of"], row["name"]) == (of, name)]
    return found


def test_costs_of_all_of_stages_and_of_operators() -> None:
    found = ask(priced()).cost()
    assert [(row["of"], row["name"]) for row in found] == [
        ("total", ""),
        ("stage", "judge_1"),
        ("stage", "members"),
        ("operator", "chooser"),
        ("operator", "claude"),
        ("operator", "gpt"),
    ]
    total = row(found, "total")
    assert (total["calls"], total["usd"], total["tokens_in"], total["tokens_out"]) == (6, 0.62, 400, 40)
    assert (total["correct"], total["usd_per_correct"], total["tokens_per_correct"]) == (1, 0.62, 440)
    assert found.notes == ("right answers of the total are those of the judges",)
    gpt, claude = row(found, "operator", "gpt"), row(found, "operator", "claude")
    assert (gpt["usd"], gpt["correct"], gpt["usd_per_correct"]) == (0.2, 2, 0.1)
    assert (claude["usd"], claude["correct"], claude["usd_per_correct"]) == (0.4, 1, 0.4)
    assert row(found, "stage", "members")["usd_per_correct"] == pytest.approx(0.2)
    assert row(found, "operator", "chooser")["tokens_in"] is None


def test_sums_are_exact_whatever_the_order() -> None:
    story = Story()
    call = story.call("m", "a", item={"key": 1})
    for usd in [1e16, 1.0, -1e16, 1.0] * 50:
        story.score(call, usd=usd)
    (total, *_) = ask(story).cost()
    assert (total["usd"], total["calls"]) == (100, 1)


def test_filters_and_attempts_choose_what_is_summed() -> None:
    assert row(ask(priced()).operator("gpt").cost(), "total")["usd"] == 0.2
    story = Story()
    for attempt in (0, 1):
        call = story.end(story.begin("m", attempt=attempt, call_id=7, item={"key": 1}), "a")
        story.score(call, usd=1)
    assert row(ask(story).cost(), "total")["usd"] == 1
    assert row(ask(story, attempts="all").cost(), "total")["usd"] == 2


def test_the_price_of_what_is_never_right_or_never_labelled() -> None:
    story = Story()
    story.score(story.call("m", "b", item={"key": 1, "truth": "a"}), usd=1)
    (total, _, operator) = ask(story).cost()
    assert total["usd_per_correct"] is None and total["correct"] == 0
    assert total["tokens_per_correct"] is None and total["tokens_in"] is None
    assert operator["name"] == "m"
    story = Story()
    story.score(story.call("m", "b", item={"key": 1}), usd=1)
    assert ask(story).cost()[0]["usd_per_correct"] is None
    assert ask(Story()).cost() == []


def test_costs_that_are_no_numbers_are_counted_once() -> None:
    story = Story()
    call = story.call("m", "a")
    for usd in ("free", float("nan"), True, 10**400, None):
        story.score(call, usd=usd)
    assert ask(story).cost().left_out == {"costs that are no finite numbers": 4}


def test_sums_that_no_float_holds_are_none_and_a_note_counts_them() -> None:
    story = Story()
    for key, usd in ((1, 1e308), (2, -1e308), (3, 1e300)):
        call = story.call("m", "a", item={"key": key, "truth": "a"})
        for _ in range(2):
            story.score(call, usd=usd, tokens_in=1e308)
    rows = ask(story).cost()
    total = row(rows, "total")
    assert (total["usd"], total["usd_per_correct"]) == (2e300, pytest.approx(2e300 / 3))
    assert (total["tokens_in"], total["tokens_per_correct"], total["correct"]) == (None, None, 3)
    assert rows.left_out == {} and "sums larger than a float holds: 3" in rows.notes
    assert [row["cost"] for row in ask(story).items()] == [None, None, 2e300]


def test_items_have_their_cost() -> None:
    story = priced()
    story.question(2, "ab", "a")
    assert [row["cost"] for row in ask(story).items()] == [pytest.approx(0.31), pytest.approx(0.31), None]
    assert [row["item"] for row in ask(story).items().wrong()] == [1]
    assert [row["item"] for row in ask(story).items().search("claude")] == [0, 1]
