"""P1, P2, P3: what a traced call costs, beside OpenTelemetry.

One function with a short text as argument and result, in eight ways; each way in a process of its own, all of them in
turns. OpenTelemetry's span gets the five attributes that hold as much as our two events. "In the caller" is wall time
of the loop that calls, with the sender's thread at work beside it; "CPU" is that of all threads of the process, until
everything is acknowledged (with OpenTelemetry: exported). Both are less what the bare call takes. The OTLP receiver
reads requests and answers, no more.

Instructions are counted by valgrind where it is installed: they hardly vary, however busy the machine is.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from bench import children
from bench.harness import Figure, Options, Timing

WAYS = {
    "untraced": 2_000_000,
    "off": 2_000_000,
    "otel_noop": 100_000,
    "collected": 60_000,
    "memory": 60_000,
    "spool": 60_000,
    "otel_batch": 20_000,
    "otel_export": 20_000,
}
"""How many calls of each way: about a second's."""
SHORT = 80
COUNTED = {"off": 2_000, "collected": 400, "otel_noop": 2_000, "otel_batch": 400}
"""Calls in which instructions are counted, for the ways that need no other process."""
OFF_S, OFF_SHARE, MEMORY_SHARE, SPOOL_SHARE, CPU_SHARE = 150e-9, 1 / 20, 1 / 12, 1 / 8, 1 / 20

Taken = dict[str, dict[str, Timing]]


def figures(options: Options) -> list[Figure]:
    """P1, P2, P3, and instructions."""
    taken = measured(options)
    return [*_off(taken), *_on(taken), *_whole(taken), *_instructions(options)]


def measured(options: Options) -> Taken:
    """Seconds a call, by way and by what is measured, less those of the bare call."""
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with (
        tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch,
        children.receiver() as url,
        children.aggregator(pathlib.Path(scratch) / "recording") as (endpoint, _),
    ):
        addresses = {"memory": endpoint, "spool": endpoint, "otel_export": url}
        for _ in range(options.runs):
            for way, calls in WAYS.items():
                spools = pathlib.Path(scratch) / "spools"
                found = children.step("one_call.py", way, options.chosen(calls, SHORT), addresses.get(way, ""), spools)
                runs[way].append(found)
    bare = {kind: Timing(tuple(run[kind] for run in runs["untraced"])).median for kind in ("wall", "cpu")}
    return {
        way: {kind: Timing(tuple(run[kind] - bare[kind] for run in found)) for kind in bare}
        for way, found in runs.items()
    }


def _off(taken: Taken) -> Iterator[Figure]:
    ours, noop = taken["off"]["wall"], taken["otel_noop"]["wall"]
    share = ours.median / noop.median
    peers = {"OpenTelemetry": f"{noop.shown(1e9, 0)} ns (no SDK)"}
    met = ours.median <= OFF_S
    yield Figure("P1", "off", f"{ours.shown(1e9, 0)} ns", ours.median, "≤ 150 ns", met, peers, ours.runs)
    yield Figure("P1", "  of OpenTelemetry's", _share(share), share, "≤ 1/20", share <= OFF_SHARE)


def _on(taken: Taken) -> Iterator[Figure]:
    peer = taken["otel_batch"]["wall"]
    peers = {"OpenTelemetry": f"{peer.shown(1e6, 1)} µs (batch processor)"}
    in_process = taken["collected"]["wall"]
    yield Figure(
        "P2", "in the caller, collect_events", f"{in_process.shown(1e6, 1)} µs", in_process.median, peers=peers,
        runs=in_process.runs,
    )  # fmt: skip
    for way, most, target in (("memory", MEMORY_SHARE, "≤ 1/12"), ("spool", SPOOL_SHARE, "≤ 1/8")):
        ours = taken[way]["wall"]
        share = ours.median / peer.median
        said = f"{ours.shown(1e6, 1)} µs"
        yield Figure("P2", f"in the caller, delivery {way}", said, ours.median, peers=peers, runs=ours.runs)
        yield Figure("P2", "  of OpenTelemetry's", _share(share), share, target, share <= most)


def _whole(taken: Taken) -> Iterator[Figure]:
    peer = taken["otel_export"]["cpu"]
    peers = {"OpenTelemetry": f"{peer.shown(1e6, 1)} µs (OTLP export)"}
    for way in ("memory", "spool"):
        ours = taken[way]["cpu"]
        share = ours.median / peer.median
        said = f"{ours.shown(1e6, 1)} µs"
        yield Figure(
            "P3", f"CPU of the process, delivery {way}", said, ours.median, peers=peers, runs=ours.runs,
            key=f"call_cpu_{way}",
        )  # fmt: skip
        yield Figure("P3", "  of OpenTelemetry's", _share(share), share, "≤ 1/20", share <= CPU_SHARE)


def _instructions(options: Options) -> Iterator[Figure]:
    if options.short or shutil.which("valgrind") is None:
        return
    bare = _counted("untraced", max(COUNTED.values()))
    found = {way: _counted(way, calls) - bare for way, calls in COUNTED.items()}
    for way, row, peer in (("off", "P1", "otel_noop"), ("collected", "P2", "otel_batch")):
        peers = {"OpenTelemetry": f"{found[peer]:,.0f}"}
        yield Figure(row, f"instructions a call, {way}", f"{found[way]:,.0f}", found[way], peers=peers)
        share = found[way] / found[peer]
        yield Figure(row, "  of OpenTelemetry's", _share(share), share)


def _counted(way: str, calls: int) -> float:
    """Instructions of one call: what three times as many calls take more, start and end of the process apart."""
    few, many = (_valgrind(way, calls * times) for times in (1, 3))
    return (many - few) / (2 * calls)


def _valgrind(way: str, calls: int) -> int:
    """Instructions of a whole process that makes so many calls."""
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="embertrace-bench-"))
        out = f"--cachegrind-out-file={scratch}/out"
        done = subprocess.run(
            ["valgrind", "--tool=cachegrind", "--cache-sim=no", out, sys.executable, str(children.HERE / "one_call.py"),
             way, str(calls)],
            capture_output=True, text=True, env={**children.environment(), "PYTHONHASHSEED": "0"}, check=True,
        )  # fmt: skip
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", ""))


def _share(share: float) -> str:
    return f"1/{1 / share:.1f}" if 0 < share < 1 else f"{share:.2f}"
