"""In front of everything else: refuses who may not ask, bounds what is sent, and puts the safe headers on every
answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aggregator.web.formats import to_json
from aggregator.web.security import HEADERS, MAX_BODY_BYTES, UNKEPT, Asked, Policy, Refusal

BODY_S = 10.0
"""For each part of a body to come: it is a few lines."""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no web sockets, and no lifespan
            return
        guarded = _with_headers(send)
        refusal = self._policy.judge(Asked(scope["method"], scope["path"], _headers_of(scope)))
        if refusal is not None:
            await refuse(guarded, refusal)
            return
        try:
            body = await _read_body(receive)
        except BodyRefused as refused:
            await refuse(guarded, refused.why)
            return
        if body is not None:
            await self._app(scope, _again(body, receive), guarded)


class BodyRefused(Exception):
    """A body is too long, or does not come."""

    def __init__(self, status: int, code: str, error: str) -> None:
        super().__init__(error)
        self.why = Refusal(status, code, error)


async def refuse(send: Send, refusal: Refusal) -> None:
    """Answer with a refusal. What else the client sends is not read: the connection ends."""
    body = to_json({"error": refusal.error, "code": refusal.code})
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
    if refusal.status == 401:
        headers.append(("www-authenticate", 'Bearer realm="embertrace"'))
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _headers_of(scope: Scope) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            known = {name.lower() for name, _ in headers}
            more = [*HEADERS, *(() if UNKEPT[0].encode() in known else (UNKEPT,))]
            message = {**message, "headers": [*headers, *((n.encode(), v.encode()) for n, v in more)]}
        await send(message)

    return guarded


async def _read_body(receive: Receive) -> bytes | None:
    """All of it; None if the client is gone. Raises BodyRefused for one that is too long, whatever it was said to
    be."""
    body: bytes = b""
    while True:
        try:
            async with asyncio.timeout(BODY_S):
                message = await receive()
        except TimeoutError:
            raise BodyRefused(408, "slow", f"the body did not come within {BODY_S:g} s") from None
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise BodyRefused(413, "too_large", f"a body of more than {MAX_BODY_BYTES} bytes")
        if not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """As the `receive` that gave the body: the body in one piece, then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
