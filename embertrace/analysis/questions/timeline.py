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

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call
from embertrace.analysis.ensembles import Ensemble, why_left_out
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.voting import disagreement_of
from embertrace.analysis.results import Table
from embertrace.analysis.statistics import quantile
from embertrace.errors import QueryError

STEPS_S = (0.01, 0.1, 1, 10, 60, 300, 900, 3600, 21600, 86400, 604800, 31449600)
"""From a hundredth of a second to 52 weeks, each a multiple of the one before."""
MAX_STRETCHES = 240
"""As many points as a chart of ordinary width can show."""
MAX_ASKED = 10_000
"""Stretches where their length was asked for."""
QUANTILES = (50, 95, 99)
_OUTCOMES = (("error", "errors"), ("lost", "lost"), ("open", "open"))
BY: dict[str, Callable[[Call], str]] = {
    "all": lambda call: "all",
    "stage": lambda call: call.stage,
    "operator": lambda call: call.operator_id,
    "type": lambda call: call.operator_type,
}


class Stretch:
    """What happened in one stretch of time: counts that add up exactly."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.durations: Counter[int] = Counter()
        self.disagreement = Fraction(0)
        self.ensembles = 0

    def merge(self, other: Stretch) -> Stretch:
        self.outcomes += other.outcomes
        self.durations += other.durations
        self.disagreement += other.disagreement
        self.ensembles += other.ensembles
        return self


class Timeline:
    """Stretches by group and by their place: a time in units of `unit_ns` since the epoch."""

    def __init__(self, bucket_s: float | None) -> None:
        self.bucket_s = bucket_s
        self.unit_ns = round((bucket_s or STEPS_S[0]) * 1e9)
        self.found: dict[str, dict[int, Stretch]] = {}

    def at(self, group: str, call: Call) -> Stretch:
        return self.found.setdefault(group, {}).setdefault(call.origin.nanoseconds // self.unit_ns, Stretch())

    def merge(self, other: Timeline) -> Timeline:
        for group, stretches in other.found.items():
            _gather(self.found.setdefault(group, {}), stretches.items())
        return self

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
    found = Timeline(bucket_s)
    answers = Answers(answer)
    for call in selection.calls:
        stretch = found.at(BY[by](call), call)
        stretch.outcomes[call.outcome] += 1
        if call.duration_ns is not None:
            stretch.durations[call.duration_ns] += 1
    for ensemble in selection.ensembles(answers):
        _add_ensemble(found, BY[by](ensemble.call), ensemble)
    return found


def _add_ensemble(found: Timeline, group: str, ensemble: Ensemble) -> None:
    value = disagreement_of(ensemble) if why_left_out(ensemble) is None else None
    if value is not None:
        stretch = found.at(group, ensemble.call)
        stretch.disagreement += value
        stretch.ensembles += 1


def _factor(first: int, last: int, unit_ns: int) -> int:
    """How many units make the shortest stretch of which there are few enough."""
    for step in STEPS_S:
        factor = round(step * 1e9) // unit_ns
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
    times = {
        f"p{q}_s": [quantile(stretch.durations, q / 100) / 1e9 if stretch.durations else None for stretch in row]
        for q in QUANTILES
    }
    shares = [float(one.disagreement / one.ensembles) if one.ensembles else None for one in row]
    votes = {"disagreement": shares, "ensembles": [one.ensembles for one in row]}
    return {"name": name, **counts, **times, **votes}
