"""A load of events packed beforehand: batches in files, and a process that sends them as so many producers.

python load.py FILES ENDPOINT RATE SECONDS     (RATE in events a second, 0 for as fast as they are acknowledged)
python load.py FILES ENDPOINT naive            (PUSH at full speed, nobody acknowledges)

Each producer keeps to the protocol: hello, batches of up to 64 KiB, at most 1 MiB of them not acknowledged. A batch is
due when the rate says so, and its acknowledgement is timed from then on, whatever held it up. What it prints: events
acknowledged, seconds from the first batch to the last acknowledgement, the delays of acknowledgements in seconds,
seconds of CPU it took itself. Files that are sent before the time is up end the load.
"""

from __future__ import annotations

import json
import mmap
import pathlib
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator

import zmq

from bench.harness import percentile
from bench.questionnaire import EVENTS, packed_questions, pieces
from embertrace.wire.batch import BATCH, pack_batch
from embertrace.wire.control import Ack, End, Hello, Refuse, Welcome, pack_control, unpack_control

BATCH_BYTES, WINDOW_BYTES = 64 * 1024, 1024 * 1024
"""As the emitter's."""
TEXT = "Which of these options is the right one, and which one is almost right?"
"""With it an event has 150 bytes on average."""
PATIENCE_S = 120.0
LENGTH = struct.Struct("<II")


def write_load(directory: pathlib.Path, events: int, producers: int) -> int:
    """Pack so many events (rounded up) as the batches of so many producers, a file each; returns how many."""
    directory.mkdir()
    files = [(directory / f"{place:04d}").open("wb") for place in range(producers)]
    seqs = [1] * producers
    turn = written = 0
    for piece in pieces(events):
        packed = packed_questions(piece, TEXT)
        each = max(1, BATCH_BYTES // packed.shape[1])
        for start in range(0, len(packed), each):
            rows = packed[start : start + each]
            count, place = len(rows) * EVENTS, turn % producers
            message = pack_batch(BATCH, identity(place), seqs[place], count, rows.tobytes())
            files[place].write(LENGTH.pack(len(message), count) + message)
            seqs[place] += count
            written += count
            turn += 1
    for file in files:
        file.close()
    return written


def identity(place: int) -> bytes:
    """The id of one producer."""
    return place.to_bytes(4, "big") * 4


class Sender:
    """One producer: its file, its sockets, and what of it is on the way."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], path: pathlib.Path, endpoint: str) -> None:
        self.id = identity(int(path.name))
        self.batches = _batches(path)
        self.upcoming = next(self.batches, None)
        self.unacknowledged: deque[tuple[int, int, float]] = deque()
        """Last seq, bytes, and when it was due."""
        self.on_the_way = 0
        self.mark = self.sent = 0
        self.host = endpoint.rsplit(":", 1)[0]
        self.dealer, self.push = context.socket(zmq.DEALER), context.socket(zmq.PUSH)
        self.dealer.linger = self.push.linger = 0
        self.push.sndhwm = 0
        self.dealer.connect(endpoint)

    def hello(self) -> None:
        """Introduce itself, and connect to where batches go."""
        self.dealer.send(pack_control(Hello(self.id, 1, 1, host="bench", library="bench")))
        if not self.dealer.poll(int(PATIENCE_S * 1000)):
            raise TimeoutError("nobody answers")
        welcome = unpack_control(self.dealer.recv())
        assert isinstance(welcome, Welcome), welcome
        self.push.connect(f"{self.host}:{welcome.push_port}")

    @property
    def may_send(self) -> bool:
        return self.upcoming is not None and self.on_the_way < WINDOW_BYTES

    def send(self, due: float) -> int:
        """Send one batch; how many events it has."""
        assert self.upcoming is not None
        count, message = self.upcoming
        self.push.send(message, copy=False)
        self.sent += count
        self.unacknowledged.append((self.sent, len(message), due))
        self.on_the_way += len(message)
        self.upcoming = next(self.batches, None)
        return count

    def hear(self, delays: list[float]) -> int:
        """Take the answers that came; how many events they acknowledge."""
        before = self.mark
        while True:
            try:
                message = unpack_control(self.dealer.recv(zmq.NOBLOCK))
            except zmq.Again:
                return self.mark - before
            assert not isinstance(message, Refuse | End), message
            if isinstance(message, Ack | Welcome):
                self.mark = max(self.mark, message.mark)
                now = time.monotonic()
                while self.unacknowledged and self.unacknowledged[0][0] <= self.mark:
                    _, size, due = self.unacknowledged.popleft()
                    self.on_the_way -= size
                    delays.append(now - due)

    def close(self) -> None:
        self.dealer.close()
        self.push.close()


def _batches(path: pathlib.Path) -> Iterator[tuple[int, memoryview]]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    at = 0
    while at < len(view):
        length, count = LENGTH.unpack_from(view, at)
        at += LENGTH.size
        yield count, view[at : at + length]
        at += length


def send(directory: pathlib.Path, endpoint: str, rate: float, seconds: float) -> dict[str, float]:
    """Send the load, or as much of it as becomes due within the time; wait for all acknowledgements."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    senders = [Sender(context, path, endpoint) for path in sorted(directory.iterdir())]
    poller = zmq.Poller()
    for sender in senders:
        sender.hello()
        poller.register(sender.dealer, zmq.POLLIN)
    by_socket = {sender.dealer: sender for sender in senders}
    delays: list[float] = []
    sent = acknowledged = turn = 0
    start = heard_at = time.monotonic()
    while True:
        now = time.monotonic()
        over = now - start >= seconds or all(sender.upcoming is None for sender in senders)
        if over and acknowledged >= sent:
            break
        if now - heard_at > PATIENCE_S:
            raise TimeoutError(f"{sent - acknowledged} of {sent} events were not acknowledged")
        busy = False
        for _ in range(len(senders)):
            due = start + sent / rate if rate else now
            if over or due > now:
                break
            turn += 1
            if senders[turn % len(senders)].may_send:
                sent += senders[turn % len(senders)].send(due)
                busy = True
        for socket, _ in poller.poll(0 if busy else 1):
            acknowledged += by_socket[socket].hear(delays)
            heard_at = time.monotonic()
    taken = time.monotonic() - start
    for sender in senders:
        sender.close()
    context.term()
    return {
        "events": acknowledged,
        "seconds": taken,
        "p50": percentile(delays, 0.5),
        "p99": percentile(delays, 0.99),
        "cpu": time.process_time(),
    }


def send_naively(directory: pathlib.Path, endpoint: str) -> dict[str, float]:
    """PUSH all there is to somebody who counts it; he says when he has it all."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    streams = []
    for path in sorted(directory.iterdir()):
        push = context.socket(zmq.PUSH)
        push.connect(endpoint)
        streams.append((push, _batches(path)))
    events, start = 0, time.monotonic()
    while streams:
        for stream in list(streams):
            batch = next(stream[1], None)
            if batch is None:
                stream[0].send(b"")
                stream[0].close()
                streams.remove(stream)
                continue
            events += batch[0]
            stream[0].send(batch[1], copy=False)
    context.term()  # waits until everything was handed over
    return {"events": events, "seconds": time.monotonic() - start}


def main(directory: str, endpoint: str, rate: str, seconds: str = "0") -> None:
    if rate == "naive":
        print(json.dumps(send_naively(pathlib.Path(directory), endpoint)))
    else:
        print(json.dumps(send(pathlib.Path(directory), endpoint, float(rate), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
