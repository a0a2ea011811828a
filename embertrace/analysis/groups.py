"""Any question by groups of calls: `analysis.by("stage").majority_accuracy()`.

Rules:
- A group is the analysis with one more filter, so a question means in a group what it means anywhere.
- Groups are asked one after the other, in the order of their values; those of which a question has nothing to say
  (no answer, nothing left out) are no keys.
- Another analysis among the arguments (`by("tag:lang").compare(other)`) is narrowed to the same group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from embertrace.analysis.fluent.asks import Asks
from embertrace.analysis.plain import clean
from embertrace.analysis.questions.grouping import check_dimension, filter_of
from embertrace.analysis.results import Groups, Rows, Table
from embertrace.payload import unpack

if TYPE_CHECKING:
    from embertrace.analysis.operator_analysis import OperatorAnalysis


class Grouped:
    """The questions of an analysis, asked of each group; their answers are Groups. Not thread-safe."""

    def __init__(self, analysis: OperatorAnalysis, by: str) -> None:
        self._analysis, self._by = analysis, check_dimension(by)

    def __getattr__(self, question: str) -> Callable[..., Groups]:
        if question not in questions_of(type(self._analysis)):
            raise AttributeError(f"by({self._by!r}) has no question {question!r}")

        def asked(*arguments: Any, **options: Any) -> Groups:
            values, left_out = self._values()
            found = {}
            for name, value in values:
                chosen = filter_of(self._by, value)
                given = [_narrowed(argument, chosen) for argument in arguments]
                named = {option: _narrowed(argument, chosen) for option, argument in options.items()}
                result = getattr(_narrowed(self._analysis, chosen), question)(*given, **named)
                if _says_something(result):
                    found[name] = result
            return Groups(found, left_out)

        return asked

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *questions_of(type(self._analysis))})

    def __repr__(self) -> str:
        return f"{self._analysis!r}.by({self._by!r})"

    def _values(self) -> tuple[list[tuple[str, Any]], dict[str, int]]:
        """(name, value) of the groups: names are texts, told apart where two values have the same."""
        rows = self._analysis._ask("groups", {"by": self._by})
        values = [unpack(row["packed"]) for row in rows]
        texts = [clean(str(value)) for value in values]
        times = Counter(texts)
        names = [text if times[text] == 1 else clean(repr(value)) for text, value in zip(texts, values, strict=True)]
        return list(zip(names, values, strict=True)), rows.left_out


def questions_of(kind: type) -> frozenset[str]:
    """`compare`, and the public methods of the groups of questions."""
    return frozenset(["compare", *(name for part in _parts(kind) for name in vars(part) if not name.startswith("_"))])


def _parts(kind: type) -> Iterator[type]:
    return (part for part in kind.__mro__[1:] if issubclass(part, Asks) and part is not Asks)


def _narrowed(argument: Any, chosen: tuple[Any, ...]) -> Any:
    return argument._with(*chosen) if isinstance(argument, Asks) and hasattr(argument, "_with") else argument


def _says_something(result: Any) -> bool:
    if isinstance(result, Table | Rows):
        return bool(result) or bool(result.left_out)
    return bool(getattr(result, "n", result)) or bool(getattr(result, "left_out", None))
