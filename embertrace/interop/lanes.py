"""Which lane each call is drawn in, so that what overlaps does not collide: async calls of one thread, say. Pure.

Rules:
- In one lane slices are apart, or one holds the other whole. A call lies below its parent where it can, in the same
  lane; where it overlaps a sibling there, it gets another lane: the first that is free.
- Clocks jitter: what pokes out of its parent's slice, or into the sibling that it is known to follow, by at most
  JITTER_NS is cut to fit. Nothing else is moved.
- Arrows hold on to the first and the last nanosecond of a slice: it has at least one, and shares neither with a child.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from embertrace.analysis import Call
from embertrace.interop.times import times_of

JITTER_NS = 100_000
"""A call's start is wall clock and its length monotonic; the two differ by microseconds."""


class Slice(NamedTuple):
    """A call in a lane, from `start` until before `end` (Unix nanoseconds)."""

    call: Call
    lane: int
    start: int
    end: int


class _Open:
    """A slice that others may lie in, up to where it is taken, and by which call last."""

    __slots__ = ("end", "lane", "last", "taken")

    def __init__(self, lane: int, start: int, end: int) -> None:
        self.lane, self.taken, self.end = lane, start + 1, end - 1
        self.last = 0


def lay_out(calls: Iterable[Call]) -> Iterator[Slice]:
    """The slices of one process's calls, in the order of their starts. Lanes are numbered from 0."""
    timed = sorted(((*times_of(call), call) for call in calls), key=_order)
    placed: dict[tuple[int, int], _Open] = {}
    busy: list[tuple[int, int]] = []  # (until when, lane) of outermost slices
    free: list[int] = []
    lanes = 0
    for start, stop, call in timed:
        end = max(stop, start + 1)
        above = placed.get(call.parent.key) if call.parent is not None else None
        fitted = _inside(above, call, start, end) if above is not None else None
        if fitted is not None and above is not None:
            start, end = fitted
            above.taken, above.last, lane = end, call.call_id, above.lane
        else:
            while busy and busy[0][0] <= start:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if free:
                lane = heapq.heappop(free)
            else:
                lane, lanes = lanes, lanes + 1
            heapq.heappush(busy, (end, lane))
        placed[call.key] = _Open(lane, start, end)
        yield Slice(call, lane, start, end)


def _order(timed: tuple[int, int, Call]) -> tuple[int, int, int]:
    """By start; of equal ones what lasts longer first, and a parent before its child."""
    start, end, call = timed
    depth, above = 0, call.parent
    while above is not None and depth < 1000:
        depth, above = depth + 1, above.parent
    return start, depth, -end


def _inside(above: _Open, call: Call, start: int, end: int) -> tuple[int, int] | None:
    """Where a call fits below its parent: as it is, or cut by no more than jitter. None where it does not."""
    first, last = max(start, above.taken), min(end, above.end)
    is_next = above.last in (0, call.follows)  # else what overlaps the sibling there did run beside it
    if first - start > (JITTER_NS if is_next else 0) or end - last > JITTER_NS or first >= last:
        return None
    return first, last
