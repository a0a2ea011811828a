"""Questions and answers between a client (DEALER) and the analyst (ROUTER): one msgpack map each way.

    request   {version, id, method, params}            `id` is chosen by the client and comes back with the answer
    answer    {version, id, result}  or  {version, id, error: {code, message}}

Requests are bounded tightly (they carry filters and names); answers by the aggregator's page limit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from embertrace.errors import WireError
from embertrace.wire.fields import field, unpack_map, unsigned

VERSION = 1
MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class Request(NamedTuple):
    id: int
    method: str
    params: dict[str, Any]
    version: int = VERSION


class Answer(NamedTuple):
    """Either `result`, or an error with a `code` ("bad_request", "query", "internal", …) and a sentence."""

    id: int
    result: Any = None
    error: str | None = None
    code: str | None = None
    version: int = VERSION


def pack_request(request: Request) -> bytes:
    return msgpack.packb(
        {"version": request.version, "id": request.id, "method": request.method, "params": request.params}
    )


def unpack_request(packed: bytes) -> Request:
    message = unpack_map(packed, "request", MAX_REQUEST_BYTES)
    return Request(
        unsigned(message, "id", "request"),
        field(message, "method", str, "request"),
        field(message, "params", dict, "request", {}),
        unsigned(message, "version", "request"),
    )


def pack_answer(answer: Answer) -> bytes:
    head = {"version": answer.version, "id": answer.id}
    if answer.error is not None:
        return msgpack.packb({**head, "error": {"code": answer.code, "message": answer.error}})
    return msgpack.packb({**head, "result": answer.result})


def unpack_answer(packed: bytes) -> Answer:
    message = unpack_map(packed, "answer", MAX_ANSWER_BYTES)
    number, version = unsigned(message, "id", "answer"), unsigned(message, "version", "answer")
    if "error" in message:
        error = field(message, "error", dict, "answer")
        code, text = field(error, "code", str, "error"), field(error, "message", str, "error")
        return Answer(number, error=text, code=code, version=version)
    if "result" not in message:
        raise WireError("an answer with neither result nor error")
    return Answer(number, result=message["result"], version=version)
