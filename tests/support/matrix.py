"""The programs of the context matrix: one per way in which operators run, each buildable traced and untraced.

A row makes a program from a `Kit`. The program takes (i, width), submits one operator call for question i, and gives
a thunk for its result; the operator calls `inner(i, k)` for each k below width, each time by way of what the row is
about. So whatever runs beside it, the tree below question i must be: outer(i) → inner(i, 0), inner(i, 1), …
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ray

import embertrace as et
import embertrace.ray as eray

Thunk = Callable[[], Any]
Program = Callable[[int, int], Thunk]


def plain_inner(i: int, k: int) -> int:
    return i * 1000 + k


traced_inner = et.trace(name="inner")(plain_inner)


@dataclasses.dataclass(frozen=True)
class Kit:
    """What a program is made with: the real thing, or what stands in its place without tracing."""

    traced: bool

    def trace(self, function: Any) -> Any:
        return et.trace(name="outer")(function) if self.traced else function

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        made = eray.remote if self.traced else ray.remote
        return lambda target: made(num_cpus=0.01, **options)(target)

    @property
    def inner(self) -> Callable[[int, int], int]:
        return traced_inner if self.traced else plain_inner

    def bind(self, function: Any) -> Any:
        return et.bind(function) if self.traced else function

    def executor(self, pool: Any) -> Any:
        return et.Executor(pool) if self.traced else pool

    @contextlib.contextmanager
    def instrumented_threads(self) -> Iterator[None]:
        if self.traced:
            et.instrument_threads()
        try:
            yield
        finally:
            et.uninstrument_threads()


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: `where` it runs and `how`; `make` builds the program; `interleaved` questions run at once."""

    where: str
    how: str
    make: Callable[[Kit], Program]
    interleaved: int = 100
    kinds: bool = True
    """Whether the program has a remote function whose kinds of results are compared."""

    @property
    def name(self) -> str:
        return f"{self.where}: {self.how}"


ROWS: list[Row] = []


def row(where: str, how: str, **options: Any) -> Callable[[Callable[[Kit], Program]], Callable[[Kit], Program]]:
    def add(make: Callable[[Kit], Program]) -> Callable[[Kit], Program]:
        ROWS.append(Row(where, how, make, **options))
        return make

    return add


def work(kit: Kit, i: int, width: int) -> list[int]:
    return [kit.inner(i, k) for k in range(width)]


def collect(references: Any) -> Thunk:
    """The values behind ObjectRefs of any kind, and what kind they were."""
    kind = type(references).__name__
    if kind == "ObjectRefGenerator":
        return lambda: (kind, [ray.get(reference) for reference in references])
    return lambda: (kind, ray.get(references))


# Ray tasks.


@row("task", "plain")
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        return work(kit, i, width)

    return lambda i, width: collect(outer.remote(i, width))


@row("task", "options(), keyword-only and default arguments")
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(i: int, *, width: int, step: int = 1) -> list[int]:
        return work(kit, i, width)[::step]

    return lambda i, width: collect(outer.options(name=f"question {i}", num_cpus=0.02).remote(i, width=width))


@row("task", "*args and **kwargs")
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(*args: int, **kwargs: int) -> Any:
        return work(kit, args[0], kwargs["width"]), args, sorted(kwargs)

    return lambda i, width: collect(outer.remote(i, 7, 8, width=width, more=1))


@row("task", "num_returns=2")
def _(kit: Kit) -> Program:
    @kit.remote(num_returns=2)
    @kit.trace
    def outer(i: int, width: int) -> Any:
        return work(kit, i, width), i

    return lambda i, width: collect(outer.remote(i, width))


@row("task", "ObjectRefs at top level and nested")
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(i: int, refs: dict[str, list[Any]], width: int) -> Any:
        return work(kit, i, width), type(refs["nested"][0]).__name__, ray.get(refs["nested"])

    return lambda i, width: collect(outer.remote(ray.put(i), {"nested": [ray.put("x")]}, width))


@row("task", "streaming generator")
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(i: int, width: int) -> Any:
        for k in range(width):
            yield kit.inner(i, k)
            if k == width - 1:
                return

    return lambda i, width: collect(outer.remote(i, width))


