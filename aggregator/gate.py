"""Who may connect: the ZAP handler of a ZeroMQ context, with the allow-list of a key directory.

Rules:
- Only clients whose public key stands in the directory are let in. The list is read again when the directory changes,
  so that a client can be added, or removed, without a restart; who is connected already stays.
- A list that can't be read lets nobody in, and says so.
"""

from __future__ import annotations

import logging
from pathlib import Path

import zmq
import zmq.auth.thread

from embertrace.errors import SecurityError
from embertrace.keys import allowed

log = logging.getLogger("aggregator")


class Gate:
    """The handler's thread. Made before any socket of the context binds; without a directory it does nothing."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Path | None) -> None:
        self._authenticator = None
        if directory is None:
            return
        allowed(directory)  # what is wrong with it is said now
        self._authenticator = zmq.auth.thread.ThreadAuthenticator(context, log=logging.getLogger("aggregator.zap"))
        self._authenticator.start()
        self._authenticator.configure_curve_callback("*", credentials_provider=AllowList(directory))

    def close(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()


class AllowList:
    """Answers whether a key is allowed. Called in the handler's thread alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read_at: int | None = None
        self._keys: frozenset[bytes] = frozenset()

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether the client with this public key (Z85) may connect."""
        try:
            changed = (self._directory / "clients").stat().st_mtime_ns
            if changed != self._read_at:
                self._keys, self._read_at = allowed(self._directory), changed
        except (OSError, SecurityError) as error:
            log.error("nobody can connect: the list of clients can't be read: %s", error)
            self._keys, self._read_at = frozenset(), None
        return key in self._keys
