"""What is read of a sample: partial paths count as errors only, totals are estimated, shares are not mixed."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from embertrace.analysis import OperatorAnalysis, result_from_data, verbs
from embertrace.analysis.sample import number, worth
from embertrace.analysis.source import LocalSource
from embertrace.analysis.verbs import VERBS
from embertrace.errors import QueryError
from embertrace.event import FOREIGN_SLOT
from support.forests import Story
from support.parts import told


def ask(story: Story, **options: Any) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()), **options)


def question(story: Story, key: str, answers: str, verdict: str, share: float, usd: float = 0.1) -> None:
    root = story.begin("pipeline", item={"key": key, "truth": "a"}, share=share)
    story.ensemble(answers, parent=root)
    story.score(story.judge(verdict, parent=root), usd=usd, tokens_in=10)
    story.end(root)


def sampled(share: float = 0.1) -> Story:
    """Two items of a sample."""
    story = Story(run="r")
    question(story, "q1", "aab", "a", share)
    question(story, "q2", "aaa", "b", share)
    return story


def path(story: Story, key: str) -> None:
    """Of an item outside the sample what led to an error; two of its members are not there."""
    root = story.begin("pipeline", item={"key": key, "truth": "a"}, share=0.0)
    panel = story.begin("panel", "ensemble", "ensemble_1", root)
    story.member(panel, "m1", ValueError, slot=1)
    story.end(panel, ["a", None, "a"], missing=3)
    story.end(root, error="RuntimeError", missing=1)


EVERYTHING: list[tuple[str, dict[str, Any]]] = [
    (verb, {"key": "q1"} if verb == "item" else {"by": "stage"} if verb == "groups" else {})
    for verb in sorted(VERBS)
    if verb not in ("explain", "cohen_kappa", "failures", "unknown_items")
]


@pytest.mark.parametrize(("verb", "options"), EVERYTHING, ids=lambda value: value if isinstance(value, str) else "")
def test_partial_paths_count_in_errors_only(verb: str, options: dict[str, Any]) -> None:
    without, beside = sampled(), sampled()
    path(beside, "q3")
    if verb == "health":  # counts all events that there are, of whatever
        found = [ask(story).health() for story in (without, beside)]
        assert all(found[0][name] == found[1][name] for name in found[0] if name != "events")
        return
    query = {"verb": verb, "filters": [], "options": options}
    found = [told(functools.partial(verbs.ask, story.forest()), query) for story in (without, beside)]
    assert found[0] == found[1]


def test_errors_have_the_partial_paths_and_say_so() -> None:
    story = sampled()
    path(story, "q3")
    errors = ask(story).errors()
    assert [(row["item"], row["operator"]) for row in errors] == [("q3", "pipeline"), ("q3", "m1")]
    assert any("3 calls are of items outside the sample" in note for note in errors.notes)
    assert not ask(story).open_calls()
    assert len(ask(story).share(0).errors()) == 2
    assert ask(story).item("q3").calls == []


def test_a_partial_path_that_is_not_over_is_awaited_by_nobody() -> None:
    story = sampled()
    story.begin("pipeline", item={"key": "q3"}, share=0.0)
    assert story.forest().progress("r")["open"] == 0
    assert not ask(story).open_calls()


def test_a_partial_path_is_known_by_its_root_or_by_itself() -> None:
    story = Story()
    root = story.begin("pipeline", item={"key": "q"}, share=0.0)
    story.call("leaf", parent=root)
    remote = story.begin("remote", share=0.0, item={"key": "q"}, slot=7)  # its caller was recorded nowhere
    story.end(remote, error="ValueError")
    assert ask(story).calls == []
    assert [row["operator"] for row in ask(story).errors()] == ["remote"]


def test_rates_are_those_of_the_recorded_and_the_notes_say_of_what() -> None:
    found = ask(sampled()).majority_accuracy()
    assert (found, found.n) == (1.0, 2)
    assert found.notes == ("a sample of 10% of all items: 12 calls; each stands for 10",)
    assert ask(sampled(1.0)).majority_accuracy().notes == ()
    assert ask(sampled()).majority_accuracy() == ask(sampled(1.0)).majority_accuracy()
    assert result_from_data(found.to_data()).notes == found.notes


def test_totals_are_estimated_beside_what_was_recorded() -> None:
    analysis = ask(sampled())
    (stage,) = [row for row in analysis.stages() if row["stage"] == "members"]
    assert (stage["calls"], stage["estimated_calls"]) == (6, 60)
    (total,) = [row for row in analysis.cost() if row["of"] == "total"]
    assert (total["calls"], total["usd"], total["tokens_in"]) == (2, 0.2, 20)
    assert (total["estimated_calls"], total["estimated_usd"], total["estimated_tokens_in"]) == (20, 2, 200)
    assert total["usd_per_correct"] == 0.2
    flow = analysis.flow()
    assert {node["operator"]: node["estimated_calls"] for node in flow["nodes"]}["m0"] == 20
    assert all(edge["estimated_count"] == 10 * edge["count"] for edge in flow["edges"])
    assert not any("estimated" in name for row in ask(sampled(1.0)).cost() for name in row)
    assert not any("estimated" in name for row in ask(sampled(1.0)).stages() for name in row)


def test_a_score_outside_any_call_stands_for_itself() -> None:
    story = sampled(0.5)
    story.score(usd=1)
    (total,) = [row for row in ask(story).cost() if row["of"] == "total"]
    assert (total["usd"], total["estimated_usd"]) == (1.2, 1.4)


def test_different_shares_are_not_taken_together_but_each_can_be_asked_about() -> None:
    story = sampled(0.1)
    question(story, "q3", "bbb", "b", 0.5)
    analysis = ask(story)
    for estimating in (analysis, ask(story, pool=True)):
        with pytest.raises(QueryError, match=r"2 shares are in question: 12 of 0\.1, 6 of 0\.5; choose with share"):
            estimating.majority_accuracy()
    assert analysis.share(0.5).majority_accuracy() == 0
    assert analysis.share(0.1).majority_accuracy() == 1
    assert analysis.item("q3").ensemble_disagreement() == 0
    assert len(analysis.timeline(bucket_s=1)) > 0
    assert "10% and 50% of all items: 18 calls" in analysis.health().notes[0]
    with pytest.raises(QueryError, match="takes a number from 0 to 1"):
        analysis.share("x")  # type: ignore[arg-type]


def test_members_that_a_filter_withheld_make_an_ensemble_incomplete_never_smaller() -> None:
    story = Story(run="r")
    root = story.begin("pipeline", item={"key": "q", "truth": "a"})
    story.ensemble("ab", parent=root)
    panel = story.begin("panel", "ensemble", "ensemble_1", root)
    story.member(panel, "m0", "a")
    story.end(panel, ["a", "b", "b"], missing=2, withheld=2)
    all_withheld = story.begin("panel", "ensemble", "ensemble_1", root)
    story.end(all_withheld, ["a", "b"], missing=2, withheld=2)
    elsewhere = story.begin("panel", "ensemble", "ensemble_1", root)
    story.withhold("m0", elsewhere, times=2)
    story.member(elsewhere, "m1", "a")
    story.end(elsewhere, ["b", "a"])
    foreign = story.begin("panel", "ensemble", "ensemble_1", root)
    story.member(foreign, "m0", "a")
    story.withhold("m1", foreign, slot=FOREIGN_SLOT + 5)
    story.end(foreign, ["a", "b"])
    story.end(root)
    analysis = ask(story)
    disagreement = analysis.ensemble_disagreement()
    assert (disagreement.n, disagreement.left_out) == (1, {"incomplete": 4})
    assert "6 calls below these were filtered out; ensembles that miss members are incomplete" in disagreement.notes
    assert [call.missing for call in analysis.stage("ensemble_1").calls] == [0, 2, 2, 1, 1]
    health = analysis.health()
    assert (health["missing"], health["withheld"]) == (0, 6)
    assert story.forest().progress("r")["missing"] == 0
    assert analysis.stage("members").ensemble_disagreement().left_out == {"incomplete": 3}


def test_a_root_that_a_filter_withheld_elsewhere_counts_among_the_roots() -> None:
    story = Story(run="r")
    story.call("here")
    story.withhold("there", times=2)
    progress = story.forest().progress("r")
    assert (progress["calls"], progress["roots"], progress["missing"]) == (1, 2, 0)
    assert story.forest().progress("another")["roots"] == 0


def test_estimates_take_the_share_as_it_is_written_and_bear_any() -> None:
    assert worth(0.1) == 10
    assert worth(0.3) * 3 == 10
    assert number(worth(5e-324)) == float("inf")
    story = sampled(5e-324)
    assert [row["estimated_calls"] for row in ask(story).stages()] == [None] * 4
    assert "each stands for inf" in ask(story).cost().notes[-1]
