"""The wire between two hosts, as a decision: which packet comes out where, and when. Pure; `hosts` feeds it.

Rules:
- Each packet is lost with the stated chance (seeded), and otherwise comes out after the stated delay, in order.
- A wire that is cut swallows everything, also what is on its way: neither end learns of it (half-open).
- `reset` kills the connections that live on it as a firewall does that forgot them: a RST goes to both ends, and
  whatever an end still sends on such a connection is answered with a RST.
- It holds at most QUEUE_PACKETS; more are lost, as on any wire.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from typing import NamedTuple

from fault.packets import ACK, FIN, RST, SYN, End, Segment, read_segment, reset_packet

QUEUE_PACKETS = 20_000
"""30 MB of full packets: a second of a fast link."""


class Due(NamedTuple):
    """A packet on its way to the host with this index."""

    at: float
    to: int
    packet: bytes


@dataclasses.dataclass(slots=True)
class Counters:
    """What became of the packets."""

    carried: int = 0
    lost: int = 0
    reset: int = 0
    """Connections that were alive when they were reset."""


class Wire:
    """Between host 0 and host 1. Times are seconds on one monotonic clock, told by the caller."""

    def __init__(self, seed: int) -> None:
        self.cut = False
        self.delay_s = 0.0
        self.loss = 0.0
        self.counters = Counters()
        self._chance = random.Random(seed)
        self._queue: deque[Due] = deque()
        self._living: dict[frozenset[End], dict[End, tuple[int, int]]] = {}
        """Per connection and end: the host it is on, and the seq it expects next."""
        self._killed: set[frozenset[End]] = set()

    def take(self, host: int, packet: bytes, now: float) -> None:
        """A packet from `host`."""
        segment = read_segment(packet)
        if self.cut or len(self._queue) >= QUEUE_PACKETS or (self.loss and self._chance.random() < self.loss):
            self.counters.lost += 1
        elif segment is not None and segment.connection in self._killed and segment.flags & (SYN | ACK) != SYN:
            self.counters.lost += 1
            if not segment.flags & RST:
                self._queue.append(Due(now, host, reset_packet(segment.target, segment.source, segment.ack)))
        else:
            if segment is not None:
                self._follow(host, segment)
            self._queue.append(Due(now + self.delay_s, 1 - host, packet))

    def give(self, now: float) -> list[Due]:
        """What comes out by now. A delay that was shortened takes effect behind the packets already on their way."""
        given = []
        while self._queue and self._queue[0].at <= now:
            given.append(self._queue.popleft())
        self.counters.carried += len(given)
        return given

    def wait_s(self, now: float) -> float | None:
        """How long until the next packet comes out; None while there is none."""
        return max(0.0, self._queue[0].at - now) if self._queue else None

    def partition(self) -> None:
        """Cut the wire; `cut = False` mends it."""
        self.cut = True
        self.counters.lost += len(self._queue)
        self._queue.clear()

    def reset(self, now: float) -> int:
        """Reset every connection that lives; how many. What is on its way on them is lost."""
        on_its_way = len(self._queue)
        self._queue = deque(due for due in self._queue if not self._lives(read_segment(due.packet)))
        self.counters.lost += on_its_way - len(self._queue)
        for connection, ends in self._living.items():
            self._killed.add(connection)
            for end, (host, expected) in ends.items():
                (other,) = connection - {end}
                self._queue.appendleft(Due(now, host, reset_packet(other, end, expected)))
        number = len(self._living)
        self._living.clear()
        self.counters.reset += number
        return number

    def _lives(self, segment: Segment | None) -> bool:
        return segment is not None and segment.connection in self._living

    def _follow(self, host: int, segment: Segment) -> None:
        """Know which connections live, and what their ends expect."""
        connection = segment.connection
        if segment.flags & (FIN | RST):
            self._living.pop(connection, None)
        elif segment.flags & (SYN | ACK) == SYN:
            self._killed.discard(connection)
            self._living[connection] = {}
        elif connection in self._living:
            self._living[connection][segment.source] = (host, segment.ack)
