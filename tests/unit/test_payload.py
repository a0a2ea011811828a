"""Snapshots of values: what survives, what is summarised, what is cut, and that nothing ever raises."""

from __future__ import annotations

import dataclasses
import enum
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace import payload
from embertrace.errors import WireError
from embertrace.payload import Cut, Redaction, Summary


def round_trip(value: Any, **options: Any) -> Any:
    return payload.unpack(payload.pack(value, **options))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (-(2**70), -(2**70)),
        ("\ud800 lone", "\ud800 lone"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: "a", (1, 2): "b"}, {1: "a", (1, 2): "b"}),
        (b"\x00\xff", b"\x00\xff"),
        (np.float32(1.5), 1.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (enum.IntEnum("Colour", "RED").RED, 1),
    ],
)
def test_values_come_back_as_plain_ones(value: Any, expected: Any) -> None:
    assert round_trip(value) == expected


def test_nan_and_infinities_survive() -> None:
    assert math.isnan(round_trip(math.nan))
    assert round_trip([math.inf, -math.inf]) == [math.inf, -math.inf]


@dataclasses.dataclass
class Point:
    x: int
    y: list[int]


def test_records_arrays_and_exceptions_are_summarised() -> None:
    point = round_trip(Point(1, [2]))
    assert isinstance(point, Summary)
    assert point.about["fields"] == {"x": 1, "y": [2]}
    array = round_trip(np.arange(6).reshape(2, 3))
    assert array.about["shape"] == [2, 3]
    assert array.about["values"] == [[0, 1, 2], [3, 4, 5]]
    large = round_trip(np.zeros(1000))
    assert "values" not in large.about
    assert len(large.about["digest"]) == 16
    assert round_trip(ValueError("no")).about == {"message": "no"}


class Hostile:
    """Everything a value can do to whoever looks at it."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    __hash__ = None  # type: ignore[assignment]


def test_hostile_values_become_their_type() -> None:
    for value in (Hostile(), [Hostile()], {"k": Hostile()}):
        assert "Hostile" in repr(round_trip(value))


def test_cycles_and_deep_nesting_end() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    assert round_trip(cycle)
    deep: Any = 0
    for _ in range(500):
        deep = [deep]
    assert round_trip(deep)


def test_long_text_keeps_head_tail_length_and_digest() -> None:
    text = "begin" + "x" * 100_000 + "end"
    cut = round_trip(text, limit=1000)
    assert isinstance(cut, Cut)
    assert cut.length == len(text)
    assert cut.head.startswith("begin")
    assert cut.tail.endswith("end")
    assert cut.digest == round_trip(text, limit=2000).digest
    assert cut.digest != round_trip(text + "!", limit=1000).digest


def test_containers_over_the_limit_are_cut_and_stay_bounded() -> None:
    for value in (list(range(10**6)), dict.fromkeys(range(10**5), "v"), {"k": ["y" * 50] * 10**5}):
        assert len(payload.pack(value, limit=4096)) < 16_384


def test_a_gigabyte_costs_almost_no_memory() -> None:
    huge = np.zeros(2**30, dtype=np.uint8)
    texts = ["z" * 1_000_000] * 1000
    tracemalloc.start()
    payload.pack([huge, texts])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_redaction_hides_keys_and_patterns() -> None:
    rules = Redaction(keys=["api_key"], patterns=[r"sk-\w+"])
    value = {"API_KEY_2": "secret", "text": "use sk-123 now", "nested": [{"api_key": 1}]}
    assert round_trip(value, redaction=rules) == {
        "API_KEY_2": "[redacted]",
        "text": "use [redacted] now",
        "nested": [{"api_key": "[redacted]"}],
    }


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_packing_again_what_was_unpacked_gives_the_same_bytes(value: Any) -> None:
    packed = payload.pack(value)
    assert payload.pack(payload.unpack(packed)) == packed


@given(PLAIN)
def test_canonical_bytes_survive_the_round_trip(value: Any) -> None:
    assert payload.canonical(round_trip(value)) == payload.canonical(value)


def test_canonical_tells_apart_what_differs_and_nothing_else() -> None:
    assert payload.canonical({"a": 1, "b": 2}) == payload.canonical({"b": 2, "a": 1})
    assert payload.canonical([1, 2]) == payload.canonical((1, 2))
    assert payload.canonical(float("nan")) == payload.canonical(-float("nan"))
    assert len({payload.canonical(value) for value in (1, 1.0, "1", True, None, b"1", [1])}) == 7


@given(st.binary(max_size=200))
def test_unpacking_any_bytes_gives_a_value_or_a_wire_error(packed: bytes) -> None:
    try:
        payload.unpack(packed)
    except WireError:
        pass


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
PLAIN = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner))


@given(PLAIN)
def test_the_short_way_gives_what_the_long_one_gives(value: Any) -> None:
    """Rules of redaction that match nothing make every value take the long way."""
    assert payload.pack(value) == payload.pack(value, redaction=payload.Redaction())


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        "\ud800",
        ["ok", ("\udfff", 1)],
        "x" * 1025,
        ["x"] * 65,
        [[["x"] * 30] * 3],
        {"k" * 2000: 1},
        {1: "key"},
        [{"a": object}],
        (1, {2, 3}),
    ],
)
def test_what_the_short_way_does_not_know_takes_the_long_one(value: Any) -> None:
    assert payload.pack_plain(value, 1 << 16) is None
    assert payload.pack(value) == payload.pack(value, redaction=payload.Redaction())


def test_the_short_way_keeps_the_limit() -> None:
    value = ["x" * 1000] * 10
    assert payload.pack_plain(value, 2 * 10_031) is not None
    assert payload.pack_plain(value, 2 * 10_030) is None


def test_a_large_argument_costs_no_other() -> None:
    """What is kept of a call stays a list and a map, whichever of its values is beyond the limit."""
    large = "x" * 200_000
    kept = payload.unpack(payload.pack({"args": (large, 3, [large, "b"]), "kwargs": {"y": {"a": 2}, "z": large}}))
    first, second, third = kept["args"]
    assert (first.length, second) == (200_000, 3)
    assert isinstance(third, Cut | Summary)
    assert kept["kwargs"]["z"].length == 200_000
    assert str(kept["kwargs"]["y"]) == "{'a': 2}"


def test_many_large_arguments_stay_bounded() -> None:
    for count in (7, 8, 9, 100, 10_000):
        packed = payload.pack(
            {"args": ["x" * 200_000] * count, "kwargs": {str(n): b"y" * 200_000 for n in range(count)}}
        )
        assert len(packed) <= 2 * payload.DEFAULT_LIMIT
        kept = payload.unpack(packed)
        assert isinstance(kept["args"], Cut) == (count > 8)
        assert isinstance(kept["kwargs"], Cut) == (count > 8)
