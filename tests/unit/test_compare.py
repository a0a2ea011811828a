"""Two runs of the same items: the paired test, its interval, failures both ways, and what can't be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.compare import compare
from embertrace.analysis.source import LocalSource
from embertrace.analysis.statistics import t_quantile
from embertrace.errors import QueryError
from support.forests import Story


def side(marks: Iterable[Any], run: str = "r", status: str = "finished", truth: Any = "a", **about: Any) -> Story:
    """An item per mark: 1 is answered right, 0 wrong, an exception's class fails; all by one judge."""
    story = Story(run=run)
    story.describe_run(run, name=run, status=status, **about)
    for key, mark in enumerate(marks):
        judge = story.begin("chooser", "judge", "judge_1", item={"key": key, **({"truth": truth} if truth else {})})
        if isinstance(mark, type):
            story.end(judge, error=mark.__name__)
        else:
            story.end(judge, "a" if int(mark) else "b")
    return story


def ask(story: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()))


def test_mcnemar_and_bonett_price_of_the_published_table() -> None:
    """Agresti's approval ratings, [[794, 86], [150, 570]]; 1,600 people asked twice."""
    first = "1" * 794 + "1" * 150 + "0" * 86 + "0" * 570
    second = "1" * 794 + "0" * 150 + "1" * 86 + "0" * 570
    found = ask(side(first, "first")).compare(ask(side(second, "second")))
    assert (found.n, found.only_before, found.only_after, found.equal) == (1600, 150, 86, 1364)
    assert found.test == "exact McNemar"
    assert found.p_value == pytest.approx(3.716e-5, abs=5e-9)
    assert found.interval == pytest.approx((-0.0587, -0.0212), abs=5e-5)
    assert (found.before, found.after) == (944 / 1600, 880 / 1600)
    assert len(found.flips) == 236


def test_failures_are_compared_both_ways() -> None:
    before = ask(side([1, 1, 0, ValueError, ValueError]))
    after = ask(side([1, 1, 1, 1, ValueError]))
    found = before.compare(after)
    assert (found.n, found.before, found.after, found.failed) == (3, 2 / 3, 1, (2, 1))
    assert found.uncompared == [3, 4]
    attempted = found.of_attempted
    assert attempted is not None
    assert (attempted.n, attempted.before, attempted.after) == (5, 2 / 5, 4 / 5)
    assert (attempted.only_before, attempted.only_after, attempted.p_value) == (0, 2, 0.5)
    assert "as wrong answers" in repr(found)
    assert ask(side([1])).compare(ask(side([0]))).of_attempted is None


def test_flips_have_both_answers_and_the_truth() -> None:
    found = ask(side("10")).compare(ask(side("11")))
    assert found.flips == [
        {"item": 1, "before": 0.0, "after": 1.0, "answer_before": "b", "answer_after": "a", "truth": "a"}
    ]
    assert "answer_before" in repr(found)


def test_epochs_count_the_same_however_often_each_was_asked() -> None:
    def asked(*answers: str) -> OperatorAnalysis:
        """Answers of each epoch."""
        story = Story(run="r")
        for epoch, given_answers in enumerate(answers):
            for given_answer in given_answers:
                story.judge(given_answer, item={"key": "q", "truth": "a", "epoch": epoch})
        return ask(story)

    (row,) = asked("a", "bbb").outcomes()
    assert (row["correct"], row["n"], row["epochs"], row["answer"], row["truth"]) == (0.5, 4, 2, "b", "a")
    found = asked("a", "bbb").compare(asked("a", "a"))
    assert (found.n, found.difference, found.test) == (1, 0.5, "sign-flip permutation")


def scored(*values: Any, name: str = "helpful") -> OperatorAnalysis:
    story = Story(run="r")
    for key, value in enumerate(values):
        root = story.begin("pipeline", item={"key": key})
        judge = story.judge("a", parent=root)
        story.score(judge, **{name: value})
        story.score(story.end(root), **{name: 100})
    return ask(story)


def test_scores_are_compared_by_name() -> None:
    before, after = scored(1, 2.5, 3), scored(2, 3.5, 4)
    found = before.compare(after, score="helpful", on="judge")
    assert (found.n, found.difference, found.only_after, found.score) == (3, 1.0, 3, "helpful")
    assert found.test == "sign-flip permutation"
    assert all(map(math.isnan, found.interval)) and found.notes == ("no interval: all items changed alike",)
    assert "+1 n=3" in repr(found)
    low, high = before.compare(scored(2, 3.5, 5), score="helpful", on="judge").interval
    assert low < 4 / 3 < high
    assert 0.2 < found.p_value < 0.3  # of 8 signs two are as far from 0
    assert before.compare(after, score="helpful").difference == 0.5
    assert before.type("judge").compare(after.type("judge"), score="helpful").difference == 1.0
    assert before.compare(after, score="nothing").n == 0
    assert scored(0, 0, 1).compare(scored(1, 0, 1), score="helpful", on="judge").test == "exact McNemar"


