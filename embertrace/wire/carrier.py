"""The carrier: the context that travels in the arguments of a remote task, at most 4 KB. A 40-byte header, the links
(little-endian like all of that), and packed what the call shares with those submitted beside it.

     0   4  magic        89 45 54 43 ("\\x89ETC")
     4   1  version      1
     5   1  reserved     0
     6   2  links        how many there are
     8  16  trace id     zero where the call begins a trace of its own
    24   8  slot         position of this call under its parent
    32   8  follows      call id, 0 for none
    40   …  links        8 bytes each: call ids whose results are among the arguments
     …   …  shared       a msgpack map of
        frames       the enclosing frames root → leaf: [id, type, stage, call id, attempt, slot]
        run, item, tags   as in the event's context (item and tags packed, see wire.context)
        settings     map: what holds for the whole run (capture, redaction, sampling, delivery …), where not the default
        roles        map: set where remote functions of others are instrumented, name → {type, stage, name, …}
        endpoint     where this call's events go; `key` names the security material (none yet), `shard` the shard
        share        float: the decision about the root, as in the event's context; absent where none was taken yet

That is what W3C trace context says, and more: the trace id, the call id of the innermost frame (zero for a root inside
an item) and the decision are a `traceparent`.

Members of an ensemble, and tasks submitted in a loop, have the same `shared`: whoever submits packs it once, and a
worker that has read those bytes knows what they say. The rest has a fixed place: it is written once per submission and
read once at the start of the task, between other code, where all that is touched costs several times what it does in a
loop.

The size is kept by cutting in an order that loses the least: middle frames first (root and leaf stay), then links
(whoever submits tells those in an event of its own), then tags.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgpack

from embertrace.errors import VersionError, WireError
from embertrace.event import Frame
from embertrace.wire.context import MAX_FRAMES, unpack_frames
from embertrace.wire.event import MAX_LINKS
from embertrace.wire.fields import field, optional, unpack_map, unsigned

VERSION = 1
MAGIC = b"\x89ETC"
MAX_CARRIER_BYTES = 4096
"""Small beside the 100 KB up to which Ray inlines an argument into the task itself."""
_HEADER = struct.Struct("<5sxH16sQQ")
_BEGINNING = MAGIC + bytes([VERSION])
_NO_TRACE = bytes(16)

Parts = tuple[bytes | None, int, int, tuple[int, ...], bytes]
"""Trace id, slot, follows, links, and packed what is shared."""


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
    """The bytes of what is shared; `pack_carrier` cuts what is too large."""
    message = {name: value for name, value in zip(Shared._fields, shared, strict=True) if value}
    if len(shared.frames) > MAX_FRAMES:
        message["frames"] = shared.frames[: MAX_FRAMES // 2] + shared.frames[-MAX_FRAMES // 2 :]
    if shared.roles is not None:
        message["roles"] = shared.roles
    if shared.share is not None:
        message["share"] = shared.share
    packed: bytes = msgpack.packb(message)
    return packed


def join_carrier(parts: Parts) -> bytes:
    """The bytes of a carrier with at most MAX_LINKS links. They may be too many: then `pack_carrier` cuts."""
    trace_id, slot, follows, links, shared = parts
    header = _HEADER.pack(_BEGINNING, len(links), trace_id or _NO_TRACE, slot, follows)
    return header + struct.pack(f"<{len(links)}Q", *links) + shared if links else header + shared


def pack_carrier(carrier: Carrier) -> bytes:
    """The bytes of a carrier, at most MAX_CARRIER_BYTES. Raises WireError if item and endpoint alone exceed it."""
    trace_id, shared, slot, follows, links = carrier
    links = links[:MAX_LINKS]
    while True:
        packed = join_carrier((trace_id, slot, follows, links, pack_shared(shared)))
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


def split_carrier(packed: bytes) -> Parts:
    """A carrier's parts; what is shared stays packed. Raises VersionError for a newer version, else WireError."""
    size = len(packed)
    if not _HEADER.size <= size <= MAX_CARRIER_BYTES:
        raise WireError(f"a carrier of {size} bytes; it has from {_HEADER.size} to {MAX_CARRIER_BYTES}")
    beginning, count, trace_id, slot, follows = _HEADER.unpack_from(packed)
    if beginning != _BEGINNING:
        if beginning[:4] != MAGIC:
            raise WireError(f"a carrier that begins with {beginning[:4]!r}; it must begin with {MAGIC!r}")
        raise VersionError(f"a carrier of version {beginning[4]}; this library speaks version {VERSION}")
    if trace_id == _NO_TRACE:
        trace_id = None
    if not count:
        return trace_id, slot, follows, (), packed[_HEADER.size :]
    end = _HEADER.size + 8 * count
    if end > size:
        raise WireError(f"a carrier of {size} bytes can't hold {count} links")
    links = struct.unpack_from(f"<{count}Q", packed, _HEADER.size)
    if 0 in links:
        raise WireError("a carrier whose links are not call ids")
    return trace_id, slot, follows, links, packed[end:]


def unpack_carrier(packed: bytes) -> Carrier:
    """A carrier from its bytes. Raises VersionError for a newer version, else WireError."""
    trace_id, slot, follows, links, shared = split_carrier(packed)
    return Carrier(trace_id, unpack_shared(shared, trace_id), slot, follows, links)


def unpack_shared(packed: bytes, trace_id: bytes | None) -> Shared:
    """What is shared in a carrier of the trace. Raises WireError."""
    message = unpack_map(packed, "carrier", MAX_CARRIER_BYTES)
    frames = unpack_frames(field(message, "frames", list, "carrier", []))
    if frames and trace_id is None:
        raise WireError("a carrier with frames but no trace id")
    return Shared(
        frames=frames,
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
