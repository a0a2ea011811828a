"""What an aggregator counts from its start on, and whose events were lost."""

from __future__ import annotations

import dataclasses
import heapq

from aggregator.lives import Life
from embertrace.wire.control import MAX_LOSSES, Loss

MAX_COUNT = (1 << 64) - 1
"""What a message can hold: a producer that claims absurd losses must not be able to break the state."""


@dataclasses.dataclass(slots=True)
class Counters:
    """What happened since the aggregator started. `gaps` counts events that nobody will ever deliver, `silent` the
    producers that ended without a word, `ahead` batches that came before what precedes them, or before a hello."""

    batches: int = 0
    events: int = 0
    bytes: int = 0
    duplicates: int = 0
    ahead: int = 0
    gaps: int = 0
    refused: int = 0
    malformed: int = 0
    silent: int = 0


class Losses:
    """How many events each producer lost. One entry per producer that lost any."""

    def __init__(self) -> None:
        self._lost: dict[bytes, int] = {}
        self._whose: dict[bytes, tuple[str, int]] = {}

    def add(self, producer: bytes, events: int, life: Life) -> None:
        """`life` is what is known of the producer now."""
        self._lost[producer] = self._lost.get(producer, 0) + events
        self._whose[producer] = (life.host, life.pid)

    def worst(self) -> tuple[Loss, ...]:
        """The MAX_LOSSES producers that lost most, worst first."""
        worst = heapq.nlargest(MAX_LOSSES, self._lost.items(), key=lambda lost: lost[1])
        return tuple(Loss(producer, min(events, MAX_COUNT), *self._whose[producer]) for producer, events in worst)


def bounded(counters: Counters) -> dict[str, int]:
    """The counts by name, as a message can hold them."""
    return {name: min(count, MAX_COUNT) for name, count in dataclasses.asdict(counters).items()}
