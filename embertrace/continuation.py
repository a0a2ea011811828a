"""Continuing a hierarchy by hand, where no carrier travels: W3C trace context, and links between calls.

Rules: nothing here raises into an operator because of tracing; with tracing off nothing is done at all. A header that
can't be used is logged, and the calls begin a trace of their own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from embertrace import collect, context
from embertrace.context import NOBODY, Context, Sink
from embertrace.errors import WireError
from embertrace.event import DEFAULT_STAGE, METRIC, Frame, call_hex, parse_call_id
from embertrace.wire.event import MAX_LINKS, RawEvent, pack_event
from embertrace.wire.traceparent import pack_traceparent, unpack_traceparent

EXTERNAL = "external"
"""Operator type of a span of another system, seen from inside its trace."""


def _no_call(reference: Any) -> int:
    return 0


call_of_reference: Callable[[Any], int] = _no_call
"""The call that an ObjectRef is of, 0 for none; set by `ray`, without which no remote call is traced."""


def traceparent() -> str | None:
    """The W3C `traceparent` header for a request made here; None outside any call, or with tracing off.

    A service that understands it (OpenTelemetry's do) continues this trace below the current call. Where the current
    item is not among those that are recorded (see `sample`), the header says so, also outside any call.
    """
    where, scope, _ = context.position()
    if where is not None:
        return pack_traceparent(where.trace_id, where.call_id, scope.share != 0)
    if scope.share == 0:
        return pack_traceparent(scope.trace_id or context.new_trace_id(), context.new_call_id(), False)
    return None


@contextlib.contextmanager
def continue_trace(header: str | None) -> Iterator[None]:
    """Calls made in the block continue the trace of a W3C `traceparent` header, below the span that it names.

    For requests that come from a traced service: `with et.continue_trace(request.headers.get("traceparent")):`. None,
    or a header that is malformed (logged), changes nothing. Inside `item` it gives the item's calls that trace. Where
    this process records a share of the items, the header says, outside any item, whether these calls are among them.
    """
    outer = context.current.get()
    if header is not None:
        try:
            known = unpack_traceparent(header)
        except WireError as error:
            collect.log.warning("a request came with an unusable header: %s", error)
        else:
            scope = context.position()[1]
            if context.sampling is not None and context.sampling.share < 1 and scope.share is None and not scope.item:
                scope = scope.chosen(context.sampling.share) if known.sampled else scope.passed_over()
            span = Frame(EXTERNAL, EXTERNAL, DEFAULT_STAGE, known.parent)
            context.current.set((context.above((span,), known.trace_id), scope, 0))
    try:
        yield
    finally:
        context.current.set(outer)


def call_id() -> str | None:
    """The id of the current call (16 hexadecimal digits), to hand to whoever will `link` to it; None outside any."""
    where = context.position()[0]
    return call_hex(where.call_id) if where is not None else None


def link(*sources: Any) -> None:
    """State that the current call consumes the results of others: what the judge of stored answers, say, judges.

    A source is a call's id, as `call_id` gives it, an ObjectRef of a call, or answers as `ensembles` gives them.
    ObjectRefs among a call's arguments are found without this. Outside any call, and with tracing off, nothing
    happens. Raises TypeError for anything else.
    """
    links = _call_ids(sources)
    where, scope, _ = context.position()
    destination = collect.destination_of(scope)
    if where is None or not where.is_recorded or not links or not collect.enabled or destination is NOBODY:
        return
    event = RawEvent(METRIC, time.time_ns(), *where.place, None, 0, 0, links, b"", collect.pack_data({}))
    destination.put(pack_event(event))


@contextlib.contextmanager
def linked(*sources: Any) -> Iterator[None]:
    """The call that the block makes (of several the last) consumes the results of others, as if it had called `link`.

    For judges that know nothing of embertrace: `with et.linked(answers): judge(question, answers)`. Sources are as
    for `link`. Of a call that a Ray worker tries again, the attempt that counts is linked. Raises TypeError as `link`.
    """
    links = _call_ids(sources)
    before = context.position()[2]
    try:
        yield
    finally:
        where, scope, made = context.position()
        destination = collect.destination_of(scope)
        if made and made != before and links and collect.enabled and destination is not NOBODY:
            trace_id = where.trace_id if where is not None else scope.trace_id
            tell_links(links, made, trace_id, where, destination)


def tell_links(
    links: tuple[int, ...], call_id: int, trace_id: bytes | None, parent: Context | None, destination: Sink
) -> None:
    """Say beside a call, by events of this process, that it consumes others' results. They name no operator, and so are
    of whichever attempt of it counts."""
    for begin in range(0, len(links), MAX_LINKS):
        event = RawEvent(
            METRIC, time.time_ns(), trace_id, call_id, parent.call_id if parent is not None else 0, 0,
            parent.attempt if parent is not None else 0, 0, "", "", DEFAULT_STAGE, None, 0, 0,
            links[begin : begin + MAX_LINKS], b"", collect.pack_data({}),
        )  # fmt: skip
        destination.put(pack_event(event))


def _call_ids(sources: Iterable[Any]) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for source in sources:
        calls = getattr(source, "calls", None)
        found |= dict.fromkeys(_call_id(call) for call in (calls if isinstance(calls, tuple) else (source,)))
    found.pop(0, None)
    return tuple(found)[:MAX_LINKS]


def _call_id(source: Any) -> int:
    if isinstance(source, str):
        try:
            return parse_call_id(source)
        except ValueError:
            raise TypeError(f"link() takes ids of calls, 16 hexadecimal digits, not {source!r:.80}") from None
    if hasattr(source, "task_id"):
        return call_of_reference(source)
    raise TypeError(f"link() takes ids of calls and ObjectRefs, not {type(source).__name__}")
