"""A reading of an aggregator, and what is shown of it: sentences, tables, sorting, filtering. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from embertrace.analysis.results import Estimate
from embertrace.analysis.window import Overview, Rates, overview_from_data, rates_from_data
from embertrace.doctor.findings import many, size, span
from embertrace.errors import QueryError
from embertrace.top.cells import clock, count, duration, percent, rate, share, shown, some, some_share, width
from embertrace.wire.control import State

Level = Literal["ok", "warn", "bad"]
BEHIND_BYTES = 4 * 1024 * 1024
"""What the analyst may be behind without a word: it follows in portions of this order."""
LOW_DISK_BYTES = 1024**3
QUIET_S = 60.0
"""So long without an event while producers are connected is worth a colour: calls to models seldom take longer."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What the aggregator said: how it fares (`state`), what it recorded (`info`, `losses`), its last events."""

    state: State
    info: Mapping[str, Any]
    losses: Sequence[Mapping[str, Any]]
    window: Mapping[str, Any]
    rates: Rates
    overview: Overview


@dataclasses.dataclass(frozen=True)
class Reading:
    """One look: the last snapshot there is, and when it was taken (Unix seconds here).

    `trouble` says why there is none now. `news` are the sentences about the connection that are new in this reading.
    """

    endpoint: str
    at: float
    snapshot: Snapshot | None = None
    trouble: str | None = None
    news: tuple[str, ...] = ()


def snapshot_from(told: Any, state: State) -> Snapshot:
    """What the question of that name was answered. Raises QueryError for what is none."""
    try:
        info, losses, window = dict(told["info"]), [dict(row) for row in told["losses"]], dict(told["window"])
        window["events"] = int(window["events"])
    except (KeyError, TypeError, ValueError):
        raise QueryError("a snapshot that can't be read; use the same embertrace on both sides") from None
    return Snapshot(state, info, losses, window, rates_from_data(told), overview_from_data(told))


def as_data(reading: Reading) -> dict[str, Any]:
    """A reading as plain data, for JSON. NaN is None."""
    about: dict[str, Any] = {"endpoint": reading.endpoint, "at": reading.at, "trouble": reading.trouble}
    if reading.snapshot is None:
        return about
    found, state = reading.snapshot, reading.snapshot.state
    fares = {
        "library": state.library,
        "pid": state.pid,
        "up_s": (state.now_ns - state.started_ns) / 1e9,
        "last_event_s": (state.now_ns - state.received_ns) / 1e9 if state.received_ns else None,
        "behind_bytes": behind(found),
        "free_bytes": state.free_bytes,
        "counters": dict(state.counters),
    }
    pace = {name: None if math.isnan(value) else value for name, value in found.rates._asdict().items()}
    told = {"recording": dict(found.info), "losses": [dict(row) for row in found.losses], "window": dict(found.window)}
    return {**about, "aggregator": fares, **told, "rates": pace, **found.overview.to_data()}


# Sentences.


class Sentence(NamedTuple):
    """A piece of a line, and how good it is."""

    text: str
    level: Level = "ok"


def title(reading: Reading) -> str:
    """Which aggregator, and since when it runs."""
    if reading.snapshot is None:
        return shown(reading.endpoint)
    state = reading.snapshot.state
    up = span((state.now_ns - state.started_ns) / 1e9)
    of = many(reading.snapshot.window.get("events", 0), "event")
    return f"{shown(state.name)} at {shown(reading.endpoint)}, up {up}: the last {of}"


def pace(found: Snapshot) -> list[Sentence]:
    """How fast, and how well: rates, disagreement, accuracy, errors, latency."""
    seen, speed = found.overview, found.rates
    errors = seen.error_share
    return [
        Sentence(f"{rate(speed.events)} events/s"),
        Sentence(f"{rate(speed.calls)} calls/s"),
        Sentence(f"errors {percent(errors)}", "warn" if errors > 0 else "ok"),
        Sentence(f"p50 {duration(seen.latency_s['p50'])}"),
        Sentence(f"p95 {duration(seen.latency_s['p95'])}"),
        Sentence(f"disagreement {_estimate(seen.disagreement)}"),
        Sentence(f"judge accuracy {_estimate(seen.judge_accuracy)}"),
    ]


def _estimate(value: Estimate) -> str:
    return f"{share(float(value))} (n={value.n:,})" if value.n else share(None)


def health(found: Snapshot) -> list[Sentence]:
    """Producers, lag, gaps, drops, disk: what is wrong has a level."""
    state = found.state
    counters = state.counters.get
    connected, ever = counters("connected", 0), found.info.get("producers")
    quiet_s = (state.now_ns - state.received_ns) / 1e9 if state.received_ns else None
    told = [
        Sentence(f"{many(connected, 'producer')} connected of {count(ever)}"),
        Sentence(
            "no event yet" if quiet_s is None else f"last event {span(quiet_s)} ago",
            "warn" if connected and quiet_s is not None and quiet_s > QUIET_S else "ok",
        ),
        _lag(found),
        *_lost(found),
    ]
    if state.free_bytes is not None and state.free_bytes < LOW_DISK_BYTES:
        told.append(Sentence(f"{size(state.free_bytes)} of disk left", "bad"))
    return told


