"""Tracing of Ember's operators, with their code left as it is: `instrument(Operator)`.

Rules:
- The framework is no dependency, and is imported only where `instrument()` is called without base classes. Any
  family of classes with a class-level `__call__` serves.
- Only classes are changed, never instances: those are frozen. Every change is kept, and undone by `uninstrument`.
- A class that `@trace` has decorated stays as it is decorated.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from embertrace import threads
from embertrace.errors import ConfigError
from embertrace.interop import ember_calls
from embertrace.interop.ember_calls import ROLE_FIELDS, Role, is_plain, traced_call

FRAMEWORK_ROOTS = (
    ("ember.operators.base", "Operator"),
    ("ember.core.registry.operator.base.operator_base", "Operator"),
)
"""Where the framework keeps the base class of its operators: in its present architecture, and in the one before."""


class Change(NamedTuple):
    """One attribute that was set on a class; `original` is None where the class had none of its own."""

    cls: type
    name: str
    original: Any
    installed: Any


_changes: list[Change] = []
_patched_threads = False
_lock = threading.RLock()


def instrument(*roots: type, roles: Mapping[str, Role] | None = None) -> None:
    """Trace all operators below `roots`, classes with a class-level `__call__`; defined already or later.

    Without roots those of the installed framework are imported. Threads and thread pools keep the context from now on
    (`instrument_threads`). `roles` says more about classes and those derived from them, by class name:

        {"Panel": {"type": "ensemble", "stage": "ensemble_1", "name": "panel", "answer": "text"}}

    all of it optional; `answer` may be a callable too. Without a role the type is the operator's `metadata.type_hint`,
    if it has one. Else a class with "Ensemble" in its name, or in that of a class it derives from, has the type
    "ensemble"; with "Judge" or "MostCommon" "judge"; with "Verifier" "verifier"; any other its own name. The answer
    of a judge is `final_answer` of its result, where it has that.

    Where no operator was called below an ensemble, each element of the list it returned, or of the `responses` of what
    it returned, is recorded as a member: type "member", name "#0", "#1", …, its index as slot, the stage
    of its ensemble, and no duration.

    Calling it again adds roots and roles. Raises ConfigError, with nothing changed, for a root that can't be called, an
    unknown field or unusable value of a role, or without roots where the framework can't be imported. Thread-safe.
    """
    global _patched_threads
    told = _checked_roles(roles or {})
    found = [_checked_root(root) for root in roots or _framework_roots()]
    with _lock:
        ember_calls.add_roles(told)
        for root in found:
            if "__call__" not in vars(root):
                _change(root, "__call__", traced_call(_inherited(root), root))
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
        ember_calls.forget_roles()
        if _patched_threads:
            threads.uninstrument_threads()
            _patched_threads = False


# What is asked for.


def _checked_root(root: Any) -> type:
    if not isinstance(root, type) or not any("__call__" in vars(base) for base in root.__mro__):
        raise ConfigError(f"instrument() takes classes whose instances can be called, not {root!r:.80}")
    return root


def _checked_roles(roles: Mapping[str, Role]) -> dict[str, Role]:
    for name, role in roles.items():
        if not isinstance(role, Mapping):
            raise ConfigError(f"roles[{name!r}] is {role!r:.80}; it must be a mapping such as {{'type': 'ensemble'}}")
        for field, value in role.items():
            if field not in ROLE_FIELDS:
                known = ", ".join(ROLE_FIELDS)
                raise ConfigError(f"roles[{name!r}] has the unknown field {field!r}; a role has {known}")
            if not isinstance(value, str) and not (field == "answer" and callable(value)):
                what = "a field's name or a callable" if field == "answer" else "a text"
                raise ConfigError(f"roles[{name!r}] has {field}={value!r:.80}; it must be {what}")
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
        _change(cls, "__call__", traced_call(cls.__call__, cls))
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
    return functools.update_wrapper(inherited, above) if is_plain(above) else above
