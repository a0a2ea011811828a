"""The emitter: events of this process to one aggregator. The shell around Spool and Producer.

Rules:
- `put` writes into the spool and returns (see intake): no socket is touched, and no file but now and then a new extent.
- One daemon thread owns the sockets and the state machine; it allocates extents ahead and frees them. It sleeps until
  there is something to send, to hear, or to repeat.
- Sockets never outlive their use: LINGER is 0, and what a dead socket may have lost, the protocol repeats.
- A forked child has its own producer: an emitter inherited by fork hands its events to the child's (see `emit`).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import zmq

from embertrace.config import check_endpoint
from embertrace.emit.adopter import Adopter
from embertrace.emit.files import Files
from embertrace.emit.intake import Intake
from embertrace.emit.producer import BATCH_S, Action, Connect, Producer, Push, Report, Say
from embertrace.emit.spool import Spool
from embertrace.emit.spool_directory import Meta
from embertrace.emit.stats import EmitterStats
from embertrace.emit.storage import Memory, Store
from embertrace.emit.waker import Waker
from embertrace.errors import WireError
from embertrace.wire.control import MAX_CONTROL_BYTES, Welcome, pack_control, unpack_control

log = logging.getLogger("embertrace")

JOIN_S = 0.2
"""The thread gets at least so long to let go of its sockets: it takes milliseconds."""
RECONNECT_MS, RECONNECT_MAX_MS = 100, 1000
CONTROL_HWM = 4
"""Hellos that pile up while nobody listens say all the same."""


class Emitter:
    """Sends packed events to the aggregator at `endpoint`. Thread-safe; made by `emit.emitter_for`."""

    def __init__(
        self,
        endpoint: str,
        *,
        spool_bytes: int,
        linger_s: float,
        library: str = "",
        directory: Path | None = None,
        node_bytes: int = 1 << 30,
        block_s: float = 0.0,
    ) -> None:
        """Undelivered events lie below `directory`, or in memory where that is None."""
        self.host, _ = check_endpoint(endpoint)
        self.endpoint = endpoint
        self.linger_s = linger_s
        self.producer = secrets.token_bytes(16)
        self._directory = directory
        self._store: Store = Memory(spool_bytes)
        if directory is not None:
            self._store = Files(directory, self.producer, Meta(endpoint), spool_bytes, node_bytes)
        self._spool = Spool(self._store, self.producer)
        self._machine = Producer(self.producer, self._spool, time.monotonic(), library)
        self._progress = threading.Condition()
        self._intake = Intake(self._spool, self._wake, self._progress, block_s)
        self._lock = threading.RLock()
        self._started = False
        self._hurry = False
        self._stop = False
        self._ending = False
        self._thread: threading.Thread | None = None
        self._kept: Path | None = None
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
        return self._stop

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was put before is acknowledged; whether it was within `timeout_s` seconds."""
        if not self._started:
            return True
        wanted = self._spool.next - 1
        self._hurry = True
        self._wake()
        with self._progress:
            self._progress.wait_for(lambda: self._machine.mark >= wanted or self._stop, timeout_s)
        return self._machine.mark >= wanted

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, tell the aggregator that the stream is complete, and stop; within `timeout_s` (default the linger).

        Returns whether everything was acknowledged; what was not is counted in a warning. May be called twice.
        """
        deadline = time.monotonic() + (self.linger_s if timeout_s is None else timeout_s)
        thread = self._thread
        if thread is None or self._stop:
            return True
        delivered = self.flush(max(0.0, deadline - time.monotonic()))
        if delivered:
            self._ending = True
            self._wake()
            with self._progress:
                self._progress.wait_for(lambda: self._machine.ended, max(0.0, deadline - time.monotonic()))
        self._stop = True
        self._wake()
        thread.join(max(JOIN_S, deadline - time.monotonic()))
        if not delivered:
            left = self._spool.next - 1 - self._machine.mark
            fate = "are lost with this process" if self._kept is None else f"stay in {self._kept} until they can be"
            log.warning("%d events were not delivered to %s and %s", left, self.endpoint, fate)
        return delivered

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
        self._thread = None
        self._started = False

    def _first_put(self, packed: bytes) -> None:
        self._intake.put(packed)
        with self._lock:
            if self._started or self._stop:
                return
            self._started = True
        self._start()  # without the lock: it waits for the thread, and a finaliser may run and emit there

    def _start(self) -> None:
        waker = self._waker = Waker()
        self._thread = self._intake.sender = threading.Thread(
            target=self._run, args=(waker,), name=f"embertrace {self.endpoint}", daemon=True
        )
        self._thread.start()
        self.put = self._intake.put

    def _wake(self) -> None:
        self._intake.asleep = False
        if self._waker is not None:
            self._waker.wake()

    # The sender thread.

    def _run(self, waker: Waker) -> None:
        context = zmq.Context()
        sender = _Sender(self, context, waker)
        try:
            sender.loop()
        except Exception:  # the thread must not die in silence; operators go on, events are held and then dropped
            log.exception("the sender of events to %s stopped", self.endpoint)
        finally:
            self._intake.shut()
            self._kept = self._store.close(delivered=not self._machine.owes)
            sender.close()
            context.term()
            waker.close()
            with self._progress:
                self._stop = True
                self._progress.notify_all()


class _Sender:
    """The sender thread's own: sockets, and the loop around the producer's state machine."""

    def __init__(self, emitter: Emitter, context: zmq.Context[zmq.Socket[bytes]], waker: Waker) -> None:
        self.emitter = emitter
        self.waker = waker
        self.context = context
        self.dealer = self._socket(zmq.DEALER, emitter.endpoint, CONTROL_HWM)
        self.push: zmq.Socket[bytes] | None = None
        self.poller = zmq.Poller()
        self.poller.register(self.dealer, zmq.POLLIN)
        self.poller.register(waker.fileno(), zmq.POLLIN)
        self.adopter: Adopter | None = None
        if emitter._directory is not None:
            self.adopter = Adopter(emitter._directory, emitter.endpoint, None, self._socket, self.poller)

    def loop(self) -> None:
        emitter, machine = self.emitter, self.emitter._machine
        said_end = False
        while not emitter._stop:
            seen = self._tick()
            if emitter._ending and not said_end and not machine.owes:
                said_end = True
                self._perform(machine.end())
            self._sleep(seen)
            self._hear()

    def close(self) -> None:
        if self.adopter is not None:
            self.adopter.close()
        self.dealer.close(linger=0)
        if self.push is not None:
            self.push.close(linger=0)

    def _tick(self) -> int:
        """Send what is due; the first seq that was not looked at."""
        emitter, machine = self.emitter, self.emitter._machine
        emitter._spool.prepare()
        hurry, emitter._hurry = emitter._hurry, False
        seen = emitter._spool.next
        self._perform(machine.tick(time.monotonic(), hurry))
        if self.adopter is not None:
            self.adopter.step(time.monotonic(), machine.recording if machine.welcomed else None)
        return seen

    def _sleep(self, seen: int) -> None:
        """Until something happens or is due. Who puts an event wakes a sleeper, but nobody who only gathers a batch."""
        intake, machine = self.emitter._intake, self.emitter._machine
        wait = machine.wait_s(time.monotonic())
        if self.adopter is not None and machine.welcomed is not None:
            look = self.adopter.wait_s(time.monotonic())
            wait = look if wait is None else min(wait, look)
        intake.asleep = machine.may_send and (wait is None or wait > BATCH_S)
        if self.emitter._spool.next != seen:  # it came between sending and falling asleep
            wait = BATCH_S if wait is None else min(wait, BATCH_S)
        self.poller.poll(None if wait is None else int(wait * 1000) + 1)
        intake.asleep = False
        self.waker.clear()

    def _hear(self) -> None:
        emitter = self.emitter
        heard = False
        while (packed := self._receive()) is not None:
            try:
                message = unpack_control(packed)
            except WireError as error:
                log.warning("%s sent what is no embertrace control message: %s", emitter.endpoint, error)
                continue
            heard = True
            self._perform(emitter._machine.receive(message, time.monotonic()))
            if isinstance(message, Welcome) and emitter._machine.recording == message.recording:
                emitter._store.note_recording(message.recording)
        if heard:
            with emitter._progress:
                emitter._progress.notify_all()

    def _receive(self) -> bytes | None:
        try:
            return self.dealer.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Push):
                self._send(self.push, action.message)
            elif isinstance(action, Say):
                self._send(self.dealer, pack_control(action.message))
            elif isinstance(action, Connect):
                self._connect(action)
            elif isinstance(action, Report):
                log.warning("the aggregator at %s %s", self.emitter.endpoint, action.text)

    def _send(self, to: zmq.Socket[bytes] | None, message: bytes) -> None:
        if to is None:
            return
        try:
            to.send(message, zmq.NOBLOCK)
        except zmq.Again:  # full: the protocol repeats what is not acknowledged
            pass

    def _connect(self, action: Connect) -> None:
        if self.push is not None:
            self.push.close(linger=0)
        self.push = self._socket(zmq.PUSH, f"tcp://{action.host or self.emitter.host}:{action.port}", 0)

    def _socket(self, kind: int, address: str, high_water_mark: int) -> zmq.Socket[bytes]:
        """A connecting socket. The window bounds what a PUSH socket holds, so its own mark is unlimited (0)."""
        made = self.context.socket(kind)
        made.linger = 0
        made.sndhwm = high_water_mark
        made.reconnect_ivl = RECONNECT_MS
        made.reconnect_ivl_max = RECONNECT_MAX_MS
        made.maxmsgsize = MAX_CONTROL_BYTES if kind == zmq.DEALER else -1
        made.connect(address)
        return made
