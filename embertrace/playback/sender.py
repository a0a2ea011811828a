"""Many recorded producers to one aggregator, over the protocol that emitters speak. One thread, the caller's.

Rules: one DEALER for all; a PUSH socket per producer, as its state machine asks for it. What is held is bounded by
WINDOW_BYTES over all streams. Silence ends in one clear error, never in a hang.
"""

from __future__ import annotations

import time
from types import TracebackType

import zmq

from embertrace.config import check_endpoint
from embertrace.emit.producer import Action, Connect, Producer, Push, Report, Say
from embertrace.emit.sockets import send_now
from embertrace.errors import AggregatorError, WireError
from embertrace.handshake import secure_client
from embertrace.keys import ClientKey
from embertrace.playback.stream import Stream
from embertrace.wire.clock import Offset
from embertrace.wire.control import Alive, Refuse, pack_control, unpack_control
from embertrace.wire.event import split_events

WINDOW_BYTES = 4 * 1024 * 1024
"""Unacknowledged bytes over all streams: keeps the aggregator busy, and a recording of any size out of memory."""
FIRST_ANSWER_S = 5.0
SILENCE_S = 15.0
"""Without progress for so long, a replay gives up: a restarted aggregator is back well before."""
POLL_MS = 20


class Sender:
    """Sends records of any number of producers. A context manager; not thread-safe."""

    def __init__(self, endpoint: str, key: ClientKey | None = None) -> None:
        self.endpoint = endpoint
        self._key = key
        self._host, _ = check_endpoint(endpoint)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dealer = self._open(zmq.DEALER, endpoint)
        self._pushes: dict[bytes, zmq.Socket[bytes]] = {}
        self._machines: dict[bytes, Producer] = {}
        self._streams: dict[bytes, Stream] = {}
        self._there: dict[bytes, int] = {}
        self._offsets: dict[bytes, list[Offset]] = {}
        """Told of producers that did not begin yet."""
        self._whereabouts: dict[bytes, tuple[str, int]] = {}
        self._progress_at = time.monotonic()

    def introduce(self, producer: bytes, whereabouts: tuple[str, int]) -> None:
        """Where a producer whose events will follow was running."""
        self._whereabouts.setdefault(producer, whereabouts)

    def tell_offset(self, producer: bytes, offset: Offset) -> None:
        """How far a producer's clock was from that of who recorded it."""
        if producer in self._machines:
            self._perform(producer, [Say(Alive(producer, offset=offset))])
        else:
            self._offsets.setdefault(producer, []).append(offset)

    def send(self, producer: bytes, first_seq: int, count: int, payload: bytes | None, reason: str = "") -> int:
        """Hand over a batch (or a gap: None, and why). Returns how many of its events the aggregator has already.

        Waits where too much is on its way. Raises AggregatorError.
        """
        there = self._there[producer] if producer in self._machines else self._begin(producer, first_seq)
        known = min(max(there - first_seq + 1, 0), count)
        if known and payload is not None:
            payload = b"".join(split_events(payload, count)[known:])
        if known < count:
            self._streams[producer].append(first_seq + known, count - known, payload, reason)
        self.pump(0)
        while sum(stream.held_bytes for stream in self._streams.values()) > WINDOW_BYTES:
            self.pump(POLL_MS)
        return known

    def end(self, producer: bytes) -> None:
        """Wait until all of a producer's events are acknowledged, and say that its stream is complete."""
        machine = self._machines.get(producer)
        if machine is None:
            return
        machine.end()
        while not machine.is_settled:
            self.pump(POLL_MS)

    def finish(self) -> None:
        """Wait until everything is acknowledged. Raises AggregatorError."""
        while not all(machine.is_settled for machine in self._machines.values()):
            self.pump(POLL_MS)

    def pump(self, wait_ms: int) -> None:
        """Let every stream do what is due, and hear what comes within `wait_ms`."""
        now = time.monotonic()
        unsettled = [(producer, machine) for producer, machine in self._machines.items() if not machine.is_settled]
        for producer, machine in unsettled:
            self._perform(producer, machine.tick(now, hurry=True))
        if not unsettled:
            self._progress_at = now
        if self._dealer.poll(wait_ms):
            self._hear(self._dealer.recv())
        elif now - self._progress_at > SILENCE_S:
            raise AggregatorError(f"the aggregator at {self.endpoint} stopped answering; replay again to go on")

    def _begin(self, producer: bytes, first_seq: int) -> int:
        """Say hello for a producer, and wait for its mark."""
        stream = self._streams[producer] = Stream(first_seq)
        machine = self._machines[producer] = Producer(
            producer, stream, time.monotonic(), "replay", 0, self._whereabouts.get(producer, ("", 0))
        )
        deadline = time.monotonic() + FIRST_ANSWER_S
        while machine.welcomed is None:
            self._perform(producer, machine.tick(time.monotonic()))
            if self._dealer.poll(POLL_MS):
                self._hear(self._dealer.recv())
            elif time.monotonic() > deadline:
                raise AggregatorError(
                    f"no aggregator answered at {self.endpoint} within {FIRST_ANSWER_S:.0f} s: "
                    "is it running? Start one with `embertrace aggregate DIRECTORY`"
                )
        for offset in self._offsets.pop(producer, ()):
            self.tell_offset(producer, offset)
        self._there[producer] = machine.welcomed.mark
        stream.next = max(stream.next, machine.welcomed.mark + 1)
        return machine.welcomed.mark

    def _hear(self, packed: bytes) -> None:
        try:
            message = unpack_control(packed)
        except WireError as error:
            raise AggregatorError(f"{self.endpoint} answered, but is no aggregator: {error}") from None
        if isinstance(message, Refuse):
            raise AggregatorError(f"the aggregator at {self.endpoint} refused the replay: {message.reason}")
        producer = getattr(message, "producer", None)
        machine = self._machines.get(producer) if producer is not None else None
        if machine is not None and producer is not None:
            before = (machine.mark, machine.ended)
            self._perform(producer, machine.receive(message, time.monotonic()))
            if (machine.mark, machine.ended) != before:
                self._progress_at = time.monotonic()

    def _perform(self, producer: bytes, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Push):
                send_now(self._pushes[producer], action.message)
            elif isinstance(action, Say):
                send_now(self._dealer, pack_control(action.message))
            elif isinstance(action, Connect):
                self._close_push(producer)
                self._pushes[producer] = self._open(zmq.PUSH, f"tcp://{action.host or self._host}:{action.port}")
            elif isinstance(action, Report):
                raise AggregatorError(f"the aggregator at {self.endpoint} {action.text}")

    def _open(self, kind: int, address: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.sndhwm = 0  # bounded by the windows above
        secure_client(socket, self._key)
        socket.connect(address)
        return socket

    def _close_push(self, producer: bytes) -> None:
        old = self._pushes.pop(producer, None)
        if old is not None:
            old.close(linger=0)

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for producer in list(self._pushes):
            self._close_push(producer)
        self._dealer.close(linger=0)
        self._context.term()
