"""A traced program does what it did untraced, and leaves no position behind: the odd shapes of operators."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import logging
import pickle
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace import context


def calls(events: Any) -> list[tuple[str, str]]:
    return [(call.operator_id, call.outcome) for call in et.OperatorAnalysis(events).calls]


@pytest.fixture(params=[False, True], ids=["untraced", "traced"])
def trace(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Each test holds for both, so it holds for the program as it was."""
    return et.trace if request.param else lambda target: target


# Methods of every kind.


def test_static_class_and_other_methods_stay_what_they_are(trace: Any) -> None:
    class Callee:
        def __call__(self, x: int) -> int:
            return x + 1

    class Methods:
        @trace
        @staticmethod
        def static(x: int) -> int:
            return x + 1

        @trace
        @classmethod
        def by_class(cls, x: int) -> tuple[str, int]:
            return cls.__name__, x

    with et.collect_events():
        assert (Methods().static(1), Methods.static(1)) == (2, 2)
        assert (Methods().by_class(1), Methods.by_class(1)) == (("Methods", 1), ("Methods", 1))
        for member in (
            staticmethod(lambda x: x + 1),
            classmethod(lambda cls, x: x + 1),
            Callee(),
            lambda self, x: x + 1,
        ):
            made = trace(type("Made", (), {"__call__": member}))
            assert made()(1) == 2
        made = trace(
            type(
                "Made",
                (),
                {"add": lambda self, k, x: k + x, "__call__": functools.partialmethod(lambda self, k, x: k + x, 1)},
            )
        )
        assert made()(1) == 2


def test_a_cached_function_keeps_its_cache(trace: Any) -> None:
    @trace
    @functools.lru_cache
    def cached(x: int) -> int:
        return x

    with et.collect_events():
        assert [cached(1), cached(1)] == [1, 1]
    assert cached.cache_info().hits == 1
    cached.cache_clear()
    assert cached.cache_info().hits == 0


def test_what_can_not_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a class, a function or a callable instance"):
        et.trace(functools.cached_property(len))


def test_methods_know_their_instance_whatever_self_is_called() -> None:
    @et.trace(stage="e")
    class Chooser(et.Judge):
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(this, question: int) -> int:
            return question

    with et.collect_events() as events:
        Chooser("first")(1)
    assert (events[0].operator_id, events[0].operator_type, events[0].data["args"]) == ("first", "judge", [1])


def test_super_is_the_same_call_and_recursion_is_not() -> None:
    def logged(function: Any) -> Any:
        return functools.wraps(function)(lambda *args: function(*args))

    class Counting:
        @logged
        @et.trace
        def __call__(self, n: int) -> int:
            return 0 if n == 0 else 1 + self(n - 1)

    @et.trace
    class Middle(Counting):
        def __call__(self, n: int) -> int:
            return super().__call__(n)

    class Leaf(Middle):
        def __call__(self, n: int) -> int:
            return super().__call__(n)

    for cls, expected in ((Counting, 4), (Middle, 4), (Leaf, 4)):
        with et.collect_events() as events:
            assert cls()(3) == 3
        assert len(calls(events)) == expected


# Instances.


class Counter:
    def __init__(self) -> None:
        self.n = 0

    def __call__(self, x: int = 1) -> int:
        self.n += x
        return self.n


def test_traced_instances_are_copied_pickled_and_set_like_their_own(trace: Any) -> None:
    operator = trace(Counter())
    twin, pickled = copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))
    with et.collect_events():
        assert [twin(), twin(), pickled(5), operator()] == [1, 2, 5, 1]
    operator.n = 10
    assert operator() == 11
    assert inspect.signature(operator) == inspect.signature(Counter())


def test_an_instance_of_a_traced_class_is_one_call() -> None:
    operator = et.trace(et.trace(type("Twice", (Counter,), {}))(), stage="said last")
    with et.collect_events() as events:
        operator()
    assert [event.stage for event in events] == ["said last", "said last"]


def test_partials_of_coroutine_functions_are_awaited() -> None:
    async def ask(x: int) -> int:
        return x

    operator = et.trace(functools.partial(ask, 3))
    with et.collect_events() as events:
        assert asyncio.run(operator()) == 3
    assert events[1].data["result"] == 3


# Generators and coroutines.


def test_wrong_arguments_to_a_generator_leave_nobody_inside() -> None:
    @et.trace
    def generator() -> Iterator[int]:
        yield 1

    @et.trace
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    with et.collect_events() as events:
        with pytest.raises(TypeError):
            next(generator(1))  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            asyncio.run(anext(async_generator(1)))  # type: ignore[call-arg, arg-type]
    assert context.current.get()[0] is None
    assert len(events) == 0


