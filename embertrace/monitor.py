"""OperatorMonitor: rolling statistics over the last events of this process, or of an aggregator.

Both are the same window and the same questions (`analysis.window`); they differ in who keeps the events.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from embertrace import collect, keys
from embertrace.analysis.source import forest_of
from embertrace.analysis.window import (
    Arrival,
    Overview,
    Rates,
    check_window,
    overview,
    overview_from_data,
    rates,
    rates_from_data,
)
from embertrace.collect import EventCollector
from embertrace.errors import QueryError
from embertrace.event import OperatorEvent

if TYPE_CHECKING:
    from embertrace.client import Client
    from embertrace.keys import ClientKey


class OperatorMonitor:
    """Rolling statistics over the last `window_size` events. `close()` when done, or use it in a `with` block.

    Without `endpoint` it keeps the last events of this process, from its making on: `window_size` of them and no more,
    each with its payload (which the settings bound). With the endpoint of an aggregator (tcp://host:port) it keeps
    none: each question is one round trip, answered from the last `window_size` events (20,000 at most) that were
    recorded there, whoever sent them; `key` is as in `connect`.

    Raises ValueError for a size below 1, QueryError for one that an aggregator does not take. Thread-safe: events
    arrive from any thread while statistics are read.
    """

    def __init__(
        self,
        window_size: int = 100,
        endpoint: str | None = None,
        *,
        key: str | os.PathLike[str] | ClientKey | None = None,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if window_size < 1:
            raise ValueError(f"window_size is {window_size}; it must be at least 1 event")
        self.window_size = window_size
        self._asked: _Here | _There = (
            _Here(window_size, clock) if endpoint is None else _There(window_size, endpoint, key, timeout_s)
        )

    @property
    def events(self) -> deque[OperatorEvent]:
        """The window's events, oldest first; a copy. Raises QueryError for those that an aggregator keeps."""
        if isinstance(self._asked, _There):
            raise QueryError("the aggregator keeps the events of this window; connect(endpoint).events has them all")
        return self._asked.window()[0]

    def get_rolling_stats(self) -> dict[str, Any]:
        """Statistics of the window; NaN and empty where it holds nothing to answer from.

            disagreement_rate   as `ensemble_disagreement()`, over all runs
            accuracy_by_stage   as `accuracy_distribution()`
            judge_accuracy      as `judge_accuracy()`
            events_per_second   over the last 10 seconds, or as far back as the window reaches, if that is less
            calls_per_second    calls that ended, likewise
            error_share         of ended calls, 0 to 1
            latency_s           {"p50", "p95"} of ended calls, seconds

        What lies partly before the window is left out, and counted in `left_out`. Raises AggregatorError where an
        aggregator is asked and none answers; it may be asked again when there is one.
        """
        found, pace = self._asked.ask()
        return {
            "disagreement_rate": found.disagreement,
            "accuracy_by_stage": found.accuracy_by_stage,
            "judge_accuracy": found.judge_accuracy,
            "events_per_second": pace.events,
            "calls_per_second": pace.calls,
            "error_share": found.error_share,
            "latency_s": dict(found.latency_s),
        }

    def close(self) -> None:
        """Stop listening; the window stays readable. Of an aggregator, hang up. May be called twice."""
        self._asked.close()

    def __enter__(self) -> OperatorMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Here:
    """The last events of this process. No lock: forks and finalisers come at any moment, and appending is atomic."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size, self._clock = size, clock
        self._began = clock()
        self._kept: deque[tuple[float, OperatorEvent]] = deque(maxlen=size + 1)
        """With the one before the window: after that one, no other is missing."""
        self._listener = self._append
        EventCollector.register(self._listener)

    def _append(self, event: OperatorEvent) -> None:
        self._kept.append((self._clock(), event))

    def window(self) -> tuple[deque[OperatorEvent], list[Arrival], float]:
        """The events, when each came, and since when there were no others."""
        kept = self._kept.copy()
        complete_since = kept.popleft()[0] if len(kept) > self._size else self._began
        arrivals = [Arrival(at, event.event_type in ("result", "error")) for at, event in kept]
        return deque((event for _, event in kept), maxlen=self._size), arrivals, complete_since

    def ask(self) -> tuple[Overview, Rates]:
        events, arrivals, complete_since = self.window()
        return overview(forest_of(events)), rates(arrivals, complete_since, self._clock())

    def close(self) -> None:
        EventCollector.unregister(self._listener)


class _There:
    """The last events of an aggregator."""

    def __init__(
        self, size: int, endpoint: str, key: str | os.PathLike[str] | ClientKey | None, timeout_s: float
    ) -> None:
        from embertrace.client import Client  # ZeroMQ is not for who listens to this process alone

        self._size = check_window(size)
        found = keys.load(key if key is not None else collect.settings.key)
        self._client: Client = Client(endpoint, timeout_s=timeout_s, key=found)

    def ask(self) -> tuple[Overview, Rates]:
        told = self._client.call("snapshot", window=self._size)
        return overview_from_data(told), rates_from_data(told)

    def close(self) -> None:
        self._client.close()
