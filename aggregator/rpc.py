"""The RPC door: a ROUTER socket in front of the api table. Bad requests get an answer that says what is wrong."""

from __future__ import annotations

import logging

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
MAX_SENTENCE = 2000
"""Characters of an error: it may quote what was asked."""
REQUESTS_HELD, ANSWERS_HELD = 16, 2
"""Of one client, which asks one at a time: who asks on and never reads loses answers, and fills no memory."""
PATIENCE_MS = 20
"""For room for an answer: ZeroMQ hears up to a millisecond late that an earlier one is gone."""


class Door:
    """The socket. `serve` answers what is waiting."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], key: ServerKey | None = None) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.maxmsgsize = MAX_REQUEST_BYTES
        self.socket.rcvhwm, self.socket.sndhwm = REQUESTS_HELD, ANSWERS_HELD
        self.socket.router_mandatory = True  # what finds no room is told, and not dropped in silence
        self.socket.sndtimeo = PATIENCE_MS
        secure_server(self.socket, key)

    def serve(self, state: api.State) -> None:
        """Answer the requests that are waiting, at most MAX_ANSWERS_PER_ROUND."""
        for _ in range(MAX_ANSWERS_PER_ROUND):
            try:
                address, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            packed = respond(state, frames[0] if len(frames) == 1 else b"")
            try:
                self.socket.send_multipart([address, packed])
            except zmq.ZMQError:  # whoever asked is gone, or does not read
                pass


def respond(state: api.State, packed: bytes) -> bytes:
    """The answer to one request, whatever its bytes. Never raises."""
    try:
        request = unpack_request(packed)
    except WireError as error:
        return pack_answer(Answer(0, error=str(error), code="bad_request"))
    if request.version != VERSION:
        return _refusal(request, "version", f"this aggregator speaks RPC version {VERSION}")
    try:
        return _bounded(request, pack_answer(Answer(request.id, api.call(state, request.method, request.params))))
    except EmbertraceError as error:
        return _refusal(request, "query", str(error))
    except Exception as error:  # a fault of ours must not take the analyst down with it
        log.exception("%s failed", request.method[:100])
        what = f"{request.method[:100]} failed inside the aggregator: {type(error).__name__}"
        return _refusal(request, "internal", what)


def _bounded(request: Request, packed: bytes) -> bytes:
    if len(packed) <= MAX_ANSWER_BYTES:
        return packed
    error = f"the answer has {len(packed)} bytes, over the limit of {MAX_ANSWER_BYTES}: narrow the question"
    return _refusal(request, "too_large", error)


def _refusal(request: Request, code: str, sentence: str) -> bytes:
    """An answer that says why there is none. A question may hold text that can't be encoded, and so its errors."""
    text = sentence[:MAX_SENTENCE].encode("utf-8", "replace").decode()
    return pack_answer(Answer(request.id, error=text, code=code))
