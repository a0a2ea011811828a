"""Crossing into another process: the position here as a carrier, and the position there from one.

Rules:
- A carrier is made only where the events of the calling code reach an aggregator: one that is configured, or the
  temporary one of a `collect_events` block, which starts with the first carrier made inside it.
- `take` never raises. A missing, malformed or newer carrier makes a root, and costs one warning.
- Whoever takes a position clears it again: workers serve many calls.
- What follows from where calls are submitted (`Place`), or from what their carriers share (`_Origin`), is worked out
  once: between two tasks the caches hold other things, so what counts is how little code runs for each.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from typing import NamedTuple

from embertrace import collect, context, continuation, emit, gather, keys
from embertrace.config import Settings
from embertrace.context import Arrival, Context, Position, Scope, Sink
from embertrace.errors import WireError
from embertrace.keys import ClientKey
from embertrace.sinks import AddressedSink, EventList, each
from embertrace.wire.carrier import (
    MAX_CARRIER_BYTES,
    Carrier,
    Shared,
    join_carrier,
    pack_carrier,
    pack_shared,
    split_carrier,
    unpack_shared,
)
from embertrace.wire.event import MAX_LINKS

Address = tuple[str, ClientKey | None]
"""Where an aggregator is, and the key for it."""
Roles = Mapping[str, Mapping[str, str]]


def _no_key(name: str) -> ClientKey | None:
    return None


publish_key: Callable[[ClientKey], object] = keys.register
"""What makes a key known where calls are submitted to; set by `ray`."""
fetch_key: Callable[[str], ClientKey | None] = _no_key
"""Where a key that is not known here is asked for by its name; set by `ray`."""


def reaches(scope: Scope) -> bool:
    """Whether events of calls in `scope` may go to an aggregator."""
    sink = _reached(scope)
    return isinstance(sink, AddressedSink) or any(isinstance(one, AddressedSink | EventList) for one in each(sink))


class Place(NamedTuple):
    """Where calls are submitted from, and what they share. It keeps no call alive."""

    above: Callable[[], object]
    """A reference to the call they are submitted in, or `_at_root`."""
    scope: Scope
    sink: Sink
    """Where events of the calls go, or would."""
    settings: Settings
    roles: Roles | None
    key: ClientKey | None
    shared: Shared
    packed: bytes
    lists: tuple[EventList, ...]
    """Of `collect_events` blocks that wait for the calls' events."""


def _at_root() -> object:
    """Stands for a reference to a call where there is none; to one that is gone it gives None."""
    return _at_root


_latest: Place | None = None
"""The place of the latest submission: members of an ensemble, and tasks of a loop, come from one."""


def place_of(parent: Context | None, scope: Scope, roles: Roles | None = None) -> Place | None:
    """The place of calls submitted under `parent` in `scope`; None where their events have nowhere to go."""
    global _latest
    known, sink = _latest, _reached(scope)
    if (
        known is None
        or known.scope is not scope
        or known.sink is not sink
        or known.above() is not (parent or _at_root)
        or known.settings is not collect.settings
        or known.roles is not roles
    ):
        address = _address(sink)
        if address is None:
            return None
        known = _latest = _new_place(parent, scope, sink, address, roles)
    if known.key is not None:
        publish_key(known.key)
    return known


def _new_place(parent: Context | None, scope: Scope, sink: Sink, address: Address, roles: Roles | None) -> Place:
    endpoint, key = address
    settings = collect.settings
    shared = Shared(
        frames=parent.frames() if parent is not None else (),
        run=scope.run,
        item=scope.item,
        tags=scope.tags,
        endpoint=endpoint,
        key=key.name if key is not None else None,
        settings=collect.travelling,
        roles=roles,
        share=scope.share,
    )
    above = weakref.ref(parent) if parent is not None else _at_root
    lists = tuple(one for one in each(collect.destination_of(scope)) if isinstance(one, EventList))
    return Place(above, scope, sink, settings, roles, key, shared, pack_shared(shared), lists)


def depart(place: Place, position: Position, slot: int, links: tuple[int, ...] = ()) -> bytes:
    """The carrier for one call in another process, submitted from `place`, where `position` is; `slot` is its place
    among the calls there. Raises WireError if what is shared is too large.

    At the root, outside any item, the call's trace begins here and now, so that all its attempts share it.
    """
    parent, scope, follows = position
    trace_id = parent.trace_id if parent is not None else scope.trace_id or context.new_trace_id()
    packed = join_carrier((trace_id, slot, follows, links[:MAX_LINKS], place.packed))
    if len(packed) > MAX_CARRIER_BYTES:
        return pack_carrier(Carrier(trace_id, place.shared, slot, follows, links))
    return packed


