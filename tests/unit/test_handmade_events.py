"""Events that users build themselves: odd values work, and what can't work is one error that names the field."""

from __future__ import annotations

import math
from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import OperatorAnalysis
from embertrace.errors import QueryError

PANEL, MEMBER = ("panel", "ensemble", "s"), ("m", "member", "m")
UNDER = {"operators": [{"id": "panel", "type": "ensemble", "stage": "s"}]}


def story(context: dict[str, Any] | None = None, **fields: Any) -> list[et.OperatorEvent]:
    """An ensemble with a member, without a call id anywhere; all four events with these fields."""
    about = context or {}
    return [
        et.OperatorEvent(*PANEL, "call", context=about, **fields),
        et.OperatorEvent(*MEMBER, "call", context={**about, **UNDER}, **fields),
        et.OperatorEvent(*MEMBER, "result", context={**about, **UNDER}, data={"result": "a"}, **fields),
        et.OperatorEvent(*PANEL, "result", context=about, data={"result": ["a"]}, **fields),
    ]


def ask_everything(asked: OperatorAnalysis) -> None:
    for question in ("items", "latency", "flow", "timeline", "critical_path", "health", "cost", "labels"):
        getattr(asked, question)()
    for view in (asked.events, asked.calls, asked.trees, asked.stage("m").events):
        for convert in (view.to_pandas, view.to_polars, view.to_arrow):
            assert len(convert()) == len(view)
    assert "panel" in et.visualize_operator_flow(asked)


@pytest.mark.parametrize(
    "truth", [{"a", "b"}, frozenset("ab"), ("a", "b"), ["a", "b"]], ids=["set", "frozenset", "tuple", "list"]
)
def test_a_set_of_accepted_answers_is_a_truth(truth: Any) -> None:
    asked = OperatorAnalysis(story({"item": {"key": {1, 2}, "truth": truth}, "tags": {"lang": {"de", "en"}}}))
    assert asked.majority_accuracy() == 1 and asked.majority_accuracy().n == 1
    assert len(asked.item({1, 2}).events) == len(asked.tag("lang", {"en", "de"}).events) == 4
    assert asked.events.to_pandas()["item_key"].tolist() == ["[1,2]"] * 4
    assert asked.events.to_pandas()["tags"].tolist() == ['{"lang":["de","en"]}'] * 4
    ask_everything(asked)


def test_objects_are_told_as_they_would_be_recorded() -> None:
    asked = OperatorAnalysis([et.OperatorEvent(*MEMBER, "result", data={"result": object(), "args": [{3, 1, 2}]})])
    (text,) = asked.events.to_pandas()["data"]
    assert text == '{"result":"<object object>","args":[[1,2,3]]}'


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf, 1e30, 1_700_000_000_000_000_000, -1e9, 5])
def test_what_is_no_moment_is_null_in_tables(moment: float) -> None:
    asked = OperatorAnalysis(story(timestamp=moment))
    ask_everything(asked)
    is_moment = abs(moment) < 1e10
    assert asked.events.to_pandas()["time"].notna().tolist() == [is_moment] * 4


@pytest.mark.parametrize("duration", [math.nan, math.inf, -1.0, 1e30])
def test_what_is_no_duration_is_null_in_tables(duration: float) -> None:
    ask_everything(OperatorAnalysis(story(duration_s=duration)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"timestamp": "now"}, "timestamp is 'now'; it must be a number of Unix seconds"),
        ({"duration_s": "3"}, "duration_s is '3'; it must be a number of seconds, or None"),
        ({"attempt": "1"}, "attempt is '1'; it must be a whole number from 0"),
        ({"slot": -3}, "slot is -3; it must be a whole number"),
        ({"slots": 2**70}, "slots is 1180591620717411303424; it must be a whole number"),
        ({"call_id": "zz"}, "call_id is 'zz'; it must be 16 hexadecimal digits, or None"),
        ({"call_id": 7}, "call_id is 7; it must be 16 hexadecimal digits, or None"),
        ({"follows": "f" * 40}, "follows is 'f{40}'; it must be 16 hexadecimal"),
        ({"trace_id": 7}, "trace_id is 7; it must be a text, or None"),
        ({"producer_id": b"x", "seq": 1}, "producer_id is b'x'; it must be a text"),
        ({"producer_id": "x", "seq": -1}, "seq is -1; it must be a whole number from 0"),
        ({"links": None}, "links is None; it must be a tuple of ids"),
        ({"links": ["zz"]}, r"links is \['zz'\]; it must be a tuple of ids"),
        ({"links": [None]}, r"links is \[None\]; it must be a tuple of ids"),
    ],
)
def test_a_field_of_the_wrong_kind_is_one_error(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=f"event 0: {said}"):
        OperatorAnalysis(story(**fields)).items()


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (None, "event 0: context is None; it must be a mapping"),
        (["a"], r"event 0: context is \['a'\]; it must be a mapping"),
        ({"item": "q1"}, "in its context: item is 'q1'; it must be a mapping, as {'key': 'q1'"),
        ({"tags": ["de"]}, r"in its context: tags is \['de'\]; it must be a mapping"),
        ({"run": 3}, "in its context: run is 3; it must be a text"),
        ({"operators": "panel"}, "operators is 'panel'; it must be a list of mappings"),
        ({"operators": ["panel"]}, "it must be a list of mappings with id, type and stage"),
        ({"operators": [{"id": 3}]}, "in a frame of its context: id is 3; it must be a text"),
        ({"operators": [{"id": "p", "call_id": "zz"}]}, "call_id is 'zz'; it must be 16 hexadecimal"),
        ({"operators": [{"id": "p", "attempt": None}]}, "attempt is None; it must be a whole number"),
    ],
)
def test_a_context_of_the_wrong_kind_is_one_error(context: Any, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        OperatorAnalysis([et.OperatorEvent(*MEMBER, "call", context=context)]).items()


def test_the_place_in_the_list_is_said() -> None:
    events = [*story(), et.OperatorEvent(None, "member", "m", "call")]  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="event 4: operator_id is None; it must be a text"):
        OperatorAnalysis(events).calls[0]
    with pytest.raises(QueryError, match="element 4 is a str"):
        OperatorAnalysis([*story(), "event"]).calls[0]  # type: ignore[list-item]


def test_numbers_of_numpy_are_numbers() -> None:
    import numpy as np

    asked = OperatorAnalysis(
        story(timestamp=np.float32(5), slots=np.int64(0), duration_s=np.float64(0.5), attempt=np.int32(0))
    )
    ask_everything(asked)
    assert [row["p50_s"] for row in asked.stages()] == [0.5, 0.5]
