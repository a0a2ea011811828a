"""Filters that match nothing: a defined answer, which says what name is of nothing, and what names there are."""

from __future__ import annotations

import functools
import pathlib

import pytest

import embertrace as et
from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.calls import Call
from embertrace.analysis.source import LocalSource
from support.forests import Story, grown
from support.parts import TINY, both, record


def asked() -> OperatorAnalysis:
    story = Story(run="r1")
    story.describe_run("r1", name="nightly", status="finished")
    for key in range(3):
        story.question(key, "aab", "a", truth="a")
    return OperatorAnalysis(LocalSource(story.forest()))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (asked().run("nope"), "there is no run 'nope'; there are r1 (nightly)"),
        (asked().stage("nope"), "there is no stage 'nope'; there are default, ensemble_1, judge_1, members"),
        (asked().type("nope"), "there is no type 'nope'; there are ensemble, function, judge, member"),
        (asked().operator("gpt"), "there is no operator 'gpt'; there are chooser, m0, m1, m2, panel, pipeline"),
        (asked().stage("judge_1").operator("m0"), "no call passes stage('judge_1').operator('m0')"),
        (asked().item("q9"), "no call passes item('q9')"),
        (asked().tag("lang", "de"), "no call passes tag('lang', 'de')"),
        (asked().between(0, 1), "no call passes between(0, 1)"),
        (OperatorAnalysis([]).run("r1"), "there is no run 'r1', nor any other"),
    ],
)
def test_what_matches_nothing_says_so(chosen: OperatorAnalysis, said: str) -> None:
    found = chosen.ensemble_disagreement()
    assert (found.n, found.left_out, found.notes) == (0, {}, (said,))
    assert chosen.items().notes == (said,) and chosen.items() == []
    assert chosen.judge_accuracy_by_agreement().notes == (said,)


def is_dear(call: Call) -> bool:
    return False


class Above:
    def __init__(self, bound: float) -> None:
        self.bound = bound

    def __call__(self, call: Call) -> bool:
        return bool(call.children) and self.bound < 0

    def holds(self, call: Call) -> bool:
        return self(call)


def test_a_callable_is_told_by_its_name_and_where_it_stands() -> None:
    line = is_dear.__code__.co_firstlineno
    here = f"test_unmet_filters.py:{line}"
    unnamed = lambda call: False  # noqa: E731
    for predicate, said in (
        (is_dear, f"is_dear at {here}"),
        (functools.partial(is_dear), f"is_dear at {here}"),
        (Above(2), "Above"),
        (Above(2).holds, f"Above.holds at test_unmet_filters.py:{Above.holds.__code__.co_firstlineno}"),
        (
            unnamed,
            "test_a_callable_is_told_by_its_name_and_where_it_stands.<locals>.<lambda>"
            f" at test_unmet_filters.py:{unnamed.__code__.co_firstlineno}",
        ),
    ):
        chosen = asked().stage("judge_1").where(predicate)
        assert chosen.judge_accuracy().notes == (f"no call passes stage('judge_1').where({said})",)
        assert repr(chosen).endswith(f").stage('judge_1').where({said})")


def test_each_unknown_name_is_named() -> None:
    notes = asked().run("x").stage("y").operator("m0").judge_lift().notes
    assert [note.split(";")[0] for note in notes] == ["there is no run 'x'", "there is no stage 'y'"]


def test_a_filter_that_something_passes_says_nothing() -> None:
    assert asked().run("nightly").judge_accuracy().notes == ()
    assert asked().run("r1").stage("members").ensemble_disagreement().notes == ()
    score = et.OperatorEvent("panel", "ensemble", "s", "metric", data={"accuracy": 1.0})
    assert OperatorAnalysis([score]).stage("s").accuracy_distribution().notes == ()


def test_many_names_are_not_all_listed() -> None:
    story = Story()
    for number in range(30):
        story.call(f"m{number:02}", "a")
    (note,) = OperatorAnalysis(LocalSource(story.forest())).operator("x").latency().notes
    assert note.endswith("m18, m19 and 10 more")


def test_parts_name_what_none_of_them_has(tmp_path: pathlib.Path) -> None:
    stories = [Story(name, first_id=1000 * place + 1) for place, name in enumerate("abcdefgh")]
    for story in stories:
        for key in range(20):
            panel = story.begin("panel", "ensemble", f"of {story.producer[:1].decode()}", item={"key": key})
            story.end(panel, "aab")
    whole, parts = both(record(tmp_path / "rec", [story.events for story in stories], stories), TINY)
    assert len(parts) > 0
    for filters in ([["stage", "of a"]], [["stage", "nope"]], [["stage", "of h"], ["item", 99]], [["item", 99]]):
        query = {"verb": "ensemble_disagreement", "filters": filters}
        assert parts.ask(query).to_data() == LocalSource(whole).answer(query)


def test_several_runs_can_be_taken_as_one_wherever_they_are_opened(tmp_path: pathlib.Path) -> None:
    for name in ("one", "two"):
        with et.session(tmp_path / "rec", run=name, quiet=True) as session, et.operator("panel", type="ensemble") as op:
            op.result(["a", "b"])
    with et.session(tmp_path / "rec", run="three", quiet=True) as session:
        session.settle(10)
        assert et.connect(session.endpoint, pool=True).ensemble_disagreement().n == 2
    assert et.open(tmp_path / "rec", pool=True).ensemble_disagreement().n == 2


def test_a_label_alone_bears_no_name() -> None:
    story = Story()
    story.label("q1", "a")
    chosen = OperatorAnalysis(LocalSource(grown(story.events))).stage("x")
    assert chosen.judge_accuracy().notes == ("there is no stage 'x', nor any other",)
