"""Questions about time: what happened in each stretch of it, of all calls together or by stage, operator or type.

Rules:
- A call belongs to the stretch in which it began, by the clock of its host, as `between` takes it: what parts of the
  events know of other clocks differs, and their answers must not. An ensemble likewise.
- Stretches begin at multiples of their length since the epoch, so that parts of the events agree on them without
  asking.
- Where no length is asked for, the shortest of STEPS_S is taken that needs no more than MAX_STRETCHES. What is counted
  in short stretches adds up exactly to long ones, as all of them divide each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.durations import Durations, durations_of
from embertrace.analysis.ensembles import Ensemble, why_left_out
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.voting import disagreement_of
from embertrace.analysis.results import Table
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import grouped
from embertrace.analysis.table.names import Triple
from embertrace.analysis.table.shape import OUTCOMES
from embertrace.errors import QueryError

STEPS_S = (0.01, 0.1, 1, 10, 60, 300, 900, 3600, 21600, 86400, 604800, 31449600)
"""From a hundredth of a second to 52 weeks, each a multiple of the one before."""
MAX_STRETCHES = 240
"""As many points as a chart of ordinary width can show."""
MAX_ASKED = 10_000
"""Stretches where their length was asked for."""
QUANTILES = (50, 95, 99)
_OUTCOMES = (("error", "errors"), ("lost", "lost"), ("open", "open"))
BY: dict[str, Callable[[Triple], str]] = {
    "all": lambda names: "all",
    "stage": lambda names: names[2],
    "operator": lambda names: names[0],
    "type": lambda names: names[1],
}


class Stretch:
    """What happened in one stretch of time: counts that add up exactly."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.durations = Durations()
        self.disagreement = Fraction(0)
        self.ensembles = 0

    def merge(self, other: Stretch) -> Stretch:
        self.outcomes += other.outcomes
        self.durations.merge(other.durations)
        self.disagreement += other.disagreement
        self.ensembles += other.ensembles
        return self


