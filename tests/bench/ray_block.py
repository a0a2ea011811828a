"""Ray tasks a second, in blocks of two kinds by turns. A step of `ray`, in a process with a cluster of its own.

python ray_block.py embertrace|opentelemetry PAIRS TASKS [DIRECTORY]

Prints [[seconds of a plain block, seconds of a traced block], …]. With `opentelemetry` the cluster has Ray's own
tracing, which every task and every worker of such a cluster takes part in; so both blocks of a pair are traced there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray

import embertrace as et
import embertrace.ray as eray

WARM_BLOCKS = 3


def trace_nowhere() -> None:
    """What Ray's documentation has as its example of a hook, with a batch processor that exports nowhere."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)


def work(question: str) -> str:
    return question


def seconds(task: Any, tasks: int) -> float:
    start = time.perf_counter()
    ray.get([task.remote("a question") for _ in range(tasks)])
    return time.perf_counter() - start


def pairs(plain: Any, traced: Any, number: int, tasks: int) -> list[list[float]]:
    """Blocks in turns; which comes first changes from pair to pair."""
    for _ in range(WARM_BLOCKS):
        seconds(plain, tasks)
        seconds(traced, tasks)
    found = []
    for turn in range(number):
        first, second = (plain, traced) if turn % 2 else (traced, plain)
        one, two = seconds(first, tasks), seconds(second, tasks)
        found.append([one, two] if turn % 2 else [two, one])
    return found


def main(tracing: str, number: str, tasks: str, directory: str = "") -> None:
    hook = {"_tracing_startup_hook": "bench.ray_block:trace_nowhere"} if tracing == "opentelemetry" else {}
    ray.init(num_cpus=2, object_store_memory=10**8, include_dashboard=False, log_to_driver=False, **hook)
    plain = ray.remote(work)
    try:
        found = _measured(tracing, plain, int(number), int(tasks), directory)
    finally:
        ray.shutdown()
    print(json.dumps(found))


def _measured(tracing: str, plain: Any, number: int, tasks: int, directory: str) -> list[list[float]]:
    if tracing == "opentelemetry":
        return pairs(plain, plain, number, tasks)
    traced = eray.remote(et.trace(stage="members")(work))
    with et.session(directory):
        return pairs(plain, traced, number, tasks)


if __name__ == "__main__":
    main(*sys.argv[1:])
