"""Questions about labels themselves: what was said by whom and when, of which items, and how far annotators agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from embertrace.analysis.answers import is_readable
from embertrace.analysis.calls import Origin
from embertrace.analysis.gathered import each_its_own
from embertrace.analysis.labels import Label, Target, is_by, targets_of_item
from embertrace.analysis.optional import library
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.kappas import CONSTANT, LEVELS, Level, draw_alpha, draw_cohen
from embertrace.analysis.results import NAN, Estimate, Rows, Table
from embertrace.analysis.table.counting import counted
from embertrace.errors import QueryError
from embertrace.payload import canonical, unpack

MAX_LISTED = 10
"""Keys in a note; the rows have them all."""

Item = tuple[bytes, bytes, str | None]
"""Packed key, packed epoch, and run."""


class Labelling:
    """The labels of one part of the events, and the items and calls that they are about: a partial state. Labels are in
    all parts."""

    def __init__(self, selection: Selection, by: str | None = None, level: Level = "nominal") -> None:
        given = selection.trees.labels
        self.level = level
        self.filtered = selection.filtered
        self.run_names = dict(given.run_names)
        self.labels: dict[Origin, Label] = {
            label.origin: label for label in given.history if by is None or is_by(label.by, by)
        }
        named = {label.target.key for label in self.labels.values() if label.target.kind == "item"}
        self.items = {item for item in items_of(selection) if item[0] in named} if named else set()
        self.calls = {target for target in self._named_calls() if _is_chosen(selection, target)}

    def merge(self, other: Labelling) -> Labelling:
        self.labels |= other.labels
        self.run_names |= other.run_names
        self.items |= other.items
        self.calls |= other.calls
        return self

    def chosen(self) -> list[tuple[Label, bool]]:
        """The labels in question, in order, and whether what they name was seen. Filters choose among the seen."""
        seen = {target for item in self.items for target in targets_of_item(*item, self.run_names)} | self.calls
        labels = [(self.labels[origin], self.labels[origin].target in seen) for origin in sorted(self.labels)]
        return [(label, is_known) for label, is_known in labels if is_known or not self.filtered]

    def _named_calls(self) -> set[Target]:
        return {label.target for label in self.labels.values() if label.target.kind == "call"}


def _is_chosen(selection: Selection, target: Target) -> bool:
    call_id = unpack(target.key)
    call = selection.trees.by_id.get(call_id) if isinstance(call_id, int) else None
    return call is not None and selection.has(call)


def items_of(selection: Selection) -> Iterator[Item]:
    """The items that the selected calls are about, where they have keys; some of them several times."""
    shape, places = selection.trees.shape, selection.places
    pairs = counted(shape.item[places].astype(np.int64) << 32 | shape.run[places])[0]
    for item, run in zip((pairs >> 32).tolist(), (pairs & 0xFFFFFFFF).tolist(), strict=True):
        about = shape.contexts.items.mapping(item)
        if "key" in about:
            yield canonical(about["key"]), canonical(about.get("epoch")), shape.contexts.runs[run]


def labels(selection: Selection, *, by: str | None = None) -> Labelling:
    return Labelling(selection, by)


def finish_labels(found: Labelling) -> Rows:
    chosen = found.chosen()
    last = {(label.target, label.by): label.origin for label, _ in chosen}
    rows = [_described(label, is_known, last[label.target, label.by]) for label, is_known in chosen]
    return Rows(rows, notes=_unknown([label for label, is_known in chosen if not is_known]))


def _described(label: Label, is_known: bool, last: Origin) -> dict[str, Any]:
    status = "current" if label.truth is not None else "withdrawal"
    call = label.names if label.target.kind == "call" else None
    return {
        "item": label.names if call is None else None,
        "call": call,
        "epoch": label.epoch,
        "run": label.target.run,
        "by": label.by,
        "truth": label.truth,
        "status": status if label.origin == last else "replaced",
        "known": is_known,
        "at": label.origin.nanoseconds / 1e9,
    }


def _unknown(labels: Sequence[Label]) -> list[str]:
    names = dict.fromkeys(repr(label.names) for label in labels)
    if not names:
        return []
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return [f"{len(labels)} labels name nothing that was seen: {', '.join(list(names)[:MAX_LISTED])}{more}"]


def label_agreement(selection: Selection, *, level: Level = "nominal", by: str | None = None) -> Labelling:
    if level not in LEVELS:
        raise QueryError(f"level={level!r} is none of {', '.join(LEVELS)}")
    return Labelling(selection, by, level)


def finish_agreement(found: Labelling) -> Table:
    ratings: dict[Target, dict[str, bytes]] = {}
    for label, _ in found.chosen():
        said = ratings.setdefault(label.target, {})
        said.pop(label.by, None)
        if label.truth is not None:
            said[label.by] = canonical(label.truth)
    annotators = sorted({by for said in ratings.values() for by in said})
    if len(annotators) < 2:
        return Table({}, notes=["agreement takes labels of two annotators"] if annotators else [])
    rated = {target: ratings[target] for target in sorted(ratings, key=_order) if ratings[target]}
    table: dict[str, Any] = {"alpha": _alpha(rated, found.level)}
    for one, other in combinations(annotators, 2):
        pairs = [(by[one], by[other]) for by in rated.values() if {one, other} <= by.keys()]
        table[f"{one or 'nobody named'}, {other}"] = _kappa(pairs)
    return Table(table)


def _order(target: Target) -> tuple[str, bytes, bytes, str]:
    return target.kind, target.key, target.epoch, target.run or ""


def _alpha(ratings: dict[Target, dict[str, bytes]], level: Level) -> Estimate:
    """Krippendorff's alpha over what two or more annotators labelled."""
    counted = [(target, Counter(rated.values())) for target, rated in ratings.items()]
    pairable = [(target, counts) for target, counts in counted if counts.total() > 1]
    left_out = {"labelled by one annotator": len(counted) - len(pairable)}
    labels = sum(counts.total() for _, counts in pairable)
    about: dict[str, Any] = {"n": labels, "items": len(pairable), "left_out": left_out}
    keys = sorted({key for _, counts in pairable for key in counts})
    values = list(range(len(keys))) if level == "nominal" else [_number(key) for key in keys]
    if any(math.isnan(value) for value in values):
        return Estimate(NAN, notes=[f"labels of level={level!r} are numbers"], **about)
    if len(keys) < 2:
        return Estimate(NAN, notes=[CONSTANT.replace("kappa", "alpha")] if pairable else [], **about)
    krippendorff = library("krippendorff", "label_agreement()")
    order = sorted(range(len(keys)), key=lambda place: values[place])
    domain = [values[place] for place in order]
    table = [[counts[keys[place]] for place in order] for _, counts in pairable]
    value = krippendorff.alpha(value_counts=table, value_domain=domain, level_of_measurement=level)
    drawn = draw_alpha(list(zip(each_its_own(len(table)), table, strict=True)), domain, level)
    return Estimate(float(value), interval=drawn.interval, notes=drawn.notes, **about)