class Timeline:
    """Stretches by group and by their place: a time in units of `unit_ns` since the epoch."""

    def __init__(self, bucket_s: float | None, unit_ns: int) -> None:
        self.bucket_s, self.unit_ns = bucket_s, unit_ns
        self.found: dict[str, dict[int, Stretch]] = {}

    def at(self, group: str, place: int) -> Stretch:
        return self.found.setdefault(group, {}).setdefault(place, Stretch())

    def merge(self, other: Timeline) -> Timeline:
        unit_ns = max(self.unit_ns, other.unit_ns)
        merged = Timeline(self.bucket_s, unit_ns)
        for part in (self, other):
            factor = unit_ns // part.unit_ns
            for group, stretches in part.found.items():
                into = merged.found.setdefault(group, {})
                _gather(into, ((place // factor, stretch) for place, stretch in stretches.items()))
        return merged

    def finish(self) -> Table:
        """{"start", "bucket_s", "buckets", "groups": [{"name", and a list for each column}]}; no buckets of no
        calls."""
        places = [place for stretches in self.found.values() for place in stretches]
        if not places:
            return Table({"start": None, "bucket_s": self.bucket_s, "buckets": 0, "groups": []})
        factor = 1 if self.bucket_s is not None else _factor(min(places), max(places), self.unit_ns)
        first, last = min(places) // factor, max(places) // factor
        if last - first >= MAX_ASKED:
            raise QueryError(
                f"bucket_s={self.bucket_s:g} makes {last - first + 1} buckets; the limit is {MAX_ASKED}: take longer "
                "ones, or a shorter time (between)"
            )
        unit_ns = self.unit_ns * factor
        groups = [_columns(name, self.found[name], factor, range(first, last + 1)) for name in sorted(self.found)]
        about = {"start": first * unit_ns / 1e9, "bucket_s": unit_ns / 1e9, "buckets": last - first + 1}
        return Table({**about, "groups": groups})


def timeline(selection: Selection, *, by: str = "all", bucket_s: float | None = None, answer: Rule = None) -> Timeline:
    """Count the selected calls, and the disagreement of ensembles, where they began."""
    if by not in BY:
        raise QueryError(f"by={by!r} is none of {', '.join(BY)}")
    if bucket_s is not None and (type(bucket_s) not in (int, float) or not 0.001 <= bucket_s <= STEPS_S[-1]):
        raise QueryError(f"bucket_s={bucket_s!r}; it must be seconds, from 0.001 to {STEPS_S[-1]}")
    chosen = np.flatnonzero(selection.mask)
    times = selection.trees.origins_ns(chosen)
    unit_ns = round((bucket_s or STEPS_S[0]) * 1e9)
    if bucket_s is None and len(times):
        unit_ns *= _factor(int(times.min()) // unit_ns, int(times.max()) // unit_ns, unit_ns)
    found = Timeline(bucket_s, unit_ns)
    _add_calls(found, selection, by, chosen, times // unit_ns)
    _add_ensembles(found, selection, by, Answers(answer))
    return found


def _add_calls(found: Timeline, selection: Selection, by: str, chosen: Array, stretches: Array) -> None:
    shape = selection.trees.shape
    for name, at in grouped(_numbers(selection, by)[shape.name[chosen]], np.arange(len(chosen))):
        group = _names(selection, by)[name]
        places, of = np.unique(stretches[at], return_inverse=True)
        outcomes = np.bincount(of * len(OUTCOMES) + shape.outcome[chosen[at]], minlength=len(places) * len(OUTCOMES))
        for place, counts in zip(places.tolist(), outcomes.reshape(-1, len(OUTCOMES)).tolist(), strict=True):
            found.at(group, place).outcomes.update(dict(zip(OUTCOMES, counts, strict=True)))
        timed = np.flatnonzero(shape.has_duration[chosen[at]])
        for number, members in grouped(of[timed], chosen[at[timed]]):
            found.at(group, int(places[number])).durations.add_all(durations_of(selection.trees, members))


def _numbers(selection: Selection, by: str) -> Array:
    """By an operator's names a number for its group."""
    names = _names(selection, by)
    return np.array([names.index(BY[by](triple)) for triple in selection.trees.table.names.triples], np.int64)


def _names(selection: Selection, by: str) -> list[str]:
    return sorted({BY[by](triple) for triple in selection.trees.table.names.triples})


def _add_ensembles(found: Timeline, selection: Selection, by: str, answers: Answers) -> None:
    for ensemble in _add_votes(found, selection, by, answers):
        value = disagreement_of(ensemble) if why_left_out(ensemble) is None else None
        if value is not None:
            call = ensemble.call
            names = call.operator_id, call.operator_type, call.stage
            stretch = found.at(BY[by](names), call.origin.nanoseconds // found.unit_ns)
            stretch.disagreement += value
            stretch.ensembles += 1


def _add_votes(found: Timeline, selection: Selection, by: str, answers: Answers) -> Iterable[Ensemble]:
    """Count all ensembles at once; those that are left, to be read one by one, are returned."""
    votes, trees = selection.votes(answers), selection.trees
    if votes is None:
        return selection.ensembles(answers)
    counted = votes.comparable & (votes.answered > 1)
    of = trees.shape.name[votes.place[counted]].astype(np.int64)
    times = trees.origins_ns(votes.place[counted])  # of which some may be beyond 64 bits
    places, stretches = np.unique(times // found.unit_ns, return_inverse=True)
    rows = np.stack([of, stretches, votes.distinct[counted] - 1, votes.answered[counted] - 1], axis=1)
    for (name, number, more, others), often in zip(*_distinct(rows), strict=True):
        stretch = found.at(BY[by](trees.table.names.triples[name]), int(places[number]))
        stretch.disagreement += Fraction(more, others) * often
        stretch.ensembles += often
    return (selection.whole(trees.at(place), answers) for place in votes.rest.tolist())


def _distinct(rows: Array) -> tuple[list[list[int]], list[int]]:
    found, times = np.unique(rows, axis=0, return_counts=True)
    return found.tolist(), times.tolist()


def _factor(first: int, last: int, unit_ns: int) -> int:
    """How many units make the shortest stretch of which there are few enough."""
    for step in STEPS_S:
        factor = max(1, round(step * 1e9) // unit_ns)
        if last // factor - first // factor < MAX_STRETCHES:
            return factor
    return factor


def _gather(into: dict[int, Stretch], more: Any) -> None:
    for place, stretch in more:
        known = into.get(place)
        into[place] = Stretch().merge(stretch) if known is None else known.merge(stretch)


def _columns(name: str, stretches: dict[int, Stretch], factor: int, places: range) -> dict[str, Any]:
    merged: dict[int, Stretch] = {}
    _gather(merged, ((place // factor, stretch) for place, stretch in stretches.items()))
    none = Stretch()
    row = [merged.get(place, none) for place in places]
    counts = {
        "calls": [stretch.outcomes.total() for stretch in row],
        **{plural: [stretch.outcomes[one] for stretch in row] for one, plural in _OUTCOMES},
    }
    quantiles_of = [stretch.durations.quantiles(*(q / 100 for q in QUANTILES)) for stretch in row]
    times = {f"p{q}_s": [_or_none(found[place]) for found in quantiles_of] for place, q in enumerate(QUANTILES)}
    shares = [float(one.disagreement / one.ensembles) if one.ensembles else None for one in row]
    votes = {"disagreement": shares, "ensembles": [one.ensembles for one in row]}
    return {"name": name, **counts, **times, **votes}


def _or_none(nanoseconds: float) -> float | None:
    return None if math.isnan(nanoseconds) else nanoseconds / 1e9
