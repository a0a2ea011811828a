"""Ground truth that was given by labels: for an item, or for one call.

A label is a metric event with data {"label": {"key": item key, or "call": call id in hex; "truth", "by", "epoch",
"run"}}. Rules:
- Of one annotator (`by`) the last counts; of several annotators the one who labelled last. A label without a truth
  withdraws the annotator's own. All of them stay known: see `history`.
- A label of a call goes before those of its item. Of an item's, one of the call's run (by id, or by name) goes before
  one of every run, and then one of its epoch before one of every epoch; any before the truth that the item itself
  brought along.
- The order is that of their origins. A damaged label says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from embertrace.analysis.calls import Call, Metric, Origin
from embertrace.event import parse_call_id
from embertrace.payload import canonical

NOTHING = canonical(None)


class Target(NamedTuple):
    """What a label names, as far as it says: a call, or an item; a `run` of None, or a packed None, is every one."""

    kind: str
    key: bytes
    epoch: bytes = NOTHING
    run: str | None = None


class Label(NamedTuple):
    """One label as it was given. `truth` is None where it withdraws; `names` is the item's key, or the call's id."""

    origin: Origin
    target: Target
    names: Any
    epoch: Any
    by: str
    truth: Any


def is_label(data: Mapping[str, Any]) -> bool:
    """Whether a metric event is a label, if only a damaged one: then it says nothing, and is no score either."""
    return isinstance(data.get("label"), dict)


def read_label(metric: Metric) -> Label | None:
    """The label a metric event is; None where it names nothing."""
    told = metric.data["label"]
    by = told.get("by")
    about = ("" if by is None else str(by), told.get("truth"))
    if "call" in told:
        try:
            key = canonical(parse_call_id(told["call"]))
        except ValueError:
            key = canonical(str(told["call"]))
        return Label(metric.origin, Target("call", key), told["call"], None, *about)
    if "key" not in told:
        return None
    run, epoch = told.get("run"), told.get("epoch")
    target = Target("item", canonical(told["key"]), canonical(epoch), None if run is None else str(run))
    return Label(metric.origin, target, told["key"], epoch, *about)


def run_names(descriptions: Iterable[Metric]) -> dict[str, str]:
    """Run ids and their names, from the events that describe runs."""
    told = (metric.data["run"] for metric in descriptions)
    return {run["id"]: run["name"] for run in told if isinstance(run.get("name"), str)}


class Labels:
    """Labels by what they name. Given in order: later ones win. `descriptions` are of runs, for the names of runs."""

    def __init__(self, metrics: Iterable[Metric], descriptions: Iterable[Metric] = ()) -> None:
        read = (read_label(metric) for metric in metrics)
        self.history: list[Label] = [label for label in read if label is not None]
        self.run_names = run_names(descriptions)
        self._truths: dict[Target, dict[str, Any]] = {}
        for label in self.history:
            annotators = self._truths.setdefault(label.target, {})
            annotators.pop(label.by, None)
            if label.truth is not None:
                annotators[label.by] = label.truth

    def __len__(self) -> int:
        return len(self._truths)

    def truth(self, call: Call, by: str | None = None) -> Any:
        """The truth of what a call was asked; None where nobody knows.

        With `by`, as that annotator has it; where it ends with a colon ("human:"), as any whose name begins so.
        """
        named = self._given([Target("call", canonical(call.call_id))], by) if self._truths else None
        return self.truth_of_item(call.item, call.run, by) if named is None else named

    def truth_of_item(self, item: Mapping[str, Any], run: str | None, by: str | None = None) -> Any:
        """The truth of an item in a run, whatever is said of a call; None where nobody knows."""
        given = None
        if self._truths and "key" in item:
            key, epoch = canonical(item["key"]), canonical(item.get("epoch"))
            given = self._given(targets_of_item(key, epoch, run, self.run_names), by)
        return item.get("truth") if given is None and by is None else given

    def _given(self, targets: Iterable[Target], by: str | None) -> Any:
        for target in targets:
            annotators = self._truths.get(target, {})
            for name in reversed(annotators):
                if by is None or is_by(name, by):
                    return annotators[name]
        return None

    @property
    def name_calls(self) -> bool:
        """Whether a label names one call."""
        return any(target.kind == "call" for target in self._truths)


def targets_of_item(key: bytes, epoch: bytes, run: str | None, names: Mapping[str, str]) -> Iterator[Target]:
    """What could name an item in one of its epochs and runs, the most particular first."""
    runs = dict.fromkeys([run, names.get(run) if run is not None else None, None])
    for given in runs:
        for wanted in dict.fromkeys([epoch, NOTHING]):
            yield Target("item", key, wanted, given)


def is_by(annotator: str, wanted: str) -> bool:
    """Whether an annotator is the one that is wanted, or of the kind ("human:")."""
    return annotator.startswith(wanted) if wanted.endswith(":") else annotator == wanted
