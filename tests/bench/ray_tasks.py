"""P4: Ray tasks a second, traced against untraced, beside Ray's own tracing.

Tasks that return their small argument, in blocks; a traced block follows an untraced one or goes before it, by turns,
and the ratio is taken of each such pair, since blocks of one kind differ by more than what is to be seen. Traced
tasks' events are delivered to a session's aggregator on the same machine meanwhile. The bound is a bootstrap over the
pairs (2.5th percentile of the median ratio). Ray's own tracing is switched on for a cluster as a whole, so it has
clusters of its own, by turns with ours, with OpenTelemetry's batch processor that exports nowhere; its ratio is to
the untraced blocks of ours.
"""

from __future__ import annotations

import itertools
import pathlib
import random
import statistics
import tempfile

from bench import children
from bench.harness import Figure, Options, Timing, percentile

CLUSTERS, PAIRS, TASKS = 3, 40, 1000
"""A block takes half a second or more: the events of its last tenth of a second are delivered in the next one."""
SHORT = (1, 2, 5)
RESAMPLES = 2_000
RATIO = 0.93


def figures(options: Options) -> list[Figure]:
    """P4."""
    clusters, pairs, tasks = options.chosen((CLUSTERS, PAIRS, TASKS), SHORT)
    ours: list[list[float]] = []
    rays: list[list[float]] = []
    with tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch:
        for turn in range(clusters):
            directory = pathlib.Path(scratch) / str(turn)
            ours += children.step("ray_block.py", "embertrace", pairs, tasks, directory)
            rays += children.step("ray_block.py", "opentelemetry", pairs // 2, tasks)
    ratios = [plain / traced for plain, traced in ours]
    ratio, low = statistics.median(ratios), lower_bound(ratios)
    untraced = Timing(tuple(tasks / plain for plain, _ in ours))
    traced = Timing(tuple(tasks / block for _, block in ours))
    peer = Timing(tuple(tasks / block for block in itertools.chain.from_iterable(rays)))
    own = {"Ray's own tracing": f"{peer.median / untraced.median:.3f}"}
    rates = {"Ray's own tracing": peer.shown(digits=0)}
    return [
        Figure("P4", "tasks/s, untraced", untraced.shown(digits=0), untraced.median, runs=untraced.runs),
        Figure("P4", "tasks/s, traced", traced.shown(digits=0), traced.median, peers=rates, runs=traced.runs),
        Figure(
            "P4", f"ratio, {len(ratios)} pairs of {tasks} tasks: lower 95% bound", f"{low:.3f}", low, "≥ 0.93",
            low >= RATIO, runs=ratios,
        ),
        Figure("P4", "  median ratio", f"{ratio:.3f}", ratio, peers=own),
    ]  # fmt: skip


def lower_bound(ratios: list[float]) -> float:
    """Of the median of `ratios`: the 2.5th percentile of those of resamples."""
    chance = random.Random(4)
    medians = [statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)]
    return percentile(medians, 0.025)
