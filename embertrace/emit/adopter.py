"""Looks for the streams of dead processes on this machine, and adopts those that belong to the aggregator at hand.

Rules:
- A stream goes to its recording and nowhere else: to an aggregator that writes that recording; or, where it never heard
  of one, to the endpoint it was meant for. Key, user and host must be the adopter's.
- One stream at a time; a look every LOOK_S, and again at once after a stream was delivered.
- A stream of which everything was acknowledged is deleted, whoever it was meant for.
- What nobody could deliver for KEEP_S since somebody first tried is counted and deleted.
"""

from __future__ import annotations

import logging
import math
import random
import time
from pathlib import Path

import zmq

from embertrace.emit import spool_directory
from embertrace.emit.adoption import Adoption, is_settled
from embertrace.emit.files import load
from embertrace.emit.sockets import Sockets
from embertrace.emit.spool_directory import Claim, Meta
from embertrace.errors import VersionError

log = logging.getLogger("embertrace")

LOOK_S = 5.0
"""An orphan waits about half as long; a look costs some system calls per stream."""
LOOK_STREAMS = 64
"""Streams looked at each time, at random: of many processes each sees some, and together they see all."""
KEEP_S = 7 * 24 * 3600.0
"""A week: a project that rests over the holidays finds its events."""


class Adopter:
    """Adopts streams below `directory` for the aggregator at `endpoint`. One thread's; its sockets are in `poller`."""

    def __init__(self, directory: Path, endpoint: str, sockets: Sockets, poller: zmq.Poller) -> None:
        self._directory = directory
        self._endpoint = endpoint
        self._sockets = sockets
        self._poller = poller
        self._adoption: Adoption | None = None
        self._look_at = 0.0
        self._chance = random.Random()
        """Its own: a program that seeds `random` gets the numbers it would get without tracing."""
        self._owing: set[str] = set()
        """Names of streams known to hold what nobody acknowledged: they are not read again."""

    def step(self, now: float, recording: str | None) -> None:
        """Do what is due; never waits, never raises. `recording` is the aggregator's, None while it was not heard."""
        try:
            self._step(now, recording)
        except Exception:  # what others left must not stop this process's own events
            log.exception("looking for the events of dead processes in %s stopped", self._directory)
            self._look_at = math.inf
            self.close()

    def _step(self, now: float, recording: str | None) -> None:
        if self._adoption is not None:
            if self._adoption.step(now):
                self._finish(self._adoption, now)
        elif recording is not None and now >= self._look_at:
            self._look_at = now + LOOK_S
            self._look(now, recording)

    def wait_s(self, now: float) -> float:
        """How long nothing is due unless a message comes; LOOK_S at most."""
        return self._adoption.wait_s(now) if self._adoption is not None else min(max(self._look_at - now, 0.0), LOOK_S)

    def close(self) -> None:
        """Leave what is on its way to others."""
        if self._adoption is not None:
            self._poller.unregister(self._adoption.dealer)
            self._adoption.close()
            self._adoption = None

    def _look(self, now: float, recording: str) -> None:
        spool_directory.sweep(self._directory, time.time())
        found = spool_directory.streams(self._directory)
        for path in self._chance.sample(found, min(len(found), LOOK_STREAMS)):
            meta = Meta.read(path)
            if meta is not None and not meta.is_ours():
                continue
            claim = spool_directory.claim(path)
            if claim is None:
                continue
            if meta is not None and meta.suits(self._endpoint, recording, self._sockets.key_name):
                self._begin(claim, recording, now)
                return
            if not self._dispose(claim) and not expire(claim, meta, time.time()):
                claim.release()

    def _dispose(self, claim: Claim) -> bool:
        """Delete a stream of another recording that owes nothing: its process died after its last acknowledgement."""
        if claim.path.name in self._owing:
            return False
        try:
            if is_settled(claim):
                claim.delete()
                return True
        except (OSError, VersionError):  # it can't be read today, or not by us
            pass
        self._owing.add(claim.path.name)
        return False

    def _begin(self, claim: Claim, recording: str, now: float) -> None:
        try:
            self._adoption = Adoption(claim, self._endpoint, recording, self._sockets, now)
        except BaseException:
            claim.release()
            raise
        self._poller.register(self._adoption.dealer, zmq.POLLIN)

    def _finish(self, adoption: Adoption, now: float) -> None:
        name = adoption.claim.path.name.lstrip(".")
        if adoption.failure is None:
            log.info("delivered %d events of a dead process (stream %s)", adoption.events, name)
            self._look_at = now
        else:
            log.info("a dead process's events (stream %s) are not delivered yet: %s", name, adoption.failure)
            expire(adoption.claim, Meta.read(adoption.claim.path), time.time())
        self.close()


def expire(claim: Claim, meta: Meta | None, now: float) -> bool:
    """Delete a stream that could not be delivered for too long, and say so. `now` in Unix seconds."""
    if claim.orphaned_s(now) < KEEP_S:
        return False
    events = unread = 0
    for path in claim.extents():
        try:
            extent = load(path, claim.producer)
        except (OSError, VersionError):  # it can't be counted, nor delivered
            unread += 1
            continue
        events += extent.events_end - extent.first if extent is not None else 0
    where = f"meant for {meta.endpoint}" if meta is not None else "whose destination can't be read"
    more = f", and {unread} files of them that this release can't read," if unread else ""
    log.warning(
        "deleted up to %d events%s %s: nobody could deliver them for 7 days (%s)", events, more, where, claim.path
    )
    claim.delete()
    return True
