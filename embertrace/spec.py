"""What a decoration says about an operator, and how an operator's identity follows from it. Pure.

Identity, first that applies:
    id     name=, the instance's metadata.id, the instance's `name`, the qualified name
    type   type=, metadata.type_hint, "ensemble" or "judge" by a base class of that name, the class's name
    stage  stage=, tags["stage"], "default"
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from embertrace.config import Capture
from embertrace.event import DEFAULT_STAGE, cut_name

Answer = str | Callable[[Any], Any]
Metric = Callable[[Any, Any], Any]
Identity = tuple[tuple[str, str, str], Mapping[str, Any]]
"""Operator id, type and stage, and the tags."""

INSTANCES_KNOWN = 1024
"""So many classes and names are remembered: to look through a class's bases would be most of a traced call."""
_NAMES = (str, type(None))
"""What instances state mostly; anything else might have an equality of its own."""
_FUNCTION = (0, None, None, None)


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
    _known: dict[tuple[object, ...], tuple[Any, Identity]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What follows from a class, by its address, and the names that an instance states; and the class, which keeps its
    address as long as it is here. A class may have an equality of its own, and no hash."""

    def __getstate__(self) -> dict[str, Any]:
        """Ray sends decorated functions to its workers; the classes that were seen here are not to go with them."""
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _known={})

    def identity(self, instance: object) -> Identity:
        """Id, type and stage, and the tags, of a call on `instance` (None for a function).

        An instance is asked each time: what it says of itself may change. What follows from that is remembered.
        """
        if instance is None:
            return (self._known.get(_FUNCTION) or self._learn(_FUNCTION, None))[1]
        metadata = getattr(instance, "metadata", None)
        name = getattr(instance, "name", None) if self.named_by_instance else None
        stated, hint = getattr(metadata, "id", None), getattr(metadata, "type_hint", None)
        tags = getattr(metadata, "tags", None)
        cls = type(instance)
        is_plain = type(name) in _NAMES and type(stated) in _NAMES and type(hint) in _NAMES
        if not is_plain or (tags is not None and (type(tags) is not dict or tags)):
            return self._identify(cls, name, stated, hint, tags)
        key = (id(cls), name, stated, hint)
        return (self._known.get(key) or self._learn(key, cls))[1]

    def _learn(self, key: tuple[Any, Any, Any, Any], cls: Any) -> tuple[Any, Identity]:
        learnt = cls, self._identify(cls, *key[1:], None)
        if len(self._known) < INSTANCES_KNOWN:
            self._known[key] = learnt
        return learnt

    def _identify(self, cls: Any, name: Any, stated: Any, hint: Any, stated_tags: Any) -> Identity:
        tags = self.tags
        if isinstance(stated_tags, Mapping) and stated_tags:
            tags = {**stated_tags, **tags}
        operator_id = (
            self.name
            or stated
            or (name if isinstance(name, str) else None)
            or (short_name(cls) if self.named_by_instance else self.function_name)
        )
        operator_type = self.type or hint or (self.function_type if cls is None else type_of_class(cls))
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
