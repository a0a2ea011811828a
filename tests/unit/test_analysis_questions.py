"""What each question answers, on small stories whose answers can be counted by hand."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import pytest

from embertrace.analysis.forest import Forest
from embertrace.analysis.losses import Loss
from embertrace.analysis.losses import note as losses_note
from embertrace.analysis.operator_analysis import OperatorAnalysis
from embertrace.analysis.source import LocalSource
from embertrace.errors import QueryError
from embertrace.flow import visualize_operator_flow
from support.forests import Story, grown


def ask(story: Story, **options: Any) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()), **options)


def questions(*rows: tuple[str, str, str]) -> Story:
    """(answers, verdict, truth) of each item."""
    story = Story()
    for place, (answers, verdict, truth) in enumerate(rows):
        story.question(f"q{place}", answers, verdict or None, truth or None)
    return story


# Disagreement.


def test_disagreement_is_a_mean_over_ensemble_calls() -> None:
    asked = ask(questions(("aaa", "", ""), ("aab", "", ""), ("abc", "", ""), ("aabb", "", "")))
    found = asked.ensemble_disagreement()
    assert found == float((Fraction(0) + Fraction(1, 2) + 1 + Fraction(1, 3)) / 4)
    assert (found.n, found.items) == (4, 4)
    assert asked.non_unanimous_rate() == 0.75
    low, high = found.interval
    assert 0 <= low < found < high <= 1


def test_nothing_gives_nan_and_empty_tables() -> None:
    asked = OperatorAnalysis([])
    for estimate in (asked.ensemble_disagreement(), asked.non_unanimous_rate(), asked.majority_accuracy(),
                     asked.judge_accuracy(), asked.judge_lift()):  # fmt: skip
        assert math.isnan(estimate)
        assert (estimate.n, estimate.items, estimate.left_out) == (0, 0, {})
    assert asked.judge_accuracy_by_agreement() == {}
    assert asked.accuracy_distribution() == {}
    assert (asked.items(), asked.stages(), asked.calls, asked.trees, list(asked.events)) == ([], [], (), (), [])
    assert asked.compare(asked).n == 0


def test_failed_and_abstaining_members_do_not_vote() -> None:
    story = Story()
    story.ensemble(["a", ValueError, None, "b"])
    story.ensemble(["a", ValueError])
    asked = ask(story)
    assert asked.ensemble_disagreement() == 1.0
    assert asked.ensemble_disagreement().left_out == {"with fewer than two answers": 1}


def test_an_ensemble_with_a_missing_member_is_left_out() -> None:
    story = Story()
    story.ensemble("ab", missing=1)
    panel = story.begin("panel", "ensemble")
    story.member(panel, "m0", "a")
    story.begin("m1", "member", parent=panel)
    story.end(panel)
    still_open = story.begin("panel", "ensemble")
    story.member(still_open, "m0", "a")
    assert ask(story).ensemble_disagreement().left_out == {"incomplete": 3}


def test_members_that_ended_after_their_ensemble_were_late() -> None:
    story = Story()
    panel = story.begin("panel", "ensemble")
    story.member(panel, "m0", "a")
    story.member(panel, "m1", "a")
    late = story.begin("m2", "member", parent=panel)
    story.end(panel)
    story.end(late, "b")
    assert ask(story).ensemble_disagreement() == 0.0


def test_judges_tools_and_excluded_calls_are_no_members() -> None:
    story = Story()
    panel = story.begin("panel", "ensemble")
    for operator, kind, member in (("m", "member", True), ("n", "member", True), ("t", "tool", True),
                                   ("r", "retriever", True), ("j", "judge", True), ("x", "member", False)):  # fmt: skip
        story.call(operator, operator, type=kind, parent=panel, member=member)
    story.end(panel)
    (row,) = ask(story).items()
    assert row["answers"] == {"m": "m", "n": "n"}


def test_a_nested_ensemble_is_one_member() -> None:
    story = Story()
    outer = story.begin("outer", "ensemble", "outer")
    story.member(outer, "m0", ["a", "b"])
    story.ensemble("ab", stage="inner", parent=outer)
    story.end(outer)
    asked = ask(story)
    assert asked.stage("outer").ensemble_disagreement() == 0.0
    assert asked.stage("inner").ensemble_disagreement() == 1.0
    assert asked.ensemble_disagreement().n == 2


def test_an_ensemble_without_member_operators_votes_through_its_list() -> None:
    story = Story()
    story.call("panel", ["a", "a", None, "b"], type="ensemble")
    assert ask(story).ensemble_disagreement() == 0.5


def test_equal_ids_are_told_apart_by_slot() -> None:
    story = Story()
    panel = story.begin("panel", "ensemble")
    for value in "abc":
        story.member(panel, "m", value)
    story.end(panel)
    assert ask(story).items()[0]["answers"] == {"m#0": "a", "m#1": "b", "m#2": "c"}


def test_a_stage_may_sit_on_the_ensemble_or_on_its_members() -> None:
    story = Story()
    panel = story.begin("panel", "ensemble", "ensemble_1")
    for stage, value in (("cheap", "a"), ("cheap", "b"), ("dear", "c"), ("dear", "c")):
        story.call(f"{stage}-{value}", value, type="member", stage=stage, parent=panel)
    story.end(panel)
    asked = ask(story)
    assert asked.stage("ensemble_1").ensemble_disagreement() == pytest.approx(2 / 3)
    assert asked.stage("cheap").ensemble_disagreement() == 1.0
    assert asked.stage("dear").ensemble_disagreement() == 0.0
    assert asked.stage("nowhere").ensemble_disagreement().n == 0


@pytest.mark.parametrize(
    ("rule", "answers", "disagreement"),
    [
        (None, ["1", 1, 1.0], 1.0),
        ("str", ["1", 1, 1.0], 0.5),
        ("number", ["It is 1,200.", 1200, 1.2e3], 0.0),
        ("casefold", ["Paris", " paris", "PARIS "], 0.0),
        (r"regex:#### (\w+)", ["so #### a", "#### a!", "#### b"], 0.5),
        ("choice", [{"choice": "a", "why": 1}, {"choice": "a", "why": 2}], 0.0),
        (lambda value: value[0], ["ab", "ac", "b"], 0.5),
        (None, [{"x": 1, "y": 2}, {"y": 2, "x": 1}], 0.0),
        (None, [float("nan"), float("nan")], 0.0),
    ],
)
def test_answer_rules(rule: Any, answers: list[Any], disagreement: float) -> None:
    story = Story()
    story.ensemble(answers)
    assert ask(story).ensemble_disagreement(answer=rule) == disagreement


def test_answers_nobody_can_compare_are_unknown_and_counted() -> None:
    story = Story()
    story.ensemble([object(), object()])
    assert ask(story).ensemble_disagreement().left_out == {"with unknown answers": 1}


def test_free_text_brings_a_hint() -> None:
    assert "answer=" in str(ask(questions(("abc", "", ""), ("def", "", ""))).ensemble_disagreement())


# Majorities and ties.


def test_ties() -> None:
    asked = ask(questions(("ab", "", "b"), ("aab", "", "a"), ("aab", "", "b"), ("abc", "", "x")))
    assert asked.majority_accuracy() == float((Fraction(1, 2) + 1 + 0 + 0) / 4)
    assert asked.majority_accuracy(ties="first") == 0.25
    assert asked.majority_accuracy(ties="wrong") == 0.25
    abstained = asked.majority_accuracy(ties="abstain")
    assert (abstained, abstained.left_out) == (0.5, {"tied": 2})
    with pytest.raises(QueryError, match="ties='best' is none of expected"):
        asked.majority_accuracy(ties="best")  # type: ignore[arg-type]


def test_unlabelled_is_never_wrong() -> None:
    found = ask(questions(("aaa", "a", ""), ("aab", "a", "a"))).majority_accuracy()
    assert (found, found.n, found.unlabelled) == (1.0, 1, 1)


def test_several_accepted_answers_and_a_grader() -> None:
    story = Story()
    story.question("q", ["Paris", "paris"], "PARIS", ["paris", "Paris"])
    asked = ask(story)
    assert asked.majority_accuracy() == 1.0
    assert asked.judge_accuracy() == 0.0
    assert asked.judge_accuracy(answer="casefold") == 1.0
    assert asked.judge_accuracy(grade=lambda answer, truth: answer.lower() in truth) == 1.0


def test_a_failed_ensemble_counts_among_the_attempted() -> None:
    story = questions(("aa", "", "a"))
    story.question("q9", [ValueError, ValueError], truth="a")
    found = ask(story).majority_accuracy()
    assert (found, found.of_attempted, found.left_out) == (1.0, 0.5, {"without answers": 1})


@pytest.mark.parametrize(("n", "expected"), [(3, "0.784"), (5, "0.83692"), (7, "0.873964")])
def test_condorcet_by_exact_enumeration(n: int, expected: str) -> None:
    """Every pattern of right and wrong, as often as p = .7 has it in 10**n draws, by weighting the tally."""
    total = Fraction(0)
    for pattern in itertools.product("ab", repeat=n):
        weight = Fraction(7, 10) ** pattern.count("a") * Fraction(3, 10) ** pattern.count("b")
        story = questions(("".join(pattern), "", "a"))
        total += weight * Fraction(float(ask(story).majority_accuracy()))
    assert total == Fraction(expected)


# Judges.


def test_judge_accuracy_by_agreement_from_full_agreement_down() -> None:
    rows = [("aaa", "a", "a"), ("aab", "a", "a"), ("aab", "b", "a"), ("abc", "c", "a"), ("abb", "b", "")]
    found = ask(questions(*rows)).judge_accuracy_by_agreement()
    assert list(found) == ["3/3", "2/3", "1/3"]
    assert found == {"3/3": 1.0, "2/3": 0.5, "1/3": 0.0}
    assert (found["2/3"].n, found["2/3"].unlabelled, found.left_out) == (2, 1, {"unlabelled": 1})


def test_agreement_over_the_attempted_or_the_answered() -> None:
    story = Story()
    story.question("q", ["a", "a", ValueError, None], "a", "a")
    asked = ask(story)
    assert list(asked.judge_accuracy_by_agreement()) == ["2/4"]
    assert list(asked.judge_accuracy_by_agreement(over="answered")) == ["2/2"]


def test_scores_and_results_may_say_what_is_correct() -> None:
    story = Story()
    story.ensemble("ab")
    story.score(story.judge("b"), correct=True)
    story.ensemble("ab")
    judge = story.begin("chooser", "judge")
    story.end(judge, "a", correct=False)
    assert ask(story).judge_accuracy() == 0.5
    assert ask(story).judge_accuracy_by_agreement() == {"1/2": 0.5}


def test_lift_is_paired_over_the_same_judge_calls() -> None:
    rows = [("aab", "a", "a"), ("aab", "b", "b"), ("ab", "a", "a"), ("aaa", "a", "")]
    found = ask(questions(*rows)).judge_lift()
    assert found == pytest.approx((0 + 1 + 0.5) / 3)
    assert (found.n, found.unlabelled) == (3, 1)


def test_a_judge_that_failed_is_wrong_among_the_attempted() -> None:
    story = questions(("ab", "a", "a"))
    root = story.begin("pipeline", item={"key": "x", "truth": "a"})
    story.ensemble("ab", parent=root)
    story.end(story.begin("chooser", "judge", parent=root), error="TimeoutError")
    story.end(root)
    found = ask(story).judge_accuracy()
    assert (found, found.n, found.of_attempted, found.left_out) == (1.0, 1, 0.5, {"failed": 1})


def test_links_name_the_ensemble_or_its_members() -> None:
    story = Story()
    first = story.ensemble("aaa")
    panel = story.begin("panel", "ensemble")
    members = [story.member(panel, f"m{place}", value) for place, value in enumerate("ab")]
    story.end(panel)
    by_call, by_member = story.judge("a", links=[first]), story.judge("a", links=members, follows=first)
    both = story.judge("a", links=[first, members[1]])
    for judge in (by_call, by_member, both):
        story.score(judge, correct=True)
    found = ask(story).judge_accuracy_by_agreement()
    assert {name: row.n for name, row in found.items()} == {"3/3": 2, "1/2": 2}
    assert ask(story).judge_accuracy().n == 3


def test_a_walk_outside_any_parent_stops_at_another_judge() -> None:
    story = Story()
    story.ensemble("aa")
    story.score(story.judge("a"), correct=True)
    lonely = story.judge("a")
    story.score(lonely, correct=False)
    asked = ask(story)
    found = asked.judge_accuracy_by_agreement()
    assert (found, found.left_out) == ({"2/2": 1.0}, {"unlinked": 1})
    assert [row["call_id"] for row in asked.unlinked()] == [f"{lonely.call_id:016x}"]
    assert asked.health()["unlinked"] == 1


def test_two_judges_under_one_parent_read_the_same_ensemble() -> None:
    story = Story()
    root = story.begin("pipeline", item={"key": "q", "truth": "a"})
    story.ensemble("ab", parent=root)
    story.judge("a", parent=root)
    story.judge("b", parent=root)
    story.end(root)
    found = ask(story).judge_accuracy_by_agreement()["1/2"]
    assert (found, found.n, found.items) == (0.5, 2, 1)


def test_a_judge_never_reads_another_items_ensemble() -> None:
    story = Story()
    story.ensemble("aa", item={"key": "q1", "truth": "a"})
    story.judge("a", item={"key": "q2", "truth": "a"})
    assert ask(story).judge_accuracy_by_agreement().left_out == {"unlinked": 1}


def test_a_judge_around_an_ensemble() -> None:
    story = Story()
    judge = story.begin("chooser", "judge", item={"key": "q", "truth": "a"})
    story.ensemble("aab", parent=judge)
    story.end(judge, "a")
    assert ask(story).judge_accuracy_by_agreement() == {"2/3": 1.0}


def test_a_judge_inside_an_ensemble_judges_its_preceding_siblings() -> None:
    story = Story()
    panel = story.begin("panel", "ensemble", item={"key": "q", "truth": "a"})
    story.member(panel, "m0", "a")
    story.member(panel, "m1", "b")
    story.judge("a", parent=panel)
    story.member(panel, "m2", "b")
    story.end(panel)
    asked = ask(story)
    assert asked.judge_accuracy_by_agreement() == {"1/2": 1.0}
    assert asked.ensemble_disagreement() == 0.5


def test_two_hundred_interleaved_queries_none_misassigned() -> None:
    """All under one parent, every step of all queries before the next: only `follows` tells them apart."""
    story = Story()
    root = story.begin("serve")
    panels = [story.begin("panel", "ensemble", parent=root, follows=0) for _ in range(200)]
    for place, panel in enumerate(panels):
        for member in range(3):
            story.member(panel, f"m{member}", "a" if member < 3 - place % 2 else "b")
    for panel in reversed(panels):
        story.end(panel)
    judges = [story.begin("chooser", "judge", parent=root, follows=panel) for panel in panels[::-1]][::-1]
    for place, judge in enumerate(judges):
        story.end(judge, "a", correct=place % 2 == 0)
    story.end(root)
    found = ask(story).judge_accuracy_by_agreement()
    assert found == {"3/3": 1.0, "2/3": 0.0}
    assert [row.n for row in found.values()] == [100, 100]


def test_stages_of_judges_and_of_their_ensembles() -> None:
    story = Story()
    for stage, answers in (("one", "aa"), ("two", "ab")):
        root = story.begin("pipeline", item={"key": stage, "truth": "a"})
        story.ensemble(answers, stage=f"ensemble_{stage}", parent=root)
        story.judge("a", stage=f"judge_{stage}", parent=root)
        story.end(root)
    asked = ask(story)
    for stage, key in (("one", "2/2"), ("two", "1/2")):
        assert list(asked.stage(f"ensemble_{stage}").judge_accuracy_by_agreement()) == [key]
        assert list(asked.stage(f"judge_{stage}").judge_accuracy_by_agreement()) == [key]


# Labels, scores, units.


def test_labels_arrive_late_and_the_last_per_annotator_wins() -> None:
    story = questions(("aab", "b", ""), ("aab", "b", "b"))
    assert ask(story).judge_accuracy().unlabelled == 1
    story.label("q0", "b", by="ann")
    story.label("q0", "a", by="ann")
    story.label("q1", "a", by="bob")
    asked = ask(story)
    assert (asked.judge_accuracy(), asked.majority_accuracy()) == (0.0, 1.0)


def test_a_label_may_name_one_call_or_one_epoch() -> None:
    story = Story()
    for epoch in (0, 1):
        root = story.begin("pipeline", item={"key": "q", "epoch": epoch})
        story.ensemble("aa", parent=root)
        judge = story.judge("a", parent=root)
        story.end(root)
    story.label("q", "a")
    assert ask(story).judge_accuracy() == 1.0
    story.label("q", "b", epoch=0)
    assert ask(story).judge_accuracy() == 0.5
    story._emit(story._roots, 3, {"label": {"call": f"{judge.call_id:016x}", "truth": "b"}})
    assert ask(story).judge_accuracy() == 0.0


def test_accuracy_distribution_is_exact() -> None:
    story = Story()
    call = story.begin("m", "member", "s1")
    for value in (0.1, 0.2, 0.3, True, "high", float("nan")):
        story.score(call, accuracy=value)
    found = ask(story).accuracy_distribution()
    assert found == {"member:s1": {"mean": pytest.approx(0.4), "std": pytest.approx(0.3535533906), "samples": 4}}
    assert found.left_out == {"not a finite number": 2}
    assert ask(story).stage("s2").accuracy_distribution() == {}


def test_repeated_items_widen_the_interval() -> None:
    alone, repeated = Story(), Story()
    for place in range(24):
        answers = "ab" if place % 3 else "aa"
        alone.question(place, answers)
        repeated.question(place % 3, "ab" if place % 3 else "aa", epoch=place // 3)
    one, other = ask(alone).non_unanimous_rate(), ask(repeated).non_unanimous_rate()
    assert (float(one), one.n, one.items) == (float(other), 24, 24)
    assert (other.n, other.items) == (24, 3)
    assert other.interval[1] - other.interval[0] > one.interval[1] - one.interval[0]


# Filters, runs, errors.


def test_filters_narrow_by_tag_item_time_and_predicate() -> None:
    story = Story()
    for place, answers in enumerate(("aa", "ab", "ab")):
        story.ensemble(answers, item={"key": place}, tags={"lang": "en" if place else "de"}, at=100.0 + place)
    asked = ask(story)
    assert asked.tag("lang", "en").ensemble_disagreement().n == 2
    assert asked.tag("lang").ensemble_disagreement().n == 3
    assert asked.item(0).ensemble_disagreement() == 0
    assert asked.between(101, 102).type("ensemble").ensemble_disagreement().n == 1
    assert asked.where(lambda call: call.operator_id == "panel" and call.item["key"] == 2).ensemble_disagreement() == 1
    assert asked.tag("lang", "en").item(1).operator("m0").calls[0].result == "a"
    assert len(asked.item(1).trees) == 1
    assert {event.operator_id for event in asked.operator("m0").events} == {"m0"}


def test_several_runs_are_never_pooled_silently() -> None:
    stories = [Story(name, run=name, first_id=100 * place + 1) for place, name in enumerate(("r1", "r2"))]
    for story in stories:
        story.describe_run(story.run or "", name="nightly")
        story.ensemble("ab")
    forest = grown([event for story in stories for event in story.events])
    asked = OperatorAnalysis(LocalSource(forest))
    with pytest.raises(QueryError, match=r"2 runs are in question: r1 \(nightly\), r2 \(nightly\)"):
        asked.ensemble_disagreement()
    with pytest.raises(QueryError, match="pool=True"):
        asked.run("nightly").ensemble_disagreement()
    assert asked.run("r1").ensemble_disagreement().n == 1
    assert OperatorAnalysis(LocalSource(forest), pool=True).ensemble_disagreement().n == 2
    assert [run["id"] for run in asked.runs()] == ["r1", "r2"]
    assert [run["id"] for run in asked.run("r2").runs()] == ["r2"]


def of_three_runs() -> Forest:
    """Runs in the order of their beginning, which is none of their names'; the middle one is known from calls only."""
    events = []
    for place, run in enumerate(("r9", "r1", "r5")):
        story = Story(run, run=run, first_id=100 * place + 1)
        story._now += 1000 * place
        if run != "r1":
            story.describe_run(run, name=f"run {place}")
        story.ensemble("ab")
        events += story.events
    return grown(events[::-1])


