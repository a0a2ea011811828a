"""What is said of a call after its span was sent: an evaluation as a span of its own, below the one it is about. Pure.

OpenTelemetry has no way to add to a span. So a late evaluation is a span that begins and ends when it was said, named
`evaluation NAME`, of the same trace, with the call's span as its parent. Its id follows from the call's, the name and
who said it: said again, it is the same span with another value.
"""

from __future__ import annotations

import hashlib

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from embertrace.analysis.plain import clean
from embertrace.interop.evaluations import Evaluation
from embertrace.interop.otlp_mapping import evaluation_attributes
from embertrace.interop.otlp_spans import key_values


def evaluation_span(trace_id: bytes, about: bytes, evaluation: Evaluation) -> Span:
    """The span of an evaluation; `about` is the id of the span it is about."""
    told = evaluation_attributes(evaluation.name, evaluation.value, evaluation.by)
    at = max(0, evaluation.time_ns)
    return Span(
        trace_id=trace_id,
        span_id=evaluation_id(about, evaluation),
        parent_span_id=about,
        name=clean(f"evaluation {evaluation.name}"),
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=at,
        end_time_unix_nano=at,
        attributes=key_values({"openinference.span.kind": "EVALUATOR", **told}),
    )


def evaluation_id(about: bytes, evaluation: Evaluation) -> bytes:
    """8 bytes: the same for the same span, name and annotator."""
    parts = [part.encode("utf-8", "replace") for part in (evaluation.name, evaluation.by or "")]
    told = b"".join(len(part).to_bytes(4, "big") + part for part in (about, *parts))
    return hashlib.blake2b(told, digest_size=8, person=b"evaluation").digest()