def test_an_async_generator_whose_cleanup_raises_has_ended() -> None:
    @et.trace
    async def generator() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("cleanup")

    async def main() -> None:
        running = generator()
        await anext(running)
        with pytest.raises(ValueError, match="cleanup"):
            await running.aclose()  # type: ignore[attr-defined]
        assert context.current.get()[0] is None

    with et.collect_events() as events:
        asyncio.run(main())
    assert [outcome for _, outcome in calls(events)] == ["error"]


def test_a_coroutine_that_is_collected_elsewhere_leaves_whoever_runs_in_place() -> None:
    @types.coroutine
    def pause() -> Iterator[int]:
        yield 1

    @et.trace(name="pending")
    async def pending() -> None:
        await pause()

    @et.trace(name="child")
    def child() -> None: ...

    import contextvars

    with et.collect_events() as events:
        running = [pending()]
        contextvars.copy_context().run(running[0].send, None)
        with et.operator("outer"):
            running.clear()
            gc.collect()
            child()
    tree = next(tree for tree in et.OperatorAnalysis(events).trees if tree.operator_id == "outer")
    assert [below.operator_id for below in tree.children] == ["child"]
    assert ("pending", "error") in calls(events)


def test_generator_based_coroutines_can_be_awaited() -> None:
    @et.trace
    @types.coroutine
    def old() -> Any:
        return 7
        yield

    async def main() -> Any:
        return await old()

    with et.collect_events():
        assert asyncio.run(main()) == 7


def test_yielded_values_of_any_kind_reach_the_consumer() -> None:
    class Key:
        def __hash__(self) -> int:
            return 1

    key = Key()

    @et.trace
    def generator() -> Iterator[dict[Key, int]]:
        yield {key: 1}

    with et.collect_events() as events:
        assert list(generator()) == [{key: 1}]
    assert [event.event_type for event in events] == ["call", "result"]
    assert list(events[1].data["result"][0].values()) == [1]


# What a call leaves in the stream.


def test_a_metric_that_raises_costs_its_score_alone(caplog: pytest.LogCaptureFixture) -> None:
    @et.trace(metrics=[et.AccuracyMetric("truth"), lambda result, given: et.score(seen=True)])
    def answer(question: dict[str, str]) -> str:
        return "a"

    with caplog.at_level(logging.ERROR, "embertrace"), et.collect_events() as events:
        answer({})
    assert [event.event_type for event in events] == ["call", "metric", "result"]


def test_lists_and_sessions_begun_inside_a_call_know_where_they_are() -> None:
    @et.trace(type="judge", name="child")
    def child() -> int:
        return 1

    with et.collect_events(), et.item("q", truth=1), et.operator("parent"), et.collect_events() as inner:
        child()
    assert [frame["id"] for frame in inner[0].context["operators"]] == ["parent", "child"]
    assert et.OperatorAnalysis(inner).judge_accuracy() == 1.0


def test_a_frame_without_events_is_not_waited_for() -> None:
    with et.collect_events() as events, et.operator("panel", type="ensemble") as panel:
        with et.ExecutionContext().operator("silent", "frame"):
            pass
        panel.result([1, 1])
    assert et.OperatorAnalysis(events).health()["missing"] == 0
    assert et.OperatorAnalysis(events).ensemble_disagreement() == 0.0


def test_members_that_are_none_stay_so_in_every_form_of_the_events() -> None:
    seen: list[et.OperatorEvent] = []
    et.EventCollector.register(seen.append)
    try:
        with et.collect_events() as events, et.operator("panel", type="ensemble") as panel:
            for name, member in (("a", True), ("b", True), ("helper", False)):
                with et.operator(name, member=member) as one:
                    one.result(name if not member else "same")
            panel.result([])
    finally:
        et.EventCollector.unregister(seen.append)
    assert [et.OperatorAnalysis(form).ensemble_disagreement() for form in (events, list(events), seen)] == [0.0] * 3


def test_names_and_links_beyond_their_limits_are_cut_and_cost_nothing_else() -> None:
    with et.collect_events() as events:
        with et.operator("x" * 10_000):
            et.link(*[f"{number:016x}" for number in range(1, 3000)])
        with et.operator("after"):
            pass
    assert [len(call.operator_id) for call in et.OperatorAnalysis(events).calls] == [256, 5]
    assert [event.operator_id for event in events][-1] == "after"


def test_an_event_is_bounded_whatever_it_holds() -> None:
    @et.trace
    def use(value: Any) -> Any:
        return value

    with et.collect_events() as events:
        use([1 << 8191] * 10_000)
        cut = events[0].data
        use([cut] * 10_000)
    assert max(map(len, events._events)) < 200_000
    assert len([event.data for event in events]) == 4