def test_runs_are_in_the_order_in_which_they_began() -> None:
    asked = OperatorAnalysis(LocalSource(of_three_runs()))
    assert [run["id"] for run in of_three_runs().runs()] == ["r9", "r1", "r5"]
    assert [run["id"] for run in asked.runs()] == ["r9", "r1", "r5"]
    assert [run["id"] for run in asked.where(lambda call: call.run != "r1").runs()] == ["r9", "r5"]
    with pytest.raises(QueryError, match=r"3 runs are in question: r9 \(run 0\), r1, r5 \(run 2\);"):
        asked.ensemble_disagreement()


def test_a_run_that_is_described_late_began_with_its_calls() -> None:
    story, other = Story("a", run="r1"), Story("b", run="r2", first_id=50)
    story.ensemble("ab")
    other._now += 500
    other.describe_run("r2")
    other.ensemble("ab")
    story._now += 1000
    story.describe_run("r1", status="finished")
    assert [run["id"] for run in grown([*other.events, *story.events]).runs()] == ["r1", "r2"]


def test_the_flow_of_several_runs_is_never_pooled_silently() -> None:
    asked = OperatorAnalysis(LocalSource(of_three_runs()))
    for drawn in (asked, list(asked.events)):
        with pytest.raises(QueryError, match=r"3 runs are in question: r9 \(run 0\), r1, r5 \(run 2\);"):
            visualize_operator_flow(drawn)
    with pytest.raises(QueryError, match="3 runs are in question"):
        asked.flow()
    assert asked.run("r1").flow()["nodes"][0]["calls"] == 1
    pooled = OperatorAnalysis(asked.events, pool=True)
    assert "panel" in visualize_operator_flow(pooled)
    assert pooled.flow()["nodes"][-1]["calls"] == 3


