"""/v1/events: events of the recording in pages; as NDJSON or Arrow all of them, up to where the recording had got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from aggregator.web.asking import to_bytes
from aggregator.web.formats import ARROW, JSON, MEDIA, ArrowStream, chosen, to_ndjson
from aggregator.web.tail import COLUMNS, MAX_EVENTS, Window, read_window
from embertrace.errors import QueryError
from embertrace.recording import Recording

MAX_TIME_S = 1 << 33
"""Seconds: as nanoseconds they still fit into 64 bits."""

Start = Annotated[int | None, Query(ge=0, lt=1 << 63, description="A position: where an earlier page ended; 0 begins.")]
Since = Annotated[float | None, Query(ge=0, lt=MAX_TIME_S, description="Unix seconds: begin with the segment of then.")]
Limit = Annotated[int, Query(ge=1, le=MAX_EVENTS, description="About so many events: records are never divided.")]
Payloads = Annotated[bool, Query(description="With the data of each event.")]
Format = Annotated[str | None, Query(alias="format", description="json, ndjson or arrow; else as Accept says.")]


def events_router(recording: Recording) -> APIRouter:
    router = APIRouter(tags=["events"])

    @router.get("/v1/events", summary="Events from a position on")
    async def events(
        request: Request,
        start: Start = None,
        since: Since = None,
        limit: Limit = MAX_EVENTS,
        payloads: Payloads = True,
        wanted: Format = None,
    ) -> Response:
        """{events, undecodable, next, position}: `next` is where the next page starts, null after the last; `position`
        is how far the recording was durable. As NDJSON or Arrow: all events from `start` on, in one answer."""
        kind = await asyncio.to_thread(chosen, wanted, request.headers.get("accept", ""))
        begin = await asyncio.to_thread(_begin, recording, start, since)
        stop = recording.synced()
        if kind != JSON:
            return StreamingResponse(_all(recording, begin, stop, kind, payloads), media_type=MEDIA[kind])
        page = await _read(recording, begin, stop, limit, payloads)
        following = page.position if page.position < stop else None
        about = {"undecodable": page.undecodable, "next": following, "position": stop}
        return Response(await to_bytes({"events": page.events, **about}), media_type=MEDIA[JSON])

    return router


def _begin(recording: Recording, start: int | None, since: float | None) -> int:
    if start is not None and since is not None:
        raise QueryError("events begin at start or since a time; say one of them")
    return start or 0 if since is None else recording.base_at(round(since * 1e9))


async def _read(recording: Recording, start: int, stop: int, limit: int, payloads: bool) -> Window:
    """The next window that holds anything, or reaches the end."""
    while True:
        window = await asyncio.to_thread(read_window, recording, start, stop, limit, payloads=payloads)
        if window.events or window.undecodable or window.position >= stop or window.position <= start:
            return window
        start = window.position


async def _all(recording: Recording, start: int, stop: int, kind: str, payloads: bool) -> AsyncIterator[bytes]:
    """Window by window, no faster than they are read: one is held at a time."""
    columns: dict[str, Any] = {name: type_ for name, type_ in COLUMNS.items() if payloads or name != "data"}
    arrow = ArrowStream(columns) if kind == ARROW else None
    while start < stop:
        window = await _read(recording, start, stop, MAX_EVENTS, payloads)
        yield arrow.add(window.events) if arrow is not None else to_ndjson(window.events)
        if window.position <= start:
            break
        start = window.position
    if arrow is not None:
        yield arrow.end()
