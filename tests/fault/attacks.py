"""What strangers may send to an aggregator's doors: broken batches, control messages, questions, and bare TCP.

`Attacker.send` makes one move, chosen by its Random; the same seed makes the same moves. Nothing is waited for longer
than moments: a door that does not take more is left for another.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import zlib
from collections import Counter, deque
from collections.abc import Callable
from random import Random

import zmq

from embertrace import payload
from embertrace.wire.batch import BATCH, GAP, MAGIC, MAX_BATCH_BYTES, MAX_SEQ, pack_batch, pack_gap
from embertrace.wire.context import Added, pack_context
from embertrace.wire.control import (
    MAX_CONTROL_BYTES,
    Ack,
    Alive,
    End,
    Hello,
    Locate,
    Refuse,
    Welcome,
    pack_control,
    unpack_control,
)
from embertrace.wire.event import pack_event
from embertrace.wire.rpc import MAX_REQUEST_BYTES, Request, pack_request
from support.mutations import NUMBERS, STRANGE, mutate, twist

MOST_OPEN = 60
"""Bare connections that are left open at a time."""
PATIENCE_MS = 100
HOST = "127.0.0.1"
CONTEXT = pack_context(Added((), "poison", payload.pack({"key": 1, "truth": "a"}), payload.pack({"who": "nobody"})))
DATA = payload.pack({"args": ["question"], "result": {"answer": 1}})
EVENT = (0, 10**18, b"t" * 16, 7, 0, 0, 0, 0, "poison", "member", "stage", None, 0, 0, None, CONTEXT, DATA)
QUESTIONS = [
    Request(1, "query", {"verb": "runs", "filters": [["stage", "a"]], "options": {"pool": True}}),
    Request(2, "progress", {"run": "poison"}), Request(3, "events", {"start": 2**62, "since_ns": 1}),
    Request(4, "ping", {}), Request(5, "info", {}), Request(6, "query", {"verb": "health", "options": {"pool": True}}),
]  # fmt: skip
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)
HEADER = struct.Struct("<4sBBH16sQQII")


def ready(kind: bytes) -> bytes:
    """The command that ends a ZMTP handshake without security."""
    properties = b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    return b"\x04" + bytes([6 + len(properties)]) + b"\x05READY" + properties


BARE: tuple[Callable[[Random], bytes], ...] = (
    lambda random: b"",
    lambda random: random.randbytes(random.randrange(1, 4000)),
    lambda random: b"GET /v1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n",
    lambda random: GREETING[: random.randrange(1, 64)],
    lambda random: GREETING + random.randbytes(300),
    lambda random: b"\x01\x00" + random.randbytes(500),  # ZMTP 1.0: no greeting, lengths and frames
    lambda random: GREETING + ready(random.choice((b"PUB", b"", b"x" * 200, b"ROUTER"))),
    lambda random: _open(random) + b"\x02" + struct.pack(">Q", random.choice(NUMBERS) & (2**64 - 1)) + b"x" * 100,
    lambda random: _open(random) + b"\x01\x10" * 40 + b"a",
    lambda random: _open(random) + (b"\x01\x08" + b"x" * 8) * 2000,  # parts of one message that never ends
    lambda random: _open(random) + b"\x04\x20\x04PING" + bytes(27) + b"\x04\x05\x04NOPE" + random.randbytes(50),
    lambda random: _open(random) + b"".join(b"\x00" + bytes([len(x)]) + x for x in STRANGE if len(x) < 255),
)


def _open(random: Random) -> bytes:
    return GREETING + ready(random.choice((b"DEALER", b"PUSH")))


class Attacker:
    """A stranger at three ports. `sent` counts its moves by door. Not thread-safe."""

    def __init__(self, random: Random, control: int, push: int, rpc: int) -> None:
        self.sent: Counter[str] = Counter()
        self._random = random
        self._ports = {"control": control, "events": push, "questions": rpc}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets = {
            "control": self._dial(zmq.DEALER, control),
            "events": self._dial(zmq.PUSH, push),
            "questions": self._dial(zmq.DEALER, rpc),
        }
        self._greeter = self._dial(zmq.DEALER, control)
        self._bare: deque[socket.socket] = deque()
        self._producers: dict[bytes, int] = {}

    def send(self) -> None:
        """One move."""
        door = self._random.choices(("events", "control", "questions", "bare", "oversized"), (50, 35, 10, 4, 1))[0]
        if door == "bare":
            self._knock()
        elif door == "oversized":
            self._oversized()
        else:
            make = {"events": self._batch, "control": self._control, "questions": self._question}[door]
            if not self._hand_over(door, [make()]):
                door += " not taken"
        self.sent[door] += 1

    def crowd(self, number: int) -> None:
        """Many connections at once, which say nothing and go."""
        found = [socket.create_connection((HOST, port)) for port in self._ports.values() for _ in range(number // 3)]
        for connection in found:
            connection.close()
        self.sent["crowd"] += len(found)

    def flood(self, megabytes: int) -> None:
        """Batches as large as can be, whose one event is a million empty arrays: each from a producer of its own."""
        inner = b"\xdc\x04\x00" + b"\x90" * 1021
        body = (b"\xdc\x04\x00" + inner * 1024)[:MAX_BATCH_BYTES]
        for _ in range(megabytes):
            producer = self._random.randbytes(16)
            self._greet(producer)
            batch = pack_batch(BATCH, producer, 1, 1, body)
            self.sent["flood" if self._hand_over("events", [batch]) else "flood not taken"] += 1

    def close(self) -> None:
        """Let go of everything. What was handed over gets a moment to leave."""
        while self._bare:
            self._bare.popleft().close()
        for each in (self._greeter, *self._sockets.values()):
            each.close(linger=2000)
        self._context.term()

    def _dial(self, kind: int, port: int) -> zmq.Socket[bytes]:
        found = self._context.socket(kind)
        found.reconnect_ivl = 1  # an oversized message costs the connection
        found.sndtimeo = PATIENCE_MS
        found.connect(f"tcp://{HOST}:{port}")
        return found

    def _hand_over(self, door: str, frames: list[bytes]) -> bool:
        """Send; now and then in several parts; never waiting long, and reading answers only now and then.

        Whether it was taken.
        """
        to = self._sockets[door]
        if self._random.random() < 0.03:
            frames = [*frames, b"", self._random.choice(STRANGE)]
        try:
            to.send_multipart(frames)
        except zmq.Again:
            return False
        if door != "events" and self._random.random() < 0.5:
            while to.poll(0):
                to.recv_multipart()
        return True

    def _batch(self) -> bytes:
        """Framed as it should be with poison in it; or with a header that lies; or broken."""
        random = self._random
        how = random.random()
        events = [mutate(random, pack_event(EVENT)) if random.random() < 0.8 else pack_event(EVENT) for _ in range(3)]
        body = b"".join(events)[:MAX_BATCH_BYTES]
        producer = random.randbytes(16)
        if self._producers and random.random() < 0.7:
            producer = random.choice(list(self._producers)[-200:])
        elif how < 0.55 and random.random() < 0.8:  # without a hello nothing more of it is looked at
            self._greet(producer)
        first = min(self._producers.get(producer, 0) + 1, MAX_SEQ)
        if how < 0.5:
            self._producers[producer] = first + 2
            return pack_batch(BATCH, producer, first, 3, body)
        if how < 0.55:
            gap = random.choice((1, 5, MAX_SEQ - first + 1))
            self._producers[producer] = first + gap - 1
            return pack_gap(producer, first, gap, "poison")
        if how < 0.75:
            return self._lying(producer, body)
        return mutate(random, pack_batch(random.choice((BATCH, GAP)), producer, first, 3, body))

    def _greet(self, producer: bytes) -> None:
        """Say hello for a producer, and wait for the welcome."""
        with contextlib.suppress(zmq.Again):
            self._greeter.send(pack_control(Hello(producer, 1, 1, heartbeat_s=60)))
            while self._greeter.poll(PATIENCE_MS):
                if getattr(unpack_control(self._greeter.recv()), "producer", None) == producer:
                    return

    def _lying(self, producer: bytes, body: bytes) -> bytes:
        """A batch whose checksums hold and whose header says anything."""
        first, count = (self._random.choice(NUMBERS) & (2**64 - 1) for _ in range(2))
        fields = (self._random.choice((1, 1, 0, 2, 255)), self._random.choice((1, 2, 0, 7)), 0, producer, first, count)
        head = HEADER.pack(MAGIC, *fields, zlib.crc32(body), 0)[:-4]
        return head + zlib.crc32(head).to_bytes(4, "little") + body

    def _control(self) -> bytes:
        random = self._random
        producer = random.choice((b"p" * 16, random.randbytes(16), *list(self._producers)[-1:]))
        seqs = [random.choice((1, 2, 9, MAX_SEQ, MAX_SEQ + 1, 2**64 - 1)) for _ in range(2)]
        message = random.choice((
            Hello(producer, min(seqs), max(seqs), None, "host", 1, "0.1", random.choice((0, 1, 2**64 - 1))),
            Alive(producer), End(producer, seqs[0]), Locate(), Ack(producer, seqs[0]), Refuse("no"),
            Welcome("rec", "name", 1, 2, 3),
        ))  # fmt: skip
        packed = pack_control(message)
        return packed if random.random() < 0.3 else mutate(random, packed)

    def _question(self) -> bytes:
        question = pack_request(self._random.choice(QUESTIONS))
        return (mutate if self._random.random() < 0.5 else twist)(self._random, question)

    def _knock(self) -> None:
        """A bare connection that says something of its own, and stays, half open, or goes."""
        connection = socket.create_connection((HOST, self._random.choice(list(self._ports.values()))))
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # it may be thrown out in the middle
            connection.send(self._random.choice(BARE)(self._random))
        if self._random.random() < 0.3:
            connection.close()
            return
        self._bare.append(connection)
        if len(self._bare) > MOST_OPEN:
            self._bare.popleft().close()

    def _oversized(self) -> None:
        """Above the door's limit by a byte or a lot, from a connection of its own: it will be cut."""
        door = self._random.choice(list(self._ports))
        limit = {"control": MAX_CONTROL_BYTES, "events": MAX_BATCH_BYTES + 48, "questions": MAX_REQUEST_BYTES}[door]
        sender = self._dial(zmq.PUSH if door == "events" else zmq.DEALER, self._ports[door])
        with contextlib.suppress(zmq.Again):
            sender.send(bytes(limit + self._random.choice((1, 1024, limit))))
        sender.close(linger=PATIENCE_MS)
