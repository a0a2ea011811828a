"""Calls as OTLP spans: ids, times, events and links; what they are called stands in `otlp_mapping`. Pure.

Rules:
- A trace keeps its id, a call its id as span id, a parent's id stays the parent's. A further attempt of a call is a
  span of its own, with an id derived from the call and the attempt; so a call gives the same span in every export.
- What OTLP can't carry is replaced by something of the right width, and is always the same: calls without a trace
  id get one from their root; an all-zero id counts as none.
- A parent that was never seen stays named: it may be another system's span.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from embertrace.analysis import Call
from embertrace.analysis.plain import clean, optional_text
from embertrace.analysis.query import Selection
from embertrace.errors import MissingExtraError
from embertrace.interop.evaluations import Evaluation, Evaluations
from embertrace.interop.feeds import consumed_by
from embertrace.interop.otlp_mapping import attributes_of, evaluation_attributes, look
from embertrace.interop.times import times_of

try:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
except ImportError:
    raise MissingExtraError("OTLP export", "otlp") from None

INT64 = 1 << 63
NO_TRACE = bytes(16)


class Spans:
    """Makes the spans of a selection; `evaluations` are found once, for all of it.

    `elsewhere` gives the ids of the trace and the span of a linked call that is not selected; None where unknown.
    """

    def __init__(
        self, selection: Selection, elsewhere: Callable[[int], tuple[bytes, bytes] | None] = lambda _: None
    ) -> None:
        self._selection, self._elsewhere = selection, elsewhere
        self.evaluations = Evaluations(selection)

    def __iter__(self) -> Iterator[tuple[str | None, Span]]:
        """(run id, span) of every selected call, in the order of `calls`."""
        for call in self.calls():
            yield call.run, self.span(call)

    def calls(self) -> list[Call]:
        """The selected calls, runs in turn and calls in the order of their begin."""
        return sorted(self._selection.calls, key=lambda call: call.run or "")  # sorting is stable

    def span(self, call: Call) -> Span:
        """One call as a span."""
        start, end = times_of(call)
        return Span(
            trace_id=trace_id_of(call),
            span_id=span_id(call.call_id, call.attempt),
            parent_span_id=span_id(*call.parent_key) if call.parent_key[0] else b"",
            name=clean(call.operator_id) or call.operator_type or "call",
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=start,
            end_time_unix_nano=end,
            attributes=key_values(attributes_of(look(call, self._selection.trees.labels.truth(call)))),
            events=[*_exceptions(call, end), *map(_evaluation_event, self.evaluations.of(call))],
            links=list(self._links(call)),
            status=_status(call),
        )

    def _links(self, call: Call) -> Iterator[Span.Link]:
        """Recorded links, and from a judge to every member it judged. Each call once."""
        for call_id, why in consumed_by(call, self._selection).items():
            trace_id, linked = self._linked(call_id) or (trace_id_of(call), span_id(call_id, 0))
            yield Span.Link(trace_id=trace_id, span_id=linked, attributes=key_values({"embertrace.link": why}))

    def _linked(self, call_id: int) -> tuple[bytes, bytes] | None:
        known = self._selection.trees.by_id.get(call_id)
        if known is None:
            return self._elsewhere(call_id)
        return trace_id_of(known), span_id(call_id, known.attempt)


def span_id(call_id: int, attempt: int) -> bytes:
    """8 bytes: the call's id, or for a further attempt some derived from both."""
    packed = (call_id & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")
    return packed if not attempt else hashlib.blake2b(packed + attempt.to_bytes(8, "big"), digest_size=8).digest()


def trace_id_of(call: Call) -> bytes:
    """16 bytes: the trace's id, or where it has none of that width some derived from the root call."""
    try:
        given = bytes.fromhex(call.trace_id or "")
    except ValueError:
        given = b""
    if len(given) == 16 and given != NO_TRACE:
        return given
    seed = call.trace_id.encode() if call.trace_id and given != NO_TRACE else call.root.call_id.to_bytes(8, "big")
    return hashlib.blake2b(seed, digest_size=16, person=b"embertrace").digest()


def _status(call: Call) -> Status:
    if call.outcome == "error":
        return Status(code=Status.STATUS_CODE_ERROR, message=clean(str((call.error or {}).get("message") or "")))
    if call.outcome == "lost":
        return Status(code=Status.STATUS_CODE_ERROR, message="lost: its process ended before it did")
    return Status(code=Status.STATUS_CODE_OK if call.outcome == "result" else Status.STATUS_CODE_UNSET)


def _exceptions(call: Call, end: int) -> Iterator[Span.Event]:
    error = call.error
    if error is None:
        return
    told = {
        "exception.type": error.get("type"),
        "exception.message": error.get("message"),
        "exception.stacktrace": error.get("traceback"),
    }
    yield Span.Event(time_unix_nano=end, name="exception", attributes=key_values(told))


def _evaluation_event(found: Evaluation) -> Span.Event:
    told = evaluation_attributes(found.name, found.value, found.by)
    return Span.Event(
        time_unix_nano=max(0, found.time_ns), name="gen_ai.evaluation.result", attributes=key_values(told)
    )


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as OTLP has them; those of None are left out."""
    found = ((name, value) for name, value in attributes.items() if value is not None)
    return [KeyValue(key=clean(str(name)), value=any_value(value)) for name, value in found]


def any_value(value: Any) -> AnyValue:
    """A value as OTLP has it: booleans, 64-bit integers and floats as such, everything else as text."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -INT64 <= value < INT64:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=optional_text(value) or "")