@row("task", "thread pool inside")
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        with kit.executor(concurrent.futures.ThreadPoolExecutor(4)) as pool:
            return list(pool.map(kit.inner, [i] * width, range(width)))

    return lambda i, width: collect(outer.remote(i, width))


@row("task", "forked child inside", interleaved=10)
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        return in_fork(work, kit, i, width)

    return lambda i, width: collect(outer.remote(i, width))


@row("task", "nested tasks", interleaved=10)
def _(kit: Kit) -> Program:
    @kit.remote()
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        return work(kit, i, width)

    @kit.remote()
    def middle(i: int, width: int) -> Any:
        return ray.get(outer.remote(i, width))

    return lambda i, width: collect(middle.remote(i, width))


@row("task", "raises, with a cause")
def _(kit: Kit) -> Program:
    @kit.remote(max_retries=0)
    @kit.trace
    def outer(i: int, width: int) -> None:
        work(kit, i, width)
        try:
            raise KeyError("inside")
        except KeyError as error:
            raise ValueError(f"question {i}") from error

    return lambda i, width: collect(outer.remote(i, width))


# Ray actors.


@row("actor", "sync")
def _(kit: Kit) -> Program:
    @kit.remote()
    class Operator:
        @kit.trace
        def ask(self, i: int, width: int) -> list[int]:
            return work(kit, i, width)

    actor = Operator.remote()
    return lambda i, width: collect(actor.ask.remote(i, width))


@row("actor", "a method that calls another")
def _(kit: Kit) -> Program:
    @kit.remote()
    class Operator:
        def __init__(self, first: int, *, second: int = 2) -> None:
            self.numbers = first, second

        @kit.trace
        def ask(self, i: int, width: int) -> Any:
            return self._work(i, width), self.numbers

        def _work(self, i: int, width: int) -> list[int]:
            return [self.one(i, k) for k in range(width)]

        def one(self, i: int, k: int) -> int:
            return k

        if kit.traced:
            one = et.trace(name="inner")(one)

    actor = Operator.options(name=None).remote(1, second=3)
    return lambda i, width: collect(actor.ask.options(num_returns=1).remote(i, width=width))


@row("actor", "threaded (max_concurrency=4)")
def _(kit: Kit) -> Program:
    @kit.remote(max_concurrency=4)
    class Operator:
        @kit.trace
        def ask(self, i: int, width: int) -> list[int]:
            return work(kit, i, width)

    actor = Operator.remote()
    return lambda i, width: collect(actor.ask.remote(i, width))


@row("actor", "async")
def _(kit: Kit) -> Program:
    @kit.remote()
    class Operator:
        @kit.trace
        async def ask(self, i: int, width: int) -> list[int]:
            found = []
            for k in range(width):
                await asyncio.sleep(0)
                found.append(kit.inner(i, k))
            return found

    actor = Operator.remote()
    return lambda i, width: collect(actor.ask.remote(i, width))


@row("actor", "concurrency groups")
def _(kit: Kit) -> Program:
    @kit.remote(concurrency_groups={"ask": 4, "other": 2})
    class Operator:
        @ray.method(concurrency_group="ask")
        @kit.trace
        async def ask(self, i: int, width: int) -> list[int]:
            await asyncio.sleep(0)
            return work(kit, i, width)

        @ray.method(concurrency_group="other")
        async def idle(self) -> int:
            await asyncio.sleep(0)
            return 0

    actor = Operator.remote()

    def program(i: int, width: int) -> Thunk:
        actor.idle.remote()
        return collect(actor.ask.remote(i, width))

    return program


@row("actor", "generator")
def _(kit: Kit) -> Program:
    @kit.remote()
    class Operator:
        @kit.trace
        def ask(self, i: int, width: int) -> Any:
            k = 0
            while k < width:
                yield kit.inner(i, k)
                k += 1

    actor = Operator.remote()
    return lambda i, width: collect(actor.ask.options(num_returns="streaming").remote(i, width))


@row("actor", "async generator")
def _(kit: Kit) -> Program:
    @kit.remote()
    class Operator:
        @kit.trace
        async def ask(self, i: int, width: int) -> Any:
            for k in range(width):
                await asyncio.sleep(0)
                yield kit.inner(i, k)

    actor = Operator.remote()
    return lambda i, width: collect(actor.ask.options(num_returns="streaming").remote(i, width))


