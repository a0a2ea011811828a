"""What the last events say: the window that `embertrace top` and `OperatorMonitor` show. Pure.

A window is the last `size` events, in the order in which they came. Rules:

- Questions are the analysis' own, asked of the window's events as if there were no others, over all runs. A call that
  began before the window is known by its end alone; an ensemble some of whose members came before it is incomplete, and
  a judge whose item was named before it is unlabelled: both are left out, and counted. (In the process that emits,
  each event knows its item.)
- Rates are over the last RATE_S seconds, or as far back as the window is complete, if that is less. Times are those
  at which events came, by the clock of whoever keeps the window: a producer's wrong clock can't change a rate.
- A call that was tried again counts once in everything but rates, which count every event.
- Rows and texts are bounded, whatever the events hold.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import nlargest
from typing import Any, NamedTuple, TypeVar

from embertrace.analysis.calls import Call
from embertrace.analysis.ensembles import is_ensemble, is_judge
from embertrace.analysis.forest import Forest
from embertrace.analysis.query import Selection
from embertrace.analysis.questions import distributions, judging, voting
from embertrace.analysis.results import NAN, Estimate, Rows, Table, plain, result_from_data
from embertrace.analysis.statistics import quantile
from embertrace.errors import QueryError
from embertrace.event import call_hex
from embertrace.payload import Cut

DEFAULT_WINDOW = 2_000
"""Events: some minutes of a pipeline that calls models; to sum them up takes a twentieth of a second."""
MAX_WINDOW = 20_000
RATE_S = 10.0
"""Long enough that a rate does not flicker with batches, short enough that a stall shows while one looks."""
MAX_STAGES = 100
MAX_ROWS = 50
"""Slowest calls, and errors: more than a screen of either."""
MAX_TEXT = 200
"""Characters of an item's key, an error's message or a name: what a line can show."""


R = TypeVar("R", Estimate, Table, Rows)


class Arrival(NamedTuple):
    """When an event came, in Unix seconds, and whether it ended a call."""

    at: float
    ends: bool


class Rates(NamedTuple):
    """Per second, over the last `over_s` seconds; NaN where that is no time."""

    events: float
    calls: float
    over_s: float


def rates(arrivals: Iterable[Arrival], complete_since: float, now: float) -> Rates:
    """What came per second. `arrivals` holds everything that came after `complete_since`; calls count as they end."""
    since = max(complete_since, now - RATE_S)
    over_s = now - since
    if not over_s > 0:
        return Rates(NAN, NAN, 0.0)
    counted = [arrival for arrival in arrivals if since < arrival.at <= now]
    return Rates(len(counted) / over_s, sum(arrival.ends for arrival in counted) / over_s, over_s)


def rates_from_data(data: Mapping[str, Any]) -> Rates:
    """The rates of a snapshot's data. Raises QueryError for data that has none."""
    try:
        told = data["rates"]
        return Rates(*(_float(told[name]) for name in Rates._fields))
    except (KeyError, TypeError, ValueError) as error:
        raise QueryError(f"rates that can't be read ({error}); use the same embertrace on both sides") from None


@dataclasses.dataclass(frozen=True)
class Overview:
    """The answers of a window. NaN and empty where it holds nothing to answer from.

    `error_share` is of ended calls, `latency_s` {"p50", "p95"} of their durations in seconds. `stages` has the columns
    of the question of that name, and `disagreement`, `judge_accuracy` and the number of calls each is of. `slowest`
    are ended calls, slowest first, `errors` the calls that failed or were lost, latest first: `at` (Unix seconds by the
    clock of their host), stage, type, operator, item, call_id, run, and `duration_s` or `error`.
    """

    disagreement: Estimate
    judge_accuracy: Estimate
    accuracy_by_stage: Table
    error_share: float
    latency_s: Mapping[str, float]
    stages: Rows
    slowest: Rows
    errors: Rows

    def to_data(self) -> dict[str, Any]:
        """As plain data, NaN as None."""
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {
            name: value.to_data() if isinstance(value, Estimate | Table | Rows) else plain(value)
            for name, value in values
        }


