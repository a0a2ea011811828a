"""The emitter: events of this process to one aggregator. The shell around Spool, Producer and Sender.

Rules:
- `put` writes into the spool and returns (see intake): no socket is touched, and no file but now and then a new extent.
  An event is never empty.
- One daemon thread, the sender's, does the rest. It starts with the first event.
- A forked child has its own producer: an emitter inherited by fork hands its events to the child's (see `emit`).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from embertrace.config import check_endpoint
from embertrace.emit.files import Files
from embertrace.emit.intake import Intake
from embertrace.emit.orphans import adopt_orphans
from embertrace.emit.producer import Producer
from embertrace.emit.sender import Sender
from embertrace.emit.spool import Spool
from embertrace.emit.spool_directory import Meta
from embertrace.emit.stats import EmitterStats
from embertrace.emit.storage import Memory, Store
from embertrace.emit.waker import Waker
from embertrace.keys import ClientKey
from embertrace.sinks import AddressedSink
from embertrace.wire.control import Welcome

log = logging.getLogger("embertrace")

START_AGAIN_S = 1.0
"""After a start that failed: files and threads that were too many may be fewer then."""
JOIN_S = 0.2
"""The thread gets at least so long to let go of its sockets: it takes milliseconds."""


class Emitter(AddressedSink):
    """Sends packed events to the aggregator at `endpoint`. Thread-safe; made by `emit.emitter_for`."""

    def __init__(
        self,
        endpoint: str,
        key: ClientKey | None = None,
        *,
        spool_bytes: int,
        linger_s: float,
        library: str = "",
        directory: Path | None = None,
        node_bytes: int = 1 << 30,
        block_s: float = 0.0,
    ) -> None:
        """Undelivered events lie below `directory`, or in memory where that is None."""
        check_endpoint(endpoint)
        self.endpoint = endpoint
        self.key = key
        self.linger_s = linger_s
        self.producer = secrets.token_bytes(16)
        self._directory = directory
        self._store: Store = Memory(spool_bytes)
        if directory is not None:
            self._store = Files(
                directory, self.producer, Meta(endpoint, key.name if key is not None else None), spool_bytes, node_bytes
            )
        self._spool = Spool(self._store, self.producer)
        self._machine = Producer(self.producer, self._spool, time.monotonic(), library)
        self._progress = threading.Condition()
        self._intake = Intake(self._spool, self._wake, self._progress, block_s)
        self._sender = Sender(
            endpoint, key, self._machine, self._spool, self._store, self._intake, self._progress, directory
        )
        self._lock = threading.RLock()
        self._started = False
        self._start_at = 0.0
        self._said = False
        self._thread: threading.Thread | None = None
        self._waker: Waker | None = None
        self.put: Callable[[bytes], None] = self._first_put
        """Take in one event. Never raises for lack of space or of an aggregator: what is dropped is counted."""

    @property
    def welcome(self) -> Welcome | None:
        """The aggregator's last welcome; None while it was not heard."""
        return self._machine.welcomed

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its thread stopped: then another one is needed."""
        return self._sender.stop

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was put before is acknowledged; whether it was within `timeout_s` seconds."""
        if not self._started:
            return self._spool.next == 1
        wanted = self._spool.next - 1
        self._sender.hurry = True
        self._wake()
        with self._progress:
            self._progress.wait_for(lambda: self._machine.mark >= wanted or self._sender.stop, timeout_s)
        return self._machine.mark >= wanted

    def adopt(self, timeout_s: float) -> bool:
        """Deliver at once what dead processes left here for the same recording; whether nothing of it is left.

        Takes at most `timeout_s` seconds. While the aggregator was not heard, nothing is done: then False.
        """
        recording = self._machine.recording
        if self._directory is None or not self._started:
            return True
        if recording is None:
            return False
        return adopt_orphans(self._directory, self.endpoint, recording, self.key, timeout_s)

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, adopt, tell the aggregator that the stream is complete, and stop; within `timeout_s` (the linger).

        Returns whether everything was acknowledged; what was not is counted in a warning. May be called twice.
        """
        deadline = time.monotonic() + (self.linger_s if timeout_s is None else timeout_s)
        if self._sender.stop:
            return True
        if not self._started:
            self._start_at = 0.0
            if self._spool.next > 1:
                self._ensure_started()
            if not self._started:
                return self._close_without_thread()
        delivered = self.flush(max(0.0, deadline - time.monotonic()))
        if delivered:
            self.adopt(max(0.0, deadline - time.monotonic()))
            self._sender.ending = True
            self._wake()
            with self._progress:
                self._progress.wait_for(lambda: self._machine.ended, max(0.0, deadline - time.monotonic()))
        self._sender.stop = True
        self._wake()
        assert self._thread is not None, "it was started"
        self._thread.join(max(JOIN_S, deadline - time.monotonic()))
        if not delivered:
            self._warn_of_the_rest()
        return delivered

    def _close_without_thread(self) -> bool:
        """The end of an emitter that sends nothing: nothing was put, or its thread could not start."""
        if self._spool.next == 1:
            return True
        self._intake.shut(f"events for {self.endpoint} were emitted after their emitter had ended, and are dropped")
        self._sender.kept = self._store.close(delivered=False)
        self._sender.stop = True
        self._warn_of_the_rest()
        return False

    def _warn_of_the_rest(self) -> None:
        mark, kept = self._machine.mark, self._sender.kept
        left = self._spool.next - 1 - mark
        if kept is None:
            log.warning("%d events were not delivered to %s and are lost with this process", left, self.endpoint)
            return
        held = self._spool.events_after(mark)
        lost = f"; {left - held} more were dropped" if left > held else ""
        log.warning(
            "%d events were not delivered to %s and stay in %s until they can be%s", held, self.endpoint, kept, lost
        )

    def stats(self) -> EmitterStats:
        """Counts as of now."""
        return EmitterStats(
            self.endpoint,
            self._machine.welcomed is not None,
            self._spool.next - 1,
            self._machine.mark,
            self._spool.held_bytes,
            self._spool.dropped,
            self._machine.recording,
        )

    def abandon(self, forward: Callable[[bytes], None]) -> None:
        """In a forked child: give up everything (untouched, it is the parent's) and pass events on."""
        self.put = forward
        self._intake.abandon(forward)
        self._thread = None
        self._started = False

    def _first_put(self, packed: bytes) -> None:
        self._intake.put(packed)
        self._ensure_started()

    def _ensure_started(self) -> None:
        """Never raises: the event that it is for was taken."""
        begins = False
        try:
            with self._lock:
                if self._started or self._sender.stop or time.monotonic() < self._start_at:
                    return
                begins = self._started = True
            self._start()  # without the lock: it waits for the thread, and a finaliser may run and emit there
        except RecursionError:  # no room: the next event tries again
            self._started = self._started and not begins
        except (OSError, RuntimeError) as error:  # too many files or threads, or the interpreter is ending
            self._started = False
            self._start_at = time.monotonic() + START_AGAIN_S
            if not self._said:
                self._said = True
                log.error("could not start the sender of events to %s, which are held: %s", self.endpoint, error)

    def _start(self) -> None:
        """Raises OSError and RuntimeError."""
        if self._thread is None or self._thread.ident is None:  # it may run although there was no room to wait for it
            waker = self._waker = Waker()
            self._thread = self._intake.sender = threading.Thread(
                target=self._sender.run, args=(waker,), name=f"embertrace {self.endpoint}", daemon=True
            )
            try:
                self._thread.start()
            except RecursionError:
                raise
            except RuntimeError:
                self._thread = self._waker = None
                waker.close()
                raise
        self.put = self._intake.put

    def _wake(self) -> None:
        self._intake.asleep = False
        if self._waker is not None:
            self._waker.wake()
