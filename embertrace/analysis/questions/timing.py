"""Questions about time: quantiles of durations, the chain of calls that bounds a trace, and the members one waits for.

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

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.sums import Alike, units_of_calls
from embertrace.analysis.calls import Call
from embertrace.analysis.durations import durations_of, quantile_interval, quantiles, total
from embertrace.analysis.gathered import Registered
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.ballots import columns
from embertrace.analysis.results import Rows
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, grouped
from embertrace.analysis.table.items import Unit
from embertrace.analysis.tally import Tally
from embertrace.analysis.units import unit_of
from embertrace.event import call_hex

QUANTILES = (50, 90, 95, 99)
Group = tuple[str, str, str]


def group_of(call: Call) -> Group:
    return call.stage, call.operator_type, call.operator_id


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
        operator, operator_type, stage = names[number]
        alike = Alike(units, units.codes(of_name))
        found.add((stage, operator_type, operator), durations_of(trees, of_name), alike)
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

    def add(self, root: Call, selection: Selection) -> None:
        steps = chain(root)
        chosen = [step for step in steps if selection.has(step.call)]
        if not chosen:
            return
        self.seen += 1
        self.whole += root.duration_ns or 0
        for step in chosen:
            self.own[group_of(step.call)] += step.own_ns
        self.traces.update({group_of(step.call) for step in chosen})
        if self.each:
            self.chains[root.key] = [_described(step, root) for step in chosen]

    def merge(self, other: Path) -> Path:
        self.own.update(other.own)
        self.traces.update(other.traces)
        self.left_out.update(other.left_out)
        self.whole += other.whole
        self.seen += other.seen
        self.chains |= other.chains
        return self


def _described(step: Step, root: Call) -> dict[str, Any]:
    call, whole = step.call, root.duration_ns or 0
    return {
        "operator": call.operator_id,
        "type": call.operator_type,
        "stage": call.stage,
        "trace": root.trace_id,
        "call_id": call_hex(call.call_id),
        "depth": step.depth,
        "start_s": (call.start_ns - root.start_ns) / 1e9,
        "duration_s": call.duration_s,
        "own_s": step.own_ns / 1e9,
        "share": step.own_ns / whole if whole else 0.0,
    }


def critical_path(selection: Selection, *, each: bool = False) -> Path:
    found = Path(bool(each))
    for root in selection.trees.roots:
        if root.duration_ns is not None:
            found.add(root, selection)
        elif selection.has(root):
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


class Stragglers:
    """A partial state: per stage and member, how often it was the last, and what share of the time it was owed."""

    def __init__(self) -> None:
        self.last: dict[tuple[str, str], Tally] = {}
        self.owed: dict[tuple[str, str], Tally] = {}
        self.left_out: Counter[str] = Counter()

    def add(self, name: tuple[str, str], unit: Unit, owed: Fraction | None) -> None:
        self.last.setdefault(name, Tally()).add(unit, Fraction(owed is not None))
        share = self.owed.setdefault(name, Tally())
        share.binary = False  # shares, even where each happens to be 0 or 1
        share.add(unit, owed or Fraction(0))

    def merge(self, other: Stragglers) -> Stragglers:
        for mine, theirs in ((self.last, other.last), (self.owed, other.owed)):
            for name, tally in theirs.items():
                mine[name] = mine[name].merge(tally) if name in mine else tally
        self.left_out.update(other.left_out)
        return self


def stragglers(selection: Selection) -> Stragglers:
    found = Stragglers()
    for ensemble in selection.ensembles(Answers()):
        timed = [(one.identity, one.call) for one in ensemble.members if one.call is not None and one.call.ended]
        spans = sorted(
            (call.start_ns + call.duration_ns, name, call.start_ns)
            for name, call in timed
            if call.duration_ns is not None
        )
        if len(spans) < 2:
            found.left_out["with fewer than two durations"] += 1
            continue
        (before, _, _), (end, slowest, start) = spans[-2:]
        if start >= before:
            found.left_out["one after the other"] += 1
            continue
        wall = end - min(start for _, _, start in spans)
        for _, name, _ in spans:
            owed = Fraction(end - before, wall) if name == slowest else None
            found.add((ensemble.call.stage, name), unit_of(ensemble.call), owed)
    return found


def finish_stragglers(found: Stragglers) -> Rows:
    """Per stage and member, sorted by name."""
    rows = []
    for stage, member in sorted(found.owed):
        last = found.last[stage, member].finish()
        rows.append(
            {"stage": stage, "member": member, "slowest": last.value, **columns(found.owed[stage, member], "owed")}
        )
    return Rows(rows, found.left_out)
