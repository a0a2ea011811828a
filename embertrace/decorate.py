"""What users write: trace, TracedOperator, operator().

Rules:
- A decoration is read once; what can be known then is known then.
- Classes are changed in place (their `__call__`, or their public methods where they have none); functions are
  wrapped; instances are wrapped in a TracedOperator, because frozen modules can't be changed.
- What is wrapped stays what it is: a static method a static method, a cached function one with its `cache_clear`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

from embertrace import collect
from embertrace.config import Capture
from embertrace.running import Call
from embertrace.spec import Answer, Metric, OperatorMetadata, Spec, describe, short_name, type_of_class
from embertrace.traced import abandon, enter, fail, finish
from embertrace.wrappers import wrap

T = TypeVar("T")


@overload
def trace(target: T, /) -> T: ...
@overload
def trace(
    target: str | None = None,
    /,
    *,
    stage: str | None = None,
    type: str | None = None,
    name: str | None = None,
    item: str | None = None,
    answer: Answer | None = None,
    capture: Capture | None = None,
    member: bool = True,
    tags: Mapping[str, Any] | None = None,
    metrics: Sequence[Metric] = (),
) -> Callable[[T], T]: ...
def trace(
    target: Any = None,
    /,
    *,
    stage: str | None = None,
    type: str | None = None,
    name: str | None = None,
    item: str | None = None,
    answer: Answer | None = None,
    capture: Capture | None = None,
    member: bool = True,
    tags: Mapping[str, Any] | None = None,
    metrics: Sequence[Metric] = (),
) -> Any:
    """Trace an operator: a class with `__call__`, a function of any kind, or an instance. All options are optional.

    `@trace`, `@trace()` and `@trace("stage")` all work.

    stage    where in the pipeline, e.g. "ensemble_1"
    type     the role: "ensemble", "judge", … (default: by base class, else the class's name)
    name     the operator's id (default: the instance's `name`, else the qualified name)
    item     the parameter whose value is the item's key, for root calls outside `embertrace.item`
    answer   a field name or a callable that takes the result: the answer that is compared and voted on
    capture  "all" of arguments and results, only "answers", or "none"
    member   False: a call that is no member of the ensemble it runs in
    tags     a mapping kept with every call
    metrics  callables `metric(result, input)` called inside the call when it has its result

    A class without `__call__` has each public method traced as an operator of its own.
    """
    if isinstance(target, str):
        target, stage = None, stage or target
    spec = Spec(stage, type, name, item, answer, capture, member, dict(tags or {}), tuple(metrics))

    def decorate(operator: Any) -> Any:
        return _decorate(operator, spec)

    return decorate if target is None else decorate(target)


def _decorate(operator: Any, spec: Spec) -> Any:
    if inspect.isclass(operator):
        trace_class(operator, spec)
        return operator
    if isinstance(operator, staticmethod | classmethod):
        is_method = isinstance(operator, classmethod)
        return type(operator)(wrap(operator.__func__, describe(spec, operator.__func__, is_method)))
    if callable(operator) and inspect.isroutine(operator):
        return wrap(operator, describe(spec, operator))
    if callable(operator):
        return TracedOperator(operator, spec=spec)
    raise TypeError(f"trace() takes a class, a function or a callable instance, not {operator!r:.80}")


def trace_class(cls: type, spec: Spec) -> None:
    """Trace `cls.__call__`, or where there is none every public method that the class defines."""
    if any("__call__" in vars(base) for base in cls.__mro__ if base is not object):
        names = ["__call__"]
    else:
        names = [name for name, member in vars(cls).items() if not name.startswith("_") and inspect.isfunction(member)]
    if not names:
        raise TypeError(f"trace() found nothing to trace in {cls.__qualname__}: no __call__ and no public method")
    for name in names:
        trace_method(cls, name, spec)


def trace_method(cls: type, name: str, spec: Spec) -> None:
    """Trace one method of a class, in place, whatever kind of method it is."""
    member = inspect.getattr_static(cls, name)
    function_name = short_name(cls) if name == "__call__" else f"{short_name(cls)}.{name}"
    if isinstance(member, staticmethod | classmethod):  # no instance says who is called
        described = describe(spec, member.__func__, isinstance(member, classmethod))
        described = dataclasses.replace(
            described, function_name=function_name, named_by_instance=False, type=spec.type or type_of_class(cls)
        )
        setattr(cls, name, type(member)(wrap(member.__func__, described)))
        return
    function = member if inspect.isfunction(member) else _forward(member, name)
    described = describe(spec, function, is_method=True)
    described = dataclasses.replace(described, function_name=function_name, named_by_instance=name == "__call__")
    setattr(cls, name, wrap(function, described))


def _forward(member: Any, name: str) -> Callable[..., Any]:
    """A method that calls what stands in a class where a method might: a callable object, or another descriptor."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = member.__get__(self, type(self)) if hasattr(type(member), "__get__") else member
        return bound(*args, **kwargs)

    forward.__name__, forward.__qualname__ = name, f"{type(member).__qualname__}.{name}"
    return forward


