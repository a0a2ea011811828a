"""Labels: which one counts, their history, what they name, and how far annotators agree."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.source import LocalSource
from embertrace.errors import ConfigError, MissingExtraError, QueryError
from support.forests import Story


def ask(story: Story, **options: Any) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()), **options)


def judged(*verdicts: str) -> Story:
    story = Story()
    for place, verdict in enumerate(verdicts):
        story.question(f"q{place}", "aab", verdict)
    return story


def truths(analysis: OperatorAnalysis) -> list[Any]:
    return [row["truth"] for row in analysis.items()]


def test_the_last_label_of_an_annotator_counts_and_the_others_are_history() -> None:
    story = judged("a")
    for truth, by in (("b", "human:ann"), ("c", "human:bob"), ("a", "human:ann")):
        story.label("q0", truth, by=by)
    asked = ask(story)
    assert truths(asked) == ["a"]
    assert asked.judge_accuracy() == 1
    assert [(row["by"], row["truth"], row["status"]) for row in asked.labels()] == [
        ("human:ann", "b", "replaced"),
        ("human:bob", "c", "current"),
        ("human:ann", "a", "current"),
    ]
    assert all(row["item"] == "q0" and row["known"] for row in asked.labels())


def test_a_withdrawal_leaves_the_other_annotators() -> None:
    story = judged("a")
    story.label("q0", "b", by="bob")
    story.label("q0", "a", by="ann")
    story.label("q0", None, by="ann")
    assert truths(ask(story)) == ["b"]
    assert [row["status"] for row in ask(story).labels()] == ["current", "replaced", "withdrawal"]


def test_labels_of_a_run_go_before_those_of_all_runs_and_of_an_epoch_before_all_epochs() -> None:
    story = Story(run="r1")
    story.describe_run("r1", name="nightly")
    story.describe_run("r2", name="weekly")
    for run in ("r1", "r2"):
        story.run = run
        for epoch in (0, 1):
            story.question("q", "aab", "a", epoch=epoch)
    story.label("q", "of all")
    story.label("q", "of an epoch", epoch=1)
    story.label("q", "of a run", run="nightly")
    assert truths(ask(story).run("r1")) == ["of a run", "of a run"]
    assert truths(ask(story).run("weekly")) == ["of all", "of an epoch"]
    story.label("q", "of both", run="r1", epoch=1)
    assert truths(ask(story).run("nightly")) == ["of a run", "of both"]


def test_a_call_can_be_labelled_by_itself() -> None:
    with et.collect_events() as events:
        with et.item("q"), et.operator("chooser", type="judge") as op:
            op.result("a")
        (call,) = OperatorAnalysis(events).calls
        et.label(call, "a", by="human:ann")
        ended = next(event for event in events if event.event_type == "result")
        et.label(ended, truth="b", by="human:bob")
    asked = OperatorAnalysis(events)
    assert [row["truth"] for row in asked.items()] == ["b"]
    assert [row["call"] for row in asked.labels()] == [ended.call_id, ended.call_id]
    assert asked.label_agreement().keys() == {"alpha", "human:ann, human:bob"}


def test_labels_that_name_nothing_are_said() -> None:
    story = judged("a")
    story.label("q0", "a")
    for place in range(12):
        story.label(f"nowhere {place}", "a")
    found = ask(story).labels()
    assert [row["known"] for row in found] == [True] + [False] * 12
    assert found.notes[0].startswith("12 labels name nothing that was seen: 'nowhere 0', 'nowhere 1'")
    assert found.notes[0].endswith("'nowhere 9' and 2 more")
    assert len(ask(story).item("q0").labels()) == 1
    assert ask(story).item("nowhere 0").labels() == []


def test_labels_of_one_annotator_or_of_a_kind() -> None:
    story = judged("a")
    for by in ("human:ann", "human:bob", "model:x"):
        story.label("q0", "a", by=by)
    assert len(ask(story).labels(by="human:")) == 2
    assert len(ask(story).labels(by="human:ann")) == 1
    assert ask(story).labels(by="human") == []


def test_unknown_items_are_found_by_place() -> None:
    story = judged("a", "b")
    asked = ask(story)
    targets = [["q0", None, None], ["q9", None, None], ["q1", 3, None], ["q1", None, "other"], [0, None, None]]
    assert [row["place"] for row in asked.unknown_items(targets)] == [1, 2, 3, 4]
    assert asked.unknown_items([]) == []
    for wrong in ([["q0"]], ["q0"]):
        with pytest.raises(QueryError, match="key, epoch, run"):
            asked.unknown_items(wrong)


# Agreement, against published values.


def labelled(rows: dict[str, list[Any]]) -> OperatorAnalysis:
    """Annotators and their labels of items 0, 1, …; None is no label."""
    story = Story()
    for by, row in rows.items():
        for place, truth in enumerate(row):
            if truth is not None:
                story.label(place, truth, by=by)
    return ask(story)


def test_cohens_kappa_of_two_annotators() -> None:
    """The table [[20, 5], [10, 15]]: kappa 0.4."""
    cells = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = labelled({"ann": [one for one, _ in cells], "bob": [other for _, other in cells]}).label_agreement()
    kappa = found["ann, bob"]
    assert kappa == pytest.approx(0.4)
    assert (kappa.n, kappa.items) == (50, 50)
    assert kappa.interval[0] < 0.4 < kappa.interval[1]


KRIPPENDORFF_C: dict[str, list[Any]] = {
    "a": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    "b": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    "c": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    "d": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
}
"""Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C."""


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.7434), ("ordinal", 0.8154), ("interval", 0.8491), ("ratio", 0.7974)]
)
def test_krippendorffs_alpha_of_four_annotators(level: Any, alpha: float) -> None:
    found = labelled(KRIPPENDORFF_C).label_agreement(level=level)["alpha"]
    assert found == pytest.approx(alpha, abs=5e-5)
    assert (found.items, found.n) == (11, 40)
    assert found.left_out == {"labelled by one annotator": 1}


def test_agreement_beyond_chance_needs_two_annotators_who_differ_somewhere() -> None:
    assert labelled({}).label_agreement() == {}
    alone = labelled({"ann": ["a", "b"]}).label_agreement()
    assert alone == {} and "two annotators" in alone.notes[0]
    same = labelled({"ann": ["a", "a"], "bob": ["a", "a"]}).label_agreement()
    assert math.isnan(same["alpha"]) and math.isnan(same["ann, bob"]) and "equal" in same["alpha"].notes[0]
    apart = labelled({"ann": ["a", None], "bob": [None, "b"]}).label_agreement()
    assert math.isnan(apart["ann, bob"]) and apart["ann, bob"].notes == ("no item has labels of both",)
    texts = labelled({"ann": ["a", "b"], "bob": ["a", "c"]}).label_agreement(level="ordinal")
    assert math.isnan(texts["alpha"]) and "numbers" in texts["alpha"].notes[0]
    for odd in ({"a": 1}, "\ud800", math.nan, math.inf, [1]):
        unordered = labelled({"ann": [odd, 1], "bob": [odd, 2]}).label_agreement(level="interval")
        assert math.isnan(unordered["alpha"]) and "numbers" in unordered["alpha"].notes[0]
    with pytest.raises(QueryError, match="ordinal"):
        labelled({}).label_agreement(level="cardinal")  # type: ignore[arg-type]


@pytest.mark.parametrize("module", ["krippendorff", "statsmodels.stats.inter_rater"])
def test_a_missing_library_is_named_with_its_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = labelled({"ann": ["a", "b"], "bob": ["a", "a"]})
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"label_agreement\(\) needs the 'stats' extra"):
        asked.label_agreement()


def test_withdrawn_labels_are_no_ratings() -> None:
    story = Story()
    for by, truth in (("ann", "a"), ("bob", "b"), ("bob", None)):
        story.label(0, truth, by=by)
    assert ask(story).label_agreement().notes == ("agreement takes labels of two annotators",)


@pytest.mark.parametrize(
    ("about", "more", "said"),
    [
        ("k" * 5000, {}, "key"),
        (None, {}, "key"),
        (et.OperatorEvent(operator_id="x", event_type="metric", data={}), {}, "no call"),
        (et.OperatorEvent(call_id="1f"), {"epoch": 1}, "epoch"),
    ],
)
def test_what_no_label_can_name(about: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        et.label(about, "a", **more)
