"""The sockets of whoever sends events: connecting, encrypted where there is a key, and never waited for."""

from __future__ import annotations

import contextlib

import zmq

from embertrace.handshake import secure_client
from embertrace.keys import ClientKey
from embertrace.wire.control import MAX_CONTROL_BYTES

Socket = zmq.Socket[bytes]

CONTROL_HWM = 4
"""Hellos that pile up while nobody listens say all the same."""
INPUT = int(zmq.POLLIN)
PUSH_HWM = 0
"""Unlimited: the window bounds what a PUSH socket holds."""
RECONNECT_MS, RECONNECT_MAX_MS = 100, 250
CONNECT_MS = 1000
"""After it a connection is tried anew: left alone, TCP waits ever longer, and so long after a network has healed."""


class Sockets:
    """Makes the sockets of one context and one key; LINGER is 0 on all of them."""

    def __init__(self, context: zmq.Context[Socket], key: ClientKey | None) -> None:
        self._context = context
        self._key = key

    @property
    def key_name(self) -> str | None:
        """The name of the key that all of them have."""
        return self._key.name if self._key is not None else None

    def control(self) -> Socket:
        """A DEALER for an aggregator's control port, to be connected once whoever wants to watch it does."""
        made = self._make(zmq.DEALER, CONTROL_HWM)
        made.maxmsgsize = MAX_CONTROL_BYTES
        return made

    def push(self, address: str) -> Socket:
        """A PUSH socket that connects to `address`."""
        made = self._make(zmq.PUSH, PUSH_HWM)
        made.connect(address)
        return made

    def _make(self, kind: int, high_water_mark: int) -> Socket:
        made = self._context.socket(kind)
        made.linger = 0
        made.sndhwm = high_water_mark
        made.reconnect_ivl = RECONNECT_MS
        made.reconnect_ivl_max = RECONNECT_MAX_MS
        made.connect_timeout = CONNECT_MS
        secure_client(made, self._key)
        return made


def send_now(socket: Socket | None, message: bytes) -> None:
    """Send without waiting; into nothing where there is no socket, or no space: the protocol repeats it."""
    if socket is not None:
        with contextlib.suppress(zmq.Again):
            socket.send(message, zmq.NOBLOCK)


def receive_now(socket: Socket) -> bytes | None:
    """A message that is there, or None."""
    return socket.recv(zmq.NOBLOCK) if int(socket.get(zmq.EVENTS)) & INPUT else None