def behind(found: Snapshot) -> int:
    """Bytes that are recorded and not yet part of answers."""
    position = found.info.get("position")
    return max(0, found.state.durable - position) if isinstance(position, int) else 0


def _lag(found: Snapshot) -> Sentence:
    lag = behind(found)
    return Sentence("no lag") if lag <= BEHIND_BYTES else Sentence(f"answers lag {size(lag)}", "warn")


def _lost(found: Snapshot) -> list[Sentence]:
    """Events that will never come: of the whole recording, and since the aggregator started."""
    counters = found.state.counters.get
    gaps, dropped = found.info.get("gaps"), counters("gaps", 0)
    told = [Sentence("nothing lost")]
    if gaps:
        worst = found.losses[0] if found.losses else {}
        where = f", most of process {worst.get('pid')} on {shown(worst.get('host'))}" if worst.get("host") else ""
        told = [Sentence(f"{count(gaps)} lost{where}", "warn")]
    if dropped:
        told.append(Sentence(f"{count(dropped)} dropped since it started", "bad"))
    for name, text in (("undecodable", "can't be read"), ("damaged_bytes", "bytes damaged")):
        if found.info.get(name):
            told.append(Sentence(f"{count(found.info[name])} {text}", "warn"))
    return told


def wrapped(sentences: Sequence[Sentence], columns: int, gap: int) -> list[list[Sentence]]:
    """Sentences on lines of so many columns, `gap` between two; one that is longer has a line of its own."""
    lines: list[list[Sentence]] = [[]]
    taken = 0
    for sentence in sentences:
        needed = width(sentence.text) + (gap if lines[-1] else 0)
        if lines[-1] and taken + needed > columns:
            lines.append([])
            taken, needed = 0, width(sentence.text)
        lines[-1].append(sentence)
        taken += needed
    return lines


# Tables.


class Column(NamedTuple):
    """A column: how a cell is written, and whether a first sort has the large ones on top."""

    name: str
    title: str
    write: Callable[[Any], str]
    number: bool = True


class View(NamedTuple):
    """How a table is looked at. `column` None is the order in which it was answered."""

    column: str | None = None
    descending: bool = True


TABLES: dict[str, tuple[Column, ...]] = {
    "stages": (
        Column("stage", "stage", shown, number=False),
        Column("calls", "calls", count),
        Column("errors", "errors", some),
        Column("lost", "lost", some),
        Column("open", "open", some),
        Column("p50_s", "p50", duration),
        Column("p95_s", "p95", duration),
        Column("disagreement", "disagreement", some_share),
        Column("judge_accuracy", "judge", some_share),
    ),
    "slowest": (
        Column("duration_s", "took", duration),
        Column("stage", "stage", shown, number=False),
        Column("operator", "operator", shown, number=False),
        Column("item", "item", shown, number=False),
        Column("at", "ended", clock),
    ),
    "errors": (
        Column("at", "at", clock),
        Column("stage", "stage", shown, number=False),
        Column("operator", "operator", shown, number=False),
        Column("item", "item", shown, number=False),
        Column("error", "error", shown, number=False),
    ),
}
AS_ANSWERED = View()
TITLES = {"stages": "stages", "slowest": "slowest calls", "errors": "errors"}


def rows(found: Snapshot | None, table: str, view: View = AS_ANSWERED, search: str = "") -> list[list[str]]:
    """The cells of a table: rows in which `search` occurs (in any case), in the order of the view.

    Rows without a value in the column that is sorted by come last, whichever the direction; ties keep their order.
    """
    if found is None:
        return []
    columns = TABLES[table]
    wanted = search.casefold()
    kept = [(row, [column.write(row.get(column.name)) for column in columns]) for row in getattr(found.overview, table)]
    if wanted:
        kept = [(row, cells) for row, cells in kept if any(wanted in cell.casefold() for cell in cells)]
    if view.column is not None:
        has = [entry for entry in kept if _key(entry[0].get(view.column)) is not None]
        has_not = [entry for entry in kept if _key(entry[0].get(view.column)) is None]
        kept = sorted(has, key=lambda entry: _key(entry[0].get(view.column)) or (0, ""), reverse=view.descending)
        kept += has_not
    return [cells for _, cells in kept]


def _key(value: Any) -> tuple[float, str] | None:
    """Numbers before texts, so that a column may hold both; None for what is no value."""
    if isinstance(value, int | float):
        return None if math.isnan(value) else (float(value), "")
    return None if value is None else (math.inf, str(value).casefold())


def sort_by(table: str, view: View, column: str) -> View:
    """The view after its column was chosen: the same once more turns it around."""
    if view.column == column:
        return View(column, not view.descending)
    return View(column, next(known.number for known in TABLES[table] if known.name == column))


def next_sort(table: str, view: View) -> View:
    """The view by the column after the present one; after the last, the order in which it was answered."""
    names = [column.name for column in TABLES[table]]
    place = names.index(view.column) + 1 if view.column in names else 0
    return sort_by(table, AS_ANSWERED, names[place]) if place < len(names) else AS_ANSWERED
