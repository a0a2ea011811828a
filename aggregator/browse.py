"""What a person walks through: items as pages, one trace as a tree, one call with its payloads. Pure.

Rules:
- Rows are cut into pages here, never by who asked. A tree is cut anywhere; each row names its parent, so that pages of
  one tree fit together.
- Payloads are large and seldom looked at: a tree shows the beginning of an answer, a single call all that was kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from aggregator.finding import Finder
from aggregator.paging import asked_page, cut, filters, in_order, is_empty, text, yes
from aggregator.parts import Parts
from embertrace.analysis import Forest, Rows, item_pages
from embertrace.analysis.calls import Call
from embertrace.analysis.item_cells import cells_of_items
from embertrace.analysis.questions.items import described
from embertrace.analysis.results import plain
from embertrace.analysis.verbs import check_attempts
from embertrace.errors import QueryError
from embertrace.event import call_hex, parse_call_id

_CALL_ID = re.compile(r"[0-9a-fA-F]{1,16}")
PREVIEW = 200
"""Characters of an answer in a tree."""
ONLY: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "right": ("correct", lambda correct: correct == 1),
    "wrong": ("correct", lambda correct: correct is not None and correct < 1),
    "unlabelled": ("correct", lambda correct: correct is None),
    "failed": ("failed", lambda failed: bool(failed)),
    "whole": ("failed", lambda failed: not failed),
}
"""Which items are shown, by name: the column that decides (see `_column`), and how."""
FAILED = "(failed)"
SILENT = [FAILED, "(abstained)", "(missing)", "(unknown)"]
"""What stands in the place of an answer."""
COLUMNS = ("item", "epoch", "truth", "agreement", "judge", "correct", "cost", "calls")
"""Columns of items that can be sorted by."""
MOST_ANSWERS = 100
"""Of one item in a page: a wide ensemble has thousands, which its trace shows."""


def has_failed(row: Mapping[str, Any]) -> bool:
    """Whether a member or the judge of an item failed."""
    return FAILED in [row["judge"], *(row["answers"] or {}).values()]


def page_of_rows(rows: Rows, params: Mapping[str, Any]) -> dict[str, Any]:
    """One page of the rows of the `items` question: searched, then sorted, then cut.

    {columns, rows, total (found), next, left_out, notes}. `search` is text in key, truth or answers, `only` some of
    ONLY, separated by commas, `agreement` as "3/5". Of each row MOST_ANSWERS answers are given; `more_answers` counts
    the others.
    """
    cursor, limit = asked_page(params)
    search = text(params, "search")
    found: list[dict[str, Any]] = [row for row in rows if says(row, search.casefold())] if search else rows
    places = _chosen(lambda name: _column(found, name), len(found), params) or ()
    page, following = cut(places, cursor, limit)
    return _items_page(rows, [found[place] for place in page], len(places), following)


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [has_failed(row) for row in rows] if name == "failed" else [row[name] for row in rows]


def _chosen(
    column: Callable[[str], Sequence[Any] | None], count: int, params: Mapping[str, Any]
) -> Sequence[int] | None:
    """Which of `count` rows are shown, in which order; None where a column that decides is None. Raises QueryError."""
    sort, only, agreement = (text(params, name) for name in ("sort", "only", "agreement"))
    if sort is not None and sort not in COLUMNS:
        raise QueryError(f"sort is {sort!r}; it is one of {', '.join(COLUMNS)}")
    kinds = [kind for kind in (only or "").split(",") if kind]
    if any(kind not in ONLY for kind in kinds):
        raise QueryError(f"only is {only!r}; it is some of {', '.join(ONLY)}, separated by commas")
    tests = [ONLY[kind] for kind in kinds]
    if agreement:
        wanted = agreement.replace(" ", "")
        tests.append(("agreement", lambda cell: cell == wanted))
    places: Sequence[int] = range(count)
    for name, test in tests:
        decides = column(name)
        if decides is None:
            return None
        places = [place for place in places if test(decides[place])]
    return places if not sort else _sorted(places, column(sort), yes(params, "descending"))


def _sorted(places: Sequence[int], cells: Sequence[Any] | None, descending: bool) -> Sequence[int] | None:
    if cells is None:
        return None
    ordered = sorted(places, key=lambda place: in_order(cells[place]), reverse=descending)
    return sorted(ordered, key=lambda place: is_empty(cells[place]))


def rows_of_search(forest: Forest, given: Mapping[str, Any], params: Mapping[str, Any]) -> Rows | None:
    """The rows of the question `given` in which the text that is searched may stand, without making the others; None
    where that can't be."""
    search = text(params, "search")
    return item_pages.rows_that_may_say(forest, given["filters"], given["options"], search) if search else None


def page_of_items(forest: Forest, given: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any] | None:
    """As `page_of_rows`, of the question `given`, without making the rows of other pages; None where that can't be."""
    cursor, limit = asked_page(params)
    if any(params.get(name) for name in ("sort", "only", "agreement")):
        found = _in_cells(forest, given, params, cursor, limit)
    else:
        found = item_pages.page_of_items(forest, given["filters"], given["options"], cursor, limit)
    if found is None:
        return None
    following = cursor + limit if cursor + limit < found.total else None
    return _items_page(found.rows, found.rows, found.total, following)


