"""Adoption: what a dead process left is sent by one that lives, with the original producer and seqs.

Rules:
- Whoever adopts holds the stream's lock. It sends what its extents hold, from the aggregator's mark on, says that the
  stream is complete, and deletes it once that is confirmed. If it dies midway, the next one does it again, and the
  aggregator refuses what it has.
- An extent without a whole header, or of another producer, is left out, and the seqs it had become a gap where later
  ones are there. A stream of which nothing can be read is deleted; one with extents of another version is left to those
  who can read them.
- Without progress for SILENCE_S, or after a refusal, the stream is left to others as it is.
- Each step does little and never waits: this may run beside a program's own events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from embertrace.config import check_endpoint
from embertrace.emit.files import in_order, load
from embertrace.emit.producer import Action, Connect, Producer, Push, Report, Say
from embertrace.emit.sockets import Socket, Sockets, receive_now, send_now
from embertrace.emit.spool import Extent, Spool
from embertrace.emit.spool_directory import Claim, Meta
from embertrace.emit.storage import Nowhere
from embertrace.errors import WireError
from embertrace.wire.control import pack_control, unpack_control

SILENCE_S = 10.0
"""Without progress for so long, a stream is left to others."""


class Adoption:
    """One claimed stream on its way to `endpoint`. `failure` says why it did not get there, once it is over."""

    def __init__(self, claim: Claim, endpoint: str, recording: str | None, sockets: Sockets, now: float) -> None:
        self.claim = claim
        meta = Meta.read(claim.path)
        self._whereabouts = (meta.host, meta.pid) if meta is not None else None
        self.events = 0
        """Events found, acknowledged before or not."""
        self.failure: str | None = None
        self._host, _ = check_endpoint(endpoint)
        self.dealer = sockets.control()
        self.dealer.connect(endpoint)
        self._recording = recording
        self._sockets = sockets
        self._push: Socket | None = None
        self._paths = claim.extents()
        self._found: list[Extent] = []
        self._machine: Producer | None = None
        self._moved_at = now

    def step(self, now: float) -> bool:
        """Do what is due without waiting; whether it is over."""
        try:
            return self._load(now) if self._machine is None else self._send(self._machine, now)
        except (OSError, WireError) as error:
            return self._fail(str(error))

    def wait_s(self, now: float) -> float:
        """How long nothing is due unless a message comes."""
        if self._machine is None:
            return 0.0
        wait = self._machine.wait_s(now)
        left = max(self._moved_at + SILENCE_S - now, 0.0)
        return left if wait is None else min(wait, left)

    def close(self) -> None:
        """Let go of the sockets and the stream."""
        self.dealer.close(linger=0)
        if self._push is not None:
            self._push.close(linger=0)
        self.claim.release()

    def _load(self, now: float) -> bool:
        """Read one extent; with the last, begin to send."""
        if self._paths:
            extent = load(self._paths.pop(0), self.claim.producer)
            if extent is not None:
                self._found.append(extent)
                self.events += extent.events_end - extent.first
            return False
        if not self._found:
            self.claim.delete()
            return True
        producer = self.claim.producer
        spool = Spool(Nowhere(), producer, in_order(self._found))
        self._machine = Producer(producer, spool, now, "adopted", whereabouts=self._whereabouts)
        self._machine.recording = self._recording
        self._machine.end()
        return False

    def _send(self, machine: Producer, now: float) -> bool:
        mark = machine.mark
        while (packed := receive_now(self.dealer)) is not None:
            self._perform(machine.receive(unpack_control(packed), now))
        self._perform(machine.tick(now, hurry=True))
        if machine.ended:
            self.claim.delete()
            return True
        if machine.mark > mark:
            self._moved_at = now
        if self.failure is None and now - self._moved_at >= SILENCE_S:
            return self._fail("nobody answered" if machine.welcomed is None else "it stopped answering")
        return self.failure is not None

    def _fail(self, why: str) -> bool:
        self.failure = why
        return True

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Push):
                send_now(self._push, action.message)
            elif isinstance(action, Say):
                send_now(self.dealer, pack_control(action.message))
            elif isinstance(action, Connect):
                if self._push is not None:
                    self._push.close(linger=0)
                self._push = self._sockets.push(f"tcp://{action.host or self._host}:{action.port}")
            elif isinstance(action, Report):
                self._fail(action.text.partition(";")[0])  # what follows is about a process's own events


def is_settled(claim: Claim) -> bool:
    """Whether everything in a claimed stream was acknowledged, as its owner wrote: nobody needs it.

    Raises OSError, and VersionError.
    """
    mark = claim.acknowledged()
    if not mark:
        return False
    found = in_order(extent for path in claim.extents() if (extent := load(path, claim.producer)) is not None)
    return bool(found) and found[-1].end - 1 <= mark


def deliver(
    claim: Claim, endpoint: str, recording: str | None, sockets: Sockets, deadline: float = math.inf
) -> Adoption:
    """Send a claimed stream, wait for that, and let go of it. At `deadline` (monotonic) it is left as it is."""
    adoption = Adoption(claim, endpoint, recording, sockets, time.monotonic())
    try:
        while not adoption.step(time.monotonic()):
            left = deadline - time.monotonic()
            if left <= 0:
                adoption.failure = "there was no more time"
                break
            adoption.dealer.poll(int(min(left, adoption.wait_s(time.monotonic())) * 1000) + 1)
    finally:
        adoption.close()
    return adoption
