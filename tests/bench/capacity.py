"""docs/capacity.md: what one aggregator and N of them carry, computed from what was measured. Pure.

The model is a row of stations that each event passes: the operator's process, the wire, the ingest process, the disk,
the analyst. Each has a measured cost; shards share the load evenly, and each has what one aggregator was measured
with. Where a station is offered more than it carries, what it can't carry piles up before it: spools before the
ingest, the recording before the analyst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

EVENTS_PER_CALL = 2
CALLS = (10_000, 100_000, 300_000, 1_000_000)
SHARDS = (1, 2, 4, 8, 16)
MILLION = 1_000_000
SPOOL_BYTES = 64 * 1024 * 1024
"""What a process holds unless told otherwise."""
PROCESSES = 256
"""Among which a cluster's calls are spread, in the example."""
MEMORY_BYTES = 2 * 2**30
"""What an aggregator's live table has unless told otherwise."""
CONSEQUENCES = {
    "analyst": "Beyond that nothing is lost: what it has not taken in lies in the recording, and answers come late.",
    "ingest": "Beyond that spools fill up, and then events are dropped, counted and shown as gaps, or operators wait "
    "(`spool_full`).",
}
HEADROOM = 0.7
"""A station busier than this has queues that grow with every burst."""

NEEDED = {
    "call_cpu_spool": "calls",
    "ingest_rate": "ingest",
    "load_rate": "analysis",
    "resident_bytes": "analysis",
    "payload_bytes": "analysis",
    "call_bytes": "size",
}
"""The figures the model stands on, and the group that has each."""

HEAD = """# Capacity

What one aggregator carries, what N of them carry, and what breaks first at a million operator calls per second: a
simulation on paper, written by `python3 dev.py bench` from the figures in `tests/bench/results`, whole. Nothing of it
was run at that size.
"""


class Measured(NamedTuple):
    """What the model stands on. Seconds, bytes, events a second."""

    call_cpu_spool: float
    ingest_rate: float
    load_rate: float
    resident_bytes: float
    payload_bytes: float
    call_bytes: float

    @property
    def event_bytes(self) -> float:
        """On the wire and on disk."""
        return self.call_bytes / EVENTS_PER_CALL


