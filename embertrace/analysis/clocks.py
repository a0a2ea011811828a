"""Calls on one clock, the aggregator's: what the recorded offsets make of the times that producers stamped. Pure.

Rules, in this order:
- To a time the offset is added that holds for its event: 0 where that is possible (one host), else the middle of the
  bounds. Offsets that overlap speak of the same two clocks, and the truth is in all of them; others begin a new period.
  A clock that was stepped is noticed with the next reading, so that the events until then may be off by the step.
- A producer's calls begin in the order in which it emitted them, whatever its clock says.
- Nothing begins before what caused it: a call starts at its parent's start at the earliest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import groupby

from embertrace.analysis.calls import Origin
from embertrace.analysis.table.shape import Shape
from embertrace.wire.clock import Offset


class ProducerClock:
    """How one producer's clock relates to the aggregator's, from all offsets recorded of it, in any order."""

    def __init__(self, offsets: Iterable[Offset]) -> None:
        periods: list[Offset] = []
        for offset in sorted(set(offsets)):
            low, high = offset.low_ns, offset.high_ns
            if periods and max(periods[-1].low_ns, low) <= min(periods[-1].high_ns, high):
                last = periods.pop()
                offset = Offset(last.from_seq, max(last.low_ns, low), min(last.high_ns, high))
            periods.append(offset)
        self._from = [offset.from_seq for offset in periods]
        self._add = [_likeliest(offset) for offset in periods]

    def on_ours(self, origin: Origin) -> int:
        """The time of an event on the aggregator's clock. What lies before the first period belongs to it."""
        if not self._add:
            return origin.nanoseconds
        return origin.nanoseconds + self._add[max(bisect_right(self._from, origin.seq) - 1, 0)]


def _likeliest(offset: Offset) -> int:
    return 0 if offset.low_ns <= 0 <= offset.high_ns else (offset.low_ns + offset.high_ns) // 2


def starts_of(shape: Shape, offsets: Mapping[bytes, Iterable[Offset]]) -> list[int]:
    """When each call of a shape started, by place."""
    table = shape.events
    origins = [Origin(*table.origin(row)) for row in shape.first_row.tolist()]
    starts = [0] * len(origins)
    emitted = sorted(range(len(origins)), key=lambda place: (origins[place].producer, origins[place].seq))
    for producer, own in groupby(emitted, key=lambda place: origins[place].producer):
        clock, latest = ProducerClock(offsets.get(producer, ())), 0
        for place in own:
            latest = max(latest, clock.on_ours(origins[place]))
            starts[place] = latest
    waiting = [place for place, parent in enumerate(shape.parent.tolist()) if parent < 0]
    while waiting:
        parent = waiting.pop()
        below = shape.children(parent).tolist()
        for child in below:
            starts[child] = max(starts[child], starts[parent])
        waiting += below
    return starts