def overview_from_data(data: Mapping[str, Any]) -> Overview:
    """The overview that `to_data` was called on. Raises QueryError for data that describes none."""
    try:
        return Overview(
            disagreement=_read(data, "disagreement", Estimate),
            judge_accuracy=_read(data, "judge_accuracy", Estimate),
            accuracy_by_stage=_read(data, "accuracy_by_stage", Table),
            error_share=_float(data["error_share"]),
            latency_s={name: _float(data["latency_s"][name]) for name in ("p50", "p95")},
            stages=_read(data, "stages", Rows),
            slowest=_read(data, "slowest", Rows),
            errors=_read(data, "errors", Rows),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise QueryError(f"an overview that can't be read ({what}); use the same embertrace on both sides") from None


def _read(data: Mapping[str, Any], name: str, wanted: type[R]) -> R:
    found = result_from_data(data[name])
    if not isinstance(found, wanted):
        raise TypeError(f"{name} is no {wanted.__name__}")
    return found


def _float(value: float | None) -> float:
    return NAN if value is None else float(value)


def overview(forest: Forest) -> Overview:
    """The answers of the events in `forest`."""
    everything = Selection(forest)
    ended = [call for call in everything.calls if call.ended]
    timed = [(duration, call) for call in ended if (duration := call.duration_ns) is not None]
    durations = Counter(duration for duration, _ in timed)
    return Overview(
        disagreement=_disagreement(everything),
        judge_accuracy=judging.judge_accuracy(everything).finish(),
        accuracy_by_stage=_shortened(distributions.finish_accuracy(distributions.accuracy_distribution(everything))),
        error_share=sum(call.outcome == "error" for call in ended) / len(ended) if ended else NAN,
        latency_s={f"p{q}": quantile(durations, q / 100) / 1e9 for q in (50, 95)},
        stages=_stages(everything),
        slowest=_slowest(timed),
        errors=_errors(everything.calls),
    )


def _disagreement(selection: Selection) -> Estimate:
    return voting.finish_votes(voting.ensemble_disagreement(selection))


def _shortened(table: Table) -> Table:
    """The rows with the most samples, by names that fit a line."""
    kept = nlargest(MAX_STAGES, table.items(), key=lambda row: row[1]["samples"])
    return Table({cut(name): row for name, row in sorted(kept)}, table.left_out, table.notes)


def _stages(everything: Selection) -> Rows:
    """The stages with the most calls, by name."""
    found = distributions.finish_activity(distributions.stages(everything))
    kept = nlargest(MAX_STAGES, found, key=lambda row: row["calls"])
    ensembles = {call.stage for call in everything.calls if is_ensemble(call)}
    judges = {call.stage for call in everything.calls if is_judge(call)}
    rows = []
    for row in sorted(kept, key=lambda row: str(row["stage"])):
        stage = row["stage"]
        selected = Selection(everything.forest, [["stage", stage]]) if stage in ensembles | judges else None
        disagreement = _disagreement(selected) if selected and stage in ensembles else Estimate(NAN)
        judged = judging.judge_accuracy(selected).finish() if selected and stage in judges else Estimate(NAN)
        rows.append(
            {
                **row,
                "stage": cut(stage),
                "disagreement": float(disagreement),
                "ensembles": disagreement.n,
                "judge_accuracy": float(judged),
                "judged": judged.n,
            }
        )
    return Rows(rows)


def _slowest(timed: list[tuple[int, Call]]) -> Rows:
    least = min(nlargest(MAX_ROWS, (duration for duration, _ in timed)), default=0)
    long = (one for one in timed if one[0] >= least)  # where a call came from takes longer than to compare durations
    slowest = nlargest(MAX_ROWS, long, key=lambda one: (one[0], one[1].origin))
    return Rows({**_described(call), "duration_s": call.duration_s, "outcome": call.outcome} for _, call in slowest)


def _errors(calls: list[Call]) -> Rows:
    failed = nlargest(MAX_ROWS, (call for call in calls if call.outcome in ("error", "lost")), key=_ended_at)
    return Rows({**_described(call), "error": _why(call)} for call in failed)


def _ended_at(call: Call) -> Any:
    return call.end.origin if call.end is not None else call.origin


def _why(call: Call) -> str:
    if call.outcome == "lost":
        return "lost: its process is gone"
    error = call.data.get("error")
    if isinstance(error, Cut):  # a long one: the beginning of what was kept
        error = error.head
    if not isinstance(error, Mapping):
        return cut(_text(error))
    told = [_text(error.get(part)) for part in ("type", "message")]
    return cut(": ".join(part for part in told if part))


def _text(value: Any) -> str:
    """The beginning of a text; of one that was cut already, as far as it was kept."""
    if isinstance(value, Cut):
        value = value.head
    return "" if value is None else str(value)[: MAX_TEXT + 1]


def _described(call: Call) -> dict[str, Any]:
    item = call.item.get("key", call.root.item.get("key"))
    return {
        "at": _ended_at(call).nanoseconds / 1e9,
        "stage": cut(call.stage),
        "type": cut(call.operator_type),
        "operator": cut(call.operator_id),
        "item": None if item is None else cut(str(item)),
        "run": None if call.run is None else cut(call.run),
        "call_id": call_hex(call.call_id),
    }


def cut(text: str) -> str:
    """At most MAX_TEXT characters of a text; one that was longer says so."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def check_window(size: Any) -> int:
    """A window's size. Raises QueryError for what is none."""
    if type(size) is not int or not 1 <= size <= MAX_WINDOW:
        raise QueryError(f"window is {str(size)[:40]}; it must be 1 to {MAX_WINDOW:,} events")
    return size
