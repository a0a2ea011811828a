"""Tracing in one process: the tree is right, and the traced code behaves as if it were not traced."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace import EventCollector, EventList, ExecutionContext, collect, collect_events, context, trace
from embertrace.config import Settings
from embertrace.event import FOREIGN_SLOT, RESULT, OperatorEvent
from embertrace.wire.event import unpack_event

Tree = list[Any]


def tree_of(events: EventList) -> Tree:
    """[(operator, children), …] of the call events, in slot order."""
    calls = [event for event in events if event.event_type == "call"]

    def below(parent: str | None) -> Tree:
        return [(c.operator_id, below(c.call_id)) for c in calls if c.parent_call_id == parent]

    return below(None)


def ends(events: EventList) -> list[tuple[str, str]]:
    return [(event.event_type, event.operator_id) for event in events if event.event_type in ("result", "error")]


@trace
def leaf(value: Any = None) -> Any:
    return value


@trace
async def async_leaf(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@trace
def counting(count: int) -> Iterator[int]:
    for number in range(count):
        leaf()
        yield number


@trace
async def async_counting(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await async_leaf(number)
        yield number


def test_the_four_kinds_keep_their_kind_signature_and_name() -> None:
    assert not inspect.iscoroutinefunction(leaf)
    assert inspect.iscoroutinefunction(async_leaf)
    assert inspect.isgeneratorfunction(counting)
    assert inspect.isasyncgenfunction(async_counting)
    assert str(inspect.signature(counting)) == "(count: 'int') -> 'Iterator[int]'"
    assert leaf.__name__ == "leaf"


def test_nesting_slots_and_follows() -> None:
    with collect_events() as events, et.operator("outer", type="ensemble"):
        leaf(1)
        leaf(2)
    first, second = (event for event in events if event.event_type == "call" and event.operator_id == "leaf")
    assert tree_of(events) == [("outer", [("leaf", []), ("leaf", [])])]
    assert (first.slot, second.slot) == (0, 1)
    assert (first.follows, second.follows) == (None, first.call_id)
    assert events[-1].slots == 2
    assert len({event.trace_id for event in events}) == 1


def test_an_error_is_an_event_and_goes_on_unchanged() -> None:
    @trace
    def failing() -> None:
        raise KeyError("gone")

    with collect_events() as events, pytest.raises(KeyError, match="gone") as caught:
        failing()
    assert caught.value.__cause__ is None
    assert [event.event_type for event in events] == ["call", "error"]
    error = events[1].data["error"]
    assert (error["type"], error["message"]) == ("KeyError", "'gone'")
    assert "raise KeyError" in error["traceback"]
    assert events[1].duration_s is not None


def test_generator_and_consumer_do_not_see_each_others_frames() -> None:
    with collect_events() as events:
        for _ in counting(2):
            leaf("consumer")
    assert tree_of(events) == [("counting", [("leaf", []), ("leaf", [])]), ("leaf", []), ("leaf", [])]
    assert ends(events)[-1] == ("result", "counting")
    assert events[-1].data == {"yielded": 2, "result": [0, 1]}


def test_a_closed_generator_ends_its_call() -> None:
    with collect_events() as events:
        generator = counting(10)
        next(generator)
        generator.close()
        assert ExecutionContext.current()["operators"] == []
    assert events[-1].data == {"yielded": 1, "result": [0]}


def test_generators_pass_values_exceptions_and_returns_through() -> None:
    @trace
    def echo() -> Any:
        received = []
        while len(received) < 3:
            try:
                received.append((yield len(received)))
            except ValueError as error:
                received.append(str(error))
        return received

    with collect_events():
        generator = echo()
        assert next(generator) == 0
        assert generator.send("a") == 1
        assert generator.throw(ValueError("b")) == 2
        with pytest.raises(StopIteration) as stop:
            generator.send("c")
    assert stop.value.value == ["a", "b", "c"]


def test_a_generator_may_delegate_to_a_plain_iterator() -> None:
    @trace
    def delegating() -> Iterator[int]:
        yield from range(3)

    with collect_events():
        assert list(delegating()) == [0, 1, 2]


def test_async_generators_swap_the_position_too() -> None:
    async def consume() -> None:
        async for _ in async_counting(2):
            await async_leaf("consumer")

    with collect_events() as events:
        asyncio.run(consume())
    inner = [("async_leaf", []), ("async_leaf", [])]
    assert tree_of(events) == [("async_counting", inner), ("async_leaf", []), ("async_leaf", [])]


def test_concurrent_tasks_keep_their_own_predecessors() -> None:
    @trace(type="ensemble")
    async def panel(query: int) -> list[int]:
        return list(await asyncio.gather(*(async_leaf(query) for _ in range(3))))

    @trace(type="judge")
    async def judge(query: int) -> int:
        await asyncio.sleep(0)
        return query

    async def query(number: int) -> None:
        await panel(number)
        await judge(number)

    async def serve() -> None:
        await asyncio.gather(*(query(number) for number in range(200)))

    with collect_events() as events, et.operator("server"):
        asyncio.run(serve())
    asked = {e.call_id: e.data["args"][0] for e in events if e.event_type == "call" and e.operator_type == "ensemble"}
    judged = [e for e in events if e.event_type == "call" and e.operator_type == "judge"]
    assert len(judged) == 200
    assert all(asked[event.follows] == event.data["args"][0] for event in judged)


def test_super_call_of_a_traced_base_is_one_call() -> None:
    @trace(stage="base")
    class Base(et.Operator):
        def __call__(self, depth: int) -> int:
            return depth

    @trace(stage="sub")
    class Sub(Base):
        def __call__(self, depth: int) -> int:
            return self(depth - 1) if depth else super().__call__(depth)

    with collect_events() as events:
        Sub()(2)
    assert tree_of(events) == [("Sub", [("Sub", [("Sub", [])])])]
    assert {event.stage for event in events} == {"sub"}


def test_a_class_without_call_has_its_methods_traced() -> None:
    @trace(stage="s")
    class Client:
        def ask(self, question: str) -> str:
            return question.upper()

        def _private(self) -> None: ...

    with collect_events() as events:
        assert Client().ask("a") == "A"
    assert [(e.operator_id, e.operator_type, e.stage) for e in events if e.event_type == "call"] == [
        ("Client.ask", "Client", "s")
    ]
    with pytest.raises(TypeError, match="nothing to trace"):
        trace(type("Empty", (), {}))


def test_an_instance_is_wrapped_and_keeps_its_attributes() -> None:
    class Frozen:
        name = "frozen"

        def __call__(self, value: int) -> int:
            return value + 1

    original = Frozen()
    operator = trace(stage="s")(original)
    with collect_events() as events:
        assert operator(1) == 2
    assert operator.name == "frozen"
    assert [(e.operator_id, e.stage) for e in events] == [("frozen", "s")] * 2


class Stating:
    """What an operator states about itself, in whatever types."""

    def __init__(self, id: Any = None, type_hint: Any = None, tags: Any = None) -> None:
        self.id, self.type_hint, self.tags = id, type_hint, tags


def test_instances_are_asked_each_time_who_they_are() -> None:
    @et.trace()
    class Rater:
        metadata: Any = None
        name: Any = None

        def __call__(self) -> None: ...

    rater = Rater()
    stated: list[tuple[Any, Any]] = [
        (None, None),
        ("ann", None),
        ("bob", None),
        (5, None),  # no name
        ("bob", Stating(id="r-1")),
        ("bob", Stating(id=7, type_hint="judge")),
        (None, Stating(id=["a"], tags=[])),
        ("bob", Stating(tags={"stage": "second", "model": "m"})),
        ("bob", Stating(type_hint="judge", tags={})),
        ("bob", None),
    ]
    with et.collect_events() as events:
        for rater.name, rater.metadata in stated:
            rater()
    assert [(one.operator_id, one.operator_type, one.stage) for one in events if one.event_type == "call"] == [
        ("Rater", "Rater", "default"),
        ("ann", "Rater", "default"),
        ("bob", "Rater", "default"),
        ("Rater", "Rater", "default"),
        ("r-1", "Rater", "default"),
        ("7", "judge", "default"),
        ("['a']", "Rater", "default"),
        ("bob", "Rater", "second"),
        ("bob", "judge", "default"),
        ("bob", "Rater", "default"),
    ]
    assert events[14].context["tags"] == {"model": "m"}


def test_what_was_seen_of_instances_is_not_sent_along_with_an_operator() -> None:
    """Ray pickles by value what a script defines: the classes of instances may not even be able to."""

    @et.trace()
    class Rater:
        def __call__(self) -> None: ...

    class Local(Rater): ...

    def sent() -> bytes:
        return pickle.dumps(vars(Rater)["__call__"].__embertrace__)

    before = sent()
    with et.collect_events():
        Local()()
    assert sent() == before
    assert pickle.loads(before).identity(Local())[0] == ("Local", "Local", "default")


def test_a_class_may_have_an_equality_of_its_own() -> None:
    class Equal(type):
        def __eq__(cls, other: object) -> bool:
            return True

    @et.trace()
    class First(metaclass=Equal):
        def __call__(self) -> None: ...

    class Second(First): ...

    with et.collect_events() as events:
        First()()
        Second()()
    assert [one.operator_id for one in events if one.event_type == "call"] == ["First", "Second"]


@pytest.mark.parametrize(("name", "shown"), [("\ud800", "?"), ("é" * 200, "é" * 128), ("a" * 300, "a" * 256)])
def test_a_name_that_no_event_can_hold_is_made_to_fit(name: str, shown: str) -> None:
    with et.collect_events() as events:
        et.trace(lambda: None, name=name, type=name)()
    assert [(one.operator_id, one.operator_type) for one in events] == [(shown, shown)] * 2


def test_children_that_threads_begin_at_once_get_slots_of_their_own() -> None:
    many, start = 8, threading.Barrier(8)

    @et.trace()
    def child() -> None: ...

    @et.trace()
    def parent() -> None:
        def run() -> None:
            start.wait()
            child()

        threads = [threading.Thread(target=contextvars.copy_context().run, args=(run,)) for _ in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with et.collect_events() as events:
        parent()
    assert sorted(one.slot for one in events if one.event_type == "call" and one.parent_call_id) == [*range(many)]
    assert events[-1].slots == many


def test_answers_are_extracted_before_anything_is_cut() -> None:
    @trace(answer="choice")
    def by_field() -> dict[str, str]:
        return {"text": "x" * 200_000, "choice": "B"}

    @trace(answer=lambda result: result.missing)
    def broken() -> str:
        return "text"

    with collect_events() as events:
        by_field()
        broken()
    assert events[1].data["answer"] == "B"
    assert events[3].data["answer_error"].startswith("AttributeError")
    assert events[3].data["result"] == "text"


def test_capture_says_what_is_kept() -> None:
    @trace(capture="answers", answer="a")
    def answers(secret: str) -> dict[str, str]:
        return {"a": "yes", "b": secret}

    @trace(capture="none")
    def nothing(secret: str) -> str:
        return secret

    with collect_events() as events:
        answers("s3cret")
        nothing("s3cret")
    assert [event.data for event in events] == [None, {"answer": "yes"}, None, None]


def test_items_begin_traces_of_their_own() -> None:
    with collect_events() as events:
        for key in ("q1", "q2"):
            with et.item(key, truth="t", lang="en"):
                leaf(1)
                leaf(2)
    calls = [event for event in events if event.event_type == "call"]
    assert [(c.context["item"]["key"], c.slot) for c in calls] == [("q1", 0), ("q1", 1), ("q2", 0), ("q2", 1)]
    assert len({c.trace_id for c in calls}) == 2
    assert calls[0].context["tags"] == {"lang": "en"}


def test_an_argument_can_name_the_item() -> None:
    @trace(item="question")
    def answer(style: str, question: str = "default?") -> None:
        leaf()

    with collect_events() as events:
        answer("short", question="why?")
        answer("short")
    assert [e.context["item"]["key"] for e in events if e.event_type == "call"] == ["why?"] * 2 + ["default?"] * 2


def test_threads_start_at_the_ground() -> None:
    with collect_events() as events, et.operator("outer"):
        thread = threading.Thread(target=leaf)
        thread.start()
        thread.join()
    assert tree_of(events) == [("outer", []), ("leaf", [])]


def test_a_sink_that_raises_is_logged_once_and_removed(caplog: pytest.LogCaptureFixture) -> None:
    def bad(event: OperatorEvent) -> None:
        raise RuntimeError("sink broke")

    EventCollector.register(bad)
    with collect_events() as events, caplog.at_level(logging.ERROR, "embertrace"):
        assert leaf(3) == 3
        assert leaf(4) == 4
    assert len(events) == 4
    assert len(caplog.records) == 1


def test_off_means_no_thread_no_socket_no_file_and_no_heavy_import() -> None:
    program = """
