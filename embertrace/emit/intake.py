"""The door of a spool: operators put events in, from any thread. What `put` returned for is written.

Rules:
- A put is one call of the spool's `write`, without a lock: nothing can come in between, neither a thread, nor a
  finaliser, nor the handler of a signal.
- What that refuses (its extent is full) goes the slow way, under a lock that the sender never waits for. While somebody
  is in there everybody goes that way, and waits: each thread's events keep their order. The lock may be re-entered: a
  finaliser can run, and emit, in the middle. Its event waits in a queue that the holder of the lock empties before
  letting go.
- One at a time allocates: whoever puts in the slow way, or the sender, ahead of need. A new extent wakes the sender:
  there is much to send, and the next room to be made ready.
- Where there is no room: an event is dropped and counted at once, or (`block_s`) its caller waits so long for room,
  without the lock: others may overtake it. After a wait in vain nobody waits again until something was acknowledged:
  an absent aggregator delays nobody twice. The sender never waits, nor a finaliser in the middle of a slow put, nor
  anybody for an event that can never fit.
- An interrupt, or no room for calls at the limit of recursion, may end a put at any point: what lies in the spool stays
  whole, and the next put goes the slow way and finishes what was left before it begins.
- After `shut` everything is dropped and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from embertrace.emit.extent import checksum, record_head
from embertrace.emit.spool import Spool
from embertrace.emit.storage import NO_ROOM

log = logging.getLogger("embertrace")

_refuse = NO_ROOM.buffer.write
"""What `write` is while puts are to go the slow way."""


class Intake:
    """Puts events into `spool`. After a put while `asleep` is set `wake` is called, which clears it: whoever sends sets
    it, and a put that began an extent. `progress` is notified when something was acknowledged; `sender` is a thread
    that never waits.
    """

    def __init__(self, spool: Spool, wake: Callable[[], None], progress: threading.Condition, block_s: float) -> None:
        self.asleep = False
        self.sender: threading.Thread | None = None
        self._spool = spool
        self._write = spool.write
        self._wake = wake
        self._progress = progress
        self._block_s = block_s
        self._lock = threading.RLock()
        self._busy = False
        self._again: deque[bytes] = deque()
        self._in_vain_at = -1
        self._late = ""
        self._forward: Callable[[bytes], None] | None = None

    def put(self, packed: bytes) -> None:
        """Take in one event, which is never empty, or drop and count it. Thread-safe and re-entrant."""
        try:
            # mmap.write looks for space, copies, and moves on, under the GIL: where there is none, this needs a lock.
            self._write(record_head(len(packed), checksum(packed)) + packed)
        except ValueError:
            self._put_slowly(packed)
        if self.asleep:
            try:
                self._wake()
            except RecursionError:  # it was taken all the same
                self.asleep = True

    def _put_slowly(self, packed: bytes, patient: bool = True) -> None:
        if self._forward is not None:
            self._forward(packed)
            return
        with self._lock:
            self._write = _refuse
            if self._busy:
                self._again.append(packed)
                return
            if self._again:  # left by one that was interrupted
                self._take_again()
                self._write = _refuse
            before = self._spool.begun
            self._busy = True
            try:
                settled = self._spool.take(packed) or self._drop(packed, patient)
            finally:
                self._busy = False
            self._take_again()
        if self._spool.begun != before:
            self.asleep = True  # or so it seems to `put`, which wakes it then
        if not settled:
            if self.asleep:
                self._wake()
            self._wait()
            self._put_slowly(packed, patient=False)

    def prepare(self) -> None:
        """Have room ready ahead; not where somebody is in the slow way, who makes it himself if there is none."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._busy = True
            try:
                self._spool.prepare()
            finally:
                self._busy = False
            self._take_again()
        finally:
            self._lock.release()

    def shut(self, late: str = "") -> None:
        """From now on everything is dropped and counted; `late` is said once if there is anything."""
        with self._lock:
            if not self._busy:
                self._take_again()
            self._spool.shut()
            self._write = self._spool.write
            self._late = late

    def abandon(self, forward: Callable[[bytes], None]) -> None:
        """In a forked child: the extent is the parent's too. Whoever is in the middle of a put here passes it on."""
        self._forward = forward
        self.asleep = False
        self._spool.seal()

    def _take_again(self) -> None:
        """Take in what was put by finalisers, who may put more meanwhile; then puts go the quick way again."""
        try:
            while self._again:
                self._busy = True
                try:
                    self._spool.append(self._again[0])
                    self._again.popleft()
                finally:
                    self._busy = False
            self._write = self._spool.write
        except RecursionError:  # what is left waits for the next put
            pass

    def _drop(self, packed: bytes, patient: bool) -> bool:
        """Drop an event, unless its caller is to wait: then False."""
        spool = self._spool
        may_wait = patient and self._block_s > 0 and threading.current_thread() is not self.sender
        if may_wait and spool.oldest != self._in_vain_at and spool.fits(packed):
            return False
        spool.drop()
        if self._late:
            late, self._late = self._late, ""
            log.warning(late)
        return True

    def _wait(self) -> None:
        """Until there is room, or nobody waits for it any longer."""
        spool = self._spool
        with self._progress:
            if not self._progress.wait_for(lambda: spool.has_room, self._block_s):
                self._in_vain_at = spool.oldest