def test_differences_that_no_float_holds_are_infinite() -> None:
    before, after = scored(-1e308, -1.5e308, -1e308), scored(1e308, 1e308, 1.5e308)
    found = before.compare(after, score="helpful", on="judge")
    small = scored(-1, -1.5, -1).compare(scored(1, 1, 1.5), score="helpful", on="judge")
    assert (found.before, found.after) == pytest.approx((-7e307 / 6 * 10, 7e307 / 6 * 10))
    assert found.difference == math.inf and found.interval == (-math.inf, math.inf)
    assert (found.p_value, found.only_after) == (small.p_value, 3)
    assert found.to_data()["difference"] is None
    wide = scored(-1.7e308, 1.7e308).compare(scored(1, 2), score="helpful", on="judge")
    assert wide.difference == 1.5 and wide.interval == (-math.inf, math.inf)


def test_scores_that_are_no_numbers_are_left_out() -> None:
    found = scored(1, "good", float("nan")).compare(scored(1, 2, 3), score="helpful", on="judge")
    assert (found.n, found.left_out[0]) == (1, {"not a finite number": 2})
    assert found.uncompared == [1, 2]
    assert "left out before: 2 not a finite number" in repr(found)


def test_the_calls_of_one_operator_are_compared_where_nobody_judges() -> None:
    def runs(*answers: str) -> OperatorAnalysis:
        story = Story(run="r")
        for key, given_answer in enumerate(answers):
            story.call("gpt", given_answer, item={"key": key, "truth": "a"})
            story.call("other", "a", item={"key": key, "truth": "a"})
        return ask(story).operator("gpt")

    found = runs("a", "b").compare(runs("a", "a"), on="calls")
    assert (found.before, found.after) == (0.5, 1.0)
    nobody = runs("a").compare(runs("a"))
    assert nobody.n == 0 and math.isnan(nobody.difference)


def test_what_can_not_be_compared_says_why() -> None:
    apart = ask(side("1")).compare(ask(Story()))
    assert (apart.n, apart.unmatched) == (0, ([0], []))
    assert apart.notes == ("there is no judge call after; on='majority', on='calls' or score=… compare something else",)
    assert "judge call before and none after" in repr(ask(Story()).compare(ask(Story())))
    assert "no ensemble call with a score" not in repr(ask(side("1")).compare(ask(Story()), on="majority"))
    named = ask(side("1")).compare(ask(side("1")), score="nope")
    assert "there is no call with a score 'nope' before and none after" in repr(named)
    other = Story(run="r")
    other.judge("a", parent=other.begin("pipeline", item={"key": "other", "truth": "a"}))
    assert "no item is in both" in repr(ask(side("1")).compare(ask(other)))
    unlabelled = ask(side("11", truth=None)).compare(ask(side("11", truth=None)))
    assert (unlabelled.n, unlabelled.uncompared) == (0, [0, 1])
    assert "on='majority', on='calls' or score=… compare something else" in repr(unlabelled)
    with pytest.raises(QueryError, match="on='nobody' is none of"):
        ask(side("1")).compare(ask(side("1")), on="nobody")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="a majority has no score"):
        ask(side("1")).compare(ask(side("1")), on="majority", score="x")
    with pytest.raises(QueryError, match="2 runs are in question"):
        story, more = side("1", "r1"), side("1", "r2")
        ask(story).compare(OperatorAnalysis(LocalSource(_together(story, more))))


def _together(*stories: Story) -> Any:
    from support.forests import grown

    return grown(
        (bytes([place]) * 16, seq, event._replace(call_id=event.call_id and event.call_id + place * 1000))
        for place, story in enumerate(stories)
        for _, seq, event in story.events
    )


def test_what_differs_and_how_the_runs_ended_is_said() -> None:
    before = side("1", "monday", config={"k": 3, "same": 1}, versions={"x": "1"}, git="aa")
    after = side("1", "tuesday", status="running", config={"k": 5, "same": 1}, versions={"x": "2"}, git="bb")
    found = ask(before).compare(ask(after))
    assert found.config == {"git": ("aa", "bb"), "k": (3, 5), "versions.x": ("1", "2")}
    assert found.runs == (["monday"], ["tuesday"])
    assert found.notes == ("p is interim: tuesday not finished",)
    failed = ask(before).compare(ask(side("1", "tuesday", status="failed")))
    assert failed.notes == ("tuesday failed: items may be missing",)


