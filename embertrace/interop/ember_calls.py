"""One call of an Ember operator: who is called, which of its wrappers counts, what it answered.

Rules:
- One execution is one call, however many classes' `__call__` it passes on its way up through `super()`.
- Who is called follows from the class of the instance, not from where its `__call__` was defined: most classes
  inherit it. Operators are never compared nor hashed, for different ones may be equal.
- Whatever goes wrong in looking at an operator costs that call its events, and nothing else.
- Members of an ensemble that are no operators show only in what it returned: there they are read, and recorded as
  calls that have nothing but an answer.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from embertrace import collect, context
from embertrace.context import Arrival
from embertrace.running import Call
from embertrace.spec import Answer, Spec, describe, extract_answer, short_name
from embertrace.traced import enter, fail, finish, state
from embertrace.wrappers import wrap

ROLES = {"Ensemble": "ensemble", "Judge": "judge", "MostCommon": "judge", "Verifier": "verifier"}
"""The type of an operator by a word in the name of its class or of one it derives from."""
ROLE_FIELDS = ("type", "stage", "name", "answer")

Role = Mapping[str, Any]
Stated = tuple[str | None, str | None]
"""The name of the function that an instance wraps, and its `metadata.type_hint`."""

_roles: dict[str, Role] = {}
_specs: weakref.WeakKeyDictionary[type, dict[Stated, Spec]] = weakref.WeakKeyDictionary()
"""By class, and by what an instance says of itself."""


def add_roles(roles: Mapping[str, Role]) -> None:
    """Know more about classes, by name; what was known of the same name is replaced."""
    _roles.update(roles)
    _specs.clear()


def forget_roles() -> None:
    """Know nothing but what class names say."""
    _roles.clear()
    _specs.clear()


def is_plain(function: Any) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return not any(is_kind(function) for is_kind in kinds)


def traced_call(function: Callable[..., Any], cls: type) -> Callable[..., Any]:
    """`function`, the `__call__` of a class, traced. Other kinds than plain go by the role of the defining class."""
    if not is_plain(function):
        return wrap(function, describe(_spec_of_class(cls), function))

    def traced(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not collect.enabled or (call := _begin(traced, self, args, kwargs)) is None:
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


def _begin(
    wrapper: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Call | None:
    """`enter`, or None where the call has been entered already. Never raises."""
    if _is_same_call(wrapper, instance):
        return None
    try:
        spec = _spec_of(instance)
    except RecursionError:  # as in enter
        return None
    except Exception:  # foreign classes and attributes may raise whatever they like
        collect.report_failure("look at the operator of", wrapper)
        return None
    return enter(spec, instance, args, kwargs)


def _is_same_call(wrapper: Callable[..., Any], instance: Any) -> bool:
    """Whether this is `super().__call__` in a call that has been entered, and not the operator calling itself."""
    here = context.current.get()[0]
    return here is not None and here.owner is instance and type(instance).__call__ is not wrapper


def _spec_of(instance: object) -> Spec:
    """What is known of an instance, looked up; worked out once per class and what its instances say."""
    wrapped = getattr(instance, "__dict__", {}).get("__wrapped__")
    name = None if wrapped is None else short_name(wrapped)
    hint = getattr(getattr(instance, "metadata", None), "type_hint", None)
    stated = name, hint if isinstance(hint, str) else None
    known = _specs.setdefault(type(instance), {})
    spec = known.get(stated)
    if spec is None:
        spec = known[stated] = _spec_of_class(type(instance), *stated)
    return spec


def _spec_of_class(cls: type, wrapped: str | None = None, hint: str | None = None) -> Spec:
    names = [base.__name__ for base in cls.__mro__]
    told = next((_roles[name] for name in names if name in _roles), {})
    role = told.get("type") or hint or next((found for name in names if (found := role_in(name))), None)
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
    for place, answer in enumerate(answers):
        if place:
            context.next_slot(here, scope)  # counted; which one it is says the place in the list
        context.current.set((here, scope._replace(arrival=Arrival(context.new_call_id(), place)), follows))
        state(Spec(here.stage, "member", f"#{place}", answer=_itself), answer)


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
