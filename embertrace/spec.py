"""What a decoration says about an operator, and how an operator's identity follows from it. Pure.

Identity, first that applies:
    id     name=, the instance's metadata.id, the instance's `name`, the qualified name
    type   type=, metadata.type_hint, "ensemble" or "judge" by a base class of that name, the class's name
    stage  stage=, tags["stage"], "default"
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from embertrace.config import Capture
from embertrace.event import DEFAULT_STAGE, cut_name

Answer = str | Callable[[Any], Any]
Metric = Callable[[Any, Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorMetadata:
    """What an operator states about itself. `tags` is a mapping; its "stage" names the stage."""

    id: str | None = None
    type_hint: str | None = None
    tags: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Spec:
    """One decoration: its options, and what was found out about the function once, at decoration."""

    stage: str | None = None
    type: str | None = None
    name: str | None = None
    item: str | None = None
    answer: Answer | None = None
    capture: Capture | None = None
    member: bool = True
    tags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    function_name: str = ""
    function_type: str = "function"
    is_method: bool = False
    named_by_instance: bool = False
    """True for `__call__`: the instance and its class say who is called. Other methods are named by themselves."""
    parameters: tuple[str, ...] = ()
    """Names of the positional parameters, `self` left out."""
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def identity(self, instance: object) -> tuple[tuple[str, str, str], Mapping[str, Any]]:
        """Id, type and stage, and the tags, of a call on `instance` (None for a function)."""
        return self._of_function if instance is None else self._identity(instance)

    @functools.cached_property
    def _of_function(self) -> tuple[tuple[str, str, str], Mapping[str, Any]]:
        return self._identity(None)

    def _identity(self, instance: object) -> tuple[tuple[str, str, str], Mapping[str, Any]]:
        metadata = getattr(instance, "metadata", None)
        tags = self.tags
        stated = getattr(metadata, "tags", None)
        if isinstance(stated, Mapping) and stated:
            tags = {**stated, **tags}
        own = getattr(instance, "name", None) if self.named_by_instance else None
        operator_id = (
            self.name
            or getattr(metadata, "id", None)
            or (own if isinstance(own, str) else None)
            or (_of_class(type(instance))[0] if self.named_by_instance else self.function_name)
        )
        operator_type = (
            self.type
            or getattr(metadata, "type_hint", None)
            or (_of_class(type(instance))[1] if instance is not None else self.function_type)
        )
        stage = self.stage or tags.get("stage") or DEFAULT_STAGE
        if "stage" in tags:
            tags = {key: value for key, value in tags.items() if key != "stage"}
        return (cut_name(str(operator_id)), cut_name(str(operator_type)), cut_name(str(stage))), tags


def describe(spec: Spec, function: Callable[..., Any], is_method: bool | None = None) -> Spec:
    """`spec` with what the function itself says: its name, its signature, and (if not known) whether it is a method."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # builtins without a signature
        parameters = MappingProxyType({})
    names = tuple(name for name, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    if is_method is None:
        is_method = names[:1] == ("self",)
    return dataclasses.replace(
        spec,
        function_name=short_name(function),
        is_method=is_method,
        named_by_instance=is_method and getattr(function, "__name__", "") == "__call__",
        parameters=names[1:] if is_method else names,
        defaults={name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty},
    )


CLASSES_KNOWN = 1024
"""So many are remembered: looking through a class's bases would be the largest part of a traced call."""
_classes: dict[type, tuple[str, str]] = {}


def _of_class(cls: type) -> tuple[str, str]:
    """Name and type of a class's instances."""
    known = _classes.get(cls)
    if known is None:
        known = short_name(cls), type_of_class(cls)
        if len(_classes) < CLASSES_KNOWN:
            _classes[cls] = known
    return known


def short_name(named: Any) -> str:
    """The qualified name without the enclosing functions: stable across processes, modules and runs."""
    name = getattr(named, "__qualname__", None) or type(named).__qualname__
    return str(name).rpartition("<locals>.")[2]


def type_of_class(cls: type) -> str:
    """ "ensemble" or "judge" by the name of the class or one of its bases, else the class's own name."""
    for base in cls.__mro__:
        for role in ("Ensemble", "Judge"):
            if base.__name__.startswith(role):
                return role.lower()
    return cls.__name__


def argument(spec: Spec, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The value of the parameter `name` in one call, its default, or None."""
    if name in kwargs:
        return kwargs[name]
    if name in spec.parameters and spec.parameters.index(name) < len(args):
        return args[spec.parameters.index(name)]
    return spec.defaults.get(name)


def extract_answer(answer: Answer, result: Any) -> Any:
    """The answer in a result: a mapping's key or an attribute by name, or what the callable returns. May raise."""
    if callable(answer):
        return answer(result)
    return result[answer] if isinstance(result, Mapping) else getattr(result, answer)