def test_what_is_known_of_one_run_alone_is_no_difference() -> None:
    known = ask(side("1", "monday", config={"k": 3}, versions={"x": "1", "y": "1"}, argv=["a"]))
    assert known.compare(ask(side("1", "tuesday"))).config == {}
    assert known.compare(ask(side("1", "tuesday", versions={"x": "2"}))).config == {"versions.x": ("1", "2")}
    assert known.compare(ask(side("1", "tuesday", config={}))).config == {"k": (3, None)}


def grouped(marks: str, groups: str) -> OperatorAnalysis:
    story = Story(run="r")
    for key, (mark, group) in enumerate(zip(marks, groups, strict=True)):
        story.judge("a" if int(mark) else "b", item={"key": key, "truth": "a", "group": group})
    return ask(story)


def test_items_of_a_group_are_drawn_together() -> None:
    """Four documents with five questions each, all alike in three: those are no 15 independent items."""
    groups = "".join(letter * 5 for letter in "abcd")
    before, after = grouped("0" * 20, groups), grouped("1" * 15 + "0" * 5, groups)
    found = before.compare(after)
    assert (found.n, found.difference, found.only_after) == (20, 0.75, 15)
    assert found.test == "sign-flip permutation of 4 groups"
    assert found.p_value == pytest.approx(2 / 8, abs=0.02)  # of 8 signs of three groups two are as far from 0
    assert found.interval == (pytest.approx(0.75 - t_quantile(0.975, 3) * 0.25), 1.0)
    assert found.notes == ("items are of 4 groups, which are drawn together",)
    alone = grouped("0" * 20, "abcdefghijklmnopqrst").compare(grouped("1" * 15 + "0" * 5, "abcdefghijklmnopqrst"))
    assert alone.test == "exact McNemar" and alone.p_value < 1e-4
    one = grouped("00", "aa").compare(grouped("11", "aa"))
    assert math.isnan(one.interval[0]) and "there is no interval: that is one" in one.notes[0]
    assert [row["group"] for row in before.outcomes()][::5] == ["a", "b", "c", "d"]


def test_tables_hold_a_row_for_each_joined_item() -> None:
    found = ask(side("110")).compare(ask(side("1100")))
    assert len(found.flips) == 0 and [row["item"] for row in found.items()] == [0, 1, 2]
    frame = found.to_pandas()
    assert frame.columns.tolist() == ["item", "before", "after", "answer_before", "answer_after", "truth"]
    assert frame["before"].tolist() == [1.0, 1.0, 0.0] and len(found.to_polars()) == 3


def test_a_comparison_as_plain_data() -> None:
    after = ask(side([1, 1, 1, 1], "tuesday", config={}))
    found = ask(side([1, 0, ValueError], "monday", config={"k": 3})).compare(after)
    data = json.loads(json.dumps(found.to_data(), allow_nan=False))
    assert data["result"] == "comparison"
    assert (data["n"], data["equal"], data["only_after"], data["test"]) == (2, 1, 1, "exact McNemar")
    assert data["runs"] == {"before": ["monday"], "after": ["tuesday"]}
    assert data["unmatched"] == {"before": [], "after": [3]}
    assert data["config"] == {"k": {"before": 3, "after": None}}
    assert data["of_attempted"]["n"] == 3
    assert data["flips"][0]["answer_after"] == "a"
    empty = ask(Story()).compare(ask(Story())).to_data()
    assert empty["p_value"] is None and empty["interval"] == [None, None]


ROWS = st.dictionaries(st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0, float("nan")]), max_size=8)


@given(ROWS, ROWS, st.booleans())
def test_exchanging_the_sides_changes_signs_alone(one: dict[int, float], two: dict[int, float], binary: bool) -> None:
    def rows(values: dict[int, float]) -> list[dict[str, Any]]:
        return [
            {"item": key, "n": 1, "correct": 1.0 if binary and value == 0.5 else value, "failed": 0, "of_attempted": 1}
            for key, value in values.items()
        ]

    there, back = compare(rows(one), rows(two)), compare(rows(two), rows(one))
    assert (there.n, there.equal, there.test) == (back.n, back.equal, back.test)
    assert (there.only_before, there.only_after) == (back.only_after, back.only_before)
    assert there.unmatched == back.unmatched[::-1] and there.uncompared == back.uncompared
    if there.n:
        assert there.difference == -back.difference
        assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), nan_ok=True)
        assert there.p_value == back.p_value
        assert {row["item"] for row in there.flips} == {row["item"] for row in back.flips}
    assert there.n + len(there.uncompared) + len(there.unmatched[0]) == len(one)
