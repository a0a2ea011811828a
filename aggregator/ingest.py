"""The ingest process: PULL and ROUTER → collector → recording → answers. One thread, one loop.

Rules:
- It receives in bounded drains, after a lull a moment late, then makes everything durable with one sync (group
  commit), then answers. Nothing is acknowledged before that sync returned.
- It decodes no event. What is framed and passes its checksums is recorded, whatever the events hold.
- What retention lets go goes when a segment was sealed, and once a minute. A removal that fails costs nothing but
  space: it is said once and tried again.
- Without space to write, nothing is acknowledged and no batch is taken in: producers keep what they hold. That is said
  once, and tried again each second; questions are answered all the while.
- A sync that fails otherwise ends the process: what was acknowledged is safe, and nothing more may be.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Mapping

import zmq

from aggregator.collector import Collector, Entry, Ground, Reply
from aggregator.handing import Handed
from embertrace.errors import NoSpaceError, RecordingError, WireError
from embertrace.handshake import secure_server
from embertrace.keys import ServerKey
from embertrace.recording import RecordingWriter, Retention
from embertrace.wire.batch import HEADER_BYTES, MAX_BATCH_BYTES, unpack_batch
from embertrace.wire.control import MAX_CONTROL_BYTES, Ack, Control, State, Welcome, pack_control, unpack_control

log = logging.getLogger("aggregator")

DRAIN_MESSAGES = 1024
LULL_S, NAP_S = 0.02, 0.005
"""Who waited so long for a batch waits a moment for others: producers of one machine send at the same times, a few
milliseconds apart (see emit.producer), and a sync takes about as much CPU as all else that is done for a batch."""
DRAIN_BYTES = 16 * 1024 * 1024
"""One drain, one sync: large enough that the sync does not limit, small enough that answers come soon."""
PULL_HWM = 4
"""Messages of up to 1 MiB that ZeroMQ holds of each connection. An honest producer has 1 MiB under way in all, and
what is not taken yet waits in the kernel just as well; a stranger's flood must not wait in this process's memory."""
TICK_S = 1.0
"""How often the collector looks who fell silent: its patience is tens of seconds."""
RETAIN_S = 60.0
"""How often retention looks what has grown too old when no segment is sealed."""
TRY_AGAIN_S = 1.0
"""How often a full disk is tried again."""
KEEPALIVE_S = 60
"""A connection on which nothing comes for so long is probed. By TCP, not by ZeroMQ's heartbeats: those can abort the
process (an assertion in its engine) where one end was stopped for a while."""
NOWHERE = b"\0"
"""A return address that nobody has: the analyst sees what is durable for itself."""
POLL_MS = 500
"""How often an idle loop looks whether it should stop."""


class Doors:
    """The two sockets that producers talk to, bound. `control_port` and `push_port` say where."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        host: str,
        control_port: int,
        push_port: int,
        key: ServerKey | None = None,
    ) -> None:
        self.control = context.socket(zmq.ROUTER)
        self.push = context.socket(zmq.PULL)
        for socket in (self.control, self.push):
            socket.linger = 0
            secure_server(socket, key)
        self.control.maxmsgsize = MAX_CONTROL_BYTES
        self.push.maxmsgsize = HEADER_BYTES + MAX_BATCH_BYTES
        self.push.rcvhwm = PULL_HWM
        self.control_port = bind(self.control, host, control_port)
        self.push_port = bind(self.push, host, push_port)

    def close(self) -> None:
        self.control.close()
        self.push.close()


def bind(socket: zmq.Socket[bytes], host: str, port: int) -> int:
    """Bind to a port, 0 for any; returns it. Raises zmq.ZMQError.

    Connections of hosts that vanished are given up; TCP itself would keep them for hours.
    """
    socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, KEEPALIVE_S
    socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = KEEPALIVE_S // 6, 3
    if port == 0:
        return int(socket.bind_to_random_port(f"tcp://{host}"))
    socket.bind(f"tcp://{host}:{port}")
    return port


def _stamped(message: Control) -> Control:
    """As it is to be sent: an answer to a producer says when that was."""
    return dataclasses.replace(message, sent_ns=time.time_ns()) if isinstance(message, Welcome | Ack) else message


