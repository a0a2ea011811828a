"""What Ray is given instead of the user's function or class, and what happens when it is called in a worker.

Rules:
- An entry has the kind, the name and the signature of what it stands for, and one more keyword for the carrier: Ray
  checks all other arguments as ever. Static and class methods stay what they are.
- It takes the carrier out, takes the position it describes, and runs the traced function. At the end the position is
  cleared: sync actors keep ContextVars from call to call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray._private.worker import global_worker

from embertrace import collect, context, crossing
from embertrace.decorate import trace_method
from embertrace.event import call_id_of_task
from embertrace.ray.ids import TASK_ID_BYTES, cluster
from embertrace.ray.submission import CARRIER, inject
from embertrace.spec import Spec, describe
from embertrace.wrappers import wrap

_NO_TASK = b"\xff" * TASK_ID_BYTES
"""The id of no task."""

on_roles: Callable[[Mapping[str, Mapping[str, str]]], object] = dict
"""What to do with the roles a carrier brings along; set by `instrument`."""


def prepare(target: Any, spec: Spec | None = None) -> Any:
    """The entry for a function, or a class with entries for methods: traced as `spec` says, unless they are already."""
    if inspect.isclass(target):
        return _prepare_class(target, spec or Spec())
    if not hasattr(target, "__embertrace__"):
        target = wrap(target, describe(spec or Spec(), target))
    return _entry(target)


def _prepare_class(cls: type, spec: Spec) -> type:
    """A subclass of the same name whose public methods take carriers.

    Where the class is traced already, or has a `__call__`, its other methods are no operators of their own.
    """
    methods = {name: method for name, method in inspect.getmembers(cls, inspect.isfunction) if _is_public(cls, name)}
    untraced = {name: method for name, method in methods.items() if not hasattr(method, "__embertrace__")}
    main = {"__call__"} if "__call__" in methods else set(untraced) if len(untraced) == len(methods) else set()
    known = getattr(cls, "__ray_actor_class__", cls)  # Ray's own subclass has a name of its own
    body: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": known.__qualname__, "__doc__": cls.__doc__}
    derived = type(cls)(known.__name__, (cls,), body)
    for name in untraced:
        trace_method(derived, name, spec if name in main else Spec(type="method", member=False))
    for name in methods:
        setattr(derived, name, _entry(getattr(derived, name)))
    return derived


def _is_public(cls: type, name: str) -> bool:
    is_named = name == "__call__" or not name.startswith("_")
    return is_named and not isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod))


def _entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    """`traced` with a carrier parameter, of the same kind, which takes the carried position while it runs."""
    entry: Callable[..., Any]
    if inspect.isasyncgenfunction(traced):
        entry = _async_generator_entry(traced)
    elif inspect.isgeneratorfunction(traced):
        entry = _generator_entry(traced)
    elif inspect.iscoroutinefunction(traced):
        entry = _async_entry(traced)
    else:
        entry = _plain_entry(traced)
    functools.update_wrapper(entry, traced)
    vars(entry).pop("__wrapped__")  # Ray unwraps methods as far as it can; it must stop where the carrier is taken
    entry.__signature__ = _with_carrier(inspect.signature(traced))  # type: ignore[attr-defined]
    entry.__ray_invocation_decorator__ = _injection(traced.__embertrace__)  # type: ignore[attr-defined]
    return entry


def _injection(spec: Spec) -> Callable[..., Any]:
    """`inject`, told of the argument that is the item's key: it decides whether a submission is recorded."""
    if spec.item is None:
        return inject
    known = {name: value for name, value in spec.defaults.items() if name == spec.item}
    return functools.partial(inject, spec=Spec(item=spec.item, parameters=spec.parameters, defaults=known))


def _with_carrier(signature: inspect.Signature) -> inspect.Signature:
    """The signature with the carrier's keyword, so that Ray accepts it and still checks all other arguments."""
    carrier = inspect.Parameter(CARRIER, inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters = list(signature.parameters.values())
    end = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_KEYWORD), len(parameters))
    return signature.replace(parameters=[*parameters[:end], carrier, *parameters[end:]])


def _plain_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    def entry(*args: Any, **kwargs: Any) -> Any:
        if not _arrive(kwargs):
            return traced(*args, **kwargs)
        try:
            return traced(*args, **kwargs)
        finally:
            crossing.leave()

    return entry


def _async_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    async def entry(*args: Any, **kwargs: Any) -> Any:
        if not _arrive(kwargs):
            return await traced(*args, **kwargs)
        try:
            return await traced(*args, **kwargs)
        finally:
            crossing.leave()

    return entry


def _generator_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    def entry(*args: Any, **kwargs: Any) -> Any:
        if not _arrive(kwargs):
            return (yield from traced(*args, **kwargs))
        try:
            return (yield from traced(*args, **kwargs))
        finally:
            crossing.leave()

    return entry


def _async_generator_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    async def entry(*args: Any, **kwargs: Any) -> Any:
        arrived = _arrive(kwargs)
        generator = traced(*args, **kwargs)
        step = generator.__anext__()
        try:
            while True:
                try:
                    value = await step
                except StopAsyncIteration:
                    return
                try:
                    step = generator.asend((yield value))
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as thrown:
                    step = generator.athrow(thrown)
        finally:
            if arrived:
                crossing.leave()

    return entry


def _arrive(kwargs: dict[str, Any]) -> bool:
    """Take the carrier out of a call's arguments, and the position it describes; whether there was one. Never raises.

    Without one it is a call within the worker (a method that calls another), or the caller is not traced: then the
    position stays, as every entry clears its own.
    """
    packed = kwargs.pop(CARRIER, None)
    if packed is None:
        return False
    try:
        call_id, attempt = _running_task()
        shared = crossing.take(packed, call_id, attempt)
        if shared is not None and shared.roles is not None:
            on_roles(shared.roles)
    except Exception:  # a failure of tracing must not fail the task
        crossing.leave()
        collect.report_failure("receive", "remote")
    return True


def _running_task() -> tuple[int, int]:
    """The call that the running task is, and its attempt. Ray's public way to the first takes as long as all else here,
    and to the second there is none."""
    worker: Any = global_worker
    try:
        core = worker.core_worker
        task_id = core.get_current_task_id().binary()
        if task_id != _NO_TASK:
            return call_id_of_task(task_id, cluster()), core.get_current_task_attempt_number()
    except Exception:  # another version of Ray, or no worker at all: attempts are told apart no more
        found = ray.get_runtime_context().get_task_id()
        if found:
            return call_id_of_task(bytes.fromhex(found), cluster()), 0
    return context.new_call_id(), 0
