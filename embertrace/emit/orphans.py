"""adopt_orphans(): deliver at once what dead processes left for one recording; for whoever is about to end.

A sender's adopter looks every few seconds. Whoever ends may be the last one that could deliver, and does not wait for
the next look. Rules:
- Only what suits (see Meta) is taken; each stream is tried once, and what can't be delivered is left to others.
- A dead process's stream that somebody else has claimed is on its way: it is waited for, OTHERS_S at most.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import zmq

from embertrace.emit import spool_directory
from embertrace.emit.adoption import deliver
from embertrace.emit.sockets import Sockets
from embertrace.emit.spool_directory import Meta
from embertrace.keys import ClientKey

log = logging.getLogger("embertrace")

OTHERS_S = 1.0
"""An adoption takes milliseconds; and a process that seems dead may live in another container."""
POLL_S = 0.01


def adopt_orphans(directory: Path, endpoint: str, recording: str, key: ClientKey | None, timeout_s: float) -> bool:
    """Send what dead processes left in `directory` to the aggregator at `endpoint`, which writes `recording`.

    Whether nothing is left, as far as it can be seen. Blocks `timeout_s` seconds at most. Thread-safe; never raises.
    """
    try:
        return _adopt(directory, endpoint, recording, key, timeout_s)
    except Exception:  # what others left must not stop who ends
        log.exception("looking for the events of dead processes in %s stopped", directory)
        return False


def _adopt(directory: Path, endpoint: str, recording: str, key: ClientKey | None, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    others_until = min(deadline, time.monotonic() + OTHERS_S)
    left: set[str] = set()
    with zmq.Context() as context:
        sockets = Sockets(context, key)
        while True:
            with_others = False
            for path in spool_directory.streams(directory):
                meta = Meta.read(path)
                if path.name in left or meta is None or not meta.suits(endpoint, recording, sockets.key_name):
                    continue
                claim = spool_directory.claim(path)
                if claim is None:
                    with_others = with_others or _is_on_its_way(path, meta)
                elif time.monotonic() >= deadline:
                    claim.release()
                    left.add(path.name)
                elif deliver(claim, endpoint, recording, sockets, deadline).failure is not None:
                    left.add(path.name)
            if not with_others or time.monotonic() >= others_until:
                return not left and not with_others
            time.sleep(POLL_S)


def _is_on_its_way(path: Path, meta: Meta) -> bool:
    """Whether a stream that is claimed is still there although its process has died."""
    try:
        os.kill(meta.pid, 0)
    except ProcessLookupError:
        return path.exists()
    except (OSError, OverflowError):
        return False
    return False