import sys, threading, os
files = len(os.listdir("/proc/self/fd"))
import embertrace as et
@et.trace(stage="s")
class Op(et.Operator):
    def __call__(self): return 1
assert Op()() == 1
with et.item("q", truth=1): Op()()
with et.collect_events() as events: Op()()
assert len(events) == 2
assert threading.active_count() == 1
assert len(os.listdir("/proc/self/fd")) == files
heavy = {"ray", "numpy", "zmq", "typer", "fastapi"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_recursion_to_the_limit_fails_as_untraced_and_leaves_the_tree_intact() -> None:
    @trace(capture="none")
    def endless() -> None:
        endless()

    with collect_events() as events, pytest.raises(RecursionError):
        endless()
    calls = sum(event.event_type == "call" for event in events)
    assert calls > 50
    assert ExecutionContext.current()["operators"] == []


def depth() -> int:
    frame, found = sys._getframe(1), 0
    while frame is not None:
        frame, found = frame.f_back, found + 1  # type: ignore[assignment]
    return found


def test_a_root_that_can_not_begin_at_the_limit_of_recursion_is_not_waited_for() -> None:
    roots = context.Roots()
    begun = []

    @trace(capture="none")
    def root() -> None: ...

    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        else:
            root()

    with collect_events() as events:
        before = context.set_ground(context.ground._replace(begun=roots))
        try:
            for left in range(sys.getrecursionlimit() - depth() - 40, sys.getrecursionlimit()):
                try:
                    deeper(left)
                except RecursionError:
                    pass
                begun.append(sum(event.event_type == "call" for event in events))
        finally:
            context.set_ground(before)
    assert roots.number() == begun[-1]


def test_ends_left_below_calls_that_are_not_recorded_are_emitted_without_complaint(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "_reported", set())
    sink = Cramped([1, 2])
    before = collect.settings
    collect.configure(Settings(stages=("kept",)))
    collect.add_sink(sink)
    try:
        inner = trace(lambda: None, name="inner", stage="kept")
        passed = trace(lambda: inner(), name="passed", stage="left out")
        trace(lambda: passed(), name="top", stage="kept")()
    finally:
        collect.remove_sink(sink)
        collect.configure(before)
    assert sink.ends == [("inner", 0), ("top", 1)]
    assert not caplog.records


def test_an_end_for_which_there_was_no_room_is_not_kept_with_a_call_that_ends_elsewhere() -> None:
    class Result: ...

    sink = Cramped([1])
    collect.add_sink(sink)
    try:
        with et.continue_trace(f"00-{'1' * 32}-{'2' * 16}-01"):
            result = weakref.ref(trace(lambda: Result(), name="called")())
            assert result() is None
    finally:
        collect.remove_sink(sink)


def test_a_clock_that_says_that_it_is_before_1970_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: -5)
    with collect_events() as events, et.continue_trace(f"00-{'1' * 32}-{'2' * 16}-01"):
        trace(lambda: None)()
    assert [(one.event_type, one.timestamp) for one in events] == [("call", -5e-9), ("result", -5e-9)]
    assert events[0].slot > FOREIGN_SLOT


