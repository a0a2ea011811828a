"""The chains that bound all traces at once, and the members that ensembles wait for: what `questions.timing` says of
each trace and each ensemble.

None where times are no integers of 64 bits, with room to add them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embertrace.analysis.arrays.ballots import ended_late
from embertrace.analysis.clocks import FAR_NS
from embertrace.analysis.table.column import Array
from embertrace.analysis.trees import Trees


class Spans(NamedTuple):
    """By place when a call began and ended, where it has a duration; `timed` says whether."""

    begin: Array
    end: Array
    timed: Array


def spans_of(trees: Trees) -> Spans | None:
    """Those of all calls."""
    durations, begin = trees.shape.duration_ns, trees.starts_ns
    if durations is None or begin.dtype == object:
        return None
    timed = trees.shape.has_duration
    if len(begin) and max(int(begin.max()), int(np.abs(durations[timed]).max(initial=0))) >= FAR_NS:
        return None
    return Spans(begin, begin + np.where(timed, durations, 0), timed)


class Chains(NamedTuple):
    """The calls on chains by depth: places, their roots, nanoseconds of their own, and since when each is waited
    for."""

    place: Array
    root: Array
    own_ns: Array
    depth: Array
    since: Array

    def in_order(self) -> Chains:
        """Chain by chain, each in the order of its tree: a call, and then in turn what was waited for below it."""
        order = np.lexsort((self.depth, self.since, self.root))  # what lies below one call is disjoint in time
        return Chains(*(column[order] for column in self))


def chains_of(trees: Trees) -> Chains | None:
    """Of every root with a duration; see `timing.chain`. All calls of one depth are looked at together."""
    spans = spans_of(trees)
    if spans is None:
        return None
    children, starts = _awaited(trees, spans)
    at = np.flatnonzero((trees.shape.parent < 0) & spans.timed)
    begin, end, root = spans.begin[at], spans.end[at], at
    found = [Chains(at[:0], at[:0], begin[:0], begin[:0], begin[:0])]
    while len(at):
        own, cursor = np.zeros(len(at), np.int64), end.copy()
        below: list[tuple[Array, Array, Array, Array]] = []
        count = starts[at + 1] - starts[at]
        on, rank = np.flatnonzero(count), 0
        while len(on):  # of each call the child that ended last, then the one before, …
            child = children[starts[at[on]] + rank]
            until, since = np.minimum(spans.end[child], cursor[on]), np.maximum(spans.begin[child], begin[on])
            bounds = since < until
            held = on[bounds]
            own[held] += cursor[held] - until[bounds]
            cursor[held] = since[bounds]
            below.append((child[bounds], since[bounds], until[bounds], root[held]))
            rank += 1
            on = on[count[on] > rank]
        depth = np.full(len(at), len(found) - 1)
        found.append(Chains(at, root, own + np.maximum(0, cursor - begin), depth, begin))
        if not below:
            break
        at, begin, end, root = (np.concatenate(column) for column in zip(*below, strict=True))
    return Chains(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _awaited(trees: Trees, spans: Spans) -> tuple[Array, Array]:
    """The children that calls wait for, of each call those that ended last first; and where those of each begin."""
    children, _ = trees.shape.children_of_all
    children = children[spans.timed[children]].astype(np.int64)
    children = children[~ended_late(trees.shape, children, trees.shape.parent[children])]
    parent = trees.shape.parent[children]
    children = children[np.lexsort((-spans.begin[children], -spans.end[children], parent))]
    counts = np.bincount(parent, minlength=len(trees.shape))
    return children, np.concatenate([[0], np.cumsum(counts)])


class Waits(NamedTuple):
    """By fan-out: its number in `group`, the place among the spans of the one that ended last; how long it was waited
    for alone, and the whole took. The spans of fan-outs are `counted`; the others are too few, or no fan-outs."""

    counted: Array
    last: Array
    waited: Array
    whole: Array
    too_few: int
    in_turn: int


def waits_of(spans: Spans, member: Array, group: Array, rank: Array, groups: int) -> Waits:
    """Of members (places) in groups, of which equal ends and begins stand in the order of `rank`."""
    order = np.lexsort((spans.begin[member], rank, spans.end[member], group))
    order = order[spans.timed[member[order]]]
    size = np.bincount(group[order], minlength=groups)
    bounds = np.cumsum(size)
    several = np.flatnonzero(size > 1)
    last, before = order[bounds[several] - 1], order[bounds[several] - 2]
    together = spans.begin[member[last]] < spans.end[member[before]]
    first = np.full(groups, np.iinfo(np.int64).max)
    np.minimum.at(first, group[order], spans.begin[member[order]])
    is_counted = np.zeros(groups, bool)
    is_counted[several[together]] = True
    last, before = last[together], before[together]
    end = spans.end[member[last]]
    waited, whole = end - spans.end[member[before]], end - first[group[last]]
    in_turn = len(several) - len(last)
    return Waits(order[is_counted[group[order]]], last, waited, whole, groups - len(several), in_turn)
