"""Defined answers to strange inputs: one member, all equal, NaN and unhashable answers, two stages, no library."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Any

import pytest

from embertrace.analysis import Estimate, OperatorAnalysis
from embertrace.analysis.source import LocalSource
from embertrace.analysis.subsets import majority_of
from embertrace.errors import MissingExtraError, QueryError
from support.forests import Story


def ask(story: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()))


def of(*calls: Any, truth: Any = None) -> OperatorAnalysis:
    story = Story()
    for place, answers in enumerate(calls):
        story.question(place, answers, truth=truth)
    return ask(story)


def test_one_member_is_its_own_majority() -> None:
    asked = of("a", "b", truth="a")
    assert asked.majority_accuracy() == asked.oracle_accuracy() == 0.5
    assert [row["accuracy"] for row in asked.accuracy_vs_size()] == [0.5]
    (row,) = asked.member_value()
    assert (row["shapley"], row["leave_one_out"], row["accuracy"]) == (0.5, 0.5, 0.5)
    assert asked.pairwise_agreement() == asked.error_correlation() == []
    assert asked.vote_entropy() == {}
    assert asked.vote_entropy().left_out == {"with fewer than two answers": 2}
    assert math.isnan(asked.effective_votes()["ensemble_1"])
    assert math.isnan(asked.fleiss_kappa()) and math.isnan(asked.krippendorff_alpha())


def test_members_who_never_differ() -> None:
    asked = of("aaa", "aaa", truth="a")
    assert {row["agreement"] for row in asked.pairwise_agreement()} == {1.0}
    assert asked.vote_entropy()["ensemble_1"] == 0.0
    found = asked.effective_votes()
    assert math.isnan(found["ensemble_1"])
    assert found.notes == ("left out of ensemble_1, always right or always wrong: m0, m1, m2",)
    assert asked.error_correlation() == []
    assert [row["shapley"] for row in asked.member_value()] == pytest.approx([1 / 3] * 3)


def test_nan_and_unhashable_answers_can_be_counted() -> None:
    asked = of([math.nan, math.nan], [[1, {"a": [2]}], [1, {"a": [2]}]], [{"x": 1}, [1]])
    assert [row["agreement"] for row in asked.pairwise_agreement()] == pytest.approx([2 / 3])
    rows = asked.answer_distribution()
    assert [row["count"] for row in rows] == [2, 2, 1, 1]
    assert [1, {"a": [2]}] in [row["answer"] for row in rows]
    assert math.isnan(asked.krippendorff_alpha("interval"))
    assert asked.krippendorff_alpha("interval").left_out["answers that are no numbers"] == 6
    assert asked.fleiss_kappa() < 1


def test_an_answer_that_is_no_text_is_not_a_truth_that_was_cut() -> None:
    asked = of([{"a": 1}, ["x"]], truth="long " * 100_000)
    assert asked.oracle_accuracy() == 0.0


def test_everyone_failed() -> None:
    asked = of([ValueError, ValueError], [None, None], truth="a")
    assert math.isnan(asked.oracle_accuracy())
    assert (asked.oracle_accuracy().of_attempted, asked.oracle_accuracy().left_out) == (0.0, {"without answers": 2})
    assert [row["accuracy"] for row in asked.accuracy_vs_size()] == [0.0, 0.0]
    assert {row["shapley"] for row in asked.member_value()} == {0.0}
    assert asked.answer_distribution() == []


def test_unlabelled_is_never_wrong() -> None:
    asked = of("ab", "aa")
    for found in (asked.oracle_accuracy(), asked.member_value(), asked.accuracy_vs_size(), asked.effective_votes()):
        assert found.left_out == {"unlabelled": 2}


def test_free_text_is_told_of_the_answer_rule() -> None:
    asked = of(["It is a.", "a, surely", "A"], ["B!", "b", "so: b"], truth="a")
    for found in (asked.pairwise_agreement(), asked.vote_entropy(), asked.oracle_accuracy(), asked.fleiss_kappa(),
                  asked.answer_distribution(), asked.member_value(), asked.agreement_calibration()):  # fmt: skip
        assert any("answer=… may help" in note for note in found.notes)
    assert asked.pairwise_agreement(answer=r"regex:(?i)\b([ab])\b").notes == ()


def test_a_filter_that_matches_nothing() -> None:
    asked = of("ab", truth="a").stage("nowhere")
    assert math.isnan(asked.oracle_accuracy()) and math.isnan(asked.cohen_kappa("m0", "m1"))
    assert asked.member_value() == asked.latency() == asked.critical_path() == []
    assert asked.judge_choices() == asked.agreement_calibration() == {}


def test_an_operator_in_two_stages_is_counted_in_each() -> None:
    story = Story()
    for stage, answers in (("one", "ab"), ("two", "aa"), ("two", "ab")):
        story.ensemble(answers, stage=stage, item={"key": stage, "truth": "a"})
    rows = ask(story).member_value()
    assert {(row["stage"], row["member"]): row["accuracy"] for row in rows} == {
        ("one", "m0"): 1.0, ("one", "m1"): 0.0, ("two", "m0"): 1.0, ("two", "m1"): 0.5,
    }  # fmt: skip
    assert set(ask(story).vote_entropy()) == {"one", "two"}
    assert ask(story).stage("two").vote_entropy()["two"] == 0.5


def test_a_retried_ensemble_counts_once() -> None:
    story = Story()
    about = {"key": 1, "truth": "a"}
    first = story.begin("panel", "ensemble", item=about)
    story.member(first, "m0", "b")
    story.end(first, error="ValueError")
    again = story.begin("panel", "ensemble", item=about, attempt=1, call_id=first.call_id)
    story.member(again, "m0", "a")
    story.end(again, ["a"])
    for attempts in ("selected", "all"):
        asked = OperatorAnalysis(LocalSource(story.forest()), attempts=attempts)  # type: ignore[arg-type]
        assert (asked.oracle_accuracy(), asked.oracle_accuracy().n) == (1.0, 1)


def test_epochs_of_an_item_are_one_unit() -> None:
    def asked(epochs: int) -> Estimate:
        story = Story()
        for item in range(10):
            for epoch in range(epochs):
                story.ensemble("ab", item={"key": item, "epoch": epoch, "truth": "a" if item % 2 else "c"})
        return ask(story).oracle_accuracy()

    assert (asked(5).n, asked(5).items) == (50, 10)
    # five equal outcomes of an item say no more than one, but for the estimated design effect
    assert asked(5).interval == pytest.approx(asked(1).interval, abs=0.03)


@pytest.mark.parametrize(
    ("question", "options", "says"),
    [
        ("fleiss_kappa", {"chance": "x"}, "chance='x' is none of fleiss, randolph"),
        ("krippendorff_alpha", {"level": "x"}, "level='x' is none of nominal"),
        ("agreement_calibration", {"of": "x"}, "of='x' is none of plurality, judge"),
        ("agreement_calibration", {"ties": "x"}, "ties='x' is none of expected"),
        ("accuracy_vs_size", {"sizes": [0]}, "no list of positive numbers"),
        ("accuracy_vs_size", {"sizes": "3"}, "no list of positive numbers"),
        ("answer_distribution", {"top": 0}, "top=0 is no positive number"),
    ],
)
def test_options_that_mean_nothing_are_refused(question: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        getattr(OperatorAnalysis([]), question)(**options)


@pytest.mark.parametrize(
    ("question", "module"), [("fleiss_kappa", "statsmodels.stats.inter_rater"), ("krippendorff_alpha", "krippendorff")]
)
def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch, question: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=rf"{question}\(\) needs the 'stats' extra: pip install 'embertrace\[stats\]'"
    ):
        getattr(of("ab"), question)()


def test_a_huge_panel_is_sampled_and_says_so() -> None:
    asked = of([str(n % 40) for n in range(400)], truth="0")
    rows = asked.accuracy_vs_size(sizes=[50, 200])
    assert all(0 < row["error"] < 0.1 for row in rows)
    assert "sampled" in rows.notes[0]
    values = asked.member_value()
    assert math.fsum(row["shapley"] for row in values) == pytest.approx(1 / 40, abs=1e-9)


def rotating(*calls: dict[str, str], truth: str = "a") -> OperatorAnalysis:
    """Ensembles of other members each time: by their names what they answered."""
    story = Story()
    for place, answers in enumerate(calls):
        panel = story.begin("panel", "ensemble", "ensemble_1", item={"key": place, "truth": truth})
        for name, answer in answers.items():
            story.member(panel, name, answer)
        story.end(panel, [*answers.values()])
    return ask(story)


def test_votes_are_counted_in_the_calls_and_not_among_all_members_ever_seen() -> None:
    """Pairs of independent members, drawn from six: they are worth two votes, not six."""
    answers = [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    asked = rotating(
        *(dict(zip(pair, said, strict=True)) for pair in ("uv", "wx", "yz") for said in answers for _ in range(5))
    )
    found = asked.effective_votes()["ensemble_1"]
    assert found == pytest.approx(2.0)
    assert found.interval[0] < 2 < found.interval[1] < 6
    copies = rotating(*({one: said, other: said} for one, other in ("uv", "wx") for said in "ab" for _ in range(5)))
    assert copies.effective_votes()["ensemble_1"] == pytest.approx(1.0)


def test_a_curve_over_sizes_of_other_calls_says_so() -> None:
    asked = of("aa", "aaab", "bbb", truth="a")
    found = asked.accuracy_vs_size()
    assert [row["n"] for row in found] == [3, 3, 2, 1]
    assert found.notes == ("calls of ensemble_1 have 2 to 4 members: at larger sizes fewer calls count",)
    assert asked.accuracy_vs_size(replacement=True).notes == ()
    assert of("aab", "abb", truth="a").accuracy_vs_size().notes == ()


def test_a_judge_that_failed_counts_among_the_attempted_of_its_agreement() -> None:
    story = Story()
    for key, (answers, verdict) in enumerate([("aab", "a"), ("aab", ValueError), ("abb", None), ("abc", ValueError)]):
        root = story.begin("pipeline", item={"key": key, "truth": "a"})
        story.ensemble(answers, parent=root)
        judge = story.begin("chooser", "judge", parent=root)
        story.end(judge, error="ValueError") if verdict is ValueError else story.end(judge, verdict)
    found = ask(story).agreement_calibration("judge")
    assert set(found["accuracy"]) == {"2/3"} and found["ece"].n == found["brier"].n == 1
    row, alike = found["accuracy"]["2/3"], ask(story).judge_accuracy_by_agreement()["2/3"]
    assert (row.n, row, row.of_attempted) == (alike.n, alike, alike.of_attempted) == (1, 1.0, 1 / 3)
    assert found.left_out == {"failed": 2, "abstained": 1}


def test_sizes_beyond_what_can_be_summed_are_sampled_and_bounded() -> None:
    asked = of("aab", "aaa", ["a", "b", None], truth="a")
    (row,) = asked.accuracy_vs_size(sizes=[100_000], replacement=True)
    assert row["accuracy"] == pytest.approx(2.5 / 3, abs=0.03) and 0 < row["error"] < 0.02
    assert "sampled" in asked.accuracy_vs_size(sizes=[100_000], replacement=True).notes[-1]
    assert [row["size"] for row in asked.accuracy_vs_size(sizes=range(1, 3))] == [1, 2]
    assert asked.accuracy_vs_size(sizes=[]) == []
    for sizes in ([1_000_001], range(1, 2000)):
        with pytest.raises(QueryError, match="at most 1000 of them, each at most 1,000,000"):
            asked.accuracy_vs_size(sizes=sizes, replacement=True)


def test_patterns_are_sampled_independently_and_what_was_sampled_is_never_called_exact() -> None:
    """The error of a mean over patterns takes them to be: equal draws for each would err together."""
    tied = [((n, Fraction(0)), (n, Fraction(1))) for n in range(3, 23)]
    sampled = [majority_of(pattern, 0, 9001, True) for pattern in tied]
    assert all(worth.variance > 0 for worth in sampled)
    mean = float(sum(worth.value for worth in sampled) / len(sampled))
    assert mean == pytest.approx(0.5, abs=4 * math.sqrt(sum(worth.variance for worth in sampled)) / len(sampled))
    assert len({worth.value for worth in sampled}) > 10
    sure = majority_of(((3, Fraction(1)), (5, Fraction(0))), 0, 9001, True)
    assert sure.value == 0 and sure.variance > 0


def test_values_add_up_to_the_accuracy_of_the_attempted() -> None:
    asked = of("aab", [ValueError, ValueError, None], "abb", truth="a")
    majority, values, curve = asked.majority_accuracy(), asked.member_value(), asked.accuracy_vs_size()
    assert (majority, majority.of_attempted) == (0.5, 1 / 3)
    assert sum(row["shapley"] for row in values) == pytest.approx(majority.of_attempted)
    assert curve[-1]["accuracy"] == pytest.approx(majority.of_attempted)
    said = ("1 calls of ensemble_1 that nobody answered count as wrong, as in of_attempted",)
    assert values.notes == curve.notes == said