class Ingest:
    """The loop. `step` is one round: wait, drain, sync, answer."""

    def __init__(
        self,
        doors: Doors,
        collector: Collector,
        writer: RecordingWriter,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.monotonic,
        handed: Handed | None = None,
        beside: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """`handed` is what comes from the analyst, beside the doors; `beside` what others count, for the state."""
        self.doors = doors
        self.collector = collector
        self.writer = writer
        self._retention = retention
        self._beside = beside
        self._space_tried_at: float | None = None
        """When there was no space to write; None while there is."""
        self._retain_at = clock()
        self._retained_base = writer.base
        self._retaining_failed = False
        self._clock = clock
        self._tick_at = clock()
        self._poller = zmq.Poller()
        self._poller.register(doors.control, zmq.POLLIN)
        self._poller.register(doors.push, zmq.POLLIN)
        self._handed = handed
        if handed is not None:
            self._poller.register(handed.wanted, zmq.POLLIN)

    def run(self, stop: Callable[[], bool]) -> None:
        """Until `stop()`; then what has arrived by then is drained. Raises RecordingError if the disk fails."""
        while not stop():
            self.step(POLL_MS)
        while self.step(0):
            pass

    def step(self, wait_ms: int) -> bool:
        """One round; whether anything came."""
        came = self._round(wait_ms)
        self._retain()
        return came

    def _round(self, wait_ms: int) -> bool:
        if self._space_tried_at is not None:
            return self._round_without_space(wait_ms)
        waited_since = self._clock()
        ready = dict(self._poller.poll(wait_ms))
        if not ready:
            if self._tick():
                self._commit()
            return False
        if self.doors.control in ready:
            self._drain_control()
        if self.doors.push in ready:
            if self._clock() - waited_since >= LULL_S:
                time.sleep(NAP_S)
            self._drain_push()
        if self._handed is not None and self._handed.wanted in ready:
            self._drain_handed(self._handed)
        self._tick()  # after what has come: it speaks for those who sent it
        self._commit()
        self._answer_inspectors()
        return True

    def _answer_inspectors(self) -> None:
        """Tell all who asked meanwhile the same state: it is worked out once, however many they are."""
        inspectors = self.collector.inspectors()
        if inspectors:
            state = self.state()
            for address in inspectors:
                self._answer(Reply(address, state))

    def state(self) -> State:
        """How it fares, as who inspects it is told."""
        state = self.collector.state(self._ground())
        return dataclasses.replace(state, counters={**state.counters, **self._beside()})

    def _ground(self) -> Ground:
        try:
            disk = os.statvfs(self.writer.directory)
            free_bytes = disk.f_bavail * disk.f_frsize
        except OSError:  # it may be gone; the next sync will say so
            free_bytes = None
        return Ground(time.time_ns(), self.writer.received_ns, self.writer.synced, free_bytes)

    def _round_without_space(self, wait_ms: int) -> bool:
        """Take in no batch, answer what needs no space, and see whether there is space again."""
        if self.doors.control.poll(min(wait_ms, int(TRY_AGAIN_S * 1000))):
            self._drain_control()
            for reply in self.collector.due_at_once():
                self._answer(reply)
            self._answer_inspectors()
        assert self._space_tried_at is not None
        if self._clock() - self._space_tried_at >= TRY_AGAIN_S:
            self._commit()
        return False

    def _commit(self) -> None:
        """Make durable what was decided, then say so to whom it concerns."""
        try:
            self.writer.sync()
        except NoSpaceError as error:
            if self._space_tried_at is None:
                log.error("%s; nothing is acknowledged until there is, and producers keep their events", error)
            self._space_tried_at = self._clock()
            return
        if self._space_tried_at is not None:
            self._space_tried_at = None
            log.warning("there is space again in %s: recording goes on", self.writer.directory)
        for reply in self.collector.due():
            self._answer(reply)

    def _retain(self) -> None:
        """Once a segment was sealed, and now and then: remove what need not be kept."""
        if self._retention is None:
            return
        now = self._clock()
        if self.writer.base == self._retained_base and now < self._retain_at:
            return
        self._retained_base, self._retain_at = self.writer.base, now + RETAIN_S
        try:
            removed = self._retention.enforce()
        except (OSError, RecordingError) as error:
            if not self._retaining_failed:
                log.warning("old segments can't be removed: %s; this is tried again", error)
            self._retaining_failed = True
            return
        self._retaining_failed = False
        if removed:
            log.info("%d old segments were removed, as --keep-bytes and --keep-days say", removed)

    def _tick(self) -> bool:
        """Tell the collector the time; whether that gave something to record."""
        now = self._clock()
        if now < self._tick_at:
            return False
        self._tick_at = now + TICK_S
        entries = self.collector.tick(now)
        for entry in entries:
            self._append(entry)
        return bool(entries)

    def _drain_push(self) -> None:
        taken = 0
        for _ in range(DRAIN_MESSAGES):
            try:
                message = self.doors.push.recv(zmq.NOBLOCK, copy=False).buffer
            except zmq.Again:
                return
            try:
                entries = self.collector.on_batch(unpack_batch(message))
            except WireError as error:
                self._report(error)
                continue
            for entry in entries:
                self._append(entry)
            taken += len(message)
            if taken >= DRAIN_BYTES:
                return

    def _drain_control(self) -> None:
        for _ in range(DRAIN_MESSAGES):
            try:
                address, *frames = self.doors.control.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = unpack_control(frames[0] if len(frames) == 1 else b"")
            except WireError as error:
                self._report(error)
                continue
            for entry in self.collector.on_control(address, message, time.time_ns()):
                self._append(entry)

    def _drain_handed(self, handed: Handed) -> None:
        for batch in handed.take():
            hello, end = handed.life_around(batch)
            now = time.time_ns()
            for entry in self.collector.on_control(NOWHERE, hello, now):
                self._append(entry)
            for entry in self.collector.on_batch(batch):
                self._append(entry)
            for entry in self.collector.on_control(NOWHERE, end, now):
                self._append(entry)

    def _append(self, entry: Entry) -> None:
        self.writer.append(entry.kind, entry.producer, entry.first_seq, entry.count, entry.payload, entry.payload_crc)

    def _answer(self, reply: Reply) -> None:
        try:
            self.doors.control.send_multipart([reply.address, pack_control(_stamped(reply.message))], zmq.NOBLOCK)
        except zmq.ZMQError:  # gone, or not listening: it will say hello again
            pass

    def _report(self, error: WireError) -> None:
        self.collector.on_malformed()
        if self.collector.counters.malformed == 1:  # once; the count is in the state, and a flood must not fill a log
            log.warning("a message was dropped: %s; further ones are only counted", error)
