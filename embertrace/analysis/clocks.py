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

import numpy as np

from embertrace.analysis.calls import Origin
from embertrace.analysis.table.column import Array
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

    def differences(self, seqs: Array) -> Array:
        """What to add to the times of events with these seqs."""
        if not self._add:
            return np.zeros(len(seqs), np.int64)
        period = np.searchsorted(np.array(self._from, np.uint64), seqs.astype(np.uint64), "right") - 1
        return np.array(self._add, np.int64)[np.maximum(period, 0)]

    @property
    def largest(self) -> int:
        return max(map(abs, self._add), default=0)


def _likeliest(offset: Offset) -> int:
    return 0 if offset.low_ns <= 0 <= offset.high_ns else (offset.low_ns + offset.high_ns) // 2


FAR_NS = 1 << 62
"""Sums of times within this fit 64 bits."""


def starts_of(shape: Shape, offsets: Mapping[bytes, Iterable[Offset]]) -> Array:
    """When each call of a shape started, by place; integers of 64 bits where times are near enough."""
    table = shape.events
    times = table.times(shape.first_row)
    clocks = [ProducerClock(offsets.get(producer, ())) for producer in table.producers]
    near = len(times) == 0 or int(np.abs(times).max()) < FAR_NS
    if not table.is_exact or not near or any(clock.largest >= FAR_NS for clock in clocks):
        return _starts_one_by_one(shape, offsets)
    producers, seqs = table.emitted(shape.first_row)
    order = np.lexsort((seqs, producers))
    starts = np.zeros(len(times), np.int64)
    bounds = np.searchsorted(producers[order], np.arange(len(clocks) + 1))
    for number, clock in enumerate(clocks):
        own = order[bounds[number] : bounds[number + 1]]
        starts[own] = np.maximum.accumulate(np.maximum(times[own] + clock.differences(seqs[own]), 0))
    above = np.where(shape.parent >= 0, shape.parent, np.arange(len(starts)))
    while True:  # each round looks twice as far up
        starts = np.maximum(starts, starts[above])
        further = above[above]
        if (further == above).all():
            return starts
        above = further


def _starts_one_by_one(shape: Shape, offsets: Mapping[bytes, Iterable[Offset]]) -> Array:
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
    return np.array(starts, object)
