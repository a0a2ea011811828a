"""Results print well and survive the trip through plain data; queries that can't be answered say why."""

from __future__ import annotations

import math
import pickle
from typing import Any

import msgpack
import pytest

from embertrace.analysis.forest import Forest
from embertrace.analysis.results import Estimate, Groups, Rows, Table, result_from_data
from embertrace.analysis.verbs import VERBS, answer
from embertrace.errors import QueryError
from support.forests import Story


def story() -> Forest:
    told = Story(run="r")
    told.question("q0", ["a", "a", ValueError], "a", "a")
    told.question("q1", ["a", object(), None], "b", 2**70)
    told.question("q2", "abc", "b", "b")
    told.score(accuracy=0.5)
    return told.forest()


OPTIONS: dict[str, dict[str, Any]] = {
    "item": {"key": "q1"},
    "failures": {"outcome": "error"},
    "cohen_kappa": {"a": "m0", "b": "m1"},
    "unknown_items": {"targets": [["q1", None, None]]},
    "groups": {"by": "stage"},
    "explain": {"question": "judge_lift"},
}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_answer_is_plain_data_and_comes_back_as_it_was(verb: str) -> None:
    for forest in (Forest(), story()):
        data = answer(forest, {"verb": verb, "filters": [], "options": OPTIONS.get(verb, {})})
        crossed = msgpack.unpackb(msgpack.packb(data))
        result = result_from_data(crossed)
        assert result.to_data() == data == crossed
        assert repr(result) == repr(result_from_data(data))


def test_an_estimate_is_a_float_that_says_its_sample() -> None:
    found = Estimate(0.85, n=20, items=20, interval=(0.62, 0.95), left_out={"unlabelled": 2, "open": 0})
    assert repr(found) == "0.85 [0.62, 0.95] n=20 (left out: 2 unlabelled)"
    assert found == 0.85
    assert round(found, 1) == 0.8
    assert (found.value, found.unlabelled, found.left_out) == (0.85, 2, {"unlabelled": 2})
    again = pickle.loads(pickle.dumps(found))
    assert (again, again.to_data()) == (found, found.to_data())


def test_nan_is_none_in_data() -> None:
    data = Estimate(math.nan).to_data()
    assert (data["value"], data["interval"], data["of_attempted"]) == (None, [None, None], None)
    assert math.isnan(result_from_data(data))  # type: ignore[arg-type]
    assert repr(result_from_data(data)) == "nan n=0"


def test_tables_and_rows_print() -> None:
    table = Table({"3/3": Estimate(1.0, n=2, items=2)}, {"unlinked": 1})
    assert repr(table) == "{'3/3': 1 n=2} (left out: 1 unlinked)"
    assert table.n == 2
    rows = Rows([{"stage": "s", "calls": 12}, {"stage": "longer\nname", "calls": None}])
    assert repr(rows).splitlines() == ["stage        calls", "s            12", "longer name"]
    assert repr(Rows([])) == "no rows"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"verb": "magic"}, "there is no question 'magic'; known are accuracy_distribution, "),
        ({"verb": ["x"]}, "there is no question"),
        ({}, "there is no question None"),
        ({"verb": "items", "filters": [["planet", "x"]]}, "there is no filter 'planet'; known are stage, operator"),
        ({"verb": "items", "filters": [["stage"]]}, "stage.. was called with 0 arguments"),
        ({"verb": "items", "filters": [["tag", "a", "b", "c"]]}, "tag.. was called with 3 arguments"),
        ({"verb": "items", "filters": [["between", "a", "b"]]}, "between.. takes two times"),
        ({"verb": "items", "filters": [["where", "x"]]}, "works locally only"),
        ({"verb": "items", "filters": [[]]}, "there is no filter ''"),
        ({"verb": "items", "filters": ["stage"]}, "filters are lists"),
        ({"verb": "items", "options": {"colour": 1}}, "items has no option 'colour'; it takes answer, grade, pool"),
        ({"verb": "item"}, "item needs key"),
        ({"verb": "failures", "options": {"outcome": "sad"}}, "none of error, lost, open"),
        ({"verb": "outcomes", "options": {"on": "dice"}}, "none of judge, majority"),
        ({"verb": "judge_accuracy_by_agreement", "options": {"over": "x"}}, "none of attempted, answered"),
        ({"verb": "majority_accuracy", "options": {"ties": ["x"]}}, "is none of expected"),
        ({"verb": "judge_accuracy", "options": {"answer": "regex:("}}, "is no regular expression"),
        ({"verb": "judge_accuracy", "options": {"answer": 7}}, "answer=7 is no rule"),
        ({"verb": "judge_accuracy", "options": {"answer": "regex:" + "x" * 501}}, "the limit is 500"),
        ({"verb": "judge_accuracy", "options": {"grade": "x"}}, "grade='x' is no callable"),
    ],
)
def test_bad_queries_are_one_clear_sentence(query: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says) as caught:
        answer(Forest(), query)
    assert "\n" not in str(caught.value)


def test_an_answer_of_a_kind_nobody_knows() -> None:
    with pytest.raises(QueryError, match="same embertrace on both sides"):
        result_from_data({"result": "hologram"})


def test_what_an_operator_says_cannot_steer_a_terminal() -> None:
    hostile = "\x1b[2J\x9b31m\u202eevil\nline"
    rows = Rows([{"depth": 0, "operator": hostile, "answer": hostile}])
    flat = Rows([{"operator": hostile, hostile: 1}])
    groups = Groups({hostile: Estimate(1.0, n=1)}, {hostile: 2}, [hostile])
    for shown in (str(rows), str(flat), str(groups), repr(Table({hostile: 1}))):
        assert "evil" in shown
        assert not any(char in shown for char in "\x1b\x9b\u202e")


def test_what_was_left_out_is_in_one_order_whichever_part_met_it_first() -> None:
    one, other = Estimate(0.5, left_out={"open": 1, "failed": 2}), Estimate(0.5, left_out={"failed": 2, "open": 1})
    assert list(one.to_data()["left_out"]) == list(other.to_data()["left_out"]) == ["failed", "open"]
