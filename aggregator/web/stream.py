"""/v1/events/stream: new events as they become durable, as server-sent events.

Rules:
- The id of a message is the position behind it: who comes back with it (`Last-Event-ID`) goes on there, and misses
  nothing.
- A reader is sent what it takes, no more: one window is made when the one before is gone. One that takes nothing for
  SLOW_S is cut off, and can come back with its id. So a slow reader costs nobody else anything.
- So many streams at once, and no more. All end at once when the door closes.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Header
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aggregator.web.asking import Refused
from aggregator.web.events import Payloads, Start
from aggregator.web.formats import to_json
from aggregator.web.tail import read_window
from embertrace.errors import QueryError
from embertrace.recording import Recording

SLOW_S = 10.0
"""A healthy reader takes a window in milliseconds."""
LOOK_S = 0.05
"""How often a stream looks for what is new, in memory that is shared with the writer."""
BEAT_S = 15.0
"""Silence after which a comment is sent, so that proxies keep the connection, and a dead one is noticed."""
RETRY_MS = 1000
MAX_STREAMS = 32
MAX_EVENTS = 200
"""In one message: a page draws that much at a time."""

HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no"}


class Streams:
    """How many there are, and whether they are to end. Belongs to the server's loop."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self.open = 0
        self.stopping = asyncio.Event()

    def enter(self) -> None:
        """Raises Refused where there are too many."""
        if self.open >= self._limit:
            raise Refused(503, "too_many_streams", f"{self._limit} event streams are open already")
        self.open += 1

    def leave(self) -> None:
        self.open -= 1


class Cut(Protocol):
    """Ends the connection of a client at once, whatever is still to be sent."""

    def __call__(self, client: tuple[str, int] | None) -> None: ...


def stream_router(recording: Recording, streams: Streams, cut: Cut) -> APIRouter:
    router = APIRouter(tags=["events"])

    @router.get("/v1/events/stream", summary="New events as they come", response_class=Response)
    async def stream(
        start: Start = None,
        payloads: Payloads = False,
        last_event_id: Annotated[str | None, Header(description="The id of the last message that was seen.")] = None,
    ) -> Response:
        """Server-sent events: `event: events` with {events, undecodable, position}. Without `start` and Last-Event-ID
        it begins with what comes from now on."""
        begin = _begin(recording, start, last_event_id)
        streams.enter()
        return EventStream(recording, begin, payloads, streams, cut)

    return router


def _begin(recording: Recording, start: int | None, last_event_id: str | None) -> int:
    synced = recording.synced()
    if last_event_id is None:
        begin = synced if start is None else start
    elif last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 20:
        begin = int(last_event_id)
    else:
        raise QueryError(f"Last-Event-ID is {last_event_id[:40]!r}; it must be a position in the recording")
    if begin > synced:
        raise QueryError(f"{begin} is beyond the recording, which ends at {synced}: was it replaced? Begin anew")
    return begin


class EventStream(Response):
    """One stream, as an answer that lasts."""

    def __init__(
        self,
        recording: Recording,
        position: int,
        payloads: bool,
        streams: Streams,
        cut: Cut,
        slow_s: float = SLOW_S,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._recording = recording
        self._position = position
        self._payloads = payloads
        self._streams = streams
        self._cut = cut
        self._slow_s = slow_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ends = [asyncio.ensure_future(self._streams.stopping.wait()), asyncio.ensure_future(_gone(receive))]
        work = asyncio.ensure_future(self._run(send))
        try:
            await asyncio.wait([*ends, work], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            elif self._streams.stopping.is_set():
                await _within(send({"type": "http.response.body", "body": b""}), LOOK_S)
        except TimeoutError:
            self._cut(tuple(scope["client"]) if scope.get("client") else None)
        finally:
            for task in (*ends, work):
                task.cancel()
            await asyncio.gather(*ends, work, return_exceptions=True)
            self._streams.leave()

    async def _run(self, send: Send) -> None:
        """Until it is cancelled; raises TimeoutError for a reader that takes nothing."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._send(send, f"retry: {RETRY_MS}\n".encode() + self._message("position", {}))
        clock = asyncio.get_running_loop().time
        beat_at = clock() + BEAT_S
        while True:
            window = await asyncio.to_thread(
                read_window, self._recording, self._position, self._recording.synced(), MAX_EVENTS,
                payloads=self._payloads,
            )  # fmt: skip
            moved, self._position = window.position > self._position, window.position
            if window.events or window.undecodable:
                about = {"events": window.events, "undecodable": window.undecodable}
                await self._send(send, self._message("events", about))
                beat_at = clock() + BEAT_S
            elif clock() >= beat_at:
                await self._send(send, b": still there\n\n")
                beat_at = clock() + BEAT_S
            if not moved:
                await self._wait_for_more()

    async def _wait_for_more(self) -> None:
        """Until something is durable behind the position, or it is time for a sign of life."""
        for _ in range(int(BEAT_S / LOOK_S)):
            if self._recording.synced() > self._position:
                return
            await asyncio.sleep(LOOK_S)

    async def _send(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(self._slow_s):  # wait_for of Python 3.11 can lose a cancellation
            await send({"type": "http.response.body", "body": body, "more_body": True})

    def _message(self, kind: str, about: dict[str, Any]) -> bytes:
        data = to_json({**about, "position": self._position}).decode()
        return f"event: {kind}\nid: {self._position}\ndata: {data}\n\n".encode()


async def _gone(receive: Receive) -> None:
    """Until the client is."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _within(waiting: Any, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await waiting
    except TimeoutError:
        pass
