"""Tracing of Ember's operators, with their code left as it is: `instrument(Operator)`.

Rules:
- The framework is no dependency, and is imported only where `instrument()` is called without base classes. Any
  family of classes with a class-level `__call__` serves.
- Only classes are changed, never instances: those are frozen. Every change is kept, and undone by `uninstrument`.
- A class that `@trace` has decorated stays as it is decorated.
- One execution is one call, however many classes' `__call__` it passes on its way up through `super()`.
- Who is called follows from the class of the instance, not from where its `__call__` was defined: most classes
  inherit it. Operators are never compared nor hashed, for different ones may be equal.
- Members of an ensemble that are no operators show only in what it returned: there they are read, and recorded as
  calls that have nothing but an answer.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from embertrace import collect, context, threads
from embertrace.config import Capture
from embertrace.context import Arrival
from embertrace.errors import ConfigError
from embertrace.spec import Answer, Spec, describe, extract_answer, short_name
from embertrace.traced import enter, fail, finish
from embertrace.wrappers import wrap

FRAMEWORK_ROOTS = (
    ("ember.operators.base", "Operator"),
    ("ember.core.registry.operator.base.operator_base", "Operator"),
)
"""Where the framework keeps the base class of its operators: in its present architecture, and in the one before."""

ROLES = {"Ensemble": "ensemble", "Judge": "judge", "MostCommon": "judge", "Verifier": "verifier"}
"""The type of an operator by a word in the name of its class or of one it derives from."""
ROLE_FIELDS = ("type", "stage", "name", "answer")


class Change(NamedTuple):
    """One attribute that was set on a class; `original` is None where the class had none of its own."""

    cls: type
    name: str
    original: Any
    installed: Any


_changes: list[Change] = []
_roles: dict[str, Mapping[str, str]] = {}
_specs: weakref.WeakKeyDictionary[type, dict[str | None, Spec]] = weakref.WeakKeyDictionary()
"""By class, and by the name of the function that an instance wraps."""
_patched_threads = False
_lock = threading.RLock()


def instrument(*roots: type, roles: Mapping[str, Mapping[str, str]] | None = None) -> None:
    """Trace all operators below `roots`, classes with a class-level `__call__`; defined already or later.

    Without roots those of the installed framework are imported. Threads and thread pools keep the context from now on
    (`instrument_threads`). `roles` says more about classes and those derived from them, by class name:

        {"Panel": {"type": "ensemble", "stage": "ensemble_1", "name": "panel", "answer": "text"}}

    all of it optional. By default a class with "Ensemble" in its name, or in that of a class it derives from, has the
    type "ensemble"; with "Judge" or "MostCommon" "judge"; with "Verifier" "verifier"; else its own name. The answer
    of a judge is `final_answer` of its result, where it has that.

    Where no operator was called below an ensemble, each element of the list it returned, or of the `responses` of what
    it returned, is recorded as a member: type "member", name "#0", "#1", …, the ensemble's stage.

    Calling it again adds roots and roles. Raises ConfigError, with nothing changed, for a root that can't be called, an
    unknown field of a role, or without roots where the framework can't be imported. Thread-safe.
    """
    global _patched_threads
    told = _checked_roles(roles or {})
    found = [_checked_root(root) for root in roots or _framework_roots()]
    with _lock:
        _roles.update(told)
        _specs.clear()
        for root in found:
            if "__call__" not in vars(root):
                _change(root, "__call__", _traced(_inherited(root), root))
            _hook(root)
            _adopt_all(root)
        before = threading.Thread.start
        threads.instrument_threads()
        _patched_threads = _patched_threads or threading.Thread.start is not before


def uninstrument() -> None:
    """Give every class back exactly the attributes it had; calls that run end as they began. Again: does nothing.

    An attribute that somebody else has replaced meanwhile stays theirs. Threads are left as `instrument` found them.
    """
    global _patched_threads
    with _lock:
        while _changes:
            change = _changes.pop()
            if vars(change.cls).get(change.name) is not change.installed:
                continue
            if change.original is None:
                type.__delattr__(change.cls, change.name)
            else:
                type.__setattr__(change.cls, change.name, change.original)
        _roles.clear()
        _specs.clear()
        if _patched_threads:
            threads.uninstrument_threads()
            _patched_threads = False


# What is asked for.


def _checked_root(root: Any) -> type:
    if not isinstance(root, type) or not any("__call__" in vars(base) for base in root.__mro__):
        raise ConfigError(f"instrument() takes classes whose instances can be called, not {root!r:.80}")
    return root


def _checked_roles(roles: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    for name, role in roles.items():
        for field in role:
            if field not in ROLE_FIELDS:
                known = ", ".join(ROLE_FIELDS)
                raise ConfigError(f"roles[{name!r}] has the unknown field {field!r}; a role has {known}")
    return {name: dict(role) for name, role in roles.items()}


def _framework_roots() -> list[type]:
    found, faults = [], []
    for module, name in FRAMEWORK_ROOTS:
        try:
            found.append(getattr(importlib.import_module(module), name))
        except (ImportError, AttributeError) as error:
            faults.append(str(error))
    if not found:
        raise ConfigError(
            f"instrument() found no installed Ember framework ({'; '.join(faults)}); "
            "pass the base class of your operators instead: instrument(Operator)"
        )
    return found


# Classes and their attributes.


def _change(cls: type, name: str, installed: Any) -> None:
    original = vars(cls).get(name)
    type.__setattr__(cls, name, installed)  # past metaclasses, which may wrap what they are given
    _changes.append(Change(cls, name, original, installed))


def _adopt_all(cls: type) -> None:
    _adopt(cls)
    subclasses: list[type] = type.__subclasses__(cls)
    for subclass in subclasses:
        _adopt_all(subclass)


def _adopt(cls: Any) -> None:
    """Trace the class's own `__call__`, if it has one; and hear of what is derived from it."""
    if "__init_subclass__" in vars(cls):
        _hook(cls)
    own = vars(cls).get("__call__")
    if own is None or isinstance(own, (staticmethod, classmethod)):
        return
    if not hasattr(own, "__embertrace__"):
        _change(cls, "__call__", _traced(cls.__call__, cls))
        return
    # dataclass(slots=True) makes a second class with the attributes of the first, ours included
    copied = next((change for change in _changes if change.installed is own and change.cls is not cls), None)
    if copied is not None:
        _changes.append(copied._replace(cls=cls))


