"""Inputs that break naive tracers: deep recursion, huge arguments, objects that raise whatever one does to them."""

from __future__ import annotations

import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

import embertrace as et


def descend(depth: int) -> int:
    return descend(depth + 1)


@et.trace(name="down")
def traced_descend(depth: int) -> int:
    return traced_descend(depth + 1)


def test_recursion_to_the_limit_is_the_same_error_and_leaves_the_tree_intact() -> None:
    with pytest.raises(RecursionError) as plain:
        descend(0)
    with et.collect_events() as events, pytest.raises(RecursionError) as caught:
        traced_descend(0)
    assert type(caught.value) is type(plain.value)
    assert "maximum recursion depth exceeded" in str(caught.value)
    analysis = et.OperatorAnalysis(events)
    calls = analysis.calls
    assert len(calls) > 100
    assert {call.outcome for call in calls} == {"error"}
    assert [len(call.children) for call in calls] == [1] * (len(calls) - 1) + [0]
    assert analysis.health()["missing"] == 0
    with et.collect_events() as events, et.operator("after"):
        pass
    assert [event.parent_call_id for event in events] == [None, None]


@et.trace(name="caught")
def descend_and_return(depth: int) -> int:
    try:
        return descend_and_return(depth + 1)
    except RecursionError:
        return depth


def test_recursion_that_is_caught_at_the_limit_goes_on() -> None:
    with et.collect_events() as events:
        depth = descend_and_return(0)
    assert depth > 50
    calls = et.OperatorAnalysis(events).calls
    assert {call.outcome for call in calls} <= {"result", "error"}
    assert calls[0].result == depth
    assert et.OperatorAnalysis(events).health()["missing"] == 0


@et.trace
def size_of(value: Any) -> int:
    return len(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytes(1 << 30),
        lambda: np.zeros(1 << 27),
        lambda: [b"x" * 64] * (1 << 24),
        lambda: {"deep": [bytes(1 << 30)]},
        lambda: "x" * (1 << 28),
    ],
    ids=["bytes", "array", "list", "nested", "text"],
)
def test_huge_arguments_are_summarised_in_little_memory(make: Any) -> None:
    value = make()
    with et.collect_events() as events:
        tracemalloc.start()
        try:
            size_of(value)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 10_000_000
    assert len(events) == 2
    assert sum(map(sys.getsizeof, events._events)) < 200_000


class Hostile:
    """Raises whatever one does to it, except what its user does."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "used"):
            return object.__getattribute__(self, name)
        raise RuntimeError(f"hands off {name}")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __str__(self) -> str:
        raise RuntimeError("no str")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __iter__(self) -> Any:
        raise RuntimeError("no iteration")

    def used(self) -> str:
        return "used"


class Disguised(Hostile):
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no class")


class HostileDict(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no items")

    def __iter__(self) -> Any:
        raise RuntimeError("no iteration")

    def __len__(self) -> int:
        raise RuntimeError("no length")


class HostileList(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError("no iteration")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError("no elements")


class HostileStr(str):
    __slots__ = ()

    def encode(self, *args: Any) -> bytes:
        raise RuntimeError("no bytes")

    def __len__(self) -> int:
        raise RuntimeError("no length")


class HostileInt(int):
    def __index__(self) -> int:
        raise RuntimeError("no index")

    def __int__(self) -> int:
        raise RuntimeError("no int")


MAKERS = {
    "Hostile": Hostile,
    "Disguised": Disguised,
    "HostileDict": lambda: HostileDict(a=1),
    "HostileList": lambda: HostileList([1]),
    "HostileStr": lambda: HostileStr("a"),
    "HostileInt": lambda: HostileInt(7),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_objects_that_raise_are_kept_as_far_as_they_let_themselves(
    maker: str, caplog: pytest.LogCaptureFixture
) -> None:
    value = MAKERS[maker]()

    @et.trace
    def use(value: Any, *, again: Any) -> Any:
        assert again is value
        return [value]

    with et.collect_events() as events:
        result = use(value, again=value)
    assert result[0] is value
    assert [event.event_type for event in events] == ["call", "result"]
    assert events[0].data["args"] is not None
    assert not caplog.records, caplog.text


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_without_words_is_still_an_error() -> None:
    @et.trace
    def fail() -> None:
        raise UnspeakableError

    with et.collect_events() as events, pytest.raises(UnspeakableError):
        fail()
    assert events[1].data["error"]["type"] == "UnspeakableError"