class Station(NamedTuple):
    """`carries` is how many calls a second one shard of it carries."""

    name: str
    carries: float


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page, from the results of the groups."""
    found = {figure["key"]: figure["value"] for result in results for figure in result["figures"] if figure.get("key")}
    missing = sorted({group for key, group in NEEDED.items() if key not in found})
    if missing:
        return f"{HEAD}\nNot written yet: `python3 dev.py bench {' '.join(missing)}` has to be measured first.\n"
    measured = Measured(**{key: found[key] for key in NEEDED})
    dates = sorted({result["date"] for result in results if result["name"] in NEEDED.values()})
    parts = [HEAD, *_inputs(measured, dates), *_shards(measured), *_loads(measured), *_million(measured)]
    return "\n".join(parts)


def stations(measured: Measured) -> list[Station]:
    """What limits a shard, in the order in which events pass."""
    return [
        Station("ingest: received, checked, durable, acknowledged", measured.ingest_rate / EVENTS_PER_CALL),
        Station("analyst: following, to answer questions live", measured.load_rate / EVENTS_PER_CALL),
    ]


def _inputs(measured: Measured, dates: Sequence[str]) -> list[str]:
    rows = [
        ["CPU of an operator's process per call, spooled and acknowledged", f"{measured.call_cpu_spool * 1e6:.1f} µs"],
        ["ingest, events/s", f"{measured.ingest_rate:,.0f}"],
        ["analyst, events/s taken in", f"{measured.load_rate:,.0f}"],
        ["analyst, memory per event", f"{measured.resident_bytes + measured.payload_bytes:.0f} bytes"],
        ["wire and disk, per call (the demo's payloads)", f"{measured.call_bytes:.0f} bytes"],
    ]
    when = " and ".join([dates[0], dates[-1]] if dates[0] != dates[-1] else dates[:1])
    return [f"## What it stands on (measured {when})", "", *_table(["", "measured"], rows), ""]


def _shards(measured: Measured) -> list[str]:
    found = stations(measured)
    rows = []
    for shards in SHARDS:
        first = min(found, key=lambda station: station.carries)
        rows.append(
            [
                f"{shards}",
                *(f"{shards * station.carries:,.0f}" for station in found),
                f"{shards * first.carries * HEADROOM:,.0f}",
                first.name.split(":")[0],
            ]
        )
    head = [
        "shards",
        *(f"{station.name}, calls/s" for station in found),
        f"kept up at {HEADROOM:.0%}, calls/s",
        "limit",
    ]
    return ["## What N shards carry", "", *_table(head, rows), ""]


def _loads(measured: Measured) -> list[str]:
    """One aggregator under each load: what is busy, what grows."""
    rows = []
    for calls in CALLS:
        events = calls * EVENTS_PER_CALL
        rows.append(
            [
                f"{calls:,}",
                f"{calls * measured.call_cpu_spool:.1f}",
                f"{events * measured.event_bytes * 8 / 1e9:.2f}",
                f"{events * measured.event_bytes * 86_400 / 1e12:.1f}",
                _busy(events, measured.ingest_rate),
                _full(events, measured),
                _busy(events, measured.load_rate),
                _behind(events, measured),
                _until_full(events, measured),
            ]
        )
    head = [
        "calls/s", "cores for tracing, over the cluster", "network, Gbit/s", "disk, TB a day", "ingest busy",
        f"spools of {PROCESSES} processes full after", "analyst busy", "analyst behind after an hour",
        f"live table of {MEMORY_BYTES / 2**30:.0f} GiB full after",
    ]  # fmt: skip
    return ["## One aggregator", "", *_table(head, rows), ""]


def _million(measured: Measured) -> list[str]:
    """The sentences about a million calls a second."""
    found = sorted(stations(measured), key=lambda station: station.carries)
    needs = {station.name.split(":")[0]: -(-MILLION // (station.carries * HEADROOM)) for station in found}
    events = MILLION * EVENTS_PER_CALL
    bytes_s = events * measured.event_bytes
    memory = events * (measured.resident_bytes + measured.payload_bytes)
    (first, shards), (second, more) = needs.items()
    return [
        f"## A million calls per second ({events:,} events, {bytes_s / 1e6:,.0f} MB/s)",
        "",
        f"1. The {first} breaks first: one carries {found[0].carries:,.0f} calls/s, so {shards:.0f} shards are needed "
        f"at {HEADROOM:.0%}. {CONSEQUENCES[first]}",
        f"2. The {second} is next: one carries {found[1].carries:,.0f} calls/s, so {more:.0f} shards are needed. "
        f"{CONSEQUENCES[second]}",
        f"3. Memory: live tables grow by {memory / 1e6:,.0f} MB/s over all shards. Beyond "
        f"{MEMORY_BYTES / 2**30:.0f} GiB each (`--memory`), traces that are over are read again from the recording for "
        "each new question: questions about everything then take as long as loading it.",
        f"4. Disk: {bytes_s * 86_400 / 1e12:,.0f} TB a day, {bytes_s / 1e6:,.0f} MB/s of synced appends, over all.",
        f"5. Operators: {MILLION * measured.call_cpu_spool:.0f} cores of the cluster do nothing but trace; with calls "
        f"that take a second each that is {measured.call_cpu_spool:.4%} of it.",
        "",
    ]


def _busy(events: float, rate: float) -> str:
    return f"{events / rate:.0%}"


def _full(events: float, measured: Measured) -> str:
    surplus = (events - measured.ingest_rate) * measured.event_bytes
    return _duration(PROCESSES * SPOOL_BYTES / surplus) if surplus > 0 else "never"


def _behind(events: float, measured: Measured) -> str:
    arriving = min(events, measured.ingest_rate)
    surplus = arriving - measured.load_rate
    return _duration(3_600 * surplus / measured.load_rate) if surplus > 0 else "no"


def _until_full(events: float, measured: Measured) -> str:
    taken = min(events, measured.ingest_rate, measured.load_rate)
    return _duration(MEMORY_BYTES / (taken * (measured.resident_bytes + measured.payload_bytes)))


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(head), _line(["---"] * len(head)), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
