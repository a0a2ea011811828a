"""Results in a notebook, as tables of other libraries, and down to the calls they are made of."""

from __future__ import annotations

import base64
import copy
import pathlib
import pickle
import re
import sys
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import pyarrow
import pytest

import embertrace as et
from embertrace.analysis import Estimate, Forest, LocalSource, OperatorAnalysis, Rows, Table
from embertrace.analysis.frames import CALL_SCHEMA, EVENT_SCHEMA
from embertrace.analysis.verbs import VERBS
from embertrace.errors import MissingExtraError, QueryError
from embertrace.event import OperatorEvent, call_hex
from support.forests import Story
from support.hostile import HOSTILE, LONG
from support.laws import OPTIONS


def told() -> Story:
    """Right, wrong, unlabelled, incomplete, failed, unlinked: one of each."""
    story = Story(run="r")
    story.question("right", "aaa", "a", "a")
    story.question("wrong", "aab", "b", "a")
    story.question("unlabelled", "aab", "a")
    root = story.begin("pipeline", item={"key": "incomplete", "truth": "a"})
    story.ensemble("aa", parent=root, missing=1)
    story.judge("a", parent=root)
    story.end(root)
    story.judge("a", item={"key": "unlinked", "truth": "a"})
    return story


def analysis() -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(told().forest()))


