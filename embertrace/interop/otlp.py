"""Export to any OpenTelemetry receiver: `OtlpExporter(url).export(analysis)`. As things happen, see `live`.

Rules:
- A request holds spans of one run, at most MAX_SPANS of them and about MAX_BYTES. One that the receiver finds too large
  (413) is halved; one that it refuses (400 and the like) is counted, with its reason, and the others go on.
- A refusal that no other request can escape (401, 403, 404, 405, redirects) ends the export with an ExportError.
- The same calls give the same ids: exporting twice means the same spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from embertrace.analysis import OperatorAnalysis
from embertrace.errors import ExportError, MissingExtraError
from embertrace.interop.otlp_http import Answer, Poster
from embertrace.interop.otlp_mapping import MAPPING_VERSION, SCOPE, resource_of
from embertrace.interop.otlp_spans import Spans, key_values, span_id
from embertrace.interop.phoenix import CONTENT_TYPE, MAX_ANNOTATIONS, annotations_url, pack_annotations

try:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
except ImportError:
    raise MissingExtraError("OTLP export", "otlp") from None

MAX_SPANS = 512
"""The batch that OpenTelemetry's own exporters send by default."""
MAX_BYTES = 1024 * 1024
"""Receivers take 4 MB and more; a span alone may have a few hundred kilobytes of text."""
HOPELESS = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405})
"""Statuses that speak of the address or of who asks, not of what was sent."""
TOO_LARGE = 413
MAX_REASONS = 10


class Exported(NamedTuple):
    """What became of an export. `rejected` spans and annotations were refused, for `reasons` (at most 10 of them).

    `evaluations` counts annotations that were taken; without `phoenix` there are none: they are in their spans.
    `left_out` counts scores and labels about calls that were not exported.
    """

    url: str
    spans: int
    evaluations: int
    rejected: int
    requests: int
    retries: int
    left_out: int
    reasons: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        return {**self._asdict(), "reasons": list(self.reasons), "mapping_version": MAPPING_VERSION}

    def __str__(self) -> str:
        lines = [f"{self.url} took {self.spans} spans in {self.requests} requests"]
        lines += [f"it took {self.evaluations} scores and labels as annotations"] if self.evaluations else []
        lines += [f"{self.retries} of them were retries"] if self.retries else []
        lines += [f"{self.rejected} spans were refused: {'; '.join(self.reasons)}"] if self.rejected else []
        lines += [f"{self.left_out} scores or labels are about calls that were not exported"] if self.left_out else []
        return "\n".join(lines)


class OtlpExporter:
    """Sends spans to one receiver. `url` is its address; a bare host gets /v1/traces. Not thread-safe.

    With `phoenix`, scores and labels are also sent as annotations, as Arize Phoenix keeps them.
    Options are those of `Poster`: `headers`, `compress` (gzip), `attempts` (of each request, 5), `timeout_s` (10), and
    for tests `post`, `sleep` and `now`. Raises ConfigError for an unusable address.
    """

    def __init__(self, url: str, *, phoenix: bool = False, **options: Any) -> None:
        self._poster = Poster(url, **options)
        self._annotator = (
            Poster(annotations_url(self._poster.url), content_type=CONTENT_TYPE, **options) if phoenix else None
        )
        self.spans = self.evaluations = self.rejected = self.requests = 0
        self._reasons: dict[str, None] = {}

    def export(self, analysis: OperatorAnalysis) -> Exported:
        """Send every selected call, each attempt of it, one request after the other. No calls send nothing.

        Raises ExportError where the receiver is not there, or refuses altogether; what it took till then it has.
        """
        selection = analysis.selection(every_attempt=True)
        runs = {run["id"]: run for run in selection.forest.runs()}
        found = Spans(selection)
        for run, spans in batches(found):
            self.send(resource_of(runs.get(run, {})), spans)
        if self._annotator is not None:
            self._annotate(found, self._annotator)
        return self.exported(found.evaluations.left_out)

    def _annotate(self, found: Spans, annotator: Poster) -> None:
        said = [(span_id(*call.key), evaluation) for call in found.calls() for evaluation in found.evaluations.of(call)]
        for first in range(0, len(said), MAX_ANNOTATIONS):
            portion = said[first : first + MAX_ANNOTATIONS]
            answer = annotator.send(pack_annotations(portion))
            refused, reason = verdict(answer, len(portion))
            self.requests += 1
            self.evaluations += len(portion) - refused
            self.rejected += refused
            self._note(f"annotations: {reason}" if refused else "")

    def send(self, resource: Mapping[str, Any], spans: list[Span]) -> None:
        """Send the spans of one resource (see `resource_of`) as one request."""
        answer = self._poster.send(request_of(resource, spans).SerializeToString())
        if answer.status == TOO_LARGE and len(spans) > 1:
            self.requests += 1
            half = len(spans) // 2
            self.send(resource, spans[:half])
            self.send(resource, spans[half:])
            return
        self._count(answer, len(spans))

    def exported(self, left_out: int = 0) -> Exported:
        """What was sent so far."""
        retries = self._poster.retries + (self._annotator.retries if self._annotator is not None else 0)
        counts = self.spans, self.evaluations, self.rejected, self.requests + retries, retries
        return Exported(self._poster.url, *counts, left_out, tuple(self._reasons))

    def _count(self, answer: Answer, spans: int) -> None:
        self.requests += 1
        if answer.status in HOPELESS:
            raise ExportError(
                f"{self._poster.url} answered {answer.status}{_because(answer)} after {self.spans} spans; "
                "check the address and the headers"
            )
        refused, reason = verdict(answer, spans)
        self.spans += spans - refused
        self.rejected += refused
        self._note(reason)

    def _note(self, reason: str) -> None:
        if reason and len(self._reasons) < MAX_REASONS:
            self._reasons[reason] = None


def request_of(resource: Mapping[str, Any], spans: Iterable[Span]) -> ExportTraceServiceRequest:
    """The protobuf message for spans of one resource."""
    scope = InstrumentationScope(name=SCOPE, version=str(MAPPING_VERSION))
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=key_values(resource)),
                scope_spans=[ScopeSpans(scope=scope, spans=spans)],
            )
        ]
    )


def batches(spans: Iterable[tuple[str | None, Span]]) -> Iterator[tuple[str | None, list[Span]]]:
    """Spans in bounded lists of one run each, in order."""
    batch: list[Span] = []
    batch_run, size = None, 0
    for run, span in spans:
        length = span.ByteSize()
        if batch and (run != batch_run or len(batch) >= MAX_SPANS or size + length > MAX_BYTES):
            yield batch_run, batch
            batch, size = [], 0
        batch.append(span)
        batch_run, size = run, size + length
    if batch:
        yield batch_run, batch


def verdict(answer: Answer, parts: int) -> tuple[int, str]:
    """How many of so many parts of a request were refused by a final answer, and why ("" for none)."""
    if not 200 <= answer.status < 300:
        return parts, f"status {answer.status}{_because(answer)}"
    refused, reason = _partial(answer.body)
    return min(refused, parts), reason if refused else ""


def _partial(body: bytes) -> tuple[int, str]:
    """How many spans a receiver that took the request refused all the same, and why."""
    try:
        told = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:  # whatever it says, it said 200
        return 0, ""
    return max(0, told.rejected_spans), told.error_message or "no reason given"


def _because(answer: Answer) -> str:
    """What the body says in readable characters: a text, or the message of a protobuf Status."""
    text = "".join(char if char.isprintable() else " " for char in answer.body.decode("utf-8", "replace"))
    text = " ".join(text.replace("�", " ").split())[:200]
    return f" ({text})" if text else ""
