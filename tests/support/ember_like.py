"""Stand-ins with the traits of Ember's operators, for tests that must not need the framework.

Modules are frozen and compare by their fields, so that two without fields are equal. `__call__` stands on the base
class and hands keywords to `forward`. Ensembles run plain callables in a pool of their own, which copies no context.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, dataclass_transform


@dataclass_transform(frozen_default=True)
class ModuleMeta(type):
    """Makes each class a frozen dataclass, after its `__init_subclass__` has run."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        return dataclasses.dataclass(frozen=True)(super().__new__(mcs, name, bases, namespace, **kwargs))


class Module(metaclass=ModuleMeta):
    pass


class Operator(Module):
    def __call__(self, *, inputs: Any) -> Any:
        """Calls `forward`."""
        return self.forward(inputs=inputs)

    def forward(self, *, inputs: Any) -> Any:
        raise NotImplementedError(type(self).__name__)


@dataclasses.dataclass
class Responses:
    responses: list[Any]


@dataclasses.dataclass
class Verdict:
    final_answer: Any
    reasoning: str = "because"


class EnsembleOperator(Operator):
    """Members in threads; shows them in `.responses` only."""

    members: tuple[Callable[..., Any], ...] = ()

    def forward(self, *, inputs: Any) -> Any:
        return Responses(self.ask(inputs))

    def ask(self, inputs: Any) -> list[Any]:
        with ThreadPoolExecutor(max_workers=4) as pool:
            return [future.result() for future in [pool.submit(member, inputs=inputs) for member in self.members]]


class ListEnsemble(EnsembleOperator):
    def forward(self, *, inputs: Any) -> list[Any]:
        return self.ask(inputs)


class MostCommonOperator(Operator):
    def forward(self, *, inputs: Any) -> Verdict:
        return Verdict(Counter(inputs).most_common(1)[0][0])


class VerifierOperator(Operator):
    def forward(self, *, inputs: Any) -> bool:
        return inputs == "Paris"


class Proxy:
    """What `op` makes of a function: an operator that is built when it is first called, behind a lock."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._build = _operator_class(function)
        self._operator: Operator | None = None
        self._lock = threading.Lock()
        functools.update_wrapper(self, function)

    def __call__(self, *, inputs: Any) -> Any:
        with self._lock:
            if self._operator is None:
                self._operator = self._build()
                object.__setattr__(self._operator, "__wrapped__", self.__wrapped__)
        return self._operator(inputs=inputs)


def _operator_class(function: Callable[..., Any]) -> type[Operator]:
    class FunctionOperator(Operator):
        def forward(self, *, inputs: Any) -> Any:
            return function(inputs)

    return FunctionOperator


def op(function: Callable[..., Any]) -> Proxy:
    return Proxy(function)


def says(answer: Any) -> Callable[..., Any]:
    """A member that is no operator."""
    return lambda *, inputs: answer
