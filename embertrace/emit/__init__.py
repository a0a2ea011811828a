"""Delivery of events to aggregators: one emitter per endpoint and process.

    extent             the bytes of a spool's files
    storage, files     where extents lie: in memory, or mapped
    spool              events not yet acknowledged, numbered and bounded
    spool_directory    the streams of all processes of this user on this machine, and who owns them
    adopter, adoption  what dead processes left, found and sent
    orphans            what they left for one recording, at once
    draining           all of that, for the end of a machine's life
    survey             what lies there, looked at without touching it
    intake             the door that operators put events through
    producer           the delivery protocol as a state machine
    actions            what it asks of whoever runs it
    sockets, sender    the thread, and the sockets that are its own
    emitter            all of these, for one aggregator

Emitters end with the process: each waits for acknowledgements, all together at most their linger.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from embertrace import collect
from embertrace.config import Settings
from embertrace.emit import orphans
from embertrace.emit.draining import Drained, DrainReport, drain
from embertrace.emit.emitter import Emitter
from embertrace.emit.spool_directory import default_directory
from embertrace.emit.stats import EmitterStats
from embertrace.ending import at_end
from embertrace.keys import ClientKey

log = logging.getLogger("embertrace")

_emitters: dict[tuple[str, str | None, bool], Emitter] = {}
"""By endpoint, the name of the key, and whether events lie in memory: runs of both kinds may follow each other."""
_inherited: list[Emitter] = []
_lock = threading.Lock()


def emitter_for(endpoint: str, key: ClientKey | None = None) -> Emitter:
    """This process's emitter to `endpoint` with `key`, under the settings of the process when it is first wanted.

    Where `delivery` differs it is another one. Thread-safe.
    """
    place = (endpoint, key.name if key is not None else None, collect.settings.delivery == "memory")
    emitter = _emitters.get(place)
    if emitter is not None and not emitter.closed:
        return emitter
    with _lock:
        emitter = _emitters.get(place)
        if emitter is None or emitter.closed:
            for closed in [known for known, other in _emitters.items() if other.closed]:
                del _emitters[closed]
            emitter = _emitters[place] = _make(endpoint, key, collect.settings)
        return emitter


def _make(endpoint: str, key: ClientKey | None, settings: Settings) -> Emitter:
    return Emitter(
        endpoint,
        key,
        spool_bytes=settings.spool_bytes,
        linger_s=settings.linger_s,
        directory=spool_path(settings),
        node_bytes=settings.spool_node_bytes,
        block_s=settings.spool_block_s if settings.spool_full == "block" else 0.0,
    )


def spool_path(settings: Settings) -> Path | None:
    """Where spools lie; None where they are to be in memory, or can't be anywhere else."""
    if settings.delivery == "memory":
        return None
    if settings.spool_dir is not None:
        return Path(settings.spool_dir).expanduser()
    try:
        return default_directory()
    except OSError as error:
        log.warning("undelivered events are held in memory, and die with this process: %s", error)
        return None


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


def adopt_orphans(endpoint: str, recording: str, key: ClientKey | None, timeout_s: float) -> bool:
    """Deliver at once what dead processes left on this machine for `recording`, which the aggregator there writes.

    Whether nothing of it is left; at most `timeout_s` seconds.
    """
    directory = spool_path(collect.settings)
    return directory is None or orphans.adopt_orphans(directory, endpoint, recording, key, timeout_s)


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
        self.endpoint, self.key = inherited.endpoint, inherited.key

    def __call__(self, packed: bytes) -> None:
        emitter_for(self.endpoint, self.key).put(packed)


at_end(close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)

__all__ = [
    "DrainReport",
    "Drained",
    "Emitter",
    "EmitterStats",
    "adopt_orphans",
    "close_all",
    "drain",
    "emitter_for",
    "flush_all",
    "spool_path",
]
