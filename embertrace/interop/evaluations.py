"""Scores and labels by the call that they are about, for tools that keep evaluations with their spans. Pure.

Rules:
- A score is its call's. One outside any call is that of the first root in its trace.
- A label of a call is that call's. A label of an item is that of the item's first root, in each run and
  epoch it names.
- Of each annotator the last label counts; a withdrawn one is none.
- What is about something that is not selected is counted in `left_out`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from embertrace.analysis import Call
from embertrace.analysis.labels import Label
from embertrace.analysis.query import Selection
from embertrace.event import parse_call_id
from embertrace.interop.otlp_mapping import is_evaluation
from embertrace.payload import canonical

LABEL = "truth"
"""The name of an evaluation that is a label."""


class Evaluation(NamedTuple):
    """One score or label: its name, its value, who gave it (None for a score), and when."""

    name: str
    value: Any
    by: str | None
    time_ns: int


class Evaluations:
    """All evaluations of a selection. `left_out` counts those about calls that are not in it."""

    def __init__(self, selection: Selection) -> None:
        self.left_out = 0
        self._found: dict[int, list[Evaluation]] = {}
        self._selection = selection
        self._first_roots: dict[str | None, Call] = {}
        for root in selection.trees.roots:
            if selection.has(root):
                self._first_roots.setdefault(root.trace_id, root)
        self._add_scores()
        self._add_labels()

    def of(self, call: Call) -> Sequence[Evaluation]:
        """What is said of one call, in the order in which it was said."""
        return self._found.get(id(call), ())

    def _add_scores(self) -> None:
        for metric in self._selection.trees.scores:
            call = metric.call
            if call is None and metric.trace_id is not None and not metric.event.call_id:
                call = self._first_roots.get(metric.trace_id)
            said = [(name, value) for name, value in metric.data.items() if is_evaluation(str(name))]
            if call is None or not self._selection.has(call):
                self.left_out += len(said)
                continue
            for name, value in said:
                self._note(call, Evaluation(str(name), value, None, metric.origin.nanoseconds))

    def _add_labels(self) -> None:
        labels = self._selection.trees.labels
        last = {(label.target, label.by): label for label in labels.history}
        standing = [label for label in last.values() if label.truth is not None]
        if not standing:
            return
        places = self._places(labels.run_names)
        for label in sorted(standing, key=lambda label: label.origin):
            calls = self._labelled(label, places)
            self.left_out += not calls
            for call in calls:
                self._note(call, Evaluation(LABEL, label.truth, label.by, label.origin.nanoseconds))

    def _labelled(self, label: Label, places: dict[tuple[Any, ...], list[Call]]) -> list[Call]:
        target = label.target
        if target.kind == "call":
            call = self._call(label.names)
            return [call] if call is not None and self._selection.has(call) else []
        return places.get((target.key, target.epoch, target.run), [])

    def _call(self, named: Any) -> Call | None:
        try:
            return self._selection.trees.by_id.get(parse_call_id(named))
        except ValueError:  # a label that someone made by hand
            return None

    def _places(self, run_names: dict[str, str]) -> dict[tuple[Any, ...], list[Call]]:
        """The first roots of items, by every (key, epoch, run) that a label may name them by."""
        firsts: dict[tuple[Any, ...], Call] = {}
        for root in self._selection.trees.roots:
            if "key" in root.item and self._selection.has(root):
                at = (canonical(root.item["key"]), canonical(root.item.get("epoch")), root.run)
                firsts.setdefault(at, root)
        found: dict[tuple[Any, ...], list[Call]] = {}
        for (key, epoch, run), root in firsts.items():
            for named in dict.fromkeys([run, run_names.get(run), None]):
                for stated in dict.fromkeys([epoch, canonical(None)]):
                    found.setdefault((key, stated, named), []).append(root)
        return found

    def _note(self, call: Call, evaluation: Evaluation) -> None:
        self._found.setdefault(id(call), []).append(evaluation)
