"""/metrics: how the aggregator fares, in the text format of Prometheus. Pure.

Names and units follow its conventions: seconds and bytes, counters end in _total. Counters of the recording count what
the analyst has read since it started, and so all there is; those named `ingest` count since the aggregator started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from aggregator.gauges import Gauges

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOST = ("dropped", "not held", "other")


class Family(NamedTuple):
    """One metric: samples by the value of its one label; under "" where it has none."""

    name: str
    type: str
    help: str
    samples: Mapping[str, float]
    label: str = ""


def exposition(gauges: Gauges | None, now: float, streams: int = 0) -> bytes:
    """The text at `now` (monotonic, as `Gauges.at`). Without gauges there is only embertrace_up, which is 0."""
    return "".join(_text(family) for family in families(gauges, now, streams)).encode()


def families(gauges: Gauges | None, now: float, streams: int) -> Iterator[Family]:
    yield _gauge("up", "Whether the analyst follows the recording.", 0 if gauges is None else 1)
    yield _gauge("http_streams", "Event streams that are open.", streams)
    if gauges is None:
        return
    yield from _of_recording(gauges)
    yield from _of_analyst(gauges, now)
    if gauges.ingest:
        yield from _of_ingest(gauges.ingest)


def _of_recording(gauges: Gauges) -> Iterator[Family]:
    yield _counter("events", "Distinct events in the recording.", gauges.events)
    yield _counter("event_bytes", "Bytes of the records that hold them.", gauges.bytes)
    lost = {kind: gauges.lost.get(kind, 0) for kind in LOST}
    text = "Events known never to arrive: dropped by their producer, or no longer held by it."
    yield Family("embertrace_gap_events_total", "counter", text, lost, "reason")
    yield _counter("undecodable_events", "Recorded events that can't be read.", gauges.undecodable)
    yield _counter("damaged_bytes", "Bytes of the recording that hold no readable record.", gauges.damaged_bytes)
    yield _counter(
        "removed_segments", "Segments that retention removed before they were read.", gauges.removed_segments
    )
    states = {"connected": gauges.connected, "ended": gauges.producers - gauges.connected}
    yield Family("embertrace_producers", "gauge", "Producers in the recording.", states, "state")


def _of_analyst(gauges: Gauges, now: float) -> Iterator[Family]:
    if gauges.delay_s is not None:
        text = "Longest time that the last batch of a connected producer was on its way."
        yield _gauge("delivery_delay_seconds", text, gauges.delay_s)
    yield _gauge("durable_bytes", "Up to where the recording is durable.", gauges.durable)
    yield _gauge("analyst_position_bytes", "Up to where answers take it into account.", gauges.position)
    yield _gauge("analyst_lag_bytes", "What is durable, and not yet part of answers.", gauges.behind)
    text = "How old these figures are: an analyst in the middle of a heavy question makes no new ones."
    yield _gauge("analyst_figures_age_seconds", text, max(0.0, now - gauges.at))


_INGEST = {
    "batches": "Batches that were taken in.",
    "events": "Events that were taken in.",
    "bytes": "Bytes of batches that were taken in.",
    "duplicates": "Batches that came again, and changed nothing.",
    "ahead": "Batches that came before what precedes them, or before a hello.",
    "gaps": "Events that were declared lost.",
    "refused": "Hellos that were refused.",
    "malformed": "Messages that were none of the protocol.",
    "silent": "Producers that ended without a word.",
}


def _of_ingest(ingest: Mapping[str, object]) -> Iterator[Family]:
    counters = ingest.get("counters")
    for name, text in _INGEST.items():
        value = counters.get(name) if isinstance(counters, Mapping) else None
        if isinstance(value, int):
            yield _counter(f"ingest_{name}", text, value)
    for name, known, text in (
        ("ingest_start_time_seconds", "started_ns", "When the aggregator started, Unix seconds."),
        ("ingest_last_record_time_seconds", "received_ns", "When the last record came, Unix seconds; 0 for none."),
    ):
        at = ingest.get(known)
        if isinstance(at, int):
            yield _gauge(name, text, at / 1e9)
    free = ingest.get("free_bytes")
    if isinstance(free, int):
        yield _gauge("recording_free_bytes", "What the recording's file system has left.", free)
    if isinstance(counters, Mapping):
        yield from _of_export(counters)


_EXPORT = {
    "spans": "Spans of calls that the OTLP receiver took.",
    "evaluations": "Scores and labels that it took, beside those in their spans.",
    "refused": "Spans, scores and labels that it refused.",
    "given_up": "Spans, scores and labels that it did not take for too long.",
    "requests": "Requests to it.",
    "retries": "Of these, those that tried again.",
    "unfinished": "Calls that were let go before they ended: too many were open.",
}
_EXPORT_NOW = {
    "waiting": ("waiting_requests", "Requests that wait for it."),
    "failing": ("failing", "Whether it did not take the last request."),
    "behind_bytes": ("behind_bytes", "What is durable, and not yet read for it."),
}


def _of_export(counters: Mapping[str, object]) -> Iterator[Family]:
    """Of the OTLP exporter; nothing where there is none."""
    for name, text in _EXPORT.items():
        if isinstance(value := counters.get(f"otlp_{name}"), int):
            yield _counter(f"otlp_{name}", text, value)
    for name, (shown, text) in _EXPORT_NOW.items():
        if isinstance(value := counters.get(f"otlp_{name}"), int):
            yield _gauge(f"otlp_{shown}", text, value)


def _counter(name: str, text: str, value: float) -> Family:
    return Family(f"embertrace_{name}_total", "counter", text, {"": value})


def _gauge(name: str, text: str, value: float) -> Family:
    return Family(f"embertrace_{name}", "gauge", text, {"": value})


def _text(family: Family) -> str:
    lines = [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
    for value, sample in family.samples.items():
        label = f'{{{family.label}="{value}"}}' if family.label else ""
        lines.append(f"{family.name}{label} {sample}")
    return "\n".join(lines) + "\n"