def _in_cells(
    forest: Forest, given: Mapping[str, Any], params: Mapping[str, Any], cursor: int, limit: int
) -> item_pages.Page | None:
    """A page of what is narrowed down or sorted."""
    cells = cells_of_items(forest, given["filters"], given["options"])
    if cells is None:
        return None
    places = _chosen(lambda name: cells.having(FAILED) if name == "failed" else cells.column(name), cells.total, params)
    if places is None:
        return None
    return item_pages.Page(cells.rows(places[cursor : cursor + limit]), len(places))


def _items_page(rows: Rows, page: list[dict[str, Any]], total: int, following: int | None) -> dict[str, Any]:
    about = {"left_out": rows.left_out, "notes": list(rows.notes), "total": total, "next": following}
    return {
        "columns": list(rows[0]) if rows else [],
        "rows": [plain(_cut_answers(row)) for row in page],
        **plain(about),
    }


def says(row: Mapping[str, Any], folded: str) -> bool:
    """Whether an item's key, truth, or any answer has a text in it. `folded` is the text as `str.casefold` has it."""
    cells = (row["item"], row["truth"], row["judge"], *(row["answers"] or {}).values())
    return any(cell is not None and cell not in SILENT and folded in str(cell).casefold() for cell in cells)


def _cut_answers(row: dict[str, Any]) -> dict[str, Any]:
    answers = row["answers"] or {}
    if len(answers) <= MOST_ANSWERS:
        return row
    return {**row, "answers": dict(islice(answers.items(), MOST_ANSWERS)), "more_answers": len(answers) - MOST_ANSWERS}


def trace(parts: Parts, params: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of calls of an item, of a trace, or around one call, parents first: {rows, next}.

    One of `item` (its key), `trace` (32 hexadecimal digits) and `call` (16) says which; `filters` narrow it, as to one
    run. `payloads` adds what `call` shows to each row. No rows where nothing is known.
    """
    cursor, limit = asked_page(params)
    every_attempt = check_attempts(params.get("attempts", "selected")) == "all"
    finder = Finder(parts, filters(params), every_attempt)
    show = details if yes(params, "payloads") else summary
    chosen = islice(_places(finder, params), cursor, None)
    page, more = cut((plain({"depth": depth, **show(call)}) for depth, call in chosen), 0, limit)
    return {"rows": page, "next": cursor + limit if more is not None else None}


def call(parts: Parts, params: Mapping[str, Any]) -> dict[str, Any]:
    """One call with everything that was kept of it. `call` is its id, `attempt` which (default: the one that
    counts)."""
    return dict(plain(details(find_call(parts, params))))


def find_call(parts: Parts, params: Mapping[str, Any]) -> Call:
    """The call that `call` and `attempt` name. Raises QueryError."""
    wanted = _call_id(params.get("call"))
    attempt = params.get("attempt")

    def find(forest: Forest) -> Call | None:
        found = forest.trees_of(partial=True).by_id.get(wanted)
        if attempt is None or (found is not None and found.attempt == attempt):
            return found
        every = forest.trees_of(every_attempt=True, partial=True).calls
        return next((one for one in every if one.key == (wanted, attempt)), None)

    found = find(parts.where(lambda forest: find(forest) is not None))
    if found is None:
        which = "" if attempt is None else f", attempt {attempt!r}"
        raise QueryError(f"there is no call {call_hex(wanted)}{which} in this recording")
    return found


def summary(call: Call) -> dict[str, Any]:
    """A row of a tree."""
    row = {**described(call), **_place_of(call)}
    return {**row, "answer": preview(row["answer"])}


def details(call: Call) -> dict[str, Any]:
    """All that is known of a call."""
    payloads = {"args": call.args, "kwargs": call.kwargs, "result": call.result}
    context = {"run": call.run, "item": call.item, "tags": call.tags}
    who = {"producer": call.origin.producer.hex(), "seq": call.origin.seq}
    return {**described(call), **_place_of(call), **payloads, "failure": call.error, **context, **who}


def preview(value: Any) -> Any:
    """A short answer as it is; the beginning of a long one, as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    shown = value if isinstance(value, str) else str(plain(value))
    return shown if len(shown) <= PREVIEW else f"{shown[:PREVIEW]}…"


def _place_of(call: Call) -> dict[str, Any]:
    parent_id, parent_attempt = call.parent_key
    return {
        "trace_id": call.trace_id,
        "parent_call_id": call_hex(parent_id) if parent_id else None,
        "parent_attempt": parent_attempt,
        "slot": call.slot,
        "start": call.start,
        "links": [call_hex(link) for link in call.links],
        "follows": call_hex(call.follows) if call.follows else None,
        "missing": call.missing,
    }


def _places(finder: Finder, params: Mapping[str, Any]) -> Iterator[tuple[int, Call]]:
    """The calls that were asked for, each with its depth below its root."""
    given = [name for name in ("item", "trace", "call") if params.get(name) is not None]
    if len(given) != 1:
        raise QueryError(f"a trace is chosen by one of item, trace, call, not by {' and '.join(given) or 'nothing'}")
    value = params[given[0]]
    if given[0] == "call":
        return finder.around(_call_id(value))
    return finder.of_trace(value) if given[0] == "trace" else finder.of_item(value)


def _call_id(value: Any) -> int:
    if not isinstance(value, str) or not _CALL_ID.fullmatch(value):
        raise QueryError(f"call is {str(value)[:60]!r}; it must be a call id of 16 hexadecimal digits")
    return parse_call_id(value)
