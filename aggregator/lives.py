"""Which producers live, by when something must be heard of each, and where it is answered. Pure.

Rules:
- A producer lives from its hello to its end. Who lived when the recording was opened still does.
- One that promised a heartbeat and misses MISSED of them is silent. While nobody looked (the aggregator itself stood
  still), nobody is.
- It is answered where its last hello or alive came from; after a restart nowhere, until one comes.
- Of more than MAX_LIVES the one that was not heard of for longest is given up, as if it were silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from embertrace.errors import WireError
from embertrace.wire.control import MAX_LOSS_HOST, Hello, unpack_control

MISSED = 3
"""Heartbeats: one may be late on a busy machine, two may be lost with a connection."""
STOOD_STILL_S = 5.0
"""Between two ticks: more than any drain or sync takes, so this process was stopped, or the machine slept."""
MAX_LIVES = 100_000
"""Some hundred bytes each, here and at the beginning of every segment."""


class Life(NamedTuple):
    """What is known of one that lives: for how long it may be silent (0: for ever), and where it runs."""

    patience_s: int
    host: str
    pid: int


UNKNOWN = Life(0, "", 0)


class Lives:
    """The living. `ended` are those that lived and do not any more, as far as this aggregator has seen it."""

    def __init__(self, begun: Mapping[bytes, bytes]) -> None:
        """`begun` are the recorded begins without an end; one that can't be read is none."""
        lives = {producer: _life(about) for producer, about in begun.items()}
        self._lives = {producer: life for producer, life in lives.items() if life is not None}
        self._due: dict[bytes, float] = {}
        self._addresses: dict[bytes, bytes] = {}
        self._now: float | None = None
        self.ended: set[bytes] = set()

    def __contains__(self, producer: bytes) -> bool:
        return producer in self._lives

    @property
    def connected(self) -> int:
        """How many can be answered."""
        return len(self._addresses)

    def names(self) -> set[bytes]:
        """All that live, or did."""
        return self._lives.keys() | self.ended

    def of(self, producer: bytes) -> Life:
        """What is known of it; UNKNOWN where it does not live."""
        return self._lives.get(producer, UNKNOWN)

    def address(self, producer: bytes) -> bytes | None:
        """Where it is answered."""
        return self._addresses.get(producer)

    def tick(self, now: float) -> list[bytes]:
        """Time passed; who has fallen silent. `now` is monotonic."""
        before, self._now = self._now, now
        if before is None:
            self._due = {name: now + life.patience_s for name, life in self._lives.items() if life.patience_s}
        elif now - before > STOOD_STILL_S:
            self._due = {name: due + now - before for name, due in self._due.items()}
        return [name for name, due in self._due.items() if due < now]

    def begin(self, hello: Hello, address: bytes) -> bytes | None:
        """It lives, whether it did before or not; who is given up for it, if anybody."""
        self._lives.pop(hello.producer, None)
        self._lives[hello.producer] = _life_of(hello)
        self._due.pop(hello.producer, None)
        self.ended.discard(hello.producer)
        self.hear(hello.producer, address)
        return next(iter(self._lives)) if len(self._lives) > MAX_LIVES else None

    def hear(self, producer: bytes, address: bytes | None = None) -> bool:
        """A sign of life, maybe with a return address; whether it is one of the living."""
        life = self._lives.pop(producer, None)
        if life is None:
            return False
        self._lives[producer] = life  # behind all others
        if life.patience_s and self._now is not None:
            self._due[producer] = self._now + life.patience_s
        if address is not None:
            self._addresses[producer] = address
        return True

    def end(self, producer: bytes) -> None:
        """It lives no more."""
        del self._lives[producer]
        self._due.pop(producer, None)
        self._addresses.pop(producer, None)
        self.ended.add(producer)


def _life(about: bytes) -> Life | None:
    try:
        message = unpack_control(about)
    except WireError:
        return None
    return _life_of(message) if isinstance(message, Hello) else None


def _life_of(hello: Hello) -> Life:
    return Life(MISSED * hello.heartbeat_s, hello.host[:MAX_LOSS_HOST], hello.pid)
