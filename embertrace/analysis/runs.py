"""What is known of each run, from the metric events that describe it and from the contexts that name it.

A description is a metric event with data {"run": {"id": …, …}}. Descriptions of one id are merged, later fields over
earlier; an end ("finished", "failed") stands whatever a clock says. A run whose describing producers have all ended
while it was still "running" has crashed. A run begins with the first event that names it: an order of runs that no
random id can change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from embertrace.analysis.calls import Origin
from embertrace.errors import QueryError

if TYPE_CHECKING:
    from embertrace.analysis.trees import Trees

ENDS = ("finished", "failed")
UNKNOWN = "unknown"
"""The status of a run that only contexts name."""


def is_run(data: Mapping[str, Any]) -> bool:
    described = data.get("run")
    return isinstance(described, dict) and isinstance(described.get("id"), str)


class Run(NamedTuple):
    """When a run began, and all that is said of it, with the number of its calls."""

    began: Origin
    about: dict[str, Any]

    def merge(self, other: Run) -> Run:
        """The same run as two parts of the events know it. What describes it is in both, or else in one of them."""
        described = other if self.about["status"] == UNKNOWN else self
        calls = self.about["calls"] + other.about["calls"]
        return Run(min(self.began, other.began), {**described.about, "calls": calls})


def _calls_of(trees: Trees) -> Iterator[tuple[str, Origin, int]]:
    """Of each run that calls are of its id, the origin of the first of them, and how many they are."""
    shape = trees.shape
    names = shape.contexts.runs
    numbers, places, counts = trees.calls_of_runs
    for number, place, count in zip(numbers.tolist(), places.tolist(), counts.tolist(), strict=True):
        name = names[number]
        if name is not None:
            yield name, Origin(*trees.table.origin(int(shape.first_row[place]))), count


def describe_runs(trees: Trees, ended: set[bytes]) -> dict[str, Run]:
    """The runs by their ids, in the order in which they began."""
    runs: dict[str, dict[str, Any]] = {}
    producers: dict[str, set[bytes]] = {}
    began: dict[str, Origin] = {}
    for metric in trees.run_events:
        news = metric.data["run"]
        known = runs.setdefault(news["id"], {"status": "running"})
        status = known["status"] if known["status"] in ENDS else news.get("status", "running")
        known.update(news, status=status)
        producers.setdefault(news["id"], set()).add(metric.origin.producer)
        began.setdefault(news["id"], metric.origin)
    for run, known in runs.items():
        if known["status"] == "running" and producers[run] <= ended:
            known["status"] = "crashed"
    counts: dict[str, int] = {}
    for run, first, count in _calls_of(trees):
        counts[run] = count
        began[run] = min(first, began.get(run, first))
    unknown = {run: {"id": run, "status": UNKNOWN} for run in counts.keys() - runs.keys()}
    found = {run: Run(began[run], {**known, "calls": counts.get(run, 0)}) for run, known in (runs | unknown).items()}
    return dict(sorted(found.items(), key=lambda entry: entry[1].began))


def check_runs(known: Mapping[str, Run], chosen: Set[str]) -> None:
    """Raises QueryError where calls are of several runs: nobody said that they may be pooled."""
    if len(chosen) < 2:
        return
    runs = [run for run in sorted(known.items(), key=lambda entry: entry[1].began) if run[0] in chosen]
    names = [(run, described.about.get("name")) for run, described in runs[:20]]
    listed = ", ".join(run if name in (None, run) else f"{run} ({name})" for run, name in names)
    more = f" and {len(runs) - 20} more" if len(runs) > 20 else ""
    raise QueryError(f"{len(runs)} runs are in question: {listed}{more}; choose with run(…), or say pool=True")
