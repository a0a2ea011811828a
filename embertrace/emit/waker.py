"""Wakes a thread that sleeps in a poll, from any other: a pair of sockets and one byte."""

from __future__ import annotations

import contextlib
import select
import socket


class Waker:
    """`wake` makes `fileno` readable until `clear`. Neither waits; after `close` nothing happens."""

    def __init__(self) -> None:
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._woken, select.POLLIN)

    def fileno(self) -> int:
        return self._woken.fileno()

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: it has stopped
            self._waker.send(b"\0")

    def sleep(self, seconds: float) -> None:
        """Until it is woken, at most so long."""
        if self._poll.poll(int(seconds * 1000) + 1):
            self.clear()

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def close(self) -> None:
        self._woken.close()
        self._waker.close()
