"""The seed's own analysis, as its document has it: loops over OperatorEvents. The peer that "100×" speaks of.

What the document leaves open is filled in as simply as it can be: ensembles are grouped by the call that their members
name as their parent, and a judge's ensemble is the call it follows. `np.mean` of a list is as in the document.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from embertrace.event import OperatorEvent


def ensemble_disagreement(events: list[OperatorEvent]) -> float:
    ensembles = _grouped_by_parent(events)
    disagreements = []
    for members in ensembles.values():
        results = [e.data["result"] for e in members if e.event_type == "result"]
        if len(results) > 1:
            unique_results = len(set(str(r) for r in results))  # noqa: C401  (as the document has it)
            disagreements.append((unique_results - 1) / (len(results) - 1))
    return sum(disagreements) / len(disagreements) if disagreements else 0.0


def accuracy_distribution(events: list[OperatorEvent]) -> dict[str, Any]:
    accuracies: dict[str, list[float]] = {}
    for event in events:
        if event.event_type == "metric" and "accuracy" in event.data:
            accuracies.setdefault(f"{event.operator_type}:{event.stage}", []).append(event.data["accuracy"])
    return {k: {"mean": np.mean(v), "std": np.std(v), "samples": len(v)} for k, v in accuracies.items()}


def judge_accuracy_by_agreement(events: list[OperatorEvent]) -> dict[str, float]:
    results: dict[str, list[bool]] = {}
    ensembles = _grouped_by_parent(events)
    for event in events:
        if event.operator_type == "judge" and event.event_type == "result":
            members = [e for e in ensembles.get(event.follows, ()) if e.event_type == "result"]
            if members:
                agreement = max(Counter(str(e.data["result"]) for e in members).values())
                key = f"{agreement}/{len(members)}"
                results.setdefault(key, []).append(event.data["result"] == event.context["item"]["truth"])
    return {k: sum(v) / len(v) if v else 0.0 for k, v in results.items()}


def _grouped_by_parent(events: list[OperatorEvent]) -> dict[str | None, list[OperatorEvent]]:
    found: dict[str | None, list[OperatorEvent]] = {}
    for event in events:
        if event.operator_type == "member":
            found.setdefault(event.parent_call_id, []).append(event)
    return found
