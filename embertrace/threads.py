"""Carrying the context where Python does not: into threads, pools and other processes.

Rules:
- A bound function runs at the position where it was bound, wherever it is called, and leaves the caller's position as
  it was. It may be called any number of times.
- Pickled, it carries its position along: it works in process pools, and wherever else functions are sent.
- A submission to an executor takes a slot when it is submitted, so that members keep their order, whoever runs first.
  One that comes to nothing (cancelled, or no traced call in it) gives its slot back.
- `instrument_threads` patches threading and concurrent.futures, and only where nothing is bound already.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import functools
import inspect
import multiprocessing.pool
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from embertrace import collect, context, crossing, emit
from embertrace.context import Arrival, Position

FLUSH_S = 0.5
"""How long a bound function in another process waits for its events to be acknowledged before it returns: so that
whoever has its result finds its events too. A group commit takes milliseconds."""


def bind(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, to be called in another thread or process as if it were called here.

    For pools and threads that don't copy the context: `pool.submit(et.bind(member), question)`. The result is
    picklable if `function` is. Works with `async def` too. Thread-safe.
    """
    return Bound(function, context.current.get())


class Bound:
    """A function and the position it runs at; made by `bind`."""

    def __init__(self, function: Callable[..., Any], position: Position) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._position = position
        self._is_async = inspect.iscoroutinefunction(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._is_async:
            return self._run_async(*args, **kwargs)
        outer = context.current.get()
        context.current.set(self._position)
        try:
            return self._function(*args, **kwargs)
        finally:
            context.current.set(outer)

    async def _run_async(self, *args: Any, **kwargs: Any) -> Any:
        outer = context.current.get()
        context.current.set(self._position)
        try:
            return await self._function(*args, **kwargs)
        finally:
            context.current.set(outer)

    def __repr__(self) -> str:
        return f"bind({self._function!r})"

    def __reduce__(self) -> Any:
        where, scope, follows = self._position
        position = (where, context.ground if scope is context.NO_SCOPE else scope, follows)
        packed = crossing.depart_many(position) if collect.enabled else None
        return Carried, (self._function, packed)


class Carried:
    """A bound function that came from another process; it can be sent on, with the position it came with."""

    def __init__(self, function: Callable[..., Any], packed: bytes | None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._packed = packed
        self._is_async = inspect.iscoroutinefunction(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._is_async:
            return self._run_async(*args, **kwargs)
        outer = context.current.get()
        crossing.take(self._packed)
        try:
            return self._function(*args, **kwargs)
        finally:
            self._leave(outer)

    async def _run_async(self, *args: Any, **kwargs: Any) -> Any:
        outer = context.current.get()
        crossing.take(self._packed)
        try:
            return await self._function(*args, **kwargs)
        finally:
            self._leave(outer)

    def _leave(self, outer: Position) -> None:
        context.current.set(outer)
        if self._packed is not None:
            emit.flush_all(FLUSH_S)

    def __reduce__(self) -> Any:
        return Carried, (self._function, self._packed)


class Submission(Bound):
    """A bound function for exactly one call, whose slot is taken when it is submitted."""

    def __init__(self, function: Callable[..., Any]) -> None:
        where, scope, follows = context.position()
        slot = context.next_slot(where, scope)
        super().__init__(function, (where, scope._replace(arrival=Arrival(context.new_call_id(), slot)), follows))
        self._where, self._scope = where, scope
        self._is_open = True
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outer = context.current.get()
        context.current.set(self._position)
        try:
            return self._function(*args, **kwargs)
        finally:
            self._settle(context.current.get()[1].arrival is None)
            context.current.set(outer)

    def withdraw(self) -> None:
        """It will not be called any more."""
        self._settle(False)

    def _settle(self, arrived: bool) -> None:
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if was_open and not arrived:
            context.withdraw_slot(self._where, self._scope)

    def __reduce__(self) -> Any:
        self.withdraw()  # in another process its calls take foreign slots
        return Bound(self._function, (self._where, self._scope, self._position[2])).__reduce__()


class Executor(concurrent.futures.Executor):
    """An executor around another whose submissions keep the context: `et.Executor(ThreadPoolExecutor(8))`.

    Takes thread pools and process pools; use it like the one inside. Leaving it as a context manager shuts that down.
    """

    def __init__(self, pool: concurrent.futures.Executor) -> None:
        self._pool = pool

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """As the inner executor's `submit`."""
        return _submit(self._pool.submit, function, args, kwargs)

    def map(
        self, function: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """As the inner executor's `map`."""
        if isinstance(self._pool, concurrent.futures.ProcessPoolExecutor):
            return self._pool.map(bind(function), *iterables, timeout=timeout, chunksize=chunksize)
        return super().map(function, *iterables, timeout=timeout, chunksize=chunksize)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the inner executor's `shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _submit(
    submit: Callable[..., concurrent.futures.Future[Any]],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> concurrent.futures.Future[Any]:
    if not collect.enabled or isinstance(function, (Bound, Carried)):
        return submit(function, *args, **kwargs)
    submission = Submission(function)
    try:
        future = submit(submission, *args, **kwargs)
    except BaseException:
        submission.withdraw()
        raise
    future.add_done_callback(lambda done: submission.withdraw() if done.cancelled() else None)
    return future


# Instrumentation of what others start.

_originals: dict[str, Any] = {}
_POOL_WORKERS = (concurrent.futures.thread._worker, multiprocessing.pool.worker)  # type: ignore[attr-defined]
"""What the threads of pools run: they serve many submissions, and belong to none."""


def instrument_threads() -> None:
    """Let every thread and thread pool of this process keep the context, without touching the code that starts them.

    Patches `threading.Thread.start` and `ThreadPoolExecutor.submit`; asyncio's `run_in_executor` goes through the
    latter. `multiprocessing.pool.ThreadPool` needs `bind`. Calling it again does nothing.
    """
    if _originals:
        return
    start = _originals["start"] = threading.Thread.start
    submit = _originals["submit"] = concurrent.futures.ThreadPoolExecutor.submit

    @functools.wraps(start)
    def bound_start(self: threading.Thread) -> None:
        if collect.enabled and getattr(self, "_target", None) not in _POOL_WORKERS:
            _bind_run(self)
        start(self)

    @functools.wraps(submit)  # type: ignore[arg-type]  # a generic method has no type of its own
    def bound_submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return _submit(functools.partial(submit, self), fn, args, kwargs)

    threading.Thread.start = bound_start  # type: ignore[method-assign]
    concurrent.futures.ThreadPoolExecutor.submit = bound_submit  # type: ignore[method-assign]


def uninstrument_threads() -> None:
    """Undo `instrument_threads`; threads that run already keep what they have."""
    if _originals:
        threading.Thread.start = _originals.pop("start")  # type: ignore[method-assign]
        concurrent.futures.ThreadPoolExecutor.submit = _originals.pop("submit")  # type: ignore[method-assign]


def _bind_run(thread: threading.Thread) -> None:
    """Let the thread's run start where the thread was started."""
    position = context.current.get()
    run = thread.run

    def bound() -> None:
        del thread.run  # the class's own again: no cycle is left behind
        context.current.set(position)
        run()

    thread.run = bound  # type: ignore[method-assign]