@row("actor", "raises")
def _(kit: Kit) -> Program:
    @kit.remote()
    class Operator:
        @kit.trace
        def ask(self, i: int, width: int) -> None:
            work(kit, i, width)
            raise LookupError(f"question {i}")

    actor = Operator.remote()
    return lambda i, width: collect(actor.ask.remote(i, width))


# One process.


def threaded(function: Callable[..., Any]) -> Program:
    """Every question in a thread of its own, at once."""

    def program(i: int, width: int) -> Thunk:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(outcome_of(lambda: function(i, width))))
        thread.start()

        def result() -> Any:
            thread.join()
            return found[0]

        return result

    return program


def outcome_of(function: Thunk) -> Any:
    try:
        return function()
    except Exception as error:
        return repr(error)


@row("process", "threads and ThreadPoolExecutor, with bind")
def _(kit: Kit) -> Program:
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            return [future.result() for future in [pool.submit(kit.bind(kit.inner), i, k) for k in range(width)]]

    return threaded(outer)


@row("process", "ThreadPoolExecutor under instrument_threads()", interleaved=20)
def _(kit: Kit) -> Program:
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        with kit.instrumented_threads(), concurrent.futures.ThreadPoolExecutor(3) as pool:
            thread = threading.Thread(target=kit.inner, args=(i, 0))
            thread.start()
            thread.join()
            return list(pool.map(kit.inner, [i] * (width - 1), range(1, width)))

    def program(i: int, width: int) -> Thunk:
        value = outer(i, width)
        return lambda: value

    return program


@row("process", "generator")
def _(kit: Kit) -> Program:
    @kit.trace
    def outer(i: int, width: int) -> Iterator[int]:
        for k in range(width):
            yield kit.inner(i, k)

    def program(i: int, width: int) -> Thunk:
        generator = outer(i, width)
        return lambda: list(generator)

    return program


@row("process", "asyncio: TaskGroup or gather, and to_thread")
def _(kit: Kit) -> Program:
    async def one(i: int, k: int) -> int:
        await asyncio.sleep(0)
        return kit.inner(i, k) if k % 2 else await asyncio.to_thread(kit.inner, i, k)

    @kit.trace
    async def outer(i: int, width: int) -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(i, k)) for k in range(width)]
        return [task.result() for task in tasks]

    return threaded(lambda i, width: asyncio.run(outer(i, width)))


@row("process", "async generator")
def _(kit: Kit) -> Program:
    @kit.trace
    async def outer(i: int, width: int) -> Any:
        for k in range(width):
            await asyncio.sleep(0)
            yield kit.inner(i, k)

    async def run(i: int, width: int) -> list[int]:
        return [value async for value in outer(i, width)]

    return threaded(lambda i, width: asyncio.run(run(i, width)))


@row("process", "multiprocessing, fork", interleaved=10)
def _(kit: Kit) -> Program:
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        return in_fork(work, kit, i, width)

    def program(i: int, width: int) -> Thunk:
        value = outer(i, width)
        return lambda: value

    return program


@row("process", "multiprocessing, spawn, with bind", interleaved=2)
def _(kit: Kit) -> Program:
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(kit.bind(work), (kit, i, width))

    def program(i: int, width: int) -> Thunk:
        value = outer(i, width)
        return lambda: value

    return program


@row("process", "ProcessPoolExecutor, with Executor", interleaved=4)
def _(kit: Kit) -> Program:
    @kit.trace
    def outer(i: int, width: int) -> list[int]:
        inner = concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
        with kit.executor(inner) as pool:
            return [pool.submit(work, kit, i, width).result()] and list(range(width))

    def program(i: int, width: int) -> Thunk:
        value = outer(i, width)
        return lambda: value

    return program


def in_fork(function: Callable[..., Any], *args: Any) -> Any:
    """The function's result from a forked child."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_send, args=(sender, function, args))
    process.start()
    sender.close()
    value = pickle.loads(receiver.recv_bytes())
    process.join()
    assert process.exitcode == 0, (process.exitcode, os.getpid())
    return value


def _send(sender: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    sender.send_bytes(pickle.dumps(function(*args)))