class Remote:
    """A source that is asked as an aggregator is: plain data both ways."""

    def __init__(self, local: LocalSource) -> None:
        self._local = local

    def answer(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._local.answer(query)

    def events(self) -> list[OperatorEvent]:
        return list(self._local.events())

    def forest(self) -> Forest:
        return self._local.forest()


def test_an_analysis_says_where_its_events_are_from(tmp_path: pathlib.Path) -> None:
    with et.session(tmp_path / "rec") as session, et.collect_events() as events:
        et.trace(lambda: 1)()
        assert repr(session.analysis()).startswith(f"OperatorAnalysis({tmp_path / 'rec'}).run(")
    asked = OperatorAnalysis(events)
    assert repr(asked.stage("one").tag("a", 2)) == "OperatorAnalysis(2 events).stage('one').tag('a', 2)"
    assert repr(OperatorAnalysis(iter(events))) == "OperatorAnalysis(events)"
    remote = Remote(LocalSource(told().forest()))
    assert repr(OperatorAnalysis(remote)) == "OperatorAnalysis(events)"  # a source needs no name
    remote.name = "elsewhere"  # type: ignore[attr-defined]
    assert repr(OperatorAnalysis(remote)) == "OperatorAnalysis(elsewhere)"
    assert repr(et.open(tmp_path / "rec")) == f"OperatorAnalysis(4 events in {tmp_path / 'rec'})"


def test_an_analysis_shows_its_flow_in_a_notebook() -> None:
    assert et.OperatorAnalysis is OperatorAnalysis
    shown = analysis()._repr_html_()
    (packed,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown)
    drawn = base64.b64decode(packed).decode()
    assert ElementTree.fromstring(drawn).tag.endswith("svg") and "chooser" in drawn
    assert "<img" not in OperatorAnalysis([])._repr_html_()


def remote() -> OperatorAnalysis:
    return OperatorAnalysis(Remote(LocalSource(told().forest())))


def reasons(rows: Rows) -> dict[str, str | None]:
    return {row["item"]: None if row["used"] else row["why"] for row in rows}


@pytest.mark.parametrize("asked", [analysis, remote])
def test_an_explanation_says_what_counts_and_why_not(asked: Any) -> None:
    assert reasons(asked().judge_lift().explain()) == {
        "right": None,
        "wrong": None,
        "unlabelled": "unlabelled",
        "incomplete": "incomplete",
        "unlinked": "unlinked",
    }


@pytest.mark.parametrize(
    "question", ["ensemble_disagreement", "non_unanimous_rate", "majority_accuracy", "judge_accuracy", "judge_lift",
                 "oracle_accuracy", "selection_accuracy"]
)  # fmt: skip
def test_an_explanation_adds_up_to_the_answer(question: str) -> None:
    found: Estimate = getattr(analysis(), question)()
    rows = found.explain()
    assert len(found.calls()) == found.n == sum(row["used"] for row in rows)
    assert sum(found.left_out.values()) == sum(not row["used"] for row in rows)
    assert {row["item"] for row in found.items()} == {row["item"] for row in rows if row["used"]}
    assert len(found.items()) == found.items


ABOUT_CALLS = sorted(VERBS.keys() - {"explain", "item", "label_agreement", "labels", "losses", "runs", "slowest"})
"""Of one item nothing else can be the slowest."""


@pytest.mark.parametrize("question", ABOUT_CALLS)
def test_what_is_said_of_a_call_is_said_of_it_alone(question: str) -> None:
    story = told()
    story.score(story.judge("a", item={"key": "scored", "truth": "a"}), accuracy=1)
    whole = OperatorAnalysis(LocalSource(story.forest()))
    rows = whole.explain(question, **OPTIONS.get(question, {}))
    assert rows
    for key in ("right", "wrong", "unlabelled", "incomplete", "unlinked", "scored"):
        of_item = whole.item(key).explain(question, **OPTIONS.get(question, {}))
        assert of_item == [row for row in rows if row["item"] == key]


LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "errors": ("failures", {"outcome": "error"}),
    "open_calls": ("failures", {"outcome": "open"}),
    "unlinked": ("unlinked", {}),
    "slowest": ("slowest", {}),
    "critical_path": ("critical_path", {"each": True}),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_calls_is_made_of_these(name: str) -> None:
    story = told()
    story.ensemble(["a", ValueError], parent=story.begin("open"))
    slow = story.begin("slow")
    story.end(story.begin("slower", parent=slow), took=10_000)
    story.end(slow, took=20_000)
    whole = OperatorAnalysis(LocalSource(story.forest()))
    question, options = LISTS[name]
    rows = getattr(whole, name)(each=True) if name == "critical_path" else getattr(whole, name)()
    assert rows and {row["call_id"] for row in rows} == {row["call_id"] for row in rows.calls()}
    explained = whole.explain(question, **options)
    assert {row["call_id"] for row in explained if row["used"]} == {row["call_id"] for row in rows}
    assert any(not row["used"] for row in explained)


def test_flips_are_made_of_both_rounds() -> None:
    story = Story(run="r")
    root = story.begin("debate", item={"key": "q"})
    calls = [story.call("speaker", answer, parent=root) for answer in "aabb"]
    story.end(root)
    flips = OperatorAnalysis(LocalSource(story.forest())).flips()
    assert [row["call_id"] for row in flips.calls()] == [call_hex(call.call_id) for call in calls[1:3]]


def test_a_row_of_a_table_has_its_own_calls() -> None:
    table = analysis().judge_accuracy_by_agreement()
    assert [row["item"] for row in table["3/3"].calls()] == ["right"]
    assert [row["item"] for row in table["2/3"].calls()] == ["wrong"]
    assert [row["item"] for row in table["2/3"].items()] == ["wrong"]
    inner = analysis().agreement_calibration()["accuracy"]["2/3"]
    assert [row["item"] for row in inner.calls()] == ["wrong"]
    assert reasons(table.explain())["unlabelled"] == "unlabelled"


def test_judges_say_whom_they_judged() -> None:
    rows = analysis().explain("judge_accuracy")
    assert [len(row["judged"]) for row in rows] == [1, 1, 1, 1, 0]


def test_options_go_along() -> None:
    story = Story(run="r")
    story.question("tied", "ab", "a", "a")
    found = OperatorAnalysis(LocalSource(story.forest())).majority_accuracy(ties="abstain")
    assert reasons(found.explain()) == {"tied": "tied"}


def test_what_can_not_be_explained_says_so() -> None:
    with pytest.raises(QueryError, match="does not know what it was asked of"):
        Estimate(0.5).explain()
    with pytest.raises(QueryError, match="no question 'nothing'"):
        analysis().explain("nothing")
    with pytest.raises(QueryError, match="takes answer"):
        analysis().explain("judge_accuracy", colour="red")
    with pytest.raises(QueryError, match="works locally only"):
        remote().explain("judge_accuracy", grade=lambda *_: 1)
    assert len(analysis().explain("judge_accuracy", grade=lambda *_: 1)) == 5


def test_results_travel_without_their_analysis() -> None:
    table = analysis().judge_accuracy_by_agreement()
    for result in (table, table["3/3"], analysis().items()):
        again = pickle.loads(pickle.dumps(result))
        assert again.to_data() == result.to_data() == copy.copy(result).to_data()
        with pytest.raises(QueryError):
            again.explain()


RESULTS: dict[str, Any] = {
    "estimate": lambda a: a.judge_accuracy(),
    "table": lambda a: a.agreement_calibration(),
    "rows": lambda a: a.items(),
    "tree": lambda a: a.show("right"),
    "counts": lambda a: a.health(),
    "groups": lambda a: a.by("stage").judge_accuracy(),
    "comparison": lambda a: a.compare(a),
    "analysis": lambda a: a,
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("empty", [True, False])
def test_a_notebook_gets_markup_that_is_whole(name: str, empty: bool) -> None:
    asked = OperatorAnalysis([]) if empty else analysis()
    html = RESULTS[name](asked)._repr_html_()
    tags = {element.tag for element in ElementTree.fromstring(f"<main>{html.replace('&nbsp;', ' ')}</main>").iter()}
    assert tags <= {"main", "div", "span", "table", "thead", "tbody", "tr", "th", "td", "code", "img"}


@pytest.mark.parametrize("text", [*HOSTILE, LONG])
def test_hostile_text_stays_text_in_a_notebook(text: str) -> None:
    for result in (
        Rows([{"depth": 3, text: text, "answer": [text]}], {text: 3}, [text]),
        Table({text: text, "in": Table({text: Estimate(0.5, n=2)})}, {text: 2}, [text]),
        Estimate(0.2, n=2, left_out={text: 2}, notes=[text]),
    ):
        html = result._repr_html_()
        tags = {element.tag for element in ElementTree.fromstring(f"<main>{html}</main>").iter()}
        assert tags <= {"main", "div", "span", "table", "thead", "tbody", "tr", "th", "td"}
        assert len(html) < 20_000


@pytest.mark.parametrize("name", [name for name in RESULTS if name != "analysis"])
def test_results_are_tables_of_other_libraries(name: str) -> None:
    for asked in (analysis(), OperatorAnalysis([])):
        result = RESULTS[name](asked)
        frame = result.to_polars()
        assert list(frame.columns) == list(result.to_pandas().columns) == result.to_arrow().column_names
        assert len(frame) == len(result.to_pandas()) == result.to_arrow().num_rows
        assert "result" not in result.to_dict()


def test_numbers_stay_numbers() -> None:
    (row,) = analysis().judge_accuracy().to_polars().to_dicts()
    assert (row["value"], row["n"]) == (0.75, 4)
    table = analysis().agreement_calibration().to_polars()
    assert table["name"].to_list() == ["accuracy · 3/3", "accuracy · 2/3", "ece", "brier"]
    assert Rows([{"a": 1}, {"a": None}, {"a": 2.5}]).to_arrow()["a"].to_pylist() == [1.0, None, 2.5]
    assert Rows([{"a": float("nan")}, {"a": 1.0}]).to_arrow()["a"].to_pylist() == [None, 1.0]
    mixed = Rows([{"a": 1, "b": True}, {"a": "x", "b": False}, {"a": [1, b"\xff"], "b": None}, {"a": 2**70}])
    assert mixed.to_arrow()["a"].to_pylist() == ["1", '"x"', '[1, "ff"]', '"1180591620717411303424"']
    assert mixed.to_arrow().schema.field("b").type == pyarrow.bool_()


def test_rows_are_an_arrow_stream() -> None:
    rows = analysis().operators()
    assert pyarrow.RecordBatchReader.from_stream(rows).schema.names == list(rows[0])
    assert pyarrow.RecordBatchReader.from_stream(analysis().calls).schema.names == list(CALL_SCHEMA)


@pytest.mark.parametrize("asked", [analysis(), OperatorAnalysis([]), analysis().stage("judge_1")])
def test_events_and_calls_have_one_schema_whatever_was_recorded(asked: OperatorAnalysis) -> None:
    types = {"time": "timestamp[ns, tz=UTC]", "text": "string", "json": "string", "value": "string", "whole": "int64"}
    for view, schema in ((asked.events, EVENT_SCHEMA), (asked.calls, CALL_SCHEMA)):
        found = view.to_arrow()
        assert {field.name: str(field.type) for field in found.schema} == {n: types[k] for n, k in schema.items()}
        assert found.num_rows == len(view) == len(view.to_pandas()) == len(view.to_polars())


def test_a_call_as_a_row() -> None:
    row = next(row for row in analysis().calls.to_arrow().to_pylist() if row["operator_type"] == "judge")
    assert (row["operator_id"], row["outcome"], row["item_key"], row["answer"]) == ("chooser", "result", "right", "a")


def test_sequences_are_lazy_and_behave_as_sequences() -> None:
    asked: list[str] = []

    class Counted(Remote):
        def events(self) -> list[OperatorEvent]:
            asked.append("events")
            return super().events()

        def forest(self) -> Forest:
            asked.append("forest")
            return super().forest()

    found = OperatorAnalysis(Counted(LocalSource(told().forest())))
    events, calls, trees = found.events, found.stage("judge_1").calls, found.trees
    assert asked == []
    assert len(events) == len(list(events)) == len(told().events)
    assert events[0] == events[:1][0] and events == list(events)
    assert {call.stage for call in calls} == {"judge_1"} and len(trees) == 5
    assert asked == ["events", "forest", "forest"]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, ask in (("pyarrow", "to_arrow"), ("pandas", "to_pandas"), ("polars", "to_polars")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            for result in (analysis().operators(), analysis().calls):
                with pytest.raises(MissingExtraError, match=r"embertrace\[frames\]"):
                    getattr(result, ask)()
