"""Delivery of events to aggregators: one emitter per endpoint and process.

    spool      events not yet acknowledged, numbered and bounded
    producer   the delivery protocol as a state machine
    emitter    the thread and the sockets

Emitters end with the process: each waits for acknowledgements, all together at most their linger.
"""

from __future__ import annotations

import atexit
import multiprocessing.util
import os
import threading
import time

from embertrace.emit.emitter import Emitter, EmitterStats
from embertrace.keys import ClientKey

SPOOL_BYTES = 64 * 1024 * 1024
LINGER_S = 2.0

_emitters: dict[tuple[str, str | None], Emitter] = {}
"""By endpoint, and the name of the key."""
_inherited: list[Emitter] = []
_lock = threading.Lock()


def emitter_for(
    endpoint: str, *, spool_bytes: int = SPOOL_BYTES, linger_s: float = LINGER_S, key: ClientKey | None = None
) -> Emitter:
    """This process's emitter to `endpoint` with `key`; the first call decides its settings. Thread-safe."""
    place = (endpoint, key.name if key is not None else None)
    emitter = _emitters.get(place)
    if emitter is not None and not emitter.closed:
        return emitter
    with _lock:
        emitter = _emitters.get(place)
        if emitter is None or emitter.closed:
            for closed in [known for known, other in _emitters.items() if other.closed]:
                del _emitters[closed]
            emitter = _emitters[place] = Emitter(endpoint, spool_bytes=spool_bytes, linger_s=linger_s, key=key)
        return emitter


def close_all(timeout_s: float | None = None) -> bool:
    """Close every emitter; whether all events were acknowledged. At most `timeout_s` (default: the longest linger)."""
    with _lock:
        emitters = list(_emitters.values())
        _emitters.clear()
    if not emitters:
        return True
    deadline = time.monotonic() + (max(e.linger_s for e in emitters) if timeout_s is None else timeout_s)
    delivered = [emitter.close(max(0.0, deadline - time.monotonic())) for emitter in emitters]
    return all(delivered)


def flush_all(timeout_s: float) -> bool:
    """Wait until all that was put before is acknowledged; whether it was within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    with _lock:
        emitters = list(_emitters.values())
    flushed = [emitter.flush(max(0.0, deadline - time.monotonic())) for emitter in emitters]
    return all(flushed)


def _after_fork_in_child() -> None:
    """The parent's sockets and threads are not here: its emitters pass on to the child's own, and are never freed."""
    global _lock
    _lock = threading.Lock()
    for emitter in _emitters.values():
        _inherited.append(emitter)
        emitter.abandon(_Forward(emitter))
    _emitters.clear()


class _Forward:
    """What an inherited emitter does with an event: give it to the child's own."""

    def __init__(self, inherited: Emitter) -> None:
        self.endpoint, self.linger_s, self.key = inherited.endpoint, inherited.linger_s, inherited.key

    def __call__(self, packed: bytes) -> None:
        emitter_for(self.endpoint, linger_s=self.linger_s, key=self.key).put(packed)


def _close_at_exit_of_child(_: object) -> None:
    """The forked children of multiprocessing end without atexit, but with its own finalisers."""
    multiprocessing.util.Finalize(None, close_all, exitpriority=-100)


atexit.register(close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
multiprocessing.util.register_after_fork(emitter_for, _close_at_exit_of_child)

__all__ = ["Emitter", "EmitterStats", "close_all", "emitter_for", "flush_all"]
