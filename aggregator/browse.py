"""What a person walks through: items as pages, one trace as a tree, one call with its payloads. Pure.

Rules:
- Rows are cut into pages here, never by who asked. A tree is cut anywhere; each row names its parent, so that pages of
  one tree fit together.
- Payloads are large and seldom looked at: a tree shows the beginning of an answer, a single call all that was kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from aggregator.finding import Finder
from aggregator.paging import asked_page, cut, filters, in_order, is_empty, text, yes
from aggregator.parts import Parts
from embertrace.analysis import Forest, Rows
from embertrace.analysis.calls import Call
from embertrace.analysis.questions.items import described
from embertrace.analysis.results import plain
from embertrace.analysis.verbs import check_attempts
from embertrace.errors import QueryError
from embertrace.event import call_hex, parse_call_id

_CALL_ID = re.compile(r"[0-9a-fA-F]{1,16}")
PREVIEW = 200
"""Characters of an answer in a tree."""
ONLY: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "right": lambda row: row["correct"] == 1,
    "wrong": lambda row: row["correct"] is not None and row["correct"] < 1,
    "unlabelled": lambda row: row["correct"] is None,
    "failed": lambda row: FAILED in [row["judge"], *(row["answers"] or {}).values()],
}
"""Which items are shown, by name."""
FAILED = "(failed)"
COLUMNS = ("item", "epoch", "truth", "agreement", "judge", "correct", "calls")
"""Columns of items that can be sorted by."""


def page_of_items(rows: Rows, params: Mapping[str, Any]) -> dict[str, Any]:
    """One page of the rows of the `items` question: searched, then sorted, then cut.

    {columns, rows, total (found), next, left_out, notes}. `search` is text in any cell, `only` one of ONLY,
    `agreement` as "3/5".
    """
    cursor, limit = asked_page(params)
    search, sort, only = (text(params, name) for name in ("search", "sort", "only"))
    if sort is not None and sort not in COLUMNS:
        raise QueryError(f"sort is {sort!r}; it is one of {', '.join(COLUMNS)}")
    agreement = text(params, "agreement")
    if only is not None and only not in ONLY:
        raise QueryError(f"only is {only!r}; it is one of {', '.join(ONLY)}")
    found = rows.search(search) if search else rows
    if only is not None:
        found = Rows(filter(ONLY[only], found))
    if agreement:
        found = Rows(row for row in found if row["agreement"] == agreement.replace(" ", ""))
    ordered = sorted(found, key=lambda row: in_order(row[sort]), reverse=yes(params, "descending")) if sort else found
    if sort:
        ordered = sorted(ordered, key=lambda row: is_empty(row[sort]))
    page, following = cut(ordered, cursor, limit)
    about = {"left_out": rows.left_out, "notes": list(rows.notes), "total": len(found), "next": following}
    return {"columns": list(rows[0]) if rows else [], "rows": [plain(row) for row in page], **plain(about)}


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
    wanted = _call_id(params.get("call"))
    attempt = params.get("attempt")

    def find(forest: Forest) -> Call | None:
        if attempt is None:
            return forest.trees.by_id.get(wanted)
        return next((one for one in forest.trees_of(every_attempt=True).calls if one.key == (wanted, attempt)), None)

    found = find(parts.where(lambda forest: find(forest) is not None))
    if found is None:
        which = "" if attempt is None else f", attempt {attempt!r}"
        raise QueryError(f"there is no call {call_hex(wanted)}{which} in this recording")
    return dict(plain(details(found)))


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
