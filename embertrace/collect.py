"""Where events go in this process: EventCollector and collect_events, the process-wide switch and its sinks.

This is the only mutable global state beside the ground scope of `context`. `enabled` is what the hot path asks
first: False means that a traced call costs one attribute read. It is True while anything in this process wants
events: a registered sink, or an emitter that a remote call brought along.

Destinations: a call's events go to its scope's sink if a carrier named one, else to those registered here, which are
one sink to whoever emits. So a call outside any trace in the same worker emits nothing, although `enabled` is True.

A function that raises is logged once, kept in `failed_sinks`, and removed; tracing goes on without it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from embertrace import config, context, lineage, payload, sampling
from embertrace.config import Settings
from embertrace.context import NOBODY, Sink
from embertrace.errors import ConfigError, WireError
from embertrace.event import EVENT_TYPES, Frame, OperatorEvent, cut_name, parse_call_id
from embertrace.sinks import CallableSink, EventList, as_one
from embertrace.wire.context import Added, of_sampling, pack_context
from embertrace.wire.event import MAX_LINKS, RawEvent, pack_event

log = logging.getLogger("embertrace")

enabled = False
sinks: tuple[Sink, ...] = ()
sink: Sink = NOBODY
"""All of them as one."""
failed_sinks: list[Sink] = []
settings = Settings()
"""Set by `configure`, as are the rules for what must not leave this process (`context.redaction`), and what is recorded
(`context.sampling`)."""
travelling: Mapping[str, Any] = {}
"""Of the settings, those that a remote process must know."""
_lock = threading.RLock()
"""Re-entrant: a finaliser may emit to a function that raises, in the middle of a change."""
_own = settings
"""What was said in this process, and nothing that came along with a call."""
_adopted: Mapping[str, Any] | None = None
_pinned = False
_reported: set[str] = set()


def configure(new: Settings) -> None:
    """Make `new` the settings of this process."""
    global _own, _adopted
    _own, _adopted = new, None
    _apply(new)


def _apply(new: Settings) -> None:
    global settings, travelling
    settings, travelling = new, new.travelling()
    rules = new.redact_keys or new.redact_patterns
    context.redaction = payload.Redaction(new.redact_keys, new.redact_patterns) if rules else None
    context.sampling = sampling.of(new)


def adopt(travelled: Mapping[str, Any]) -> None:
    """Take on the run's settings that came with a carrier. Raises ConfigError for what can't be used."""
    global _adopted
    if travelled != _adopted:
        new = _own.adopting(travelled)
        if new != settings:
            _apply(new)
        _adopted = travelled


def _configure_from_environment() -> None:
    """Workers are configured by EMBERTRACE_* variables; a bad one is said, and defaults hold."""
    try:
        configure(config.of_process())
    except ConfigError as error:
        log.error("%s; defaults are used", error)


def pin() -> None:
    """Keep tracing enabled although no sink is registered: scopes bring their own (remote workers)."""
    global enabled, _pinned
    _pinned = enabled = True


def add_sink(added: Sink) -> None:
    """Send this process's events to a further sink."""
    _change(lambda known: (*known, added))


def remove_sink(removed: Sink) -> None:
    """Stop sending events to a sink; nothing happens if it is not registered."""
    _change(lambda known: tuple(one for one in known if one is not removed))


def _change(change: Callable[[tuple[Sink, ...]], tuple[Sink, ...]]) -> None:
    global sinks, sink, enabled
    with _lock:
        before = None
        while before is not sinks:  # somebody changed it in between: a finaliser
            before = sinks
            after = change(before)
            one = as_one(after)
        sinks, sink, enabled = after, one, _pinned or after != ()


def destination_of(scope: context.Scope) -> Sink:
    """Where the events of calls in `scope` go: NOBODY for those that are not recorded."""
    return sink if scope.sink is None else scope.sink


def _retire(failed: CallableSink) -> None:
    """Log and remove a function that raised, once: calls that began before may still hold it."""
    if not any(known is failed for known in failed_sinks):
        failed_sinks.append(failed)
        remove_sink(failed)
        log.exception("a sink of events raised and was removed: %r; other sinks go on", failed)


def report_failure(doing: str, what: object) -> None:
    """Log, once per kind, that tracing itself failed; the traced program is not affected."""
    if doing not in _reported:
        _reported.add(doing)
        log.exception("tracing could not %s a call (%r); the call itself is not affected", doing, what)


def pack_data(value: Any) -> bytes:
    """Event data under this process's limits and redaction."""
    return payload.pack(value, settings.payload_bytes, context.redaction)


def pack_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """The data of a call event, {"args", "kwargs"}: what `pack_data` gives, the short way where there is one."""
    if not kwargs and context.redaction is None:
        packed = payload.pack_plain(args, settings.payload_bytes)
        if packed is not None:
            return _ARGS + packed + _NO_KWARGS
    return pack_data({"args": args, "kwargs": kwargs})


def pack_result(result: Any) -> bytes:
    """The data of a result event, {"result"}: as `pack_arguments`."""
    if context.redaction is None:
        packed = payload.pack_plain(result, settings.payload_bytes)
        if packed is not None:
            return _RESULT + packed
    return pack_data({"result": result})


