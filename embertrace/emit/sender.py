"""The sender: the one thread that owns an emitter's sockets, and does what the producer's state machine says.

Rules:
- It sleeps until there is something to send, to hear, or to repeat; while it gathers a small batch and nobody waits
  for anything, what there is to hear can wait. It allocates extents ahead, and frees them.
- What a dead socket may have lost, the protocol repeats; a handshake that the other side refuses is said once.
- Others talk to it by three flags (`hurry`, `ending`, `stop`) and a wake, and hear of it through `progress`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import zmq

from embertrace.config import check_endpoint
from embertrace.emit.actions import Redial
from embertrace.emit.adopter import Adopter
from embertrace.emit.clock import Clock
from embertrace.emit.intake import Intake
from embertrace.emit.producer import BATCH_S, Action, Connect, Producer, Push, Report, Say
from embertrace.emit.sockets import Socket, Sockets, receive_now, send_now
from embertrace.emit.spool import Spool
from embertrace.emit.storage import Store
from embertrace.emit.waker import Waker
from embertrace.errors import WireError
from embertrace.handshake import Watch
from embertrace.keys import ClientKey
from embertrace.wire.control import Welcome, pack_control, unpack_control

log = logging.getLogger("embertrace")


class Sender:
    """Sends `spool` to `endpoint`, and what dead processes left in `directory` (None: nobody's). `run` is its thread's.

    `hurry` sends what waits now; `ending` tells the aggregator, once all is acknowledged, that the stream is complete;
    `stop` ends the thread, and is True once it has ended. `kept` is then where undelivered events lie, if anywhere.
    """

    def __init__(
        self,
        endpoint: str,
        key: ClientKey | None,
        machine: Producer,
        spool: Spool,
        store: Store,
        intake: Intake,
        progress: threading.Condition,
        directory: Path | None,
    ) -> None:
        self.hurry = False
        self.ending = False
        self.stop = False
        self.kept: Path | None = None
        self._endpoint = endpoint
        self._host, _ = check_endpoint(endpoint)
        self._key = key
        self._machine = machine
        self._spool = spool
        self._store = store
        self._intake = intake
        self._progress = progress
        self._directory = directory

    def run(self, waker: Waker) -> None:
        """Until `stop`. `waker` is closed at the end."""
        context: zmq.Context[Socket] | None = None
        connection: _Connection | None = None
        adopter: Adopter | None = None
        try:
            context = zmq.Context()
            connection = _Connection(Sockets(context, self._key), self._endpoint, self._host, waker)
            if self._directory is not None:
                adopter = Adopter(self._directory, self._endpoint, connection.sockets, connection.poller)
            self._loop(connection, adopter, waker)
        except Exception:  # the thread must not die in silence; operators go on, events are held and then dropped
            log.exception("the sender of events to %s stopped", self._endpoint)
        finally:
            self._intake.shut(
                f"events for {self._endpoint} were emitted after their emitter had ended, and are dropped"
            )
            self.kept = self._store.close(delivered=not self._machine.owes)
            if adopter is not None:
                adopter.close()
            if connection is not None:
                connection.close()
            if context is not None:
                context.term()
            waker.close()
            with self._progress:
                self.stop = True
                self._progress.notify_all()

    def _loop(self, connection: _Connection, adopter: Adopter | None, waker: Waker) -> None:
        machine = self._machine
        while not self.stop:
            self._intake.prepare()
            hurry, self.hurry = self.hurry, False
            seen = self._spool.frontier
            if self.ending:
                machine.end()
            connection.perform(machine.tick(time.monotonic(), hurry))
            if adopter is not None:
                adopter.step(time.monotonic(), machine.recording if machine.welcomed else None)
            self._sleep(connection, adopter, waker, seen)
            self._hear(connection)

    def _sleep(
        self, connection: _Connection, adopter: Adopter | None, waker: Waker, seen: tuple[int, int, int]
    ) -> None:
        """Until something happens or is due. Who puts an event wakes a sleeper, but nobody who only gathers a batch."""
        machine = self._machine
        wait = machine.wait_s(time.monotonic())
        if adopter is not None and machine.welcomed is not None:
            look = adopter.wait_s(time.monotonic())
            wait = look if wait is None else min(wait, look)
        self._intake.asleep = machine.may_send and (wait is None or wait > BATCH_S)
        if self._spool.frontier != seen:  # it came between sending and falling asleep
            wait = 0.0 if self._intake.asleep else BATCH_S if wait is None else min(wait, BATCH_S)
        if wait is not None and self._may_rest(adopter):
            waker.sleep(wait)
        else:
            connection.wait(wait)
        self._intake.asleep = False

    def _may_rest(self, adopter: Adopter | None) -> bool:
        """Whether nobody waits for an answer: nor for room, and no orphan is on its way."""
        is_adopting = adopter is not None and adopter.is_adopting
        return self._machine.may_rest and self._spool.has_room and not is_adopting

    def _hear(self, connection: _Connection) -> None:
        heard = False
        while (packed := receive_now(connection.dealer)) is not None:
            try:
                message = unpack_control(packed)
            except WireError as error:
                log.warning("%s sent what is no embertrace control message: %s", self._endpoint, error)
                continue
            heard = True
            connection.clock.heard(message)
            connection.perform(self._machine.receive(message, time.monotonic()))
            if isinstance(message, Welcome) and self._machine.recording == message.recording:
                self._store.note_recording(message.recording)
        if heard:
            if not self._machine.owes:
                self._store.note_acknowledged(self._machine.mark)
            with self._progress:
                self._progress.notify_all()


class _Connection:
    """The sockets to one aggregator."""

    def __init__(self, sockets: Sockets, endpoint: str, host: str, waker: Waker) -> None:
        self.sockets = sockets
        self._endpoint = endpoint
        self._host = host
        self._refused: set[str] = set()
        self.clock = Clock()
        self._push: Socket | None = None
        self._waker = waker
        self.poller = zmq.Poller()
        self.poller.register(waker.fileno(), zmq.POLLIN)
        self._dial()

    def perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Push):
                send_now(self._push, action.message)
            elif isinstance(action, Say):
                send_now(self.dealer, pack_control(self.clock.stamp(action.message)))
            elif isinstance(action, Connect):
                self._connect(action)
            elif isinstance(action, Redial):
                self._redial()
            elif isinstance(action, Report):
                log.warning("the aggregator at %s %s", self._endpoint, action.text)

    def wait(self, seconds: float | None) -> None:
        """Until something is heard of anybody; for at most so long, where that is said."""
        ready = {socket for socket, _ in self.poller.poll(None if seconds is None else int(seconds * 1000) + 1)}
        if self._waker.fileno() in ready:
            self._waker.clear()
        if self._watch.socket in ready:
            self._look_at_handshakes()

    def _look_at_handshakes(self) -> None:
        """Say, once, why the other side does not talk to us."""
        reason = self._watch.failure()
        if reason is not None and reason not in self._refused:
            self._refused.add(reason)
            log.warning("the aggregator at %s %s; events are held", self._endpoint, reason)

    def _dial(self) -> None:
        self.dealer = self.sockets.control()
        self._watch = Watch(self.dealer)
        self.poller.register(self.dealer, zmq.POLLIN)
        self.poller.register(self._watch.socket, zmq.POLLIN)
        self.dealer.connect(self._endpoint)

    def _hang_up(self) -> None:
        self.poller.unregister(self.dealer)
        self.poller.unregister(self._watch.socket)
        self._watch.close()
        self.dealer.close(linger=0)

    def _redial(self) -> None:
        self._hang_up()
        self._dial()

    def close(self) -> None:
        self._hang_up()
        if self._push is not None:
            self._push.close(linger=0)

    def _connect(self, action: Connect) -> None:
        if self._push is not None:
            self._push.close(linger=0)
        self._push = self.sockets.push(f"tcp://{action.host or self._host}:{action.port}")
