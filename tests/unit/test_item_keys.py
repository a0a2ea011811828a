"""Items, epochs and tags of any value: chosen, grouped, shown and labelled by what is recorded of them."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.errors import QueryError
from embertrace.wire.context import Added, pack_context
from support.forests import Story, grown

KEYS: list[Any] = [
    "q1", "", "\ud800", "x" * 5000, "x" * 40, 1, 1.0, True, -1, 2**64, 2**70, 10**3000, math.nan, math.inf,
    {"a": 1}, {"a": 1, "b": [2]}, {1: 2}, {"a": math.nan}, (1, 2), [3, 4], ((1, 2), 3), b"x", {1, 2, 3},
    frozenset("ab"), object(),
]  # fmt: skip
"""Each another item than the others."""


def named(keys: list[Any]) -> list[Any]:
    """With names that are the same in every process."""
    return [pytest.param(key, id=f"{type(key).__name__}-{place}") for place, key in enumerate(keys)]


def record_all() -> Any:
    with et.collect_events() as events:
        for key in KEYS:
            with et.item(key, truth="a", of=key), et.operator("panel", type="ensemble") as panel:
                for member in ("m0", "m1"):
                    with et.operator(member, type="member") as op:
                        op.result("a")
                panel.result(["a", "a"])
    return events


@pytest.fixture(scope="module")
def asked() -> OperatorAnalysis:
    return OperatorAnalysis(record_all())


@pytest.mark.parametrize("key", named(KEYS))
def test_every_key_chooses_its_item(asked: OperatorAnalysis, key: Any) -> None:
    assert len(asked.item(key).calls) == 3
    assert asked.item(key).majority_accuracy().n == 1
    assert len(asked.show(key)) == 3
    assert len(asked.tag("of", key).calls) == 3


def test_groups_are_the_items(asked: OperatorAnalysis) -> None:
    for dimension in ("item", "tag:of"):
        found = asked.by(dimension).majority_accuracy()
        assert len(found) == len(KEYS), dimension
        assert {estimate.n for estimate in found.values()} == {1} and found.left_out == {}
        assert "nan" in found and "1180591620717411303424" in found


def test_an_aggregator_chooses_them_alike(tmp_path: pathlib.Path) -> None:
    with et.session(tmp_path / "rec", quiet=True) as session:
        record_all()
        session.settle(10)
        live = et.connect(session.endpoint)
        for key in KEYS:
            assert live.item(key).majority_accuracy().n == 1, key
            assert len(live.show(key)) == 3, key
            assert live.tag("of", key).judge_accuracy().notes == (), key
        assert len(live.by("item").majority_accuracy()) == len(KEYS)


@pytest.mark.parametrize("key", named([key for key in KEYS if key != "x" * 5000]))
def test_a_label_finds_the_item_of_its_key(key: Any) -> None:
    with et.collect_events() as events:
        with et.item(key, epoch=1), et.operator("chooser", type="judge") as judge:
            judge.result("a")
        et.label(key, truth="a")
    assert OperatorAnalysis(events).judge_accuracy() == 1
    assert OperatorAnalysis(events).labels()[0]["known"]


def test_none_is_no_key() -> None:
    with et.collect_events() as events, et.item(None), et.operator("m"):  # type: ignore[arg-type]
        pass
    asked = OperatorAnalysis(events)
    assert asked.items()[0]["item"].startswith("args:")
    assert len(asked.item(None).calls) == 0
    with pytest.raises(QueryError, match="needs key"):
        asked.show(None)


@pytest.mark.parametrize(
    ("packed", "key"),
    [
        (b"\xcc\x01", 1),
        (b"\xd3" + bytes(6) + b"\x01\x2c", 300),
        (b"\xd9\x02ab", "ab"),
        (b"\xda\x00\x02ab", "ab"),
        (b"\x01\xa3key\x02", 2),
    ],
    ids=["uint8", "int64", "str8", "str16", "twice"],
)
def test_a_key_is_the_same_however_its_producer_packs_it(packed: bytes, key: Any) -> None:
    story = Story()
    story.end(story.begin("op"), 1)
    item = (b"\x82" if b"key" in packed else b"\x81") + b"\xa3key" + packed
    (producer, seq, begin), end = story.events
    events = [(producer, seq, begin._replace(context=pack_context(Added(item=item)))), end]
    asked = OperatorAnalysis(LocalSource(grown(events)))
    assert [row["item"] for row in asked.items()] == [key]
    assert len(asked.item(key).calls) == 1
