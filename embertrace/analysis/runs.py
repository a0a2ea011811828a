"""What is known of each run, from the metric events that describe it and from the contexts that name it.

A description is a metric event with data {"run": {"id": …, …}}. Descriptions of one id are merged, later fields over
earlier; an end ("finished", "failed") stands whatever a clock says. A run whose describing producers have all ended
while it was still "running" has crashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embertrace.analysis.trees import Trees

ENDS = ("finished", "failed")


def is_run(data: Mapping[str, Any]) -> bool:
    described = data.get("run")
    return isinstance(described, dict) and isinstance(described.get("id"), str)


def describe_runs(trees: Trees, ended: set[bytes]) -> list[dict[str, Any]]:
    """One mapping per run, in the order in which they were first described, then those only contexts name, by id."""
    runs: dict[str, dict[str, Any]] = {}
    producers: dict[str, set[bytes]] = {}
    for metric in trees.run_events:
        news = metric.data["run"]
        known = runs.setdefault(news["id"], {"status": "running"})
        status = known["status"] if known["status"] in ENDS else news.get("status", "running")
        known.update(news, status=status)
        producers.setdefault(news["id"], set()).add(metric.origin.producer)
    for run, known in runs.items():
        if known["status"] == "running" and producers[run] <= ended:
            known["status"] = "crashed"
    counts: dict[str, int] = {}
    for call in trees.calls:
        if call.run is not None:
            counts[call.run] = counts.get(call.run, 0) + 1
    for run in sorted(counts.keys() - runs.keys()):
        runs[run] = {"id": run, "status": "unknown"}
    return [{**known, "calls": counts.get(run, 0)} for run, known in runs.items()]
