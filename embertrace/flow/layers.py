"""From a graph to rows: which node stands in which rank, and in which order within it.

Rules of this file: pure, and the same graph always gives the same rows. Nodes are numbers here; numbers from the
count of nodes upwards are bends, where a long edge passes through a rank. Calls decide first: only an edge that
would close a cycle runs backwards, and links give way to calls.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

SWEEPS = 16
"""Sweeps that reorder rows; crossings rarely fall after the tenth."""

MAX_BENDS = 20_000
"""Beyond this many bends, edges run straight under what is between: the time of a drawing stays bounded."""

Arc = tuple[int, int]


class Layers(NamedTuple):
    """`chains[i]` lists the items edge i runs through, by rising rank; empty for a loop at one node."""

    rows: list[list[int]]
    chains: list[list[int]]
    backward: list[bool]


class Neighbours(NamedTuple):
    """For each item, the items of the rank before and of the rank after that it is joined to."""

    before: list[list[int]]
    after: list[list[int]]


def backward_edges(count: int, arcs: Sequence[Arc], calls: Sequence[bool]) -> list[bool]:
    """Which edges must run against the ranks, so that the others form no cycle. Loops at one node are not."""
    reach = [1 << node for node in range(count)]
    backward = [False] * len(arcs)
    for index in sorted(range(len(arcs)), key=lambda i: (not calls[i], i)):
        source, target = arcs[index]
        if source == target or reach[source] >> target & 1:
            continue
        if reach[target] >> source & 1:
            backward[index] = True
            continue
        added = reach[target]
        for node in range(count):
            if reach[node] >> source & 1:
                reach[node] |= added
    return backward


def longest_path_ranks(count: int, arcs: Sequence[Arc]) -> list[int]:
    """Rank of each node: one more than its highest predecessor's; a node without any stands just before its first
    successor. `arcs` has no cycle."""
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in arcs:
        after[source].append(target)
        waiting[target] += 1
    starts = [node for node in range(count) if not waiting[node]]
    ranks = [0] * count
    ready = deque(starts)
    while ready:
        node = ready.popleft()
        for target in after[node]:
            ranks[target] = max(ranks[target], ranks[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for node in starts:
        if after[node]:
            ranks[node] = min(ranks[target] for target in after[node]) - 1
    return ranks


def build_layers(count: int, arcs: Sequence[Arc], calls: Sequence[bool]) -> tuple[Layers, Neighbours]:
    """Ranks, bends and an order with few crossings for `count` nodes and their edges."""
    backward = backward_edges(count, arcs, calls)
    upright = [(t, s) if back else (s, t) for (s, t), back in zip(arcs, backward, strict=True)]
    ranks = longest_path_ranks(count, [arc for arc in upright if arc[0] != arc[1]])
    chains = _chains(upright, ranks)
    neighbours = _join(len(ranks), chains, ranks)
    rows = _first_order(ranks, neighbours)
    return Layers(_fewest_crossings(rows, neighbours), chains, backward), neighbours


def _chains(arcs: Sequence[Arc], ranks: list[int]) -> list[list[int]]:
    """The items each edge runs through; appends the ranks of new bends to `ranks`. Short edges get theirs first."""
    chains: list[list[int]] = [[] for _ in arcs]
    left = MAX_BENDS
    for index in sorted(range(len(arcs)), key=lambda i: (ranks[arcs[i][1]] - ranks[arcs[i][0]], i)):
        source, target = arcs[index]
        if source == target:
            continue
        between = range(ranks[source] + 1, ranks[target])
        if len(between) > left:
            chains[index] = [source, target]
            continue
        left -= len(between)
        chains[index] = [source, *range(len(ranks), len(ranks) + len(between)), target]
        ranks.extend(between)
    return chains


def _join(count: int, chains: Sequence[Sequence[int]], ranks: Sequence[int]) -> Neighbours:
    neighbours = Neighbours([[] for _ in range(count)], [[] for _ in range(count)])
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            if ranks[lower] == ranks[upper] + 1:
                neighbours.after[upper].append(lower)
                neighbours.before[lower].append(upper)
    return neighbours


def _first_order(ranks: Sequence[int], neighbours: Neighbours) -> list[list[int]]:
    """Rows in the order of a walk that goes deep first: a tree comes out without any crossing."""
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    seen = [False] * len(ranks)
    for start in sorted(range(len(ranks)), key=lambda item: (ranks[item], item)):
        stack = [start]
        while stack:
            item = stack.pop()
            if seen[item]:
                continue
            seen[item] = True
            rows[ranks[item]].append(item)
            stack.extend(reversed(neighbours.after[item]))
    return rows


def _fewest_crossings(rows: list[list[int]], neighbours: Neighbours) -> list[list[int]]:
    """Sweeps down and up, each row sorted by the mean place of its neighbours; the best rows seen are kept."""
    best, fewest = [list(row) for row in rows], crossings(rows, neighbours)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        if sweep % 2 == 0:
            for index in range(1, len(rows)):
                rows[index] = _by_mean_place(rows[index], rows[index - 1], neighbours.before)
        else:
            for index in range(len(rows) - 2, -1, -1):
                rows[index] = _by_mean_place(rows[index], rows[index + 1], neighbours.after)
        now = crossings(rows, neighbours)
        if now < fewest:
            best, fewest = [list(row) for row in rows], now
    return best


def _by_mean_place(row: list[int], fixed: list[int], joined: Sequence[Sequence[int]]) -> list[int]:
    place = {item: index for index, item in enumerate(fixed)}
    keys = {
        item: sum(place[other] for other in joined[item]) / len(joined[item]) if joined[item] else float(index)
        for index, item in enumerate(row)
    }
    return sorted(row, key=lambda item: keys[item])


def crossings(rows: Sequence[Sequence[int]], neighbours: Neighbours) -> int:
    """How many pairs of joins cross between neighbouring rows."""
    total = 0
    for upper, lower in itertools.pairwise(rows):
        place = {item: index for index, item in enumerate(lower)}
        passed: list[int] = []
        for item in upper:
            targets = sorted(place[other] for other in neighbours.after[item])
            total += sum(len(passed) - bisect.bisect_right(passed, target) for target in targets)
            for target in targets:
                bisect.insort(passed, target)
    return total