class Cramped:
    """A sink in which there is no room for a few ends at first, as at the limit of recursion."""

    def __init__(self, refused: list[int]) -> None:
        self.refused = refused
        """Which of the ends, counted from 1."""
        self.tried = 0
        self.ends: list[tuple[str, int]] = []

    def put(self, packed: bytes) -> None:
        event = unpack_event(packed)
        if event.type == RESULT:
            self.tried += 1
            if self.tried in self.refused:
                raise RecursionError
            self.ends.append((event.operator_id, event.slots))


@pytest.mark.parametrize("refused", [[1], [1, 2], [1, 2, 4], [1, 2, 4, 6], [1, 2, 3, 4], [1, 3, 4]], ids=str)
def test_an_end_for_which_there_was_no_room_is_emitted_once(refused: list[int]) -> None:
    first, second = trace(lambda: None, name="first"), trace(lambda: None, name="second")
    parent = trace(lambda: (first(), second()), name="parent")
    sink = Cramped(refused)
    collect.add_sink(sink)
    try:
        root = trace(lambda: parent(), name="root")
        trace(lambda: root(), name="top")()
    finally:
        collect.remove_sink(sink)
    assert sorted(sink.ends) == [("first", 0), ("parent", 2), ("root", 1), ("second", 0), ("top", 1)]


def test_a_list_drops_and_counts_beyond_its_limit() -> None:
    events = EventList(limit=1000)
    for _ in range(10):
        events.put(b"x" * 300)
    assert (len(events), events.dropped) == (3, 7)


def test_an_event_of_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="call, result, error, metric"):
        OperatorEvent(event_type="span")  # type: ignore[arg-type]
