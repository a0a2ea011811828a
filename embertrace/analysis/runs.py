"""What is known of each run, from the metric events that describe it and from the contexts that name it.

A description is a metric event with data {"run": {"id": …, …}}. Descriptions of one id are merged, later fields over
earlier; an end ("finished", "failed") stands whatever a clock says. A run whose describing producers have all ended
while it was still "running" has crashed. A run begins with the first event that names it: an order of runs that no
random id can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embertrace.analysis.calls import Origin
from embertrace.errors import QueryError

if TYPE_CHECKING:
    from embertrace.analysis.trees import Trees

ENDS = ("finished", "failed")
UNKNOWN = "unknown"
"""The status of a run that only contexts name."""
MAX_LISTED = 20
"""Names in a message."""


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


def _calls_of(trees: Trees) -> list[tuple[str, Origin, int]]:
    """Of each run that calls are of its id, the origin of the first of them, and how many they are."""
    shape = trees.shape
    names = shape.contexts.runs
    numbers, places, counts = (found.tolist() for found in trees.calls_of_runs)
    origins = trees.origins(np.array(places, np.int64))
    found = zip(map(names.__getitem__, numbers), origins, counts, strict=True)
    return [(name, origin, count) for name, origin, count in found if name is not None]


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
    for run, first, count in trees.once(_calls_of):
        counts[run] = count
        began[run] = min(first, began.get(run, first))
    unknown = {run: {"id": run, "status": UNKNOWN} for run in counts.keys() - runs.keys()}
    found = {run: Run(began[run], {**known, "calls": counts.get(run, 0)}) for run, known in (runs | unknown).items()}
    return dict(sorted(found.items(), key=lambda entry: entry[1].began))


def check_runs(known: Mapping[str, Run], chosen: Set[str]) -> None:
    """Raises QueryError where calls are of several runs: nobody said that they may be pooled."""
    if len(chosen) < 2:
        return
    runs = [run for name, run in sorted(known.items(), key=lambda entry: entry[1].began) if name in chosen]
    listed = _listed([told(run.about) for run in runs])
    how = "choose one with run(…) or --run, or make the analysis with pool=True, which takes them as one"
    raise QueryError(f"{len(runs)} runs are in question: {listed}; {how}")


def check_run(name: str, runs: Iterable[Mapping[str, Any]]) -> None:
    """Raises QueryError where none of the runs has this name or id."""
    if name not in names_of(runs := [*runs]):
        raise QueryError(unknown("run", name, [told(run) for run in runs]))


def names_of(runs: Iterable[Mapping[str, Any]]) -> set[str]:
    """All by which one of them can be chosen."""
    return {run[name] for run in runs for name in ("id", "name") if isinstance(run.get(name), str)}


def told(run: Mapping[str, Any]) -> str:
    """A run as messages name it: its id, and its name where it has one."""
    name = run.get("name")
    return str(run["id"]) if name in (None, run["id"]) else f"{run['id']} ({name})"


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """That there is none of a name, and which there are."""
    return f"there is no {kind} {name!r:.80}{f'; there are {_listed(known)}' if known else ', nor any other'}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{', '.join(names[:MAX_LISTED])}{more}"


def config_differences(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Settings and versions that differ, of one run against one run; nothing where a side has several.

    What is known of one side only is no difference: a command line, a version, all settings of a run nobody described.
    A setting that one of two described runs has is one: the other was made without it, and has None.
    """
    if len(before) != 1 or len(after) != 1 or UNKNOWN in (before[0].get("status"), after[0].get("status")):
        return {}
    old, new = before[0], after[0]
    found: dict[str, tuple[Any, Any]] = {}
    found |= {name: (old[name], new[name]) for name in ("argv", "git") if name in old and name in new}
    settings = [side["config"] for side in (old, new) if isinstance(side.get("config"), Mapping)]
    if len(settings) == 2:
        names = sorted(settings[0].keys() | settings[1].keys(), key=str)
        found |= {f"{name}": (settings[0].get(name), settings[1].get(name)) for name in names}
    versions = [side["versions"] for side in (old, new) if isinstance(side.get("versions"), Mapping)]
    if len(versions) == 2:
        names = sorted(versions[0].keys() & versions[1].keys(), key=str)
        found |= {f"versions.{name}": (versions[0][name], versions[1][name]) for name in names}
    return {name: found[name] for name in sorted(found) if found[name][0] != found[name][1]}
