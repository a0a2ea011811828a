"""Questions about scores and latency: means and quantiles over exact histograms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from embertrace.analysis.calls import Call
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows, Table
from embertrace.analysis.statistics import quantile


class Histograms:
    """Counted values by name, and what was left out."""

    def __init__(self) -> None:
        self.by_name: dict[str, Counter[float]] = {}
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Histograms) -> Histograms:
        for name, counts in other.by_name.items():
            self.by_name.setdefault(name, Counter()).update(counts)
        self.left_out.update(other.left_out)
        return self


def accuracy_distribution(selection: Selection) -> Histograms:
    histograms = Histograms()
    for metric in selection.scores():
        if "accuracy" not in metric.data:
            continue
        value = finite(metric.data["accuracy"])
        if value is None:
            histograms.left_out["not a finite number"] += 1
        else:
            counts = histograms.by_name.setdefault(f"{metric.operator_type}:{metric.stage}", Counter())
            counts[value] += 1
    return histograms


def finite(value: Any) -> float | None:
    """A number as a float; None for anything else, and for integers that no float holds."""
    try:
        number = float(value) if isinstance(value, bool | int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def finish_accuracy(histograms: Histograms) -> Table:
    rows = {name: mean_and_std(histograms.by_name[name]) for name in sorted(histograms.by_name)}
    return Table(rows, histograms.left_out)


def mean_and_std(counts: Counter[float]) -> dict[str, Any]:
    """Mean, population standard deviation and number of counted values; sums are exact, rounded once."""
    n = counts.total()
    exact = [(Fraction(value), times) for value, times in counts.items()]
    mean = sum((value * times for value, times in exact), Fraction(0)) / n
    variance = sum(((value - mean) ** 2 * times for value, times in exact), Fraction(0)) / n
    return {"mean": float(mean), "std": _root(variance), "samples": n}


def _root(square: Fraction) -> float:
    """A square root; also of squares that are too large or too small for a float, while their roots are not."""
    shift = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(square / Fraction(4) ** shift), shift)


Group = tuple[str, ...]


class Activity:
    """Per group of calls: outcomes and durations (nanoseconds), counted."""

    def __init__(self, columns: Group) -> None:
        self.columns = columns
        self.outcomes: dict[Group, Counter[str]] = {}
        self.durations: dict[Group, Counter[int]] = {}

    def add(self, group: Group, call: Call) -> None:
        self.outcomes.setdefault(group, Counter())[call.outcome] += 1
        durations = self.durations.setdefault(group, Counter())
        if call.duration_ns is not None:
            durations[call.duration_ns] += 1

    def merge(self, other: Activity) -> Activity:
        for group, outcomes in other.outcomes.items():
            self.outcomes.setdefault(group, Counter()).update(outcomes)
            self.durations.setdefault(group, Counter()).update(other.durations[group])
        return self


def stages(selection: Selection) -> Activity:
    return _activity(selection, ("stage",), lambda call: (call.stage,))


def operators(selection: Selection) -> Activity:
    columns = ("stage", "type", "operator")
    return _activity(selection, columns, lambda call: (call.stage, call.operator_type, call.operator_id))


def _activity(selection: Selection, columns: Group, group: Callable[[Call], Group]) -> Activity:
    activity = Activity(columns)
    for call in selection.calls:
        activity.add(group(call), call)
    return activity


def finish_activity(activity: Activity) -> Rows:
    rows = []
    for group in sorted(activity.outcomes):
        outcomes, durations = activity.outcomes[group], activity.durations[group]
        counts = {"calls": outcomes.total(), "errors": outcomes["error"], "lost": outcomes["lost"]}
        times = {f"p{q}_s": quantile(durations, q / 100) / 1e9 for q in (50, 95)}
        rows.append({**dict(zip(activity.columns, group, strict=True)), **counts, "open": outcomes["open"], **times})
    return Rows(rows)
