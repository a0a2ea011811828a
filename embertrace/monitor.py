"""OperatorMonitor: rolling statistics over the last events of this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from embertrace.analysis import OperatorAnalysis
from embertrace.collect import EventCollector
from embertrace.event import OperatorEvent


class OperatorMonitor:
    """Keeps the last `window_size` events of this process and answers for them. `close()` when done.

    Thread-safe: events arrive from any thread while statistics are read.
    """

    def __init__(self, window_size: int = 100, *, clock: Callable[[], float] = time.time) -> None:
        if window_size < 1:
            raise ValueError(f"window_size is {window_size}; it must be at least 1 event")
        self.window_size = window_size
        self.events: deque[OperatorEvent] = deque(maxlen=window_size)
        self._clock = clock
        self._append = self.events.append
        EventCollector.register(self._append)

    def get_rolling_stats(self) -> dict[str, Any]:
        """Statistics of the window: disagreement_rate, accuracy_by_stage, events_per_second, error_share, latency_s.

        `events_per_second` is over the time from the window's first event until now; `error_share` of ended calls;
        `latency_s` {"p50", "p95"} of ended calls in seconds. NaN where the window holds nothing to answer from.
        """
        events = self.events.copy()
        analysis = OperatorAnalysis(events, pool=True)
        ended = [event for event in events if event.event_type in ("result", "error")]
        span = self._clock() - events[0].timestamp if events else float("nan")
        latencies = sorted(event.duration_s for event in ended if event.duration_s is not None)
        return {
            "disagreement_rate": analysis.ensemble_disagreement(),
            "accuracy_by_stage": analysis.accuracy_distribution(),
            "events_per_second": len(events) / span if span > 0 else float("nan"),
            "error_share": _share(sum(event.event_type == "error" for event in ended), len(ended)),
            "latency_s": {"p50": _quantile(latencies, 0.5), "p95": _quantile(latencies, 0.95)},
        }

    def close(self) -> None:
        """Stop listening; the window stays readable. May be called twice."""
        EventCollector.unregister(self._append)

    def __enter__(self) -> OperatorMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _quantile(ordered: list[float], share: float) -> float:
    """Nearest-rank quantile."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