def test_what_is_missing_is_said_in_every_answer() -> None:
    forest = questions(("aab", "a", "a")).forest()
    assert OperatorAnalysis(LocalSource(forest)).judge_accuracy().notes == ()
    forest.note_begin(b"p", 1, "worker-3", 4711)
    forest.note_gap(b"p", 3, 5, "dropped (spool full)")
    forest.note_gap(b"p", 3, 5, "dropped (spool full)")
    forest.note_gap(b"p", 1, 4, "no longer held")
    forest.undecodable = 2
    forest.damaged_bytes = 9
    asked = OperatorAnalysis(LocalSource(forest))
    assert forest.events == 12
    (note,) = asked.judge_accuracy().notes
    assert note == (
        "based on 57.1% of events: 4 no longer held at worker-3, process 4711, "
        "3 dropped (spool full) at worker-3, process 4711, 2 undecodable"
    )
    assert note in str(asked.ensemble_disagreement())
    assert note in asked.items().notes
    assert asked.judge_accuracy().left_out == {"damaged bytes": 9}
    assert asked.gaps() == 7
    assert [(row["host"], row["events"], row["reason"]) for row in asked.losses()] == [
        ("worker-3", 3, "dropped (spool full)"),
        ("worker-3", 4, "no longer held"),
    ]


