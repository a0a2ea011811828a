"""Long answers in pages: what to skip, how many to give, where the next page begins. Pure.

A cursor is how many rows precede a page. Pages of a recording that still grows may shift between two calls; each says
which `position` it was made at, so that whoever needs one picture can see that it is one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from embertrace.errors import QueryError

DEFAULT_ROWS = 100
MAX_ROWS = 1000
"""Rows of one page: more than a screen shows, and far less than an answer may have."""
LARGE = 10**300
"""Whole numbers beyond are sorted as infinite: no float holds all of them."""
MAX_CURSOR = (1 << 63) - 1

R = TypeVar("R")


def asked_page(params: Mapping[str, Any]) -> tuple[int, int]:
    """(cursor, limit) of what was asked. Raises QueryError."""
    return (
        number(params, "cursor", 0, 0, MAX_CURSOR),
        number(params, "limit", DEFAULT_ROWS, 1, MAX_ROWS),
    )


def cut(rows: Iterable[R], cursor: int, limit: int) -> tuple[list[R], int | None]:
    """The rows of one page, and the cursor of the next; None after the last."""
    found = list(islice(rows, cursor, cursor + limit + 1))
    return found[:limit], cursor + limit if len(found) > limit else None


def number(params: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    """A whole number among the parameters. Raises QueryError."""
    value = params.get(name)
    if value is None:
        return default
    if type(value) is not int or not least <= value <= most:
        raise QueryError(f"{name} is {str(value)[:60]!r}; it must be a whole number from {least} to {most}")
    return value


def text(params: Mapping[str, Any], name: str, most: int = 1000) -> str | None:
    """Text among the parameters. Raises QueryError."""
    value = params.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= most):
        raise QueryError(f"{name} is {str(value)[:60]!r}; it must be text of at most {most} characters")
    return value


def yes(params: Mapping[str, Any], name: str) -> bool:
    """True or False among the parameters; False where it is not given. Raises QueryError."""
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise QueryError(f"{name} is {str(value)[:60]!r}; it must be true or false")
    return value


def filters(params: Mapping[str, Any]) -> list[Any]:
    """The filters among the parameters: [name, arguments…] each. Raises QueryError."""
    value = params.get("filters") or []
    if not isinstance(value, list | tuple) or not all(isinstance(entry, list | tuple) for entry in value):
        raise QueryError(f"filters are lists of [name, arguments…], not {str(value)[:60]!r}")
    return list(value)


def in_order(cell: Any) -> tuple[int, float, str]:
    """By what cells of a column are sorted: numbers, then text (upper and lower case alike), then everything else."""
    if isinstance(cell, int | float) and not is_empty(cell):
        return 0, float(cell) if abs(cell) < LARGE else math.inf if cell > 0 else -math.inf, ""
    if isinstance(cell, str):
        return 1, 0.0, cell.casefold()
    return 2, 0.0, str(cell)


def is_empty(cell: Any) -> bool:
    """Whether a cell says nothing: such rows come last, whichever way they are sorted."""
    return cell is None or (isinstance(cell, float) and math.isnan(cell))