_ARGS, _NO_KWARGS = b"\x82" + payload.pack("args"), payload.pack("kwargs") + payload.pack({})
_RESULT = b"\x81" + payload.pack("result")
"""Msgpack maps of two pairs and of one, up to where the values come."""


class EventCollector:
    """The process's event collector: emit to it, register with it, collect from it. Thread-safe."""

    @classmethod
    def emit(cls, event: OperatorEvent) -> None:
        """Send one event wherever events of the current code go. Does nothing when tracing is off.

        What is said about a call that is not recorded (see `sampling`) is not kept either.
        """
        if not enabled:
            return
        here, scope, _ = context.position()
        if here is None or here.is_recorded:
            cls._emit(event, scope)

    @classmethod
    def emit_always(cls, event: OperatorEvent) -> None:
        """As `emit`, also where nothing is recorded of the current code: a label, which may be about other items."""
        if enabled:
            scope = context.position()[1]
            cls._emit(event, scope.aside or scope)

    @staticmethod
    def _emit(event: OperatorEvent, scope: context.Scope) -> None:
        destination = destination_of(scope)
        if destination is NOBODY:
            return
        try:
            destination.put(pack_event(_raw(event, destination)))
        except WireError:  # too large, which a fault of ours made it: it is not the user's
            report_failure("emit", event.operator_id)

    @classmethod
    def register(cls, collector: Callable[[OperatorEvent], object]) -> None:
        """Call `collector(event)` for every event of this process, in the thread that emits it."""
        add_sink(CallableSink(collector, _retire))

    @classmethod
    def unregister(cls, collector: Callable[[OperatorEvent], object]) -> None:
        """Undo `register`; nothing happens if it was not registered."""
        for one in sinks:
            if isinstance(one, CallableSink) and one.function == collector:
                remove_sink(one)
                return

    @classmethod
    @contextlib.contextmanager
    def collect(cls, wait: float = 10.0) -> Iterator[EventList]:
        """Collect events in memory while the block runs; see `collect_events`."""
        events = EventList(settings.collect_bytes)
        add_sink(events)
        try:
            yield events
        except BaseException:
            wait = 0.0  # whoever leaves in haste gets what is there
            raise
        finally:
            remove_sink(events)
            deadline = time.monotonic() + wait
            found = [one for elsewhere in events.elsewhere.values() for one in elsewhere.bring(events, deadline)]
            if found:
                events.join(found)


def collect_events(wait: float = 10.0) -> contextlib.AbstractContextManager[EventList]:
    """`with collect_events() as events:` collects the events of the block in memory.

    Calls that the block submits to other processes (Ray tasks and actors, bound functions) are part of it: leaving
    waits for them, at most `wait` seconds, and then names those still open. Their events pass through the aggregator
    that is configured, else through a temporary one, which starts with the first such call.
    """
    return EventCollector.collect(wait)


def _raw(event: OperatorEvent, destination: Sink) -> RawEvent:
    """The wire form of an event that a user made."""
    frames = _frames(event, destination)
    item, tags = (event.context.get(name) for name in ("item", "tags"))
    share, withheld = of_sampling(event.context)
    added = Added(
        frames=frames,
        run=event.context.get("run"),
        item=payload.pack(item, lineage.ITEM_BYTES, context.redaction) if item else b"",
        tags=payload.pack(tags, lineage.TAGS_BYTES, context.redaction) if tags else b"",
        member=event.context.get("member") is not False,
        share=share,
        withheld=withheld,
    )
    return RawEvent(
        type=EVENT_TYPES.index(event.event_type),
        timestamp=float(event.timestamp),
        trace_id=bytes.fromhex(event.trace_id) if event.trace_id else None,
        call_id=parse_call_id(event.call_id),
        parent_call_id=parse_call_id(event.parent_call_id),
        attempt=event.attempt,
        parent_attempt=event.parent_attempt,
        slot=event.slot,
        operator_id=cut_name(str(event.operator_id)),
        operator_type=cut_name(str(event.operator_type)),
        stage=cut_name(str(event.stage)),
        duration=None if event.duration_s is None else float(event.duration_s),
        slots=event.slots,
        follows=parse_call_id(event.follows),
        links=tuple(parse_call_id(link) for link in event.links[:MAX_LINKS]),
        context=pack_context(added),
        data=pack_data(event.data),
    )


def _frames(event: OperatorEvent, destination: Sink) -> tuple[Frame, ...]:
    """The ancestor frames that the event's context states, without its own call; none where readers know them."""
    here = context.position()[0]
    own = parse_call_id(event.call_id)
    if here is not None and here.announced is destination and here.call_id == own:
        return ()
    frames = [
        Frame(
            cut_name(str(frame.get("id", ""))),
            cut_name(str(frame.get("type", ""))),
            cut_name(str(frame.get("stage", ""))),
            parse_call_id(frame.get("call_id")),
            frame.get("attempt", 0),
            frame.get("slot", 0),
        )
        for frame in event.context.get("operators", ())
    ]
    return tuple(frame for frame in frames if not own or frame.call_id != own)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # whichever thread held it is not here


os.register_at_fork(after_in_child=_after_fork_in_child)
_configure_from_environment()
