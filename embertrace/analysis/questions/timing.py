"""Questions about time: quantiles of durations, and the chain of calls that bounds a trace.

Rules:
- Durations are of monotonic clocks, in nanoseconds; a call's place in time is `start`, on one clock for all hosts.
- Where a producer's clock was set back, its whole stream decides when its calls began (`clocks`): parts that divide
  the stream may place them otherwise than the whole does.
- A call that has not ended has no duration, and is left out.
- Nanoseconds are added up as integers, so that no order of events changes a digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.arrays.chains import Chains, chains_of
from embertrace.analysis.arrays.sums import Alike, units_of_calls
from embertrace.analysis.calls import Call
from embertrace.analysis.durations import durations_of, quantile_interval, quantiles, total
from embertrace.analysis.gathered import Registered
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, grouped
from embertrace.analysis.table.names import Triple
from embertrace.event import call_hex

QUANTILES = (50, 90, 95, 99)
Group = tuple[str, str, str]


def group_of(call: Call) -> Group:
    return call.stage, call.operator_type, call.operator_id


def _group(names: Triple) -> Group:
    operator, operator_type, stage = names
    return stage, operator_type, operator


class Latencies:
    """A partial state: durations of calls, and their units, by group."""

    def __init__(self) -> None:
        self._found: dict[Group, list[tuple[Array, Alike]]] = {}
        self.left_out: Counter[str] = Counter()

    def add(self, group: Group, nanoseconds: Array, alike: Alike) -> None:
        """Durations, and the units of their calls in the same order."""
        self._found.setdefault(group, []).append((nanoseconds, alike))

    def merge(self, other: Latencies) -> Latencies:
        units = Registered()
        merged = Latencies()
        for part in (self, other):
            for group, parts in part._found.items():
                for nanoseconds, alike in parts:
                    merged.add(group, nanoseconds, Alike(units, units.numbers(alike)))
        merged.left_out = self.left_out + other.left_out
        return merged

    def __iter__(self) -> Iterator[tuple[Group, Array, Array]]:
        """Each group, its durations, and codes of their units."""
        for group in sorted(self._found):
            nanoseconds = np.concatenate([nanoseconds for nanoseconds, _ in self._found[group]])
            yield group, nanoseconds, np.concatenate([alike.codes for _, alike in self._found[group]])


def latency(selection: Selection) -> Latencies:
    found = Latencies()
    trees, names = selection.trees, selection.trees.table.names.triples
    places = np.flatnonzero(selection.mask)
    timed = places[trees.shape.has_duration[places]]
    found.left_out["without a duration"] += len(places) - len(timed)
    units = units_of_calls(trees)
    for number, of_name in grouped(trees.shape.name[timed], timed):
        found.add(_group(names[number]), durations_of(trees, of_name), Alike(units, units.codes(of_name)))
    return found


def finish_latency(latencies: Latencies) -> Rows:
    """Per stage, type and operator, sorted by name."""
    rows = []
    for group, times, units in latencies:
        row: dict[str, Any] = dict(zip(("stage", "type", "operator"), group, strict=True))
        row |= {"n": len(times), "items": len(counted(units)[0]), "mean_s": _seconds(total(times), len(times))}
        found = quantiles(times, *(q / 100 for q in QUANTILES))
        row |= {f"p{q}_s": value / 1e9 for q, value in zip(QUANTILES, found, strict=True)}
        row["max_s"] = int(times.max()) / 1e9
        for q in (50, 95):
            low, high = quantile_interval(times, units, q / 100)
            row |= {f"p{q}_low_s": low / 1e9, f"p{q}_high_s": high / 1e9}
        rows.append(row)
    return Rows(rows, latencies.left_out)


def _seconds(nanoseconds: int, n: int) -> float:
    return float(Fraction(nanoseconds, n * 1_000_000_000))


class Step(NamedTuple):
    """A call on the chain that bounds its trace, and the nanoseconds of it in which nothing below it was waited for."""

    call: Call
    depth: int
    own_ns: int


def chain(root: Call) -> list[Step]:
    """The chain that bounds a trace, in the order of the trees; its own times add up to the root's duration.

    Backwards from the end of a call: the child that ended last bounds it until that child began, then the one that had
    ended last by then, and so on; what lies between is the call's own. A child that outlived its parent, as one
    producer's order of events tells, was not waited for.
    """
    steps: list[Step] = []
    stack = [(root, 0, root.start_ns, root.start_ns + (root.duration_ns or 0))]
    while stack:
        call, depth, begin, cursor = stack.pop()
        own, below = 0, []
        for end, start, child in sorted(_awaited(call), key=lambda child: child[:2], reverse=True):
            end, start = min(end, cursor), max(start, begin)
            if start < end:
                own += cursor - end
                below.append((child, depth + 1, start, end))
                cursor = start
        steps.append(Step(call, depth, own + max(0, cursor - begin)))
        stack += below
    return steps


def _awaited(call: Call) -> Iterator[tuple[int, int, Call]]:
    for child in call.children:
        if child.duration_ns is not None and not _outlives(child, call):
            yield child.start_ns + child.duration_ns, child.start_ns, child


def _outlives(child: Call, parent: Call) -> bool:
    if child.end is None or parent.end is None:
        return False
    mine, whole = child.end.origin, parent.end.origin
    return mine.producer == whole.producer and mine.seq > whole.seq


class Path:
    """A partial state: per group, nanoseconds on the chains and how many traces; and the chains themselves."""

    def __init__(self, each: bool) -> None:
        self.each = each
        self.own: Counter[Group] = Counter()
        self.traces: Counter[Group] = Counter()
        self.whole = 0
        self.seen = 0
        self.chains: dict[Any, list[dict[str, Any]]] = {}
        self.left_out: Counter[str] = Counter()

    def add(self, root: Call, mask: Array) -> None:
        """Of a trace what stands on its chain and is selected."""
        chosen = [step for step in chain(root) if mask[step.call.place]]
        if not chosen:
            return
        self.seen += 1
        self.whole += root.duration_ns or 0
        for step in chosen:
            self.own[group_of(step.call)] += step.own_ns
        self.traces.update({group_of(step.call) for step in chosen})
        if self.each:
            self.chains[root.key] = [_described(step, root) for step in chosen]

    def add_all(self, chains: Chains, selection: Selection) -> None:
        """As `add`, of many traces at once."""
        trees, mask = selection.trees, selection.mask
        chosen = mask[chains.place]
        names, roots = trees.shape.name[chains.place[chosen]], chains.root[chosen]
        seen = counted(roots)[0]
        self.seen += len(seen)
        self.whole += total(durations_of(trees, seen))
        triples = trees.table.names.triples
        for number, own in grouped(names, chains.own_ns[chosen]):
            self.own[_group(triples[number])] += total(own)
        on_chains = counted(roots.astype(np.int64) * len(triples) + names)[0] % max(1, len(triples))
        for number, times in zip(*(part.tolist() for part in counted(on_chains)), strict=True):
            self.traces[_group(triples[number])] += times
        if self.each:
            self._describe(chains.in_order(), selection)

    def _describe(self, chains: Chains, selection: Selection) -> None:
        """The chains one by one, as `_described` has them; they stand chain by chain."""
        trees = selection.trees
        chosen = selection.mask[chains.place]
        places, roots = chains.place[chosen], chains.root[chosen]
        own, whole, begun = chains.own_ns[chosen], durations_of(trees, roots), trees.starts_ns[places]
        rows = list(
            map(
                _row,
                map(trees.table.names.triples.__getitem__, trees.shape.name[places].tolist()),
                trees.trace_ids(roots),
                trees.call_ids(places),
                chains.depth[chosen].tolist(),
                (begun - trees.starts_ns[roots]).tolist(),
                (durations_of(trees, places) / 1e9).tolist(),
                own.tolist(),
                whole.tolist(),
            )
        )
        bounds = np.flatnonzero(np.diff(roots, prepend=-1, append=-1))
        keys = trees.call_keys(roots[bounds[:-1]])
        for key, start, end in zip(keys, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            self.chains[key] = rows[start:end]

    def merge(self, other: Path) -> Path:
        self.own.update(other.own)
        self.traces.update(other.traces)
        self.left_out.update(other.left_out)
        self.whole += other.whole
        self.seen += other.seen
        self.chains |= other.chains
        return self


def _described(step: Step, root: Call) -> dict[str, Any]:
    call, begun = step.call, step.call.start_ns - root.start_ns
    names = call.operator_id, call.operator_type, call.stage
    told = (names, root.trace_id, call.call_id, step.depth, begun, call.duration_s, step.own_ns)
    return _row(*told, root.duration_ns or 0)


def _row(
    names: Triple,
    trace: str | None,
    call_id: int,
    depth: int,
    begun_ns: int,
    duration_s: float | None,
    own_ns: int,
    whole_ns: int,
) -> dict[str, Any]:
    operator, operator_type, stage = names
    return {
        "operator": operator,
        "type": operator_type,
        "stage": stage,
        "trace": trace,
        "call_id": call_hex(call_id),
        "depth": depth,
        "start_s": begun_ns / 1e9,
        "duration_s": duration_s,
        "own_s": own_ns / 1e9,
        "share": own_ns / whole_ns if whole_ns else 0.0,
    }


def critical_path(selection: Selection, *, each: bool = False) -> Path:
    found, shape = Path(bool(each)), selection.trees.shape
    chains = chains_of(selection.trees) if selection.at_once else None
    if chains is not None:
        found.add_all(chains, selection)
        untimed = (shape.parent < 0) & ~shape.has_duration & selection.mask
        found.left_out["traces without a duration"] += int(untimed.sum())
        return found
    mask = selection.mask
    for place in np.unique(shape.root[mask]).tolist():
        root = selection.trees.at(place)
        if root.duration_ns is not None:
            found.add(root, mask)
        elif mask[place]:
            found.left_out["traces without a duration"] += 1
    return found


def finish_path(path: Path) -> Rows:
    """Per group, the one with most time first; or each trace's chain."""
    if path.each:
        return Rows((row for key in sorted(path.chains) for row in path.chains[key]), path.left_out)
    rows = []
    for group in sorted(path.own, key=lambda group: (-path.own[group], group)):
        row: dict[str, Any] = dict(zip(("stage", "type", "operator"), group, strict=True))
        share = path.own[group] / path.whole if path.whole else 0.0
        rows.append({**row, "traces": path.traces[group], "own_s": path.own[group] / 1e9, "share": share})
    return Rows(rows, path.left_out)
