"""What one traced call costs, in one way of tracing. A step of `calls`, in a process of its own.

python one_call.py WAY CALLS [ADDRESS [SPOOLS]]

Prints {"wall": seconds a call takes its caller (the median of blocks), "cpu": seconds of CPU of the whole process per
call, from the first to the last acknowledgement, "calls": how many}.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

QUESTION, ANSWER = "What is the capital of France?", "Paris"
BLOCKS = 40
WARM = 200

Step = Callable[[str], Any]
Flush = Callable[[], object]


def plain(question: str) -> str:
    return ANSWER


@contextlib.contextmanager
def untraced(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    yield plain, _nothing


@contextlib.contextmanager
def off(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    yield _traced(), _nothing


@contextlib.contextmanager
def collected(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    """In-process: `collect_events`."""
    import embertrace as et

    function = _traced()
    with et.collect_events():
        yield function, _nothing


@contextlib.contextmanager
def memory(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    with _initialised(address, delivery="memory") as found:
        yield found


@contextlib.contextmanager
def spool(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    with _initialised(address, delivery="spool", spool_dir=spools) as found:
        yield found


@contextlib.contextmanager
def otel_noop(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    """OpenTelemetry's API without an SDK."""
    from opentelemetry import trace

    yield _spanned(trace.get_tracer("bench")), _nothing


@contextlib.contextmanager
def otel_batch(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    """The SDK with a batch processor whose exporter does nothing."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    with _provided(Nowhere()) as found:
        yield found


@contextlib.contextmanager
def otel_export(address: str, spools: str) -> Iterator[tuple[Step, Flush]]:
    """The SDK with a batch processor that exports OTLP over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    with _provided(OTLPSpanExporter(endpoint=address)) as found:
        yield found


WAYS = {way.__name__: way for way in (untraced, off, collected, memory, spool, otel_noop, otel_batch, otel_export)}


def _nothing() -> None:
    pass


def _traced() -> Step:
    import embertrace as et

    return et.trace(stage="members", type="member", name="panelist")(plain)


@contextlib.contextmanager
def _initialised(address: str, **settings: Any) -> Iterator[tuple[Step, Flush]]:
    import embertrace as et
    from embertrace import emit

    function = _traced()
    run = et.init(address, run="bench", spool_bytes=1 << 30, spool_node_bytes=1 << 31, **settings)

    def flush() -> None:
        if not emit.flush_all(120.0) or run.emitter.stats().dropped:
            raise RuntimeError("not all events were acknowledged")

    with run:
        yield function, flush


def _spanned(tracer: Any) -> Step:
    """As much as `@trace` keeps: who, of which type and stage, with what, for which item; and what came of it."""

    def spanned(question: str) -> str:
        with tracer.start_as_current_span("panelist") as span:
            answer = plain(question)
            span.set_attributes(
                {
                    "operator.type": "member",
                    "operator.stage": "members",
                    "operator.id": "panelist",
                    "input.value": question,
                    "output.value": answer,
                }
            )
            return answer

    return spanned


@contextlib.contextmanager
def _provided(exporter: Any) -> Iterator[tuple[Step, Flush]]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    # Large enough that no span is dropped: what is dropped costs nothing.
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=1 << 20))
    yield _spanned(provider.get_tracer("bench")), provider.force_flush
    provider.shutdown()


def measure(step: Step, flush: Flush, calls: int) -> dict[str, float]:
    """Call it so often, in blocks."""
    for _ in range(min(WARM, calls)):
        step(QUESTION)
    flush()
    each = max(1, calls // BLOCKS)
    blocks = []
    cpu = time.process_time()
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(each):
            step(QUESTION)
        blocks.append((time.perf_counter() - start) / each)
    flush()
    cpu = time.process_time() - cpu
    return {"wall": statistics.median(blocks), "cpu": cpu / (each * BLOCKS), "calls": each * BLOCKS}


def main(way: str, calls: str, address: str = "", spools: str = "") -> None:
    with WAYS[way](address, spools) as (step, flush):
        found = measure(step, flush, int(calls))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
