"""The carrier: the context that travels in the arguments of a remote task. A msgpack map of at most 4 KB.

    version      1
    traceparent  W3C trace context, "00-<trace>-<parent call>-<flags>"; the parent is zero for a root inside an item
    slot         position of this call under its parent
    follows      call id, 0 for none
    links        call ids whose results are among the arguments
    shared       packed: what this call has in common with those submitted beside it, a map of
        frames       the enclosing frames root → leaf: [id, type, stage, call id, attempt, slot]
        run, item, tags   as in the event's context (item and tags packed, see wire.context)
        settings     map: what holds for the whole run (capture, redaction, sampling, delivery …), where not the default
        roles        map: set where remote functions of others are instrumented, name → {type, stage, name, …}
        endpoint     where this call's events go; `key` names the security material (none yet), `shard` the shard
        share        float: the decision about the root, as in the event's context; absent where none was taken yet

Members of an ensemble, and tasks submitted in a loop, share most of it: whoever submits packs `shared` once, and a
worker that has read those bytes knows what they say.

It is written once per submission and read once at the start of the task, so it is bounded by cutting in an order
that loses the least: middle frames first (root and leaf stay), then links (whoever submits tells those in an event of
its own), then tags.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgpack

from embertrace.errors import VersionError, WireError
from embertrace.event import Frame
from embertrace.wire.context import MAX_FRAMES, unpack_frames
from embertrace.wire.event import MAX_LINKS
from embertrace.wire.fields import field, optional, unpack_map, unsigned
from embertrace.wire.traceparent import pack_traceparent, unpack_traceparent

VERSION = 1
MAX_CARRIER_BYTES = 4096
"""Small beside the 100 KB up to which Ray inlines an argument into the task itself."""
_KINDS = (int, int, int, list, bytes)
"""Of version, slot, follows, links and shared, looked at all at once: it stands between a task and its work."""
SHARED_KNOWN = 32
"""So many are remembered by whoever reads them: a worker serves the items of a few callers at a time."""


class Shared(NamedTuple):
    """What calls that are submitted at one place have in common. Immutable."""

    frames: tuple[Frame, ...] = ()
    run: str | None = None
    item: bytes = b""
    tags: bytes = b""
    endpoint: str | None = None
    key: str | None = None
    shard: int = 0
    settings: Mapping[str, Any] = MappingProxyType({})
    roles: Mapping[str, Mapping[str, str]] | None = None
    share: float | None = None
    """Decided: the share that is recorded, 0 where these are not. None: whoever begins a root decides."""


class Carrier(NamedTuple):
    """The context of one remote call, as its caller saw it."""

    trace_id: bytes | None
    """16 bytes; None where the call begins a trace of its own."""
    shared: Shared = Shared()
    slot: int = 0
    follows: int = 0
    links: tuple[int, ...] = ()


def pack_shared(shared: Shared) -> bytes:
    """The bytes of what is shared, for `pack_carrier`; more than fit are cut there."""
    message = {name: value for name, value in zip(Shared._fields, shared, strict=True) if value}
    if len(shared.frames) > MAX_FRAMES:
        message["frames"] = shared.frames[: MAX_FRAMES // 2] + shared.frames[-MAX_FRAMES // 2 :]
    if shared.roles is not None:
        message["roles"] = shared.roles
    if shared.share is not None:
        message["share"] = shared.share
    packed: bytes = msgpack.packb(message)
    return packed


def pack_carrier(carrier: Carrier, packed_shared: bytes | None = None) -> bytes:
    """The bytes of a carrier, at most MAX_CARRIER_BYTES. Raises WireError if item and endpoint alone exceed it.

    `packed_shared` is what `pack_shared` gave for what it shares, if that is known.
    """
    packed = _pack(carrier, packed_shared or pack_shared(carrier.shared))
    return packed if len(packed) <= MAX_CARRIER_BYTES else _pack_cut(carrier)


def _pack_cut(carrier: Carrier) -> bytes:
    links, shared = carrier.links[:MAX_LINKS], carrier.shared
    while True:
        packed = _pack(carrier._replace(links=links), pack_shared(shared))
        if len(packed) <= MAX_CARRIER_BYTES:
            return packed
        frames = shared.frames
        if len(frames) > 2:
            shared = shared._replace(frames=(frames[0], *frames[1 + max(1, (len(frames) - 2) // 2) :]))
        elif links:
            links = links[: len(links) // 2]
        elif shared.tags:
            shared = shared._replace(tags=b"")
        else:
            raise WireError(
                f"a carrier of {len(packed)} bytes; the limit is {MAX_CARRIER_BYTES}: "
                "shorten item, roles or redaction rules"
            )


def _pack(carrier: Carrier, packed_shared: bytes) -> bytes:
    trace_id, shared, slot, follows, links = carrier
    message: dict[str, Any] = {"version": VERSION, "slot": slot, "shared": packed_shared}
    if trace_id is not None:
        parent = shared.frames[-1].call_id if shared.frames else 0
        message["traceparent"] = pack_traceparent(trace_id, parent, shared.share != 0)
    if follows:
        message["follows"] = follows
    if links:
        message["links"] = links
    packed: bytes = msgpack.packb(message)
    return packed


def unpack_carrier(packed: bytes) -> Carrier:
    """A carrier from its bytes. Raises VersionError for a newer version, else WireError."""
    message = unpack_map(packed, "carrier", MAX_CARRIER_BYTES)
    get = message.get
    found: tuple[Any, ...] = (
        get("version"), get("slot"), get("follows", 0), get("links", []), get("shared", b"\x80")
    )  # fmt: skip
    version, slot, follows, links, packed_shared = found
    if version != VERSION:
        unsigned(message, "version", "carrier")
        raise VersionError(f"a carrier of version {version}; this library speaks version {VERSION}")
    if (*map(type, found),) != _KINDS or slot < 0 or follows < 0:  # beyond 64 bits is no msgpack
        slot, follows, links, packed_shared = _read_each(message)
    if links and any(type(link) is not int or link <= 0 for link in links):
        raise WireError("a carrier whose links are not call ids")
    text = optional(message, "traceparent", str, "carrier")
    trace_id = unpack_traceparent(text).trace_id if text is not None else None
    shared = _unpack_shared(packed_shared)
    if shared.frames and trace_id is None:
        raise WireError("a carrier with frames but no traceparent")
    return Carrier(trace_id, shared, slot, follows, tuple(links))


def _read_each(message: Mapping[str, Any]) -> tuple[int, int, list[Any], bytes]:
    """Slot, follows, links and shared, of which some are nil. Raises WireError naming the one that can't be used."""
    unsigned(message, "version", "carrier")
    return (
        unsigned(message, "slot", "carrier"),
        unsigned(message, "follows", "carrier", 0),
        field(message, "links", list, "carrier", []),
        field(message, "shared", bytes, "carrier", b"\x80"),
    )


@functools.lru_cache(SHARED_KNOWN)
def _unpack_shared(packed: bytes) -> Shared:
    message = unpack_map(packed, "carrier", MAX_CARRIER_BYTES)
    return Shared(
        frames=unpack_frames(field(message, "frames", list, "carrier", [])),
        run=optional(message, "run", str, "carrier"),
        item=field(message, "item", bytes, "carrier", b""),
        tags=field(message, "tags", bytes, "carrier", b""),
        endpoint=optional(message, "endpoint", str, "carrier"),
        key=optional(message, "key", str, "carrier"),
        shard=unsigned(message, "shard", "carrier", 0),
        settings=field(message, "settings", dict, "carrier", {}),
        roles=_roles(optional(message, "roles", dict, "carrier")),
        share=_share(optional(message, "share", float, "carrier")),
    )


def _share(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise WireError(f"a carrier whose share is {value}; it must be from 0 to 1")
    return value


def _roles(values: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, str]] | None:
    for name, role in (values or {}).items():
        if type(role) is not dict or any(type(text) is not str for pair in role.items() for text in pair):
            raise WireError(f"a carrier whose role for {name!r:.80} is no map of text")
    return values
