"""The four wrappers around a traced function: plain, async, generator, async generator.

Rules:
- Off costs one attribute read and one branch: `collect.enabled` is asked before anything else.
- A wrapper has the kind, name and signature of what it wraps, returns what it returns and raises what it raises.
- Each is written out: what they share is enter, finish and fail. Generator wrappers swap the position at every
  resume, so that neither the consumer nor the generator sees the other's frames.
- State is reached only through modules (`collect`, `context`), so that wrappers survive cloudpickle by value.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

from embertrace import collect, context
from embertrace.context import NOBODY, Position
from embertrace.running import Call, Yielded
from embertrace.spec import Spec
from embertrace.traced import abandon, enter, fail, finish


def wrap(function: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    """`function` traced as `spec` says."""
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, spec)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, spec)
        if function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
            wrapper = types.coroutine(wrapper)
    elif inspect.iscoroutinefunction(function):
        wrapper = _async(function, spec)
    else:
        wrapper = _plain(function, spec)
    functools.update_wrapper(wrapper, function)
    for name in _own_names(function):  # such as cache_clear
        setattr(wrapper, name, getattr(function, name))
    wrapper.__embertrace__ = spec  # type: ignore[attr-defined]
    return wrapper


def _own_names(function: Callable[..., Any]) -> list[str]:
    """Public attributes of a callable that stands for a function, as the one that functools.lru_cache makes."""
    if isinstance(function, types.FunctionType | types.MethodType | types.BuiltinFunctionType | functools.partial):
        return []
    return [name for name in dir(function) if not name.startswith("_")]


def begin(spec: Spec, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    """`enter`, with the instance taken from a method's arguments; None for super().__call__ of the same call."""
    if not spec.is_method or not args:
        return enter(spec, None, args, kwargs)
    instance = args[0]
    here = context.current.get()[0]
    if here is not None and here.owner is instance and here.spec is not spec and spec.named_by_instance:
        return None  # super().__call__; through the same one it would be recursion
    return enter(spec, instance, args[1:], kwargs)


def _plain(function: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    if not spec.is_method:
        return _function(function, spec)

    def traced(*args: Any, **kwargs: Any) -> Any:
        if not collect.enabled or (call := begin(spec, args, kwargs)) is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            fail(call, error)
            raise
        finish(call, result)
        return result

    return traced


def _function(function: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    """As `_plain`, for what has no instance."""

    def traced(*args: Any, **kwargs: Any) -> Any:
        if not collect.enabled or (call := enter(spec, None, args, kwargs)) is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            fail(call, error)
            raise
        finish(call, result)
        return result

    return traced


def _async(function: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    async def traced(*args: Any, **kwargs: Any) -> Any:
        if not collect.enabled or (call := begin(spec, args, kwargs)) is None:
            return await function(*args, **kwargs)
        try:
            result = await function(*args, **kwargs)
        except GeneratorExit as error:
            abandon(call, error)
            raise
        except BaseException as error:
            fail(call, error)
            raise
        finish(call, result)
        return result

    return traced


def _generator(function: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)  # first: wrong arguments are no call
        if not collect.enabled or (call := begin(spec, args, kwargs)) is None:
            return (yield from generator)
        return (yield from drive(call, generator))

    return traced


def drive(call: Call, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator as the body of `call`: in its position while it runs, in the consumer's while suspended."""
    yielded = call.yielded = Yielded()
    resume: Callable[[], Any] = functools.partial(next, generator)
    outside = call.outer
    while True:
        try:
            value = resume()
        except StopIteration as stop:
            finish(call, None, outside)
            return stop.value
        except BaseException as error:
            fail(call, error, outside)
            raise
        _suspend(call, outside)
        if call.destination is not NOBODY:
            yielded.add(value)
        try:
            sent = yield value
        except GeneratorExit:  # the consumer has enough: that is an end, not an error
            outside = _resume(call)
            resume = functools.partial(_closed, generator)
        except BaseException as thrown:
            outside = _resume(call)
            resume = functools.partial(generator.throw, thrown)
        else:
            outside = _resume(call)
            resume = functools.partial(generator.send, sent)


def _async_generator(function: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)  # first: wrong arguments are no call
        call = begin(spec, args, kwargs) if collect.enabled else None
        step = generator.__anext__()
        outside = call.outer if call is not None else None
        yielded = Yielded()
        if call is not None:
            call.yielded = yielded
        while True:
            try:
                value = await step
            except StopAsyncIteration:
                if call is not None:
                    finish(call, None, outside)
                return
            except BaseException as error:
                if call is not None:
                    fail(call, error, outside)
                raise
            if call is not None and outside is not None:
                _suspend(call, outside)
                if call.destination is not NOBODY:
                    yielded.add(value)
            try:
                sent = yield value
            except GeneratorExit:  # as in drive; an async generator must not yield once it is being closed
                outside = _resume(call) if call is not None else None
                try:
                    await generator.aclose()
                except BaseException as error:
                    if call is not None:
                        fail(call, error, outside)
                    raise
                if call is not None:
                    finish(call, None, outside)
                raise
            except BaseException as thrown:
                step = generator.athrow(thrown)
            else:
                step = generator.asend(sent)
            outside = _resume(call) if call is not None else None

    return traced


def _suspend(call: Call, outside: Position) -> None:
    """Leave the call's position to whoever resumed the generator."""
    call.suspended = context.current.get()
    context.current.set(outside)


def _resume(call: Call) -> Position:
    """Back into the call's position; returns the position of who resumed it."""
    outside = context.current.get()
    if call.suspended is not None:
        context.current.set(call.suspended)
        call.suspended = None
    return outside


def _closed(generator: Generator[Any, Any, Any]) -> Any:
    generator.close()
    raise StopIteration
