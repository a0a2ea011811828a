"""A new judge for old answers, and ensembles that never ran."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.source import LocalSource
from embertrace.errors import QueryError
from support.forests import Story, grown
from support.told import record


def ask(*stories: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(grown(event for story in stories for event in story.events)))


# ensembles()


def test_questions_answers_and_truths() -> None:
    story = Story()
    story.question("q1", ["a", None, ValueError], truth="a")
    story.begin("panel", "ensemble", item={"key": "q2"})
    found = ask(story).ensembles()
    ((item, question, answers, truth),) = found
    assert (item, answers, truth) == ("q1", ["a", None, None], "a")
    assert question == 2  # a story's calls are given their own ids
    assert answers.members == ("m0", "m1", "m2")
    assert answers.calls == ("0000000000000003", "0000000000000004", "0000000000000005")
    assert found.left_out == {"incomplete": 1}
    assert ask(Story()).ensembles() == []


def test_a_frame_has_the_question_of_its_members() -> None:
    with et.collect_events() as events, et.operator("panel", type="ensemble") as panel:
        with et.operator("m") as member:
            member.result("a")
        panel.result(["a"])
    assert OperatorAnalysis(events).ensembles()[0].question is None

    @et.trace()
    def model(*, text: str) -> str:
        return text

    with et.collect_events() as events, et.operator("panel", type="ensemble"):
        model(text="why?")
    assert OperatorAnalysis(events).ensembles()[0].question == "why?"


@pytest.mark.parametrize("link", ["linked", "link"])
def test_a_new_judge_is_linked_to_the_members_it_read(link: str) -> None:
    @et.trace(type="judge", stage="second")
    def judge(question: Any, answers: list[Any]) -> Any:
        if link == "link":
            et.link(answers)
        return max(sorted(answers), key=answers.count)

    with et.collect_events() as events:
        for key, given in (("q1", "aab"), ("q2", "bba")):
            with et.item(key, truth="a"), et.operator("panel", type="ensemble", stage="first") as panel:
                for place, value in enumerate(given):
                    with et.operator(f"m{place}") as member:
                        member.result(value)
                panel.result([*given])
        for item, question, answers, truth in OperatorAnalysis(events).ensembles():
            if link == "linked":
                with et.item(item, truth=truth), et.linked(answers):
                    judge(question, answers)
            else:
                with et.item(item, truth=truth):
                    judge(question, answers)
    asked = OperatorAnalysis(events)
    assert asked.unlinked() == []
    assert dict(asked.judge_accuracy_by_agreement()) == {"2/3": 0.5}
    assert asked.judge_lift() == 0
    assert len(asked.calls) == 10


def test_linking_changes_nothing_where_nothing_is_made_or_traced() -> None:
    with et.collect_events() as events, et.linked("0000000000000001"):
        pass
    assert len(events) == 0
    with et.linked("0000000000000001"):
        pass
    with pytest.raises(TypeError, match="ids of calls"), et.linked(3.5):
        pass
    with (
        et.collect_events() as events,
        pytest.raises(ValueError, match="x"),
        et.linked("0000000000000001"),
        et.operator("judge", type="judge"),
    ):
        raise ValueError("x")
    (call,) = OperatorAnalysis(events).calls
    assert call.links == (1,)


# ensemble(by="item")


def day(run: str, answers: dict[Any, Any], operator: str = "model", first_id: int = 1, **truth: Any) -> Story:
    """One model that answers items, one call each."""
    story = Story(run, run=run, first_id=first_id)
    story.describe_run(run, name=f"{run}-name", status="finished")
    for key, value in answers.items():
        call = story.begin(operator, item={"key": key, **truth})
        story.end(call, error="ValueError") if value is ValueError else story.end(call, value)
    return story


def days() -> OperatorAnalysis:
    return ask(
        day("mon", {1: "a", 2: "a", 3: "a"}, truth="a"),
        day("tue", {1: "a", 2: "b", 3: "b"}, first_id=100),
        day("wed", {1: "a", 2: "a", 3: ValueError, 4: "a"}, first_id=200),
    )


def test_models_run_on_different_days_are_an_ensemble() -> None:
    made = days().ensemble(by="item")
    assert [row["agreement"] for row in made.items()] == ["3/3", "2/3", "1/3", None]
    assert made.items()[0]["answers"] == {"mon-name": "a", "tue-name": "a", "wed-name": "a"}
    assert made.majority_accuracy() == (1 + 1 + 0.5) / 3
    assert made.majority_accuracy().left_out == {"incomplete": 1}
    assert made.ensemble_disagreement().n == 3
    assert made.errors()[0]["operator"] == "wed-name"


def test_members_are_operators_or_runs() -> None:
    made = days().ensemble(members=["tue", "wed-name"])
    assert [row["agreement"] for row in made.items()] == ["2/2", "1/2", "1/2", None]
    together = days().ensemble(members=["model"])
    assert list(together.items()[0]["answers"]) == ["model@mon-name", "model@tue-name", "model@wed-name"]
    one = days().run("mon").ensemble(members=["model"])
    assert one.items()[0]["answers"] == {"model": "a"}


def test_a_judge_of_another_run_is_held_against_the_ensemble_of_its_item() -> None:
    judging = Story("judging", run="thu", first_id=300)
    for key, verdict in ((1, "a"), (2, "b"), (3, "a")):
        judging.judge(verdict, item={"key": key, "truth": "a"})
    asked = ask(
        day("mon", {1: "a", 2: "a", 3: "a"}),
        day("tue", {1: "a", 2: "b", 3: "b"}, first_id=100),
        judging,
    )
    made = asked.ensemble(members=["mon", "tue"], judge="chooser")
    assert dict(made.judge_accuracy_by_agreement()) == {"2/2": 1.0, "1/2": 0.5}
    assert made.unlinked() == []


def test_scores_labels_and_epochs_stay() -> None:
    stories = [Story("one", run="r1"), Story("two", run="r2", first_id=100)]
    for story, value in zip(stories, "ab", strict=True):
        for epoch in (0, 1):
            call = story.call("m", value, item={"key": "q", "epoch": epoch})
            story.score(call, usd=0.5)
    stories[0].label("q", "a", by="ann")
    made = ask(*stories).ensemble()
    assert [(row["epoch"], row["agreement"], row["cost"], row["truth"]) for row in made.items()] == [
        (0, "1/2", 1.0, "a"),
        (1, "1/2", 1.0, "a"),
    ]
    assert made.majority_accuracy() == 0.5
    assert len(made.labels()) == 1


def test_a_lost_member_has_failed() -> None:
    story = Story("gone", run="r2", first_id=100)
    story.begin("m", item={"key": 1})
    forest = grown([*day("r1", {1: "a"}).events, *story.events])
    forest.note_end(story.producer, 2 * 10**18, 1)
    made = OperatorAnalysis(LocalSource(forest)).ensemble()
    assert made.items()[0]["agreement"] == "1/2"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "tag:lang"}, "by='tag:lang'"),
        ({"members": ["nobody"]}, "no member 'nobody': operators with items are model, runs mon-name"),
        ({"members": "model"}, "members='model' is one name"),
        ({"members": ["model", "mon"], "judge": None}, "no member|twice"),
        ({"judge": "nobody"}, "no judge 'nobody'"),
    ],
)
def test_what_no_ensemble_can_be_made_of(options: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        days().ensemble(**options)


def test_nothing_to_make_ensembles_of() -> None:
    assert ask(Story()).ensemble().items() == []
    with pytest.raises(QueryError, match="operators with items are none, runs none"):
        ask(Story()).ensemble(members=["m"])


def test_a_recording_and_a_list_make_the_same(tmp_path: pathlib.Path) -> None:
    stories = [day("mon", {1: "a", 2: "a"}), day("tue", {1: "a", 2: "b"}, first_id=100)]
    path = record(tmp_path / "rec", [event for story in stories for event in story.events])
    assert et.open(path).ensemble().items().to_data() == ask(*stories).ensemble().items().to_data()