class TracedOperator:
    """An operator around any callable: `TracedOperator(func, metadata)` traces each call of it.

    `metadata` (id, type_hint, tags) says who it is; other attributes are those of `func`.
    """

    func: Callable[..., Any]
    metadata: OperatorMetadata

    def __init__(
        self, func: Callable[..., Any], metadata: OperatorMetadata | None = None, *, spec: Spec | None = None
    ) -> None:
        own = vars(self)  # attributes that are set otherwise are those of `func`
        own["func"] = func
        own["metadata"] = metadata or _metadata_of(func)
        own["_spec"] = known = spec or Spec()
        body: Any = func if inspect.isroutine(func) else type(func).__call__
        described = describe(known, body)
        typed = "function" if inspect.isroutine(func) else type_of_class(type(func))
        with contextlib.suppress(TypeError, ValueError):  # builtins may have none
            own["__signature__"] = inspect.signature(func)
        own["_call"] = _bind(
            func,
            dataclasses.replace(
                described,
                stage=known.stage or self.metadata.tags.get("stage"),
                type=known.type or self.metadata.type_hint or typed,
                name=known.name or self.metadata.id or _name_of(func),
                tags={**{k: v for k, v in self.metadata.tags.items() if k != "stage"}, **known.tags},
                is_method=False,
            ),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "func":  # not yet set: while being copied
            raise AttributeError(name)
        return getattr(self.func, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.func, name, value)

    def __reduce__(self) -> Any:
        return _again, (self.func, self.metadata, self._spec)

    def __repr__(self) -> str:
        return f"TracedOperator({self.func!r})"


def _bind(func: Any, spec: Spec) -> Callable[..., Any]:
    """`func` wrapped by its kind; a callable instance by the kind of its `__call__`."""
    if inspect.isroutine(func) or isinstance(func, functools.partial):
        return wrap(func, spec)
    body: Any = type(func).__call__
    if hasattr(body, "__embertrace__"):  # its class is traced already: one call, and what is said here counts
        return wrap(body.__wrapped__.__get__(func), spec)
    return wrap(func.__call__, spec)


def _again(func: Any, metadata: OperatorMetadata, spec: Spec) -> TracedOperator:
    """A copy of a TracedOperator, around a copy of what it traces."""
    return TracedOperator(func, metadata, spec=spec)


def _metadata_of(func: Any) -> OperatorMetadata:
    """What an instance states about itself, read without requiring our own class."""
    stated = getattr(func, "metadata", None)
    tags = getattr(stated, "tags", None)
    return OperatorMetadata(
        id=getattr(stated, "id", None),
        type_hint=getattr(stated, "type_hint", None),
        tags=dict(tags) if isinstance(tags, Mapping) else {},
    )


def _name_of(func: Any) -> str:
    own = getattr(func, "name", None)
    if isinstance(own, str):
        return own
    return short_name(func if inspect.isroutine(func) else type(func))


class OperatorCall:
    """The running call of an `operator(...)` block."""

    def __init__(self) -> None:
        self._result: Any = None

    def result(self, value: Any) -> None:
        """State what this call produced (the members' list of an ensemble, say). The last one counts."""
        self._result = value


@contextlib.contextmanager
def operator(
    name: str,
    *,
    type: str = "operator",
    stage: str | None = None,
    answer: Answer | None = None,
    capture: Capture | None = None,
    member: bool = True,
    tags: Mapping[str, Any] | None = None,
    args: Sequence[Any] = (),
) -> Iterator[OperatorCall]:
    """A traced call without a class: `with operator("panel", type="ensemble") as op: …; op.result(answers)`.

    Works around `await` too. `args` is recorded as the call's arguments.
    """
    running = OperatorCall()
    call: Call | None = None
    if collect.enabled:
        spec = Spec(stage, type, name, None, answer, capture, member, dict(tags or {}))
        call = enter(spec, None, tuple(args), {})
    if call is None:
        yield running
        return
    try:
        yield running
    except GeneratorExit as error:
        abandon(call, error)
        raise
    except BaseException as error:
        fail(call, error)
        raise
    finish(call, running._result)
