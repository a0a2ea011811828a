"""The RPC door: a ROUTER socket in front of the api table. Bad requests get an answer that says what is wrong."""

from __future__ import annotations

import logging
from typing import Any

import zmq

from aggregator import api
from embertrace.errors import EmbertraceError, WireError
from embertrace.handshake import secure_server
from embertrace.keys import ServerKey
from embertrace.wire.rpc import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    VERSION,
    Answer,
    Request,
    pack_answer,
    unpack_request,
)

log = logging.getLogger("aggregator")

MAX_ANSWERS_PER_ROUND = 64
"""Requests answered before the analyst reads on in the recording."""


class Door:
    """The socket. `serve` answers what is waiting."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], key: ServerKey | None = None) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.maxmsgsize = MAX_REQUEST_BYTES
        secure_server(self.socket, key)

    def serve(self, state: api.State) -> None:
        """Answer the requests that are waiting, at most MAX_ANSWERS_PER_ROUND."""
        for _ in range(MAX_ANSWERS_PER_ROUND):
            try:
                address, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            packed = pack_answer(respond(state, frames[0] if len(frames) == 1 else b""))
            if len(packed) > MAX_ANSWER_BYTES:
                error = f"the answer has {len(packed)} bytes, over the limit of {MAX_ANSWER_BYTES}: narrow the question"
                packed = pack_answer(Answer(_id_of(frames[0]), error=error, code="too_large"))
            try:
                self.socket.send_multipart([address, packed], zmq.NOBLOCK)
            except zmq.ZMQError:  # whoever asked is gone
                pass


def respond(state: api.State, packed: bytes) -> Answer:
    """The answer to one request, whatever its bytes. Never raises."""
    try:
        request = unpack_request(packed)
    except WireError as error:
        return Answer(0, error=str(error), code="bad_request")
    if request.version != VERSION:
        return Answer(request.id, error=f"this aggregator speaks RPC version {VERSION}", code="version")
    return Answer(request.id, **_outcome(state, request))


def _outcome(state: api.State, request: Request) -> dict[str, Any]:
    try:
        return {"result": api.call(state, request.method, request.params)}
    except EmbertraceError as error:
        return {"error": str(error), "code": "query"}
    except Exception as error:  # a fault of ours must not take the analyst down with it
        log.exception("%s failed", request.method)
        return {"error": f"{request.method} failed inside the aggregator: {type(error).__name__}", "code": "internal"}


def _id_of(packed: bytes) -> int:
    return unpack_request(packed).id