def test_a_note_names_the_largest_losses_and_never_rounds_up() -> None:
    losses = [Loss(bytes([number]) * 16, "", 0, 10 - number, "dropped") for number in range(5)]
    assert losses_note(10_000_000, losses, 0) == (
        "based on 99.9% of events: 10 dropped at producer 00000000, 9 dropped at producer 01010101, "
        "8 dropped at producer 02020202, 13 elsewhere"
    )
    assert losses_note(0, losses[:1], 0) == "based on 0.0% of events: 10 dropped at producer 00000000"
    assert losses_note(5, [], 0) is None


def test_items_and_the_tree_of_one_item() -> None:
    story = questions(("aab", "b", "a"), ("bbb", "b", "b"))
    asked = ask(story)
    rows = asked.items()
    assert [(row["item"], row["truth"], row["agreement"], row["judge"], row["correct"]) for row in rows] == [
        ("q0", "a", "2/3", "b", 0.0),
        ("q1", "b", "3/3", "b", 1.0),
    ]
    assert rows[0]["answers"] == {"m0": "a", "m1": "a", "m2": "b"}
    assert [row["item"] for row in rows.wrong()] == ["q0"]
    assert [row["item"] for row in rows.search("Q1")] == ["q1"]
    tree = asked.show("q0")
    assert [(row["depth"], row["operator"]) for row in tree] == [
        (0, "pipeline"), (1, "panel"), (2, "m0"), (2, "m1"), (2, "m2"), (1, "chooser"),
    ]  # fmt: skip
    assert "\n    m2 type=member" in repr(tree)
    assert asked.show("q77") == []


