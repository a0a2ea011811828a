"""Ground truth that was given by labels: for an item, or for one call.

A label is a metric event with data {"label": {"key": item key, or "call": call id in hex; "truth", "by", "epoch"}}.
Of one annotator (`by`) the last counts; of several annotators the one who labelled last. A label without a truth
withdraws the annotator's own. A label of one epoch goes before a label of the item, and any label before the truth that
the item itself brought along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from embertrace.analysis.calls import Call, Metric
from embertrace.event import parse_call_id
from embertrace.payload import canonical

Target = tuple[str, bytes, bytes]


def is_label(data: Mapping[str, Any]) -> bool:
    """Whether a metric event is a label, if only a damaged one: then it says nothing, and is no score either."""
    return isinstance(data.get("label"), dict)


class Labels:
    """Labels by what they name. Given in order: later ones win."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._truths: dict[Target, dict[str, Any]] = {}
        for metric in metrics:
            label = metric.data["label"]
            if "key" not in label and "call" not in label:
                continue
            annotators = self._truths.setdefault(_target(label), {})
            by = str(label.get("by", ""))
            annotators.pop(by, None)
            if label.get("truth") is not None:
                annotators[by] = label["truth"]

    def __len__(self) -> int:
        return len(self._truths)

    def truth(self, call: Call) -> Any:
        """The truth of what a call was asked; None where nobody knows."""
        annotators = self._truths.get(("call", canonical(call.call_id), b"")) if self._truths else None
        if annotators is None:
            return self.truth_of_item(call.item)
        return next(reversed(annotators.values())) if annotators else call.item.get("truth")

    def truth_of_item(self, item: Mapping[str, Any]) -> Any:
        """The truth of an item, whatever is said of a call; None where nobody knows."""
        annotators = None
        if self._truths and "key" in item:
            key = canonical(item["key"])
            annotators = self._truths.get(("item", key, canonical(item.get("epoch"))))
            annotators = annotators or self._truths.get(("item", key, canonical(None)))
        return next(reversed(annotators.values())) if annotators else item.get("truth")

    @property
    def name_calls(self) -> bool:
        """Whether a label names one call."""
        return any(kind == "call" for kind, _, _ in self._truths)


def _target(label: Mapping[str, Any]) -> Target:
    if "call" in label:
        try:
            return "call", canonical(parse_call_id(label["call"])), b""
        except ValueError:
            return "call", canonical(str(label["call"])), b""
    return "item", canonical(label["key"]), canonical(label.get("epoch"))
