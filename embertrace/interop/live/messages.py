"""Portions as requests: who gets what, in which bounds. Pure but for the connections, which are arguments.

Rules: spans go before what is said of them. Phoenix gets all evaluations as annotations; every other receiver gets
those that came with their spans as events of these, and later ones as spans (see `late`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from embertrace.interop.late import evaluation_span
from embertrace.interop.live.export import Portion, Said
from embertrace.interop.live.outbox import Message
from embertrace.interop.otlp import batches, request_of
from embertrace.interop.otlp_http import Poster, traces_url
from embertrace.interop.otlp_mapping import resource_of
from embertrace.interop.phoenix import CONTENT_TYPE, MAX_ANNOTATIONS, annotations_url, pack_annotations


class Messages:
    """Makes the requests for one receiver. Options are those of `Poster`. Raises ConfigError for its address."""

    def __init__(self, url: str, *, phoenix: bool = False, **options: Any) -> None:
        self._spans = Poster(url, **options)
        self._annotations = Poster(annotations_url(traces_url(url)), content_type=CONTENT_TYPE, **options)
        self._phoenix = phoenix

    def of(self, portion: Portion) -> Iterator[Message]:
        """The requests for a portion, in order."""
        spans = sorted(portion.spans, key=lambda found: found[0] or "")
        for run, batch in batches(spans):
            yield Message(self._spans, _packing(portion.runs.get(run or "", {})), batch, True)
        if self._phoenix:
            said = [(one.sent.span_id, one.evaluation) for one in (*portion.said, *portion.late)]
            for annotated in _portions(said, MAX_ANNOTATIONS):
                yield Message(self._annotations, _pack_annotations, annotated, False)
            return
        late = sorted(portion.late, key=lambda one: one.sent.run or "")
        for run, group in itertools.groupby(late, key=lambda one: one.sent.run):
            for batch in _portions(map(_late_span, group), MAX_ANNOTATIONS):
                yield Message(self._spans, _packing(portion.runs.get(run or "", {})), batch, False)


def _portions(given: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(given)
    while portion := list(itertools.islice(iterator, size)):
        yield portion


def _late_span(said: Said) -> Span:
    return evaluation_span(said.sent.trace_id, said.sent.span_id, said.evaluation)


def _packing(run: Mapping[str, Any]) -> Callable[[Sequence[Any]], bytes]:
    resource = resource_of(run)
    return lambda spans: request_of(resource, spans).SerializeToString()


def _pack_annotations(said: Sequence[Any]) -> bytes:
    return pack_annotations(said)
