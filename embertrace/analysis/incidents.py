"""Questions about what went wrong or is missing: failed, lost and open calls, unlinked judges, losses, runs."""

from __future__ import annotations

from collections import Counter

from embertrace.analysis.ensembles import is_judge
from embertrace.analysis.items import ItemNames, Records, described
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Table
from embertrace.errors import QueryError


def failures(selection: Selection, *, outcome: str) -> Records:
    """The calls with one outcome: "error", "lost" or "open"."""
    if outcome not in ("error", "lost", "open"):
        raise QueryError(f"outcome={outcome!r} is none of error, lost, open")
    records, names = Records(), ItemNames(selection)
    for call in selection.calls:
        if call.outcome == outcome:
            records.rows[call.origin] = {"item": names.of(call)[0], **described(call)}
    return records


def unlinked(selection: Selection) -> Records:
    """The judge calls of which nobody knows what they judged."""
    records, names = Records(), ItemNames(selection)
    for call in selection.calls:
        if is_judge(call) and not selection.links.feeds(call):
            records.rows[call.origin] = {"item": names.of(call)[0], **described(call)}
    return records


def runs(selection: Selection) -> Records:
    """Descriptions of the runs that the filters leave, by id."""
    records = Records()
    chosen = {call.run for call in selection.calls} if selection.filtered else None
    for run in selection.forest.runs():
        if chosen is None or run["id"] in chosen:
            records.rows[run["id"]] = run
    return records


def losses(selection: Selection) -> Records:
    """The events that are known to be missing, by producer and reason, whatever the filters: nobody knows of what."""
    records = Records()
    for loss in selection.forest.losses:
        records.rows[(loss.producer, loss.reason)] = loss.to_row()
    return records


class Health:
    """Counts of what there is, and of what is wrong or missing."""

    def __init__(self, selection: Selection) -> None:
        forest, calls = selection.forest, selection.calls
        outcomes = Counter(call.outcome for call in calls)
        self.counts = {
            "calls": len(calls),
            "errors": outcomes["error"],
            "lost": outcomes["lost"],
            "open": outcomes["open"],
            "missing": sum(call.missing for call in calls),
            "unlinked": len(unlinked(selection).rows),
            "events": forest.events,
            "gaps": forest.gaps,
            "undecodable": forest.undecodable,
            "damaged_bytes": forest.damaged_bytes,
            "removed_segments": forest.removed_segments,
            "unplaced": forest.unplaced,
        }

    def merge(self, other: Health) -> Health:
        for name, count in other.counts.items():
            self.counts[name] += count
        return self

    def finish(self) -> Table:
        return Table(self.counts)
