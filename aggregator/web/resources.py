"""/v1/…: parameters of a request become one call of the table of questions; its answer is the answer.

Rules:
- Filters are parameters of their names (run, stage, operator, type, tag, trace, item, since, until); whatever else
  stands in a query's address is an option of its verb.
- A value is what it is in JSON, where it is JSON, and text elsewhere: `key=17` is a number, `key="17"` and `key=q17`
  are text. `abstain` may be said several times, and be a list in JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from aggregator.web.asking import Refused, ask, bounded, to_bytes
from aggregator.web.formats import ARROW, JSON, MEDIA, ArrowStream, chosen, to_ndjson
from aggregator.web.jobs import Jobs
from embertrace.analysis.verbs import VERBS
from embertrace.errors import QueryError
from embertrace.wire.bounds import MAX_NESTED, plain_parts

NAMED = ("run", "stage", "operator", "type", "trace")
ALIASES = ("runs", "health", "stages", "operators", "flow", "losses", "timeline")
"""Questions that are resources of their own: what a page begins with."""
NOT_OPTIONS = frozenset((*NAMED, "tag", "item", "since", "until", "abstain", "format"))

Text = Annotated[str | None, Query(max_length=1000)]
Cursor = Annotated[int, Query(ge=0, lt=1 << 63, description="Where an earlier page said that the next begins.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows of a page.")]
Abstain = Annotated[
    list[Annotated[str, StringConstraints(max_length=1000)]] | None,
    Query(max_length=100, description="Answers that count as none; several times, or a list in JSON."),
]
Attempts = Annotated[str, Query(description='Of calls that were tried again: "selected" or "all".')]
Format = Annotated[
    str | None, Query(alias="format", description="json, or for rows ndjson or arrow; else as Accept says.")
]


class Question(BaseModel):
    """A question, as over RPC."""

    verb: str = Field(description="Its name; /v1/verbs lists them.")
    filters: list[list[Any]] = Field(default=[], description="[name, arguments…] each.")
    options: dict[str, Any] = Field(default={}, description="Options of the verb.")


class Filters:
    """The filters in a request's parameters. `entries` are as a query takes them."""

    def __init__(
        self,
        run: Annotated[str | None, Query(description="Calls of one run, by id or name.")] = None,
        stage: Annotated[str | None, Query(description="Calls in one stage.")] = None,
        operator: Annotated[str | None, Query(description="Calls of one operator.")] = None,
        type: Annotated[str | None, Query(description="Calls of operators of one type.")] = None,
        trace: Annotated[str | None, Query(description="Calls of one trace, 32 hexadecimal digits.")] = None,
        tag: Annotated[list[str] | None, Query(description="Calls with a tag: name, or name=value.")] = None,
        item: Annotated[str | None, Query(description="Calls about one item, by its key.")] = None,
        since: Annotated[float | None, Query(description="Calls begun then or later, Unix seconds.")] = None,
        until: Annotated[float | None, Query(description="Calls begun before, Unix seconds.")] = None,
    ) -> None:
        named = dict(zip(NAMED, (run, stage, operator, type, trace), strict=True))
        self.entries: list[list[Any]] = [[name, value] for name, value in named.items() if value is not None]
        for one in tag or ():
            name, equals, value = one.partition("=")
            self.entries.append(["tag", name, *([read_value(value)] if equals else [])])
        if item is not None:
            self.entries.append(["item", read_value(item)])
        if since is not None or until is not None:
            infinite = float("inf")
            self.entries.append(
                ["between", -infinite if since is None else since, infinite if until is None else until]
            )


Filtered = Annotated[Filters, Depends()]