def _number(key: bytes) -> float:
    """The number a label is; NaN of what is none, or is not finite."""
    value = unpack(key) if is_readable(key) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NAN
    return value if abs(value) < math.inf else NAN


def _kappa(pairs: Sequence[tuple[bytes, bytes]]) -> Estimate:
    """Cohen's kappa of two annotators over what both labelled."""
    keys = sorted({key for pair in pairs for key in pair})
    about: dict[str, Any] = {"n": len(pairs), "items": len(pairs)}
    if len(keys) < 2:
        return Estimate(NAN, notes=[CONSTANT] if pairs else ["no item has labels of both"], **about)
    inter_rater = library("statsmodels.stats.inter_rater", "label_agreement()")
    counts = Counter(pairs)
    value = inter_rater.cohens_kappa([[counts[one, other] for other in keys] for one in keys], return_results=False)
    drawn = draw_cohen(list(zip(each_its_own(len(pairs)), pairs, strict=True)), keys)
    return Estimate(float(value), interval=drawn.interval, notes=drawn.notes, **about)


class Sought:
    """Which of some items were not seen: a partial state."""

    def __init__(self, selection: Selection, targets: Sequence[Sequence[Any]]) -> None:
        self.targets = [_sought(entry) for entry in targets]
        self.run_names = dict(selection.trees.labels.run_names)
        wanted = {target.key for target in self.targets}
        self.items = {item for item in items_of(selection) if item[0] in wanted}

    def merge(self, other: Sought) -> Sought:
        self.run_names |= other.run_names
        self.items |= other.items
        return self

    def finish(self) -> Rows:
        seen = {target for item in self.items for target in targets_of_item(*item, self.run_names)}
        return Rows({"place": place} for place, target in enumerate(self.targets) if target not in seen)


def unknown_items(selection: Selection, *, targets: Sequence[Sequence[Any]]) -> Sought:
    """Of [key, epoch, run]s, the places of those that name no item that was seen."""
    if not isinstance(targets, list | tuple):
        raise QueryError(f"targets are a list of [key, epoch, run], not {targets!r:.80}")
    return Sought(selection, targets)


def _sought(entry: Any) -> Target:
    if not isinstance(entry, list | tuple) or len(entry) != 3:
        raise QueryError(f"a target is [key, epoch, run], not {entry!r:.80}")
    key, epoch, run = entry
    try:
        return Target("item", canonical(key), canonical(epoch), None if run is None else str(run))
    except (TypeError, ValueError, OverflowError):
        raise QueryError(f"a target has a key and an epoch of plain data, not {entry!r:.80}") from None
