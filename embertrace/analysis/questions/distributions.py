"""Questions about scores and latency: means and quantiles over exact histograms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from embertrace.analysis.durations import Durations, durations_of
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows, Table
from embertrace.analysis.statistics import quotient, root
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, grouped
from embertrace.analysis.table.names import Triple
from embertrace.analysis.table.shape import OUTCOMES
from embertrace.analysis.trees import Trees


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
    names = selection.trees.table.names.triples
    for name, value, times in _accuracies(selection):
        if value is None:
            histograms.left_out["not a finite number"] += times
        else:
            _, operator_type, stage = names[name]
            histograms.by_name.setdefault(f"{operator_type}:{stage}", Counter())[value] += times
    return histograms


def _accuracies(selection: Selection) -> list[tuple[int, float | None, int]]:
    """Of each operator's name and each text with an accuracy: the value, and how often it was scored."""
    trees = selection.trees
    if selection.filtered:
        return _count_accuracies(trees, selection.scored)
    return trees.keep("accuracies", lambda: _count_accuracies(trees, selection.scored))


def _count_accuracies(trees: Trees, chosen: Array) -> list[tuple[int, float | None, int]]:
    """`chosen`: of the trees' `metric_rows` whether each is asked for."""
    said, width = trees.once(_texts_of_names)
    values = trees.texts.read("accuracy", lambda data: (finite(data["accuracy"]),) if "accuracy" in data else ())
    pairs, times = counted(said if chosen.all() else said[chosen])
    found = []
    for pair, often in zip(pairs.tolist(), times.tolist(), strict=True):
        text, name = divmod(pair, width)
        found += [(name, value, often) for value in values[text]]
    return found


def _texts_of_names(trees: Trees) -> tuple[Array, int]:
    """Of each of `metric_rows` the number of its text, times a width, and that of its operator's names."""
    names, width = trees.table.name.values[trees.metric_rows], len(trees.table.names.triples)
    return trees.metric_texts * np.int64(width) + names, width


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
    ratios = [(*value.as_integer_ratio(), times) for value, times in counts.items()]
    whole = max(denominator for _, denominator, _ in ratios)  # each is a power of two
    exact = [(numerator * (whole // denominator), times) for numerator, denominator, times in ratios]
    total = sum(value * times for value, times in exact)
    squares = n * sum(value * value * times for value, times in exact) - total * total
    return {"mean": quotient(total, n * whole), "std": root(squares, (n * whole) ** 2), "samples": n}


Group = tuple[str, ...]


class Activity:
    """Per group of calls: outcomes, counted, and durations."""

    def __init__(self, columns: Group) -> None:
        self.columns = columns
        self.outcomes: dict[Group, Counter[str]] = {}
        self.durations: dict[Group, Durations] = {}

    def of_group(self, group: Group) -> tuple[Counter[str], Durations]:
        return self.outcomes.setdefault(group, Counter()), self.durations.setdefault(group, Durations())

    def merge(self, other: Activity) -> Activity:
        for group, outcomes in other.outcomes.items():
            mine, durations = self.of_group(group)
            mine.update(outcomes)
            durations.merge(other.durations[group])
        return self


def stages(selection: Selection) -> Activity:
    return _activity(selection, ("stage",), lambda names: (names[2],))


def operators(selection: Selection) -> Activity:
    return _activity(selection, ("stage", "type", "operator"), lambda names: (names[2], names[1], names[0]))


def _activity(selection: Selection, columns: Group, group: Callable[[Triple], Group]) -> Activity:
    activity = Activity(columns)
    shape, names = selection.trees.shape, selection.trees.table.names.triples
    places = np.flatnonzero(selection.mask)
    for number, of_name in grouped(shape.name[places], places):
        outcomes, durations = activity.of_group(group(names[number]))
        counts = np.bincount(shape.outcome[of_name], minlength=len(OUTCOMES)).tolist()
        outcomes.update(dict(zip(OUTCOMES, counts, strict=True)))
        durations.add_all(durations_of(selection.trees, of_name[shape.has_duration[of_name]]))
    return activity


def finish_activity(activity: Activity) -> Rows:
    rows = []
    for group in sorted(activity.outcomes):
        outcomes = activity.outcomes[group]
        counts = {"calls": outcomes.total(), "errors": outcomes["error"], "lost": outcomes["lost"]}
        p50, p95 = activity.durations[group].quantiles(0.5, 0.95)
        times = {"p50_s": p50 / 1e9, "p95_s": p95 / 1e9}
        rows.append({**dict(zip(activity.columns, group, strict=True)), **counts, "open": outcomes["open"], **times})
    return Rows(rows)
