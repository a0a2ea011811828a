"""P11: what an aggregator takes that has nothing to do, and what `import embertrace` takes.

Memory is that of all its processes together (proportional set size: what they share is counted once); CPU is their
share of one core while nobody sends or asks anything. An import is timed in processes of their own, less the start of
Python.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from bench import children, cores
from bench.harness import Figure, Options, Timing

SETTLE_S, WATCHED_S = 3.0, 20.0
BYTES, SHARE, IMPORT_S = 120e6, 0.01, 0.06
IMPORTS = {"embertrace": "import embertrace", "OpenTelemetry": "import opentelemetry.sdk.trace.export"}


def figures(options: Options) -> list[Figure]:
    """P11."""
    return [*_aggregator(options), *_import(options)]


def _aggregator(options: Options) -> Iterator[Figure]:
    watched, memory, shares = options.chosen(WATCHED_S, 0.2), [], []
    with (
        tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch,
        children.aggregator(pathlib.Path(scratch) / "recording") as (_, process),
    ):
        time.sleep(options.chosen(SETTLE_S, 0.1))
        family = [process.pid, *cores.children_of(process.pid)]
        for _ in range(options.runs):
            before = sum(map(cores.cpu_s, family))
            time.sleep(watched / options.runs)
            shares.append((sum(map(cores.cpu_s, family)) - before) / (watched / options.runs))
            memory.append(float(sum(map(cores.resident, family))))
    held, busy = Timing(tuple(memory)), sum(shares) / len(shares)
    said = f"{held.median / 1e6:.0f} MB"
    yield Figure("P11", "memory of an idle aggregator", said, held.median, "≤ 120 MB", held.median <= BYTES)
    yield Figure("P11", "CPU of an idle aggregator", f"{busy:.2%}", busy, "≤ 1%", busy <= SHARE, runs=shares)


def _import(options: Options) -> Iterator[Figure]:
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(max(options.runs, options.chosen(15, 1))):
        bare = _seconds("pass")
        for name, line in IMPORTS.items():
            taken[name].append(_seconds(line) - bare)
    ours, peer = (Timing(tuple(taken[name])) for name in IMPORTS)
    met = ours.median < IMPORT_S
    peers = {"OpenTelemetry SDK": f"{peer.shown(1e3, 0)} ms"}
    yield Figure("P11", "import embertrace", f"{ours.shown(1e3, 0)} ms", ours.median, "< 60 ms", met, peers, ours.runs)


def _seconds(line: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", line], env=children.environment(), check=True)
    return time.perf_counter() - start
