"""From a number down to its calls: what a result was asked of, and the questions that explain it.

Rules: a result keeps the analysis and the question that it answers, never the calls. Drilling asks anew, wherever the
events are; a result that came from elsewhere (a file, another process) says that it can't.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from embertrace.errors import QueryError
from embertrace.payload import canonical

if TYPE_CHECKING:
    from embertrace.analysis.results import Rows


class Asker(Protocol):
    """What can be asked again: an OperatorAnalysis."""

    def explain(self, question: str, **options: Any) -> Rows: ...

    def items(self, *, answer: Any = None, grade: Any = None) -> Rows: ...


class Origin(NamedTuple):
    """Where a result is from: who was asked what. `row` names the row of a table that it is, "" for all of it."""

    asked: Asker
    verb: str
    options: Mapping[str, Any]
    row: str = ""

    def of_row(self, name: str) -> Origin:
        return self._replace(row=f"{self.row} · {name}" if self.row else name)


class Drilled:
    """The way down from a result."""

    _origin: Origin | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the origin: an analysis does not travel with its answers."""
        return {name: value for name, value in vars(self).items() if name != "_origin"}

    def explain(self) -> Rows:
        """Which calls this is made of, which were left out, and why: a row a call; see `OperatorAnalysis.explain`.

        Raises QueryError for a result that did not come from an analysis in this process.
        """
        origin = self._known()
        rows = origin.asked.explain(origin.verb, **origin.options)
        return rows if not origin.row else _only(rows, [row for row in rows if origin.row in row["rows"] or row["why"]])

    def calls(self) -> Rows:
        """The calls that count in this; raises QueryError as `explain`."""
        rows = self.explain()
        row = self._known().row
        return _only(rows, [one for one in rows if (row in one["rows"] if row else one["used"])])

    def _items(self) -> Rows:
        origin = self._known()
        wanted = {canonical(row["item"]) for row in self.calls()}
        rule = {name: origin.options[name] for name in ("answer", "grade") if name in origin.options}
        rows = origin.asked.items(**rule)
        return _only(rows, [row for row in rows if canonical(row["item"]) in wanted])

    def _known(self) -> Origin:
        if self._origin is None:
            raise QueryError(
                "this result does not know what it was asked of; ask the analysis again, and drill down there"
            )
        return self._origin


def _only(rows: Rows, chosen: list[dict[str, Any]]) -> Rows:
    return type(rows)(chosen, rows.left_out, rows.notes)


class Count(int):
    """A number of items that also gives them: `estimate.items` is 40, `estimate.items()` are the forty."""

    _of: Drilled

    def __call__(self) -> Rows:
        return self._of._items()


def counted(number: int, of: Drilled) -> Count:
    count = Count(number)
    count._of = of
    return count
