"""CURVE on ZeroMQ sockets: encryption and proof of identity, and what is said when the other side refuses.

Rules:
- A socket is secured before it binds or connects. Without a key it is plain, which is right on loopback only.
- A refused handshake is silent in ZeroMQ: sends succeed and nothing arrives. `Watch` hears of it by the socket's
  monitor, so that it can be told to somebody.
"""

from __future__ import annotations

from typing import Any

import zmq
import zmq.utils.monitor

from embertrace.keys import ClientKey, ServerKey

_FAILURES = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused this key: it is not on its allow-list",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "speaks another security: one side has a key, and the other none",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "hangs up without a word: is it an aggregator, and the one for this key?",
}
_DISCONNECTS = 3
"""Connections closed before any handshake succeeded, in a row: a server that can't read our hello only hangs up."""


def new_pair() -> tuple[bytes, bytes]:
    """A new key pair: public and secret."""
    public, secret = zmq.curve_keypair()
    return public, secret


def secure_client(socket: zmq.Socket[bytes], key: ClientKey | None) -> None:
    """Let a connecting socket prove who it is, and talk to that one server only."""
    if key is not None:
        socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = (
            key.server_public,
            key.public,
            key.secret,
        )


def secure_server(socket: zmq.Socket[bytes], key: ServerKey | None) -> None:
    """Let a binding socket take encrypted connections only. Whose, decides the ZAP handler of its context."""
    if key is not None:
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = key.public, key.secret


class Watch:
    """What becomes of a socket's handshakes. `socket` can be polled. One thread."""

    def __init__(self, watched: zmq.Socket[bytes]) -> None:
        events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        for failure in _FAILURES:
            events |= failure
        self._watched = watched
        self.socket: zmq.Socket[bytes] = watched.get_monitor_socket(events)
        self._succeeded = False
        self._closed = 0

    def failure(self) -> str | None:
        """Why the other side is not to be talked to, if that was heard since it was last asked."""
        found = None
        while self.socket.poll(0):
            message: Any = zmq.utils.monitor.recv_monitor_message(self.socket)
            event = message["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._succeeded, self._closed = True, 0
            elif event in _FAILURES:
                found = _FAILURES[event]
            elif event == zmq.EVENT_DISCONNECTED and not self._succeeded:
                self._closed += 1
                if self._closed == _DISCONNECTS:
                    found = _FAILURES[zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL]
        return found

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        self._watched.disable_monitor()
        self.socket.close(linger=0)