def _hook(cls: Any) -> None:
    """Let the class tell of its future subclasses."""
    original = vars(cls).get("__init_subclass__")
    if any(change.installed is original for change in _changes):
        return

    def __init_subclass__(sub: Any, /, **kwargs: Any) -> None:
        if original is None:
            super(cls, sub).__init_subclass__(**kwargs)
        else:
            original.__get__(None, sub)(**kwargs)
        _arrived(sub)

    if original is not None:
        functools.update_wrapper(__init_subclass__, getattr(original, "__func__", original))
    _change(cls, "__init_subclass__", classmethod(__init_subclass__))


def _arrived(cls: type) -> None:
    with _lock:
        if _changes:
            _adopt(cls)


def _inherited(cls: Any) -> Callable[..., Any]:
    """A `__call__` for a class that has none of its own: the next one in the order of its bases."""

    def inherited(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return super(cls, self).__call__(*args, **kwargs)

    above: Callable[..., Any] = cls.__call__
    return functools.update_wrapper(inherited, above) if _is_plain(above) else above


# Calls.


def _is_plain(function: Any) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return not any(is_kind(function) for is_kind in kinds)


def _traced(function: Callable[..., Any], cls: type) -> Callable[..., Any]:
    """`function`, the `__call__` of a class, traced. Other kinds than plain go by the role of the defining class."""
    if not _is_plain(function):
        return wrap(function, describe(_spec_of_class(cls, None), function))

    def traced(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not collect.enabled or _is_same_call(traced, self):
            return function(self, *args, **kwargs)
        call = enter(_spec_of(self), self, args, kwargs)
        if call is None:
            return function(self, *args, **kwargs)
        try:
            result = function(self, *args, **kwargs)
        except BaseException as error:
            fail(call, error)
            raise
        finish(call, result)
        return result

    functools.update_wrapper(traced, function)
    traced.__embertrace__ = Spec()  # type: ignore[attr-defined]  # so that @trace on a base sees super() too
    return traced


def _is_same_call(wrapper: Callable[..., Any], instance: Any) -> bool:
    """Whether this is `super().__call__` in a call that has been entered, and not the operator calling itself."""
    here = context.current.get()[0]
    return here is not None and here.owner is instance and type(instance).__call__ is not wrapper


def _spec_of(instance: object) -> Spec:
    """What is known of an instance, looked up; worked out once per class and name."""
    wrapped = getattr(instance, "__dict__", {}).get("__wrapped__")
    name = None if wrapped is None else short_name(wrapped)
    known = _specs.setdefault(type(instance), {})
    spec = known.get(name)
    if spec is None:
        spec = known[name] = _spec_of_class(type(instance), name)
    return spec


def _spec_of_class(cls: type, wrapped: str | None) -> Spec:
    names = [base.__name__ for base in cls.__mro__]
    told = next((_roles[name] for name in names if name in _roles), {})
    role = told.get("type") or next((found for name in names if (found := role_in(name))), None)
    answer: Answer | None = told.get("answer") or (final_answer if role == "judge" else None)
    return Spec(
        stage=told.get("stage"),
        type=role,
        name=told.get("name") or wrapped,
        answer=answer,
        metrics=(record_members,) if role == "ensemble" else (),
        function_name=short_name(cls),
        is_method=True,
        named_by_instance=True,
    )


def role_in(name: str) -> str | None:
    """The type that a class name states, None where it states none. The last word counts: an EnsembleJudge judges."""
    stated = [word for word in ROLES if word in name]
    return ROLES[max(stated, key=name.rfind)] if stated else None


# Answers.


def final_answer(result: Any) -> Any:
    """The `final_answer` of a judge's result, or the result itself where it has none."""
    try:
        return extract_answer("final_answer", result)
    except (AttributeError, LookupError):
        return result


def record_members(result: Any, _: Any) -> None:
    """Record the answers in an ensemble's result as calls below it, if nothing was called there. Runs as a metric."""
    here, scope, follows = context.position()
    answers = _answers_in(result)
    if here is None or not answers:
        return
    slot = context.next_slot(here, scope)
    if slot > here.withdrawn:  # somebody took one before and kept it: a member that was traced
        context.withdraw_slot(here, scope)
        return
    capture: Capture = "none" if collect.settings.capture == "none" else "answers"
    context.current.set((here, scope._replace(arrival=Arrival(context.new_call_id(), slot)), follows))
    for place, answer in enumerate(answers):
        spec = Spec(here.stage, "member", f"#{place}", answer=_itself, capture=capture)
        call = enter(spec, None, (), {})
        if call is not None:
            finish(call, answer)


def _answers_in(result: Any) -> list[Any]:
    if isinstance(result, list):
        return result
    try:
        responses = extract_answer("responses", result)
    except Exception:  # whatever a foreign attribute raises: then it shows no members
        return []
    return list(responses) if isinstance(responses, (list, tuple)) else []


def _itself(value: Any) -> Any:
    return value
