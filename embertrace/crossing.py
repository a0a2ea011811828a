"""Crossing into another process: the position here as a carrier, and the position there from one.

Rules:
- A carrier is made only where the events of the calling code reach an aggregator: one that is configured, or the
  temporary one of a `collect_events` block, which starts with the first carrier made inside it.
- `depart` and `take` never raise. A missing, malformed or newer carrier makes a root, and costs one warning.
- Whoever takes a position clears it again: workers serve many calls.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from embertrace import collect, context, continuation, emit, gather, keys
from embertrace.config import Settings
from embertrace.context import Arrival, Context, Position, Scope, Sink
from embertrace.errors import WireError
from embertrace.keys import ClientKey
from embertrace.sinks import AddressedSink, EventList, each
from embertrace.wire.carrier import Carrier, Shared, pack_carrier, pack_shared, unpack_carrier

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


def depart(position: Position, slot: int, links: Iterable[int] = (), roles: Roles | None = None) -> bytes | None:
    """The carrier for one call in another process, `slot` its place; None where its events have nowhere to go.

    At the root, outside any item, the call's trace begins here and now, so that all its attempts share it.
    """
    return _carrier(position, slot, links, roles)


def depart_many(position: Position) -> bytes | None:
    """The carrier for code that may make any number of calls in another process; None as in `depart`."""
    scope = position[1]
    packed = _carrier(position, 0, (), None)
    if packed is not None and position[0] is None and scope.trace_id is None:
        trace_id = unpack_carrier(packed).trace_id
        for sink in each(collect.destination_of(scope)):
            if isinstance(sink, EventList) and trace_id is not None:
                sink.traces[trace_id] = None
    return packed


def _carrier(position: Position, slot: int, links: Iterable[int], roles: Roles | None) -> bytes | None:
    try:
        parent, scope, follows = position
        address = _address(_reached(scope))
        if address is None:
            return None
        if address[1] is not None:
            publish_key(address[1])
        shared, packed_shared = _shared_here(parent, scope, address, roles)
        carrier = Carrier(
            trace_id=parent.trace_id if parent is not None else scope.trace_id or context.new_trace_id(),
            shared=shared,
            slot=slot,
            follows=follows,
            links=tuple(dict.fromkeys(links)),
        )
        return pack_carrier(carrier, packed_shared)
    except Exception:  # a failure of tracing must not stop a submission
        collect.report_failure("submit", "another process")
        return None


class _Place(NamedTuple):
    """Where calls are submitted from, and what they share. It keeps no call alive."""

    parent: weakref.ref[Context] | None
    """None at the root. What it refers to may be gone: that is another place than the root."""
    scope: Scope
    address: Address
    settings: Settings
    roles: Roles | None
    shared: Shared
    packed: bytes


_latest: _Place | None = None
"""The place of the latest submission: members of an ensemble, and tasks of a loop, come from one."""


def _shared_here(parent: Context | None, scope: Scope, address: Address, roles: Roles | None) -> tuple[Shared, bytes]:
    """What all calls submitted from here share, packed too."""
    global _latest
    known, settings = _latest, collect.settings
    if (
        known is not None
        and known.scope is scope
        and (known.parent is None if parent is None else known.parent is not None and known.parent() is parent)
        and known.address == address
        and known.settings is settings
        and known.roles is roles
    ):
        return known.shared, known.packed
    endpoint, key = address
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
    packed = pack_shared(shared)
    above = weakref.ref(parent) if parent is not None else None
    _latest = _Place(above, scope, address, settings, roles, shared, packed)
    return shared, packed


def expect(scope: Scope, call_id: int) -> None:
    """A call was submitted with a carrier: the `collect_events` blocks it began in wait for its events."""
    for sink in each(collect.destination_of(scope)):
        if isinstance(sink, EventList):
            sink.expected[call_id] = None


def tell_links(packed: bytes, links: Iterable[int], call_id: int, parent: Context | None, scope: Scope) -> None:
    """The call that a carrier was for is known: what the carrier had no room for of its links is said from here."""
    wanted = dict.fromkeys(links)
    if not wanted:
        return
    carrier = unpack_carrier(packed)
    held = {*carrier.links}
    left = tuple(link for link in wanted if link not in held)
    if left:
        continuation.tell_links(left, call_id, carrier.trace_id, parent, collect.destination_of(scope))


def take(packed: object, call_id: int | None = None, attempt: int = 0) -> Carrier | None:
    """Take the position that a carrier describes; None where it can't be: that is a root's position then.

    The next call begun here is `call_id`, if given.
    Until `leave` is called, or another position is taken, all calls in this execution context belong there.
    """
    context.current.set(context.NOWHERE)
    if packed is None:
        return None
    try:
        carrier = unpack_carrier(packed) if isinstance(packed, bytes) else None
        if carrier is None or (endpoint := carrier.shared.endpoint) is None:
            return None
        trace_id, shared, slot, follows, links = carrier
        key = None
        if shared.key is not None:
            key = keys.find(shared.key) or fetch_key(shared.key)
            if key is None:
                collect.log.warning("a call came from behind key %r, which is not known here", shared.key)
                return None
            keys.register(key)
        collect.adopt(shared.settings)  # first: the emitter goes by them
        scope = Scope(
            run=shared.run,
            item=shared.item,
            tags=shared.tags,
            sink=emit.emitter_for(endpoint, key),
            trace_id=trace_id,
            roots=context.foreign_slots(),
            arrival=Arrival(call_id, slot, attempt, links) if call_id is not None else None,
            share=shared.share,
        )
        if shared.share == 0:
            scope = scope.passed_over()
        collect.pin()
        context.arrive(shared.frames, trace_id, scope, follows)
        return carrier
    except WireError as error:
        collect.log.warning("a call came with an unusable carrier (%s); it is a root of its own", error)
    except Exception:  # a failure of tracing must not fail the task
        context.current.set(context.NOWHERE)
        collect.report_failure("receive", "another process")
    return None


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