def test_items_without_a_key_are_told_apart_by_their_arguments_and_order() -> None:
    story = Story()
    for question in ("one", "two", "one"):
        story.ensemble("ab", args=[question])
    first, second, third = sorted((row["item"] for row in ask(story).items()), key=lambda name: name.endswith("#2"))
    assert third in (f"{first}#2", f"{second}#2")
    assert [row["outcome"] for row in ask(story).show(third)] == ["result"] * 3


def test_attempts_of_a_call_without_a_key_are_one_item_in_any_case() -> None:
    """Its name is that of the attempt that counts, which here began after another call with the same arguments."""
    story = Story()
    first = story.begin("flaky", args=["x"], at=1.0)
    story.end(story.begin("steady", args=["x"], at=2.0), "b")
    story.end(story.begin("flaky", args=["x"], at=3.0, call_id=first.call_id, attempt=1), "a")
    for attempts in ("selected", "all"):
        asked = ask(story, attempts=attempts)
        (name, other) = sorted(row["item"] for row in ask(story).items())
        assert [row["operator"] for row in asked.show(name)] == ["steady"]
        assert {row["operator"] for row in asked.show(other)} == {"flaky"}
    assert [row["attempt"] for row in asked.show(other)] == [0, 1]


def test_stages_and_operators() -> None:
    story = Story()
    for error in (None, None, "ValueError"):
        story.end(story.begin("m", "member", "s"), error=error)
    story.begin("m", "member", "s")
    (row,) = ask(story).stages()
    assert row == {"stage": "s", "calls": 4, "errors": 1, "lost": 0, "open": 1, "p50_s": 1e-6, "p95_s": 1e-6}
    assert ask(story).operators()[0]["operator"] == "m"
    assert [row["error"] for row in ask(story).errors()] == ["ValueError: "]
    assert (len(ask(story).open_calls()), len(ask(story).lost())) == (1, 0)
