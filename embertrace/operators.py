"""Small bases for those who bring no operators of their own. Any other callable can be traced just as well.

None of them is traced by itself: `@trace(...)` on a subclass decides that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from embertrace.spec import OperatorMetadata


class Operator:
    """Something that is called. Subclasses define `__call__`; `metadata` may state id, type and tags."""

    metadata: ClassVar[OperatorMetadata] = OperatorMetadata()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no __call__")


class Ensemble(Operator):
    """Members that answer the same input. Calling it calls each in order and returns the list of results."""

    def __init__(self, operators: Iterable[Callable[..., Any]]) -> None:
        self.operators = tuple(operators)

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        return [operator(*args, **kwargs) for operator in self.operators]


class Judge(Operator):
    """Chooses from answers. Subclasses define `__call__`, usually (question, answers) → answer."""