def read_value(text: str) -> Any:
    """A parameter's value: what it is in JSON, else itself."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def read_values(texts: list[str] | None) -> list[Any]:
    """A parameter that may stand several times, each time with one value or a list of them in JSON."""
    found: list[Any] = []
    for value in map(read_value, texts or ()):
        found.extend(value if isinstance(value, list) else [value])
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def resources_router(jobs: Jobs) -> APIRouter:
    router = APIRouter(tags=["questions"])
    _add_questions(router, jobs)
    _add_single_questions(router, jobs)
    _add_items(router, jobs)
    _add_traces(router, jobs)
    _add_runs(router, jobs)
    for name, summary in (
        ("info", "The recording, and how far it was followed"),
        ("verbs", "The questions there are, with their options"),
    ):
        _add_plain(router, jobs, name, summary)
    return router


def _add_questions(router: APIRouter, jobs: Jobs) -> None:
    @router.post("/v1/query", summary="Any question, as over RPC")
    async def query(question: Question, request: Request, wanted: Format = None) -> Response:
        """The result as plain data: {result, left_out, notes, …}, the same to the last digit as over RPC."""
        return await _result(jobs, question.model_dump(), wanted, request)

    @router.get("/v1/query/{verb}", summary="Any question, in an address")
    async def query_by_address(
        verb: str, filters: Filtered, request: Request, abstain: Abstain = None, wanted: Format = None
    ) -> Response:
        """As POST /v1/query. Parameters that are no filters are options of the verb."""
        if verb not in VERBS:
            raise Refused(
                404, "not_found", f"there is no question {verb[:100]!r}; known are {', '.join(sorted(VERBS))}"
            )
        return await _result(jobs, _question(verb, filters, abstain, request), wanted, request)


def _add_single_questions(router: APIRouter, jobs: Jobs) -> None:
    for name in ALIASES:

        def make(verb: str) -> Any:
            async def answer(
                filters: Filtered, request: Request, abstain: Abstain = None, wanted: Format = None
            ) -> Response:
                return await _result(jobs, _question(verb, filters, abstain, request), wanted, request)

            return answer

        summary = f"As /v1/query/{name}"
        router.add_api_route(f"/v1/{name}", make(name), methods=["GET"], summary=summary, operation_id=name)


def _add_plain(router: APIRouter, jobs: Jobs, name: str, summary: str) -> None:
    async def answer() -> Response:
        return await _answer(jobs, name, {})

    router.add_api_route(f"/v1/{name}", answer, methods=["GET"], summary=summary, operation_id=name)


def _add_items(router: APIRouter, jobs: Jobs) -> None:
    @router.get("/v1/items", summary="Items in pages")
    async def items(
        filters: Filtered,
        answer: Text = None,
        abstain: Abstain = None,
        search: Text = None,
        sort: Text = None,
        descending: bool = False,
        only: Text = None,
        agreement: Text = None,
        pool: bool = False,
        cursor: Cursor = 0,
        limit: Limit = 100,
    ) -> Response:
        """{columns, rows, total, next, position}: searched, then sorted, then cut. `only` is right, wrong, unlabelled,
        failed (a member or the judge) or whole, or several of them with commas between; `agreement` as 3/5."""
        options: dict[str, Any] = {"answer": answer} if answer is not None else {}
        options["abstain"] = read_values(abstain)
        view = {"search": search, "sort": sort, "descending": descending, "only": only, "agreement": agreement}
        page = {"cursor": cursor, "limit": limit}
        asked = {"filters": filters.entries, "options": {**options, "pool": pool}, **view, **page}
        return await _answer(jobs, "items", asked)


def _add_traces(router: APIRouter, jobs: Jobs) -> None:
    @router.get("/v1/trace", summary="One trace as a tree, in pages")
    async def trace(
        item: Text = None,
        trace: Text = None,
        call: Text = None,
        run: Text = None,
        epoch: Text = None,
        attempts: Attempts = "selected",
        payloads: bool = False,
        cursor: Cursor = 0,
        limit: Limit = 100,
    ) -> Response:
        """{rows, next, position}: calls, parents first, `depth` steps below their root; chosen by one of item (its
        key), trace (32 hexadecimal digits) and call (16). Answers are cut to their beginning without `payloads`."""
        chosen_by = {"item": item, "trace": trace, "call": call}
        filters: list[list[Any]] = [["run", run]] if run is not None else []
        filters += [["epoch", read_value(epoch)]] if epoch is not None else []
        page = {"payloads": payloads, "cursor": cursor, "limit": limit, "attempts": attempts}
        return await _answer(jobs, "trace", {**chosen_by, "filters": filters, **page})

    @router.get("/v1/flow/drawing", summary="The flow of operators laid out for a picture")
    async def drawing(filters: Filtered, pool: bool = False) -> Response:
        """{width, height, nodes, edges}: boxes with their lines of text, edges as cubic curves, in pixels."""
        return await _answer(jobs, "drawing", {"filters": filters.entries, "options": {"pool": pool}})

    @router.get("/v1/calls/{call}", summary="One call with its payloads")
    async def one_call(call: str, attempt: Annotated[int | None, Query(ge=0, lt=1 << 63)] = None) -> Response:
        """Arguments, result, answer, error with traceback, context; by its id of 16 hexadecimal digits."""
        return await _answer(jobs, "call", {"call": call, "attempt": attempt})


def _add_runs(router: APIRouter, jobs: Jobs) -> None:
    @router.get("/v1/progress", summary="How far a run is: calls that are open, lost or missing")
    async def progress(run: Text = None) -> Response:
        """Of all runs without `run` (an id)."""
        return await _answer(jobs, "progress", {"run": run})

    @router.get("/v1/compare", summary="Two runs, item by item")
    async def compare(
        before: str, after: str, on: Text = None, answer: Text = None, abstain: Abstain = None
    ) -> Response:
        """{n, before, after, difference, interval, p_value, test, flips, unmatched, config, notes}; `on` is judge or
        majority."""
        options = {"on": on, "answer": answer, "abstain": read_values(abstain)}
        return await _answer(jobs, "compare", {"before": before, "after": after, **options})

    @router.get("/v1/producers", summary="Who sent what is recorded, in pages")
    async def producers(cursor: Cursor = 0, limit: Limit = 100) -> Response:
        """{rows, total, next, position}: host, pid, status, events, bytes, lost, delay_s; connected ones first."""
        return await _answer(jobs, "producers", {"cursor": cursor, "limit": limit})


def _question(verb: str, filters: Filters, abstain: list[str] | None, request: Request) -> dict[str, Any]:
    options = {name: read_value(value) for name, value in request.query_params.items() if name not in NOT_OPTIONS}
    if abstain is not None:
        options["abstain"] = read_values(abstain)
    return {"verb": verb, "filters": filters.entries, "options": options}


async def _answer(jobs: Jobs, method: str, params: Mapping[str, Any]) -> Response:
    return Response(await to_bytes(await ask(jobs, method, params)), media_type=MEDIA[JSON])


async def _result(jobs: Jobs, question: Mapping[str, Any], wanted: str | None, request: Request) -> Response:
    """The answer of a question, in the format that is asked for."""
    check_depth(question)
    kind = await asyncio.to_thread(chosen, wanted, request.headers.get("accept", ""))
    result = await ask(jobs, "query", question)
    if kind == JSON:
        return Response(await to_bytes(result), media_type=MEDIA[JSON])
    if result.get("result") != "rows":
        raise QueryError(f"{question['verb']} gives no rows, and so no {kind}; ask for json")
    return Response(bounded(await asyncio.to_thread(_packed, result["rows"], kind)), media_type=MEDIA[kind])


def _packed(rows: list[dict[str, Any]], kind: str) -> bytes:
    if kind != ARROW:
        return to_ndjson(rows)
    arrow = ArrowStream()
    return arrow.add(rows) + arrow.end()


def check_depth(value: Any) -> None:
    """Raises QueryError for what is nested too deep for those who walk it."""
    level = [value]
    for _ in range(MAX_NESTED):
        level = [part for outer in level for part in plain_parts(outer)]
        if not level:
            return
    raise QueryError(f"the question is nested more than {MAX_NESTED} deep")