def depart_many(position: Position) -> bytes | None:
    """The carrier for code that may make any number of calls in another process; None where their events have nowhere
    to go. Never raises."""
    try:
        parent, scope, _ = position
        place = place_of(parent, scope)
        if place is None:
            return None
        packed = depart(place, position, 0)
        if parent is None and scope.trace_id is None and place.lists:
            trace_id = split_carrier(packed)[0]
            for events in place.lists:
                if trace_id is not None:
                    events.traces[trace_id] = None
        return packed
    except Exception:  # a failure of tracing must not stop a submission
        collect.report_failure("submit", "another process")
        return None


def tell_links(packed: bytes, links: tuple[int, ...], call_id: int, parent: Context | None, scope: Scope) -> None:
    """The call that a carrier was for is known: what the carrier had no room for of its links is said from here."""
    trace_id, _, _, held, _ = split_carrier(packed)
    left = links[len(held) :]
    if left:
        continuation.tell_links(left, call_id, trace_id, parent, collect.destination_of(scope))


class _Origin(NamedTuple):
    """Where calls that arrive come from: what their carriers share, and what that means here."""

    settings: Settings
    """Those of the process while such a call runs."""
    endpoint: str
    key: ClientKey | None
    parent: Context | None
    """The innermost of the calls that they were submitted in, or None: shared by all that arrive, as it counts nothing
    but its slots, which are foreign ones."""
    shared: Shared


_origins: dict[bytes, _Origin] = {}
"""By what is shared, packed: a worker serves the items of a few callers at a time."""
ORIGINS_KNOWN = 64
os.register_at_fork(after_in_child=_origins.clear)  # the calls in it count on in the parent


def take(packed: object, call_id: int | None = None, attempt: int = 0) -> Shared | None:
    """Take the position that a carrier describes; None where it can't be: that is a root's position then.

    The next call begun here is `call_id`, if given.
    Until `leave` is called, or another position is taken, all calls in this execution context belong there.
    """
    try:
        if isinstance(packed, bytes):
            trace_id, slot, follows, links, packed_shared = split_carrier(packed)
            origin = _origins.get(packed_shared)
            if (
                origin is None
                or origin.settings is not collect.settings
                or (origin.parent is not None and origin.parent.trace_id != trace_id)
            ):
                origin = _new_origin(packed_shared, trace_id)
            if origin is not None:
                _, endpoint, key, parent, shared = origin
                emitter = emit.emitter_for(endpoint, key)
                scope = Scope(
                    shared.run, shared.item, shared.tags, emitter, trace_id, context.foreign, None,
                    None if call_id is None else Arrival(call_id, slot, attempt, links), shared.share,
                )  # fmt: skip
                context.current.set((parent, scope.passed_over() if shared.share == 0 else scope, follows))
                return shared
    except WireError as error:
        collect.log.warning("a call came with an unusable carrier (%s); it is a root of its own", error)
    except Exception:  # a failure of tracing must not fail the task
        collect.report_failure("receive", "another process")
    context.current.set(context.NOWHERE)
    return None


def _new_origin(packed: bytes, trace_id: bytes | None) -> _Origin | None:
    """The origin of calls whose carriers share that; None where their events have nowhere to go."""
    shared = unpack_shared(packed, trace_id)
    if shared.endpoint is None:
        return None
    key = None
    if shared.key is not None:
        key = keys.find(shared.key) or fetch_key(shared.key)
        if key is None:
            collect.log.warning("a call came from behind key %r, which is not known here", shared.key)
            return None
        keys.register(key)
    collect.adopt(shared.settings)
    collect.pin()
    origin = _Origin(collect.settings, shared.endpoint, key, context.above(shared.frames, trace_id), shared)
    if len(_origins) >= ORIGINS_KNOWN:
        _origins.clear()
    _origins[packed] = origin
    return origin


def leave() -> None:
    """Clear the position that `take` took."""
    context.current.set(context.NOWHERE)


def _reached(scope: Scope) -> Sink:
    """Where events of calls in `scope` go. Of calls that are not recorded: where they would go, since what runs below
    them may begin items that are."""
    return collect.destination_of(scope.aside or scope)


def _address(sink: Sink) -> Address | None:
    """The aggregator that remote events are to go to: the configured one, else a temporary one if a list wants them."""
    if isinstance(sink, AddressedSink):
        return sink.endpoint, sink.key
    sinks = each(sink)
    address = next(((sink.endpoint, sink.key) for sink in sinks if isinstance(sink, AddressedSink)), None)
    for sink in sinks:
        if isinstance(sink, EventList):
            address = gather.reach(sink, address)
    return address
