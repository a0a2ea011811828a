"""The aggregator asked, again and again: one look at its control door and one question a time.

Rules: whatever happens after the first contact is told in the reading, not raised: an aggregator that is restarted is
found again, and that is said. What is said of the connection is decided by `Continuity`, which does no I/O.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from embertrace.analysis.window import DEFAULT_WINDOW, check_window
from embertrace.client import Client
from embertrace.doctor.findings import span
from embertrace.errors import EmbertraceError
from embertrace.keys import ClientKey
from embertrace.top.cells import clock, shown
from embertrace.top.model import Reading, Snapshot, snapshot_from
from embertrace.wire.control import State

PATIENCE_S = 3.0
"""For one answer. Longer than a restart of the query process; short enough to quit in, and to see that it is gone."""


class Feed(Protocol):
    """Where readings come from."""

    def read(self) -> Reading: ...

    def close(self) -> None: ...


class Continuity:
    """What became of the connection, from one look to the next."""

    def __init__(self) -> None:
        self._seen: State | None = None
        self._lost_at: float | None = None

    def heard(self, state: State, now: float) -> tuple[str, ...]:
        """An answer came. What is to be said of it: nothing as long as all goes on."""
        news = []
        if self._lost_at is not None:
            news.append(f"connected again after {span(now - self._lost_at)}")
        if self._seen is not None and (state.started_ns, state.pid) != (self._seen.started_ns, self._seen.pid):
            news.append(f"the aggregator was restarted at {clock(state.started_ns / 1e9)}")
        if self._seen is not None and state.recording != self._seen.recording:
            news.append(f"it records into {shown(state.name)} ({shown(state.recording)}) now")
        self._seen, self._lost_at = state, None
        return tuple(news)

    def lost(self, why: str, now: float) -> tuple[str, ...]:
        """None came. Said once."""
        first = self._lost_at is None
        if first:
            self._lost_at = now
        return (f"connection lost, trying again: {shown(why)}",) if first else ()


class AggregatorFeed:
    """Readings of the aggregator at `endpoint`, over its last `window` events. One thread."""

    def __init__(
        self,
        endpoint: str,
        key: ClientKey | None = None,
        window: int = DEFAULT_WINDOW,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._window = check_window(window)
        self._client = Client(endpoint, timeout_s=PATIENCE_S, key=key)
        self._now = now
        self._continuity = Continuity()
        self._last: Snapshot | None = None

    def read(self) -> Reading:
        """What it says now. Raises AggregatorError, SecurityError or QueryError only while it never answered."""
        try:
            found = self._ask()
        except EmbertraceError as error:
            self._client.close()  # it may come back at other ports
            if self._last is None:
                raise
            now = self._now()
            return Reading(self._client.endpoint, now, self._last, str(error), self._continuity.lost(str(error), now))
        self._last = found
        now = self._now()
        return Reading(self._client.endpoint, now, found, None, self._continuity.heard(found.state, now))

    def _ask(self) -> Snapshot:
        state = self._client.inspect()
        return snapshot_from(self._client.call("snapshot", window=self._window), state)

    def close(self) -> None:
        self._client.close()
