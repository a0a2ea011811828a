"""A network that does what networks and dying processes do: drops, delays, doubles, reorders, and breaks.

Each sender has a line: a DEALER both ways and one PUSH socket, which look like ZeroMQ's to those who use them. What a
closed socket had not sent is gone; what it had sent may still come, late.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import deque
from typing import Any, Generic, TypeVar

import zmq

Message = TypeVar("Message")


@dataclasses.dataclass(frozen=True)
class Weather:
    """What happens to a message each time it could arrive, in probabilities."""

    drop: float = 0.0
    delay: float = 0.0
    double: float = 0.0
    reorder: bool = False


CALM = Weather()
WEATHERS = (
    CALM,
    Weather(delay=0.3),
    Weather(double=0.5),
    Weather(0.2, 0.2, 0.1, True),
    Weather(0.6, 0.2, 0.2, True),
    Weather(drop=1.0),
)


class Wire(Generic[Message]):
    """One direction."""

    def __init__(self, chance: random.Random) -> None:
        self.weather = CALM
        self.sent = 0
        self._chance = chance
        self._queue: list[Message] = []

    def send(self, message: Message) -> None:
        self._queue.append(message)
        self.sent += 1

    def carry(self) -> list[Message]:
        """What arrives now; the rest is lost, or stays for later."""
        if self.weather == CALM:
            arrived, self._queue = self._queue, []
            return arrived
        arrived, later = [], []
        for message in self._queue:
            roll = self._chance.random()
            if roll < self.weather.drop:
                continue
            (later if roll < self.weather.drop + self.weather.delay else arrived).append(message)
            if self._chance.random() < self.weather.double:
                later.append(message)
        self._queue = later
        if self.weather.reorder:
            self._chance.shuffle(arrived)
        return arrived

    def lose(self, part: float) -> None:
        """A connection breaks: each message on it is lost with this probability."""
        self._queue = [message for message in self._queue if self._chance.random() >= part]


class Line:
    """What lies between one sender and the aggregator. `address` changes with each connection, as a ROUTER's do."""

    _addresses = itertools.count()

    def __init__(self, chance: random.Random) -> None:
        self.control: Wire[tuple[bytes, bytes]] = Wire(chance)
        self.pushed: Wire[bytes] = Wire(chance)
        self.answers: Wire[bytes] = Wire(chance)
        self.inbox: deque[bytes] = deque()
        self.pushed_bytes = 0
        self.connects = 0
        self.reconnect(0.0)

    @property
    def wires(self) -> tuple[Wire[Any], ...]:
        return self.control, self.pushed, self.answers

    def reconnect(self, lost: float) -> None:
        """The connection broke, and there is another one."""
        self.address = b"address %d" % next(self._addresses)
        for wire in self.wires:
            wire.lose(lost)


class Dealer:
    """The sender's DEALER, as far as senders use one."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def connect(self, endpoint: str) -> None:
        """It is."""

    def send(self, message: bytes, flags: int = 0) -> None:
        self.line.control.send((self.line.address, message))

    def get(self, option: int) -> int:
        """Whether there is something to receive."""
        assert option == zmq.EVENTS
        return int(zmq.POLLIN) if self.line.inbox else 0

    def recv(self, flags: int = 0) -> bytes:
        return self.line.inbox.popleft()

    def close(self, linger: int = 0) -> None:
        """Of what it had not sent nothing comes."""
        self.line.control.lose(0.5)


class Push:
    """A PUSH socket."""

    def __init__(self, line: Line) -> None:
        self._line = line
        line.connects += 1

    def send(self, message: bytes, flags: int = 0) -> None:
        self._line.pushed.send(message)
        self._line.pushed_bytes += len(message)

    def close(self, linger: int = 0) -> None:
        self._line.pushed.lose(0.5)


class Sockets:
    """Makes the sockets of one line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def control(self) -> Dealer:
        return Dealer(self._line)

    def push(self, address: str) -> Push:
        return Push(self._line)
