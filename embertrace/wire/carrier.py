"""The carrier: the context that travels in the arguments of a remote task. A msgpack map of at most 4 KB.

    version      1
    traceparent  W3C trace context, "00-<trace>-<parent call>-<flags>"; the parent is zero for a root inside an item
    frames       the enclosing frames root → leaf: [id, type, stage, call id, attempt, slot]
    slot         position of this call under its parent
    follows      call id, 0 for none
    links        call ids whose results are among the arguments
    run, item, tags   as in the event's context (item and tags packed, see wire.context)
    share        float: the decision about the root, as in the event's context; absent where none was taken yet
    settings     map: what holds for the whole run (capture, limits, redaction, sampling), where it is not the default
    roles        map: set where remote functions of others are instrumented, name → {type, stage, name, …}
    endpoint     where this call's events go; `key` names the security material (none yet), `shard` the shard

It is written once per submission and read once at the start of the task, so it is bounded by cutting in an order
that loses the least: middle frames first (root and leaf stay), then links (whoever submits tells those in an event of
its own), then tags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

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


@dataclasses.dataclass(frozen=True, slots=True)
class Carrier:
    """The context of one remote call, as its caller saw it."""

    trace_id: bytes | None
    """16 bytes; None where the call begins a trace of its own."""
    frames: tuple[Frame, ...] = ()
    slot: int = 0
    follows: int = 0
    links: tuple[int, ...] = ()
    run: str | None = None
    item: bytes = b""
    tags: bytes = b""
    endpoint: str | None = None
    key: str | None = None
    shard: int = 0
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    roles: Mapping[str, Mapping[str, str]] | None = None
    share: float | None = None
    """Decided: the share that is recorded, 0 where this one is not. None: whoever begins a root decides."""


def pack_carrier(carrier: Carrier) -> bytes:
    """The bytes of a carrier, at most MAX_CARRIER_BYTES. Raises WireError if item and endpoint alone exceed it."""
    frames = list(carrier.frames)
    if len(frames) > MAX_FRAMES:
        frames = frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]
    links, tags = list(carrier.links[:MAX_LINKS]), carrier.tags
    packed = _pack(carrier, frames, links, tags)
    while len(packed) > MAX_CARRIER_BYTES:
        if len(frames) > 2:
            del frames[1 : 1 + max(1, (len(frames) - 2) // 2)]
        elif links:
            del links[len(links) // 2 :]
        elif tags:
            tags = b""
        else:
            raise WireError(
                f"a carrier of {len(packed)} bytes; the limit is {MAX_CARRIER_BYTES}: "
                "shorten item, roles or redaction rules"
            )
        packed = _pack(carrier, frames, links, tags)
    return packed


def _pack(carrier: Carrier, frames: list[Frame], links: list[int], tags: bytes) -> bytes:
    message: dict[str, Any] = {"version": VERSION, "slot": carrier.slot}
    if carrier.trace_id is not None:
        parent = frames[-1].call_id if frames else 0
        message["traceparent"] = pack_traceparent(carrier.trace_id, parent, carrier.share != 0)
    optional_fields = {
        "frames": frames,
        "follows": carrier.follows,
        "links": links,
        "run": carrier.run,
        "item": carrier.item,
        "tags": tags,
        "endpoint": carrier.endpoint,
        "key": carrier.key,
        "shard": carrier.shard,
        "settings": carrier.settings,
    }
    message.update((key, value) for key, value in optional_fields.items() if value)
    if carrier.share is not None:
        message["share"] = carrier.share
    if carrier.roles is not None:
        message["roles"] = carrier.roles
    return msgpack.packb(message)


def unpack_carrier(packed: bytes) -> Carrier:
    """A carrier from its bytes. Raises VersionError for a newer version, else WireError."""
    message = unpack_map(packed, "carrier", MAX_CARRIER_BYTES)
    version = unsigned(message, "version", "carrier")
    if version != VERSION:
        raise VersionError(f"a carrier of version {version}; this library speaks version {VERSION}")
    text = optional(message, "traceparent", str, "carrier")
    known = unpack_traceparent(text) if text is not None else None
    frames = unpack_frames(field(message, "frames", list, "carrier", []))
    if frames and known is None:
        raise WireError("a carrier with frames but no traceparent")
    links = tuple(field(message, "links", list, "carrier", []))
    if any(type(link) is not int or not 0 < link < 1 << 64 for link in links):
        raise WireError("a carrier whose links are not call ids")
    return Carrier(
        trace_id=known.trace_id if known is not None else None,
        frames=frames,
        slot=unsigned(message, "slot", "carrier"),
        follows=unsigned(message, "follows", "carrier", 0),
        links=links,
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
