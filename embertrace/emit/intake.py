"""The door of a spool: operators put events in, from any thread. What `put` returned for is written.

Rules:
- One lock, held for a microsecond; the sender does not take it. It may be re-entered: a finaliser can run, and emit,
  in the middle of any put. Its event waits in a queue that the holder of the lock empties before letting go.
- Where there is no room: an event is dropped and counted at once, or (`block_s`) its caller waits so long for room,
  without the lock: others may overtake it. After a wait in vain nobody waits again until something was acknowledged:
  an absent aggregator delays nobody twice. The sender never waits, nor a finaliser in the middle of a put, nor anybody
  for an event that can never fit.
- After `shut` everything is dropped and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from embertrace.emit.spool import Spool

log = logging.getLogger("embertrace")


class Intake:
    """Puts events into `spool`. `wake` is called after a put while `asleep`, a flag of whoever sends.

    `progress` is notified when something was acknowledged; `sender` is a thread that never waits.
    """

    def __init__(self, spool: Spool, wake: Callable[[], None], progress: threading.Condition, block_s: float) -> None:
        self.asleep = False
        self.sender: threading.Thread | None = None
        self._spool = spool
        self._take = spool.take
        self._wake = wake
        self._progress = progress
        self._block_s = block_s
        self._lock = threading.RLock()
        self._busy = False
        self._again: deque[bytes] = deque()
        self._in_vain_at = -1
        self._late = ""

    def put(self, packed: bytes, patient: bool = True) -> None:
        """Take in one event, or drop and count it. Thread-safe and re-entrant."""
        with self._lock:
            if self._busy:
                self._again.append(packed)
                return
            self._busy = True
            try:
                settled = self._take(packed) or self._drop(packed, patient)
            finally:
                self._busy = False
            if self._again:
                self._take_again()
        if self.asleep:
            try:
                self._wake()
            except RecursionError:  # it was taken all the same
                self.asleep = True
        if not settled:
            self._wait()
            self.put(packed, patient=False)

    def shut(self, late: str = "") -> None:
        """From now on everything is dropped and counted; `late` is said once if there is anything."""
        with self._lock:
            self._spool.shut()
            self._late = late

    def _take_again(self) -> None:
        """Take in what was put by finalisers; they may put more meanwhile."""
        while self._again:
            self._busy = True
            try:
                self._spool.append(self._again[0])
                self._again.popleft()
            finally:
                self._busy = False

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
