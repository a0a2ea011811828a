"""P5 and P6: what an aggregator takes in and acknowledges, from 16 producers over TCP.

Events of 150 bytes were packed beforehand, into the batches of up to 64 KiB that emitters send; each producer has at
most 1 MiB not acknowledged, and everything acknowledged is durable (fdatasync). Where there are several cores the
ingest process has one for itself, and the producers share the others with the analyst, which follows the recording
all the while. An event's share of the ingest's CPU says what the core could carry if nobody else used it. The naive
loop beside takes the same messages by PUSH and PULL: no disk, no acknowledgement, no analyst.

For P6 a load comes evenly, while one client asks heavy questions without a pause: half of what is asked for in P5, and
half of what was reached. The delay of an acknowledgement counts from when its batch was due.
"""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench import children, cores
from bench.harness import Figure, Options, Timing
from bench.load import write_load
from embertrace.client import Client

EVENTS, SHORT = 6_000_000, 20_000
PRODUCERS = 16
HALF_S, SHORT_HALF_S = 5.0, 0.3
"""How long half of the load lasts."""
RATE, ACK_S = 2e6, 0.025
FOLLOW_S = 120.0

Run = dict[str, float]


def figures(options: Options) -> list[Figure]:
    """P5 and P6."""
    with tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch:
        place = pathlib.Path(scratch)
        written = write_load(place / "load", options.sized(EVENTS, SHORT), PRODUCERS)
        full: list[Run] = []
        naive: list[float] = []
        for _ in range(options.runs):
            full.append(taken_in(place / "load", place))
            naive.append(_naive(place / "load"))
        rate = Timing(tuple(run["events"] / run["seconds"] for run in full))
        found = [*_full(written, full, rate, naive)]
        seconds = options.chosen(HALF_S, SHORT_HALF_S)
        for half in (RATE / 2, rate.median / 2):
            beside = [taken_in(place / "load", place, half, seconds, asked=True) for _ in range(options.runs)]
            found += _half(half, beside)
        return found


def taken_in(load: pathlib.Path, place: pathlib.Path, rate: float = 0, seconds: float = 60, asked: bool = False) -> Any:
    """What became of a load that was sent to a fresh aggregator: see load, with CPU of the ingest, and the lag."""
    with (
        tempfile.TemporaryDirectory(dir=place) as scratch,
        children.aggregator(pathlib.Path(scratch) / "recording") as (endpoint, process),
        cores.apart(process.pid) as others,
        contextlib.ExitStack() as stack,
    ):
        asking = None
        if asked:
            asker = children.started(str(children.HERE / "asking.py"), endpoint, cores=others)
            _, asking = stack.enter_context(asker)
        before = cores.cpu_s(process.pid)
        run: dict[str, Any] = children.step("load.py", load, endpoint, rate, seconds, cores=others)
        run["ingest_cpu"] = cores.cpu_s(process.pid) - before
        run["resident"] = cores.resident(process.pid)
        start = time.monotonic()
        if asking is not None:
            run["answers"] = sum(times for times, _ in children.finish(asking).values())
        else:
            run["behind"] = _await(endpoint, run["events"], start)
        return run


def _await(endpoint: str, events: float, since: float) -> float:
    """Until the analyst has everything; how long after `since` that was."""
    with Client(endpoint, timeout_s=FOLLOW_S) as client:
        while client.call("info")["events"] < events:
            time.sleep(0.02)
    return time.monotonic() - since


def _naive(load: pathlib.Path) -> float:
    """Messages taken in a loop, as events a second."""
    with (
        children.started(str(children.HERE / "naive_pull.py"), str(PRODUCERS)) as (ready, process),
        cores.apart(process.pid) as others,
    ):
        start = time.monotonic()
        run = children.step("load.py", load, ready["endpoint"], "naive", cores=others)
        children.said(process)
        return float(run["events"] / min(run["seconds"], time.monotonic() - start))


def _full(written: int, full: Sequence[Run], rate: Timing, naive: Sequence[float]) -> Iterator[Figure]:
    peers = {"naive loop": Timing(tuple(naive)).shown(digits=0)}
    met = rate.median >= RATE
    yield Figure(
        "P5", f"events/s acknowledged, {written:,} events", rate.shown(digits=0), rate.median, "≥ 2,000,000", met,
        peers, rate.runs, "ingest_rate",
    )  # fmt: skip
    cpu = Timing(tuple(run["events"] / run["ingest_cpu"] for run in full))
    yield Figure(
        "P5",
        "  events per second of the ingest's CPU",
        cpu.shown(digits=0),
        cpu.median,
        runs=cpu.runs,
        key="ingest_cpu",
    )
    for what, name in (("median delay of acknowledgement", "p50"), ("its 99th percentile", "p99")):
        delay = Timing(tuple(run[name] for run in full))
        yield Figure("P5", f"  {what}", f"{delay.shown(1e3, 0)} ms", delay.median, runs=delay.runs)
    behind = Timing(tuple(run["behind"] for run in full))
    yield Figure("P5", "  the analyst has all of it, after that", f"{behind.shown()} s", behind.median)
    memory = Timing(tuple(run["resident"] for run in full))
    yield Figure("P5", "  memory of the ingest", f"{memory.shown(1 / 2**20, 0)} MiB", memory.median)


def _half(rate: float, beside: Sequence[Run]) -> Iterator[Figure]:
    late = Timing(tuple(run["p99"] for run in beside))
    yield Figure(
        "P6", f"acknowledgement at {rate:,.0f} events/s, 99th percentile", f"{late.shown(1e3, 1)} ms", late.median,
        "≤ 25 ms", late.median <= ACK_S, runs=late.runs,
    )  # fmt: skip
    half = Timing(tuple(run["p50"] for run in beside))
    yield Figure("P6", "  median", f"{half.shown(1e3, 1)} ms", half.median, runs=half.runs)
    got = Timing(tuple(run["events"] / run["seconds"] for run in beside))
    yield Figure("P6", "  events/s acknowledged meanwhile", got.shown(digits=0), got.median, runs=got.runs)
    answers = Timing(tuple(run["answers"] for run in beside))
    yield Figure("P6", "  heavy questions answered meanwhile", answers.shown(digits=0), answers.median)
