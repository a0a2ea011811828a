"""Connections that ask nothing: ended after a while, so that those who ask find a place.

The server ends a connection that has been quiet since its last answer; one that never asked, or began to and never
went on, it would keep. Pure: what is looked at comes as an argument, and so does the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

IDLE_S = 20.0
"""Longer than the server's own patience after an answer."""
LOOK_S = 2.0


class Cycle(Protocol):
    """One request and its answer."""

    response_complete: bool


class Transport(Protocol):
    def abort(self) -> None: ...


class Connection(Protocol):
    """What a connection of the server shows of itself; `cycle` is None before its first request."""

    cycle: Cycle | None
    transport: Transport


class Reaper:
    """Knows since when each connection has been idle."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._since: dict[Connection, float] = {}

    def look(self, connections: Iterable[Connection], now: float) -> None:
        """End those that are idle for too long. `now` is monotonic."""
        idle = [one for one in connections if one.cycle is None or one.cycle.response_complete]
        self._since = {one: self._since.get(one, now) for one in idle}
        for one, since in self._since.items():
            if now - since >= self._idle_s:
                one.transport.abort()
