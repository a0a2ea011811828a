"""The crossing into Ray tasks and actors. The only file of the library that imports ray.

`embertrace.ray.remote` stands where `ray.remote` stood and returns what `ray.remote` returns: a real
RemoteFunction or ActorClass. Two hooks do the work:

- *Submission.* Ray calls a function's `__ray_invocation_decorator__` around each submission (of tasks and of actor
  methods, in any process that holds the handle). Ours adds the carrier as one flat keyword argument, which the
  function's signature declares. Other arguments are not touched: Ray resolves ObjectRefs only at the top level.
- *Arrival.* The function that runs in the worker takes the carrier out, takes the position it describes, and runs
  the traced function. At the end the position is cleared: sync actors keep ContextVars from call to call.

A call's id is a hash of its task id: all attempts share it, and any ObjectRef of it names it. A missing or malformed
carrier makes a root, never an error.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray import ObjectRef

from embertrace import collect, context, emit
from embertrace.context import Arrival, Scope, Sink
from embertrace.decorate import trace_method
from embertrace.errors import WireError
from embertrace.spec import Spec, describe
from embertrace.wire.carrier import Carrier, pack_carrier, unpack_carrier
from embertrace.wrappers import wrap

CARRIER = "_embertrace"
"""Name of the keyword argument that carries the context."""
LINK_DEPTH = 2
"""How deep ObjectRefs are looked for in lists, tuples and dictionaries among the arguments."""
MAX_LINKED_ELEMENTS = 1024
"""Elements looked at for ObjectRefs, so that a submission never walks a data set."""

Invocation = Callable[[Sequence[Any], dict[str, Any]], Any]


def remote(*target: Any, **options: Any) -> Any:
    """Use it like `ray.remote`: on functions and actor classes, with or without options. They are traced.

    Together with `@embertrace.trace(...)` below it, it is one call with that decoration's stage, type and name.
    Public methods of actor classes are traced; those that are not the traced operator itself are no members.
    """
    if target:
        return ray.remote(_prepare(target[0]))
    with_options = ray.remote(**options)
    return lambda decorated: with_options(_prepare(decorated))


# Submission, in the caller's process.


def inject(invocation: Invocation) -> Invocation:
    """Ray's invocation decorator: submit with a carrier, wherever events of the calling code go to an aggregator."""

    def submit(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        packed = _depart(args, kwargs) if collect.enabled else None
        if packed is None:
            return invocation(args, kwargs)
        references = invocation(args, {**(kwargs or {}), CARRIER: packed})
        _departed(references)
        return references

    return submit


def _depart(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes | None:
    """The carrier for a submission from here; None where its events have nowhere to go. Never raises."""
    try:
        parent, scope, follows = context.position()
        endpoint = _endpoint(collect.sinks if scope.sinks is None else scope.sinks)
        if endpoint is None:
            return None
        carrier = Carrier(
            trace_id=parent.trace_id if parent is not None else scope.trace_id or context.new_trace_id(),
            frames=parent.frames() if parent is not None else (),
            slot=context.next_slot(parent, scope),
            follows=follows,
            links=tuple(dict.fromkeys(call_id_of(ref) for ref in _references([args, list((kwargs or {}).values())]))),
            run=scope.run,
            item=scope.item,
            tags=scope.tags,
            endpoint=endpoint,
            settings=collect.settings.travelling(),
        )
        return pack_carrier(carrier)
    except Exception:  # a failure of tracing must not stop the submission
        collect.report_failure("submit", "remote")
        return None


def _departed(references: Any) -> None:
    """What is submitted next in this execution context follows this call."""
    first = references[0] if isinstance(references, list) and references else references
    task_id = getattr(first, "task_id", None)
    if task_id is not None:
        where, scope, _ = context.current.get()
        context.current.set((where, scope, call_id_of(first)))


def _endpoint(destination: tuple[Sink, ...]) -> str | None:
    """The aggregator among a call's sinks."""
    return next((sink.endpoint for sink in destination if hasattr(sink, "endpoint")), None)


def _references(values: Any) -> Iterator[Any]:
    """ObjectRefs among arguments, and in lists, tuples and dictionaries LINK_DEPTH levels below them."""
    level: list[Any] = [values]
    for _ in range(LINK_DEPTH + 2):
        inner: list[Any] = []
        for value in itertools.islice(level, MAX_LINKED_ELEMENTS):
            kind = type(value)
            if kind is list or kind is tuple:
                inner.extend(value[:MAX_LINKED_ELEMENTS])
            elif kind is dict:
                inner.extend(itertools.islice(value.values(), MAX_LINKED_ELEMENTS))
            elif isinstance(value, ObjectRef):
                yield value
        level = inner


def call_id_of(reference: Any) -> int:
    """The id of the call whose result an ObjectRef is."""
    return _call_id(reference.task_id().binary())


def _call_id(task_id: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(task_id, digest_size=8).digest(), "big") or 1


# Arrival, in the worker's process.


def arrive(kwargs: dict[str, Any]) -> None:
    """Take the carrier out of a call's arguments, and the position it describes. Never raises."""
    packed = kwargs.pop(CARRIER, None)
    context.current.set(context.NOWHERE)
    if packed is None:
        return
    try:
        carrier = unpack_carrier(packed) if isinstance(packed, bytes) else None
        if carrier is None or carrier.endpoint is None or carrier.trace_id is None:
            return
        scope = Scope(
            run=carrier.run,
            item=carrier.item,
            tags=carrier.tags,
            sinks=(emit.emitter_for(carrier.endpoint),),
            trace_id=carrier.trace_id,
            roots=itertools.count(),
            begun=itertools.count(),
            arrival=Arrival(_current_call_id(), carrier.slot, _current_attempt(), carrier.links),
        )
        collect.adopt(carrier.settings)
        collect.pin()
        context.arrive(carrier.frames, carrier.trace_id, scope, carrier.follows)
    except WireError as error:
        collect.log.warning("a task came with an unusable carrier (%s); it is a root of its own", error)
    except Exception:  # a failure of tracing must not fail the task
        context.current.set(context.NOWHERE)
        collect.report_failure("receive", "remote")


def _current_call_id() -> int:
    task_id = ray.get_runtime_context().get_task_id()
    return _call_id(bytes.fromhex(task_id)) if task_id else context.new_call_id()


def _current_attempt() -> int:
    """The attempt number of the running task; Ray has no public way to ask for it."""
    try:
        worker: Any = ray._private.worker.global_worker
        return int(worker.core_worker.get_current_task_attempt_number())
    except Exception:  # another version of Ray: attempts are then told apart no more, and nothing else is lost
        return 0


# What Ray is given instead of the user's function or class.


def _prepare(target: Any) -> Any:
    if inspect.isclass(target):
        return _prepare_class(target)
    if not hasattr(target, "__embertrace__"):
        target = wrap(target, describe(Spec(), target))
    return _entry(target)


def _prepare_class(cls: type) -> type:
    """A subclass of the same name whose public methods take carriers."""
    members = {
        name: member
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if name == "__call__" or not name.startswith("_")
    }
    body: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    derived = type(cls.__name__, (cls,), body)
    untraced = [name for name, member in members.items() if not hasattr(member, "__embertrace__")]
    operators = set(untraced if "__call__" not in members else ["__call__"]) if len(untraced) == len(members) else set()
    for name in untraced:
        trace_method(derived, name, Spec() if name in operators else Spec(type="method", member=False))
    for name in members:
        setattr(derived, name, _entry(getattr(derived, name)))
    return derived


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
    entry.__ray_invocation_decorator__ = inject  # type: ignore[attr-defined]
    return entry


def _with_carrier(signature: inspect.Signature) -> inspect.Signature:
    """The signature with the carrier's keyword, so that Ray accepts it and still checks all other arguments."""
    carrier = inspect.Parameter(CARRIER, inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters = list(signature.parameters.values())
    end = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_KEYWORD), len(parameters))
    return signature.replace(parameters=[*parameters[:end], carrier, *parameters[end:]])


def _plain_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    def entry(*args: Any, **kwargs: Any) -> Any:
        arrive(kwargs)
        try:
            return traced(*args, **kwargs)
        finally:
            context.current.set(context.NOWHERE)

    return entry


def _async_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    async def entry(*args: Any, **kwargs: Any) -> Any:
        arrive(kwargs)
        try:
            return await traced(*args, **kwargs)
        finally:
            context.current.set(context.NOWHERE)

    return entry


def _generator_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    def entry(*args: Any, **kwargs: Any) -> Any:
        arrive(kwargs)
        try:
            return (yield from traced(*args, **kwargs))
        finally:
            context.current.set(context.NOWHERE)

    return entry


def _async_generator_entry(traced: Callable[..., Any]) -> Callable[..., Any]:
    async def entry(*args: Any, **kwargs: Any) -> Any:
        arrive(kwargs)
        try:
            async for value in traced(*args, **kwargs):
                yield value
        finally:
            context.current.set(context.NOWHERE)

    return entry
