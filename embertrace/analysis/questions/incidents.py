"""Questions about what went wrong or is missing: failed, lost and open calls, unlinked judges, losses, runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from embertrace.analysis.arrays.feeding import LEFT, UNLINKED, feeding_of
from embertrace.analysis.calls import Call, Origin
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.items import described
from embertrace.analysis.results import Rows, Table
from embertrace.analysis.runs import describe_runs
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.shape import ERROR_OUTCOME, LOST, OPEN, OUTCOMES
from embertrace.errors import QueryError


class Incidents:
    """Calls, each with its item, in the order of their begin."""

    def __init__(self, selection: Selection) -> None:
        self._names = Names(selection)
        self.rows: dict[Origin, tuple[Any, dict[str, Any]]] = {}

    def add(self, call: Call) -> None:
        self.rows[call.origin] = self._names.of(call)[0], described(call)

    def merge(self, other: Incidents) -> Incidents:
        self._names = self._names.merge(other._names)
        self.rows |= other.rows
        return self

    def finish(self) -> Rows:
        final = self._names.finish()
        rows = [self.rows[origin] for origin in sorted(self.rows)]
        return Rows({"item": final(item), **row} for item, row in rows)


def failures(selection: Selection, *, outcome: str) -> Incidents:
    """The calls with one outcome: "error", "lost" or "open". Only errors are also those of items outside a sample."""
    if outcome not in ("error", "lost", "open"):
        raise QueryError(f"outcome={outcome!r} is none of error, lost, open")
    found, shape, places = Incidents(selection), selection.trees.shape, selection.places
    places = places[shape.outcome[places] == OUTCOMES.index(outcome)]
    for place in places[(shape.share[places] > 0) | (outcome == "error")].tolist():
        found.add(selection.trees.at(place))
    return found


def unlinked(selection: Selection) -> Incidents:
    """The judge calls of which nobody knows what they judged."""
    found = Incidents(selection)
    for place in _unlinked(selection).tolist():
        found.add(selection.trees.at(place))
    return found


def _unlinked(selection: Selection) -> Array:
    """The places of those calls."""
    judge, ensemble = feeding_of(selection.trees)
    chosen = selection.mask[judge]
    unlinked = chosen & (ensemble == UNLINKED)
    for at in np.flatnonzero(chosen & (ensemble == LEFT)).tolist():
        unlinked[at] = not selection.links.feeds(selection.trees.at(int(judge[at])))
    found: Array = judge[unlinked]
    return found


class Runs:
    """Descriptions of the runs that the filters leave, in the order in which they began."""

    def __init__(self, selection: Selection) -> None:
        self._runs = describe_runs(selection.forest.trees, selection.forest.ended)
        self._chosen = selection.runs if selection.filtered else {*self._runs}

    def merge(self, other: Runs) -> Runs:
        for name, run in other._runs.items():
            self._runs[name] = self._runs[name].merge(run) if name in self._runs else run
        self._chosen |= other._chosen
        return self

    def finish(self) -> Rows:
        chosen = [run for name, run in self._runs.items() if name in self._chosen]
        return Rows(run.about for run in sorted(chosen, key=lambda run: run.began))


class Losses:
    """The events that are known to be missing, by producer and reason, whatever the filters: nobody knows of what."""

    def __init__(self, selection: Selection) -> None:
        self._rows = {(loss.producer, loss.reason): loss.to_row() for loss in selection.forest.losses}

    def merge(self, other: Losses) -> Losses:
        self._rows |= other._rows
        return self

    def finish(self) -> Rows:
        return Rows(self._rows[place] for place in sorted(self._rows))


class Health:
    """Counts of what there is, and of what is wrong or missing."""

    def __init__(self, selection: Selection) -> None:
        forest, shape = selection.forest, selection.trees.shape
        outcomes = np.bincount(shape.outcome[selection.mask], minlength=len(OUTCOMES)).tolist()
        self._counts = {
            "calls": sum(outcomes),
            "errors": outcomes[ERROR_OUTCOME],
            "lost": outcomes[LOST],
            "open": outcomes[OPEN],
            "missing": shape.awaited_among(selection.mask),
            "withheld": int(shape.withheld[selection.mask].sum()),
            "unlinked": len(_unlinked(selection)),
        }
        self._of_all = {
            "events": forest.events,
            "gaps": forest.gaps,
            "undecodable": forest.undecodable,
            "damaged_bytes": forest.damaged_bytes,
            "removed_segments": forest.removed_segments,
            "unplaced": forest.unplaced,
        }
        """What each part says of all of them: see `Forest.part`."""

    def merge(self, other: Health) -> Health:
        for name, count in other._counts.items():
            self._counts[name] += count
        for name, count in other._of_all.items():
            self._of_all[name] = max(count, self._of_all[name])
        return self

    def finish(self) -> Table:
        return Table({**self._counts, **self._of_all})
