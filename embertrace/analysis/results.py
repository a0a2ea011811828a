"""What a question returns: small values that know what they count, what they left out, and how sure they are.

Rules:
- An Estimate is a float and a Table a dict, so that they behave as plain return values do.
- `to_data` gives plain data (None, bool, int, float, str, bytes, list, dict with text keys), NaN as None;
  `result_from_data` builds the same result again. Nothing in between may differ: remote and local answers are equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from embertrace.analysis.drilling import Count, Drilled, Origin, counted
from embertrace.analysis.presented import Presented
from embertrace.analysis.statistics import holm
from embertrace.errors import QueryError
from embertrace.markup import printable, shortened
from embertrace.payload import Cut, Summary

NAN = float("nan")
MAX_SHOWN = 60
"""Characters of a cell in a printed table."""


class _Result(Presented, Drilled):
    """What all results carry: `left_out` (reason → calls) and `notes` (sentences worth reading)."""

    kind = ""
    left_out: dict[str, int]
    notes: tuple[str, ...]

    def _annotate(self, left_out: Mapping[str, int] | None, notes: Iterable[str]) -> None:
        self.left_out = {reason: count for reason, count in (left_out or {}).items() if count}
        self.notes = tuple(notes)

    @property
    def unlabelled(self) -> int:
        """Calls left out because nobody said what is right."""
        return self.left_out.get("unlabelled", 0)

    def _remarks(self) -> str:
        said = [f"{count} {reason}" for reason, count in sorted(self.left_out.items())]
        text = f" (left out: {', '.join(said)})" if said else ""
        return printable("".join([text, *(f" [{note}]" for note in self.notes)]))

    def _common(self) -> dict[str, Any]:
        return {"result": self.kind, "left_out": as_reasons(self.left_out), "notes": plain(self.notes)}


class Estimate(float, _Result):
    """A number with its sample: `n` calls in `items` units, `interval` (95%), `of_attempted` (failures count as 0).

    NaN with n = 0 where there was nothing to estimate from.
    """

    kind = "estimate"
    n: int
    _units: int
    interval: tuple[float, float]
    of_attempted: float

    def __new__(
        cls,
        value: float,
        *,
        n: int = 0,
        items: int = 0,
        interval: tuple[float, float] = (NAN, NAN),
        of_attempted: float = NAN,
        left_out: Mapping[str, int] | None = None,
        notes: Iterable[str] = (),
    ) -> Estimate:
        self = super().__new__(cls, value)
        self.n, self._units, self.interval, self.of_attempted = n, int(items), interval, of_attempted
        self._annotate(left_out, notes)
        return self

    @property
    def value(self) -> float:
        return float(self)

    @property
    def items(self) -> Count:
        """How many units (items, or calls without one). Called, it gives them: rows as `OperatorAnalysis.items`."""
        return counted(self._units, self)

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        fields = ("n", "interval", "of_attempted", "left_out", "notes")
        return (self.value,), {"items": self._units, **{name: getattr(self, name) for name in fields}}

    def __repr__(self) -> str:
        low, high = self.interval
        interval = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
        items = f" items={self.items}" if self.items != self.n else ""
        failed = (
            ""
            if math.isnan(self.of_attempted) or self.of_attempted == self
            else f" of-attempted={_number(self.of_attempted)}"
        )
        return f"{_number(self)}{interval} n={self.n}{items}{failed}{self._remarks()}"

    __str__ = __repr__

    def to_data(self) -> dict[str, Any]:
        numbers = {"n": self.n, "items": self._units, "of_attempted": plain(self.of_attempted)}
        return {**self._common(), "value": plain(self.value), "interval": plain(self.interval), **numbers}


class Table(dict[str, Any], _Result):
    """A mapping of names to estimates or plain values, in an order that means something."""

    kind = "table"

    def __init__(
        self, rows: Mapping[str, Any], left_out: Mapping[str, int] | None = None, notes: Iterable[str] = ()
    ) -> None:
        super().__init__(rows)
        self._annotate(left_out, notes)

    @property
    def n(self) -> int:
        """Calls in all rows that count calls."""
        return sum(row.n for row in self.values() if isinstance(row, Estimate))

    def __repr__(self) -> str:
        rows = ", ".join(f"{name!r}: {value!r}" for name, value in self.items())
        return f"{{{rows}}}{self._remarks()}"

    def to_data(self) -> dict[str, Any]:
        rows = [
            [name, row.to_data() if isinstance(row, Estimate | Table | Rows) else plain(row)]
            for name, row in self.items()
        ]
        return {**self._common(), "rows": rows}


class Groups(Table):
    """One question's answers by group, as `by(…)` gives them.

    `p_holm` are the p-values of answers that are tests, adjusted for their number (Holm 1979); empty without tests.
    """

    kind = "groups"

    @property
    def p_holm(self) -> dict[str, float]:
        tests = {name: p for name, row in self.items() if (p := _p_value(row)) is not None}
        return holm(tests)

    def __repr__(self) -> str:
        lines = [f"{printable(name)}: {row!r}" for name, row in self.items()]
        adjusted = ", ".join(f"{name} {_number(p)}" for name, p in self.p_holm.items())
        lines += [printable(f"p, Holm: {adjusted}")] if adjusted else []
        return "\n".join(lines or ["no groups"]) + self._remarks()


def _p_value(row: Any) -> float | None:
    p = row.get("p_value") if isinstance(row, Table) else getattr(row, "p_value", None)
    return p if isinstance(p, float) else None


class Rows(list[dict[str, Any]], _Result):
    """A list of records with the same columns; prints as a table. With a `depth` column it prints as a tree.

    The records are the result's own from now on: there may be a million of them.
    """

    kind = "rows"

    def __init__(
        self, rows: Iterable[dict[str, Any]], left_out: Mapping[str, int] | None = None, notes: Iterable[str] = ()
    ) -> None:
        super().__init__(rows)
        self._annotate(left_out, notes)

    @property
    def n(self) -> int:
        return len(self)

    def wrong(self) -> Rows:
        """The rows whose `correct` is known and not full."""
        chosen = (dict(row) for row in self if row.get("correct") is not None and row["correct"] < 1)
        return Rows(chosen, self.left_out)

    def search(self, text: str) -> Rows:
        """The rows with a cell that contains `text`, upper and lower case alike."""
        wanted = text.casefold()
        return Rows(
            (dict(row) for row in self if any(wanted in str(cell).casefold() for cell in row.values())), self.left_out
        )

    def __repr__(self) -> str:
        if not self:
            return f"no rows{self._remarks()}"
        if "depth" in self[0]:
            return "\n".join([*(_branch(row) for row in self), *([self._remarks().strip()] if self._remarks() else [])])
        columns = list(self[0])
        cells = [[*map(_cell, columns)], *([_cell(row.get(column)) for column in columns] for row in self)]
        widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
        return "\n".join(lines) + self._remarks()

    def to_data(self) -> dict[str, Any]:
        return {**self._common(), "rows": [plain(row) for row in self]}


Result = Estimate | Table | Rows


def asked_of(result: Any, origin: Origin) -> Any:
    """The result, and all within it, with the way down to its calls."""
    result._origin = origin
    if isinstance(result, Table):
        for name, row in result.items():
            if isinstance(row, Estimate | Table):
                asked_of(row, origin.of_row(name))
    return result


def result_from_data(data: Mapping[str, Any]) -> Result:
    """The result that `to_data` was called on. Raises QueryError for data that describes none."""
    try:
        return _from_data(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise QueryError(f"an answer that can't be read ({what}); use the same embertrace on both sides") from None


def _from_data(data: Mapping[str, Any]) -> Result:
    kind = data.get("result")
    left_out = {reason: int(count) for reason, count in (data.get("left_out") or {}).items()}
    about: dict[str, Any] = {"left_out": left_out, "notes": data.get("notes", ())}
    if kind == Estimate.kind:
        low, high = (_float(bound) for bound in data["interval"])
        attempted = _float(data["of_attempted"])
        return Estimate(
            _float(data["value"]),
            n=data["n"],
            items=data["items"],
            interval=(low, high),
            of_attempted=attempted,
            **about,
        )
    if kind in (Table.kind, Groups.kind):
        made = Groups if kind == Groups.kind else Table
        return made({name: _row_from_data(row) for name, row in data["rows"]}, **about)
    if kind == Rows.kind:
        return Rows(data["rows"], **about)
    raise QueryError(f"an answer of kind {kind!r} is none this version knows; use the same embertrace on both sides")


def _row_from_data(row: Any) -> Any:
    if isinstance(row, dict) and row.get("result") in (Estimate.kind, Table.kind, Rows.kind):
        return result_from_data(row)
    if isinstance(row, dict):
        return {name: NAN if value is None else value for name, value in row.items()}
    return row


def as_reasons(left_out: Mapping[str, int]) -> dict[str, Any]:
    """As plain data, by name: in which order they were met depends on the parts that were merged."""
    return {_text(reason): plain(left_out[reason]) for reason in sorted(left_out)}


def plain(value: Any) -> Any:
    """A value as plain data: NaN as None, what msgpack or JSON can't carry as its text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else str(value)
    if isinstance(value, Mapping):
        return {_text(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, Summary | Cut):
        return _text(value)
    if isinstance(value, str):
        return _text(value)
    return value if value is None or isinstance(value, bytes) else _text(value)


def _text(value: Any) -> str:
    """Its text, with lone surrogates replaced: neither msgpack nor UTF-8 has them."""
    return str(value).encode("utf-8", "replace").decode()


def _float(value: Any) -> float:
    return NAN if value is None else float(value)


def _number(value: float) -> str:
    return "nan" if math.isnan(value) else f"{float(value):.4g}"


def _cell(value: Any) -> str:
    text = "" if value is None else _number(value) if isinstance(value, float) else str(value)
    return shortened(" ".join(text.split()), MAX_SHOWN)


def _branch(row: Mapping[str, Any]) -> str:
    told = [
        f"{name}={_cell(cell)}"
        for name, cell in row.items()
        if name not in ("depth", "operator") and cell not in (None, {}, [], "") and (name, cell) != ("attempt", 0)
    ]
    return f"{'  ' * row['depth']}{_cell(row.get('operator'))} {' '.join(told)}".rstrip()
