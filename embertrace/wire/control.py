"""The return path: small msgpack maps between a DEALER (producer or client) and the aggregator's ROUTER.

    hello    producer →  who it is and which seqs it still holds; sent on connect and whenever it hears nothing
    welcome  →           the recording, the producer's high-water mark, and the ports to use
    ack      →           everything up to `mark` is durable
    alive    producer →  nothing to send, but still there; answered with an ack
    end      producer →  the stream is complete up to `last`; answered with an end once that is recorded
    locate   client →    answered with a welcome (mark 0): where PUSH and RPC are
    inspect  client →    answered with a state
    state    →           how the aggregator fares: what it counted since it started, and what it has left to record into
    refuse   →           why not, and which versions are spoken

Every map has `kind` and `version`. A mark in an ack or welcome is cumulative: it acknowledges all seqs up to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import msgpack

from embertrace.errors import WireError
from embertrace.wire.batch import MAX_SEQ, PRODUCER_BYTES, VERSION
from embertrace.wire.clock import Offset, Reading, to_offset, to_reading
from embertrace.wire.fields import field, optional, unpack_map, unsigned

MAX_CONTROL_BYTES = 4096
"""Host names and versions fit many times over; nothing here carries user data."""
MAX_LOSSES = 8
"""Producers that a state names: the worst are enough to know where to look."""
MAX_LOSS_HOST = 64
"""Characters of a host's name in a state: eight of the longest still leave most of the message free."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hello:
    """A producer introduces itself. `oldest` is the first seq it still holds, `next` the one it will use next."""

    kind: ClassVar[str] = "hello"
    producer: bytes
    oldest: int
    next: int
    recording: str | None = None
    """The id of the recording this stream belongs to, once known; a different one is refused."""
    host: str = ""
    pid: int = 0
    library: str = ""
    heartbeat_s: int = 0
    """How often it says something at the least, so that silence means its end; 0 promises nothing."""
    clock: Reading | None = None
    number: int = 0
    """Which hello of its sender this is, counted from 1."""
    version: int = VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class Welcome:
    """The aggregator's answer to hello and locate."""

    kind: ClassVar[str] = "welcome"
    recording: str
    name: str
    mark: int
    push_port: int
    rpc_port: int
    producer: bytes | None = None
    """Whose mark it is; None in the answer to locate."""
    http_port: int | None = None
    host: str | None = None
    """Where to reach those ports when not at the host that was dialled (`--advertise`)."""
    sent_ns: int = 0
    number: int = 0
    """Which hello it answers; 0 in the answer to locate."""
    version: int = VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class Ack:
    kind: ClassVar[str] = "ack"
    producer: bytes
    mark: int
    sent_ns: int = 0
    """When it was sent, by the aggregator's clock in Unix nanoseconds; here and in a welcome."""
    version: int = VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class Alive:
    kind: ClassVar[str] = "alive"
    producer: bytes
    clock: Reading | None = None
    """Whose clock says what; here, and in hello and end."""
    offset: Offset | None = None
    """What a recording says of the clocks of a stream that is replayed."""
    version: int = VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """From a producer: complete up to `last`. To a producer: that is recorded, and `last` is its mark."""

    kind: ClassVar[str] = "end"
    producer: bytes
    last: int
    clock: Reading | None = None
    version: int = VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class Locate:
    kind: ClassVar[str] = "locate"
    version: int = VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class Inspect:
    kind: ClassVar[str] = "inspect"
    version: int = VERSION


class Loss(NamedTuple):
    """A producer that lost events: how many since the aggregator started, and who it said it is."""

    producer: bytes
    events: int
    host: str
    pid: int


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """How an aggregator fares. All times are Unix nanoseconds of its own clock, `now_ns` among them."""

    kind: ClassVar[str] = "state"
    recording: str
    name: str
    library: str
    """Which embertrace it runs, as a version."""
    pid: int
    started_ns: int
    now_ns: int
    received_ns: int
    """When the last record of the recording was received; 0 for an empty one."""
    durable: int
    """The end of what is recorded, as a position: bytes since the recording began."""
    counters: Mapping[str, int]
    """What happened since it started, by name; readers take any names."""
    free_bytes: int | None = None
    """What the recording's file system has left; None where that can't be told."""
    losses: tuple[Loss, ...] = ()
    """The producers that lost most since it started, worst first; MAX_LOSSES at most."""
    version: int = VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class Refuse:
    kind: ClassVar[str] = "refuse"
    reason: str
    producer: bytes | None = None
    version: int = VERSION


Control = Hello | Welcome | Ack | Alive | End | Locate | Inspect | State | Refuse


def pack_control(message: Control) -> bytes:
    """The bytes of a control message."""
    values = {f.name: getattr(message, f.name) for f in dataclasses.fields(message)}
    return msgpack.packb({"kind": message.kind, **values})


def unpack_control(packed: bytes) -> Control:
    """A control message from its bytes. Raises WireError. The version is the receiver's to judge."""
    message = unpack_map(packed, "control message", MAX_CONTROL_BYTES)
    kind = field(message, "kind", str, "control message")
    version = unsigned(message, "version", kind)
    if kind == "hello":
        return Hello(
            producer=_producer(message, kind),
            oldest=_seq(message, "oldest", kind),
            next=_seq(message, "next", kind),
            recording=optional(message, "recording", str, kind),
            host=field(message, "host", str, kind, ""),
            pid=unsigned(message, "pid", kind, 0),
            library=field(message, "library", str, kind, ""),
            heartbeat_s=unsigned(message, "heartbeat_s", kind, 0),
            clock=_clock(message),
            number=unsigned(message, "number", kind, 0),
            version=version,
        )
    if kind == "welcome":
        return Welcome(
            recording=field(message, "recording", str, kind),
            name=field(message, "name", str, kind),
            mark=_seq(message, "mark", kind),
            push_port=unsigned(message, "push_port", kind),
            rpc_port=unsigned(message, "rpc_port", kind),
            producer=_optional_producer(message, kind),
            http_port=optional(message, "http_port", int, kind),
            host=optional(message, "host", str, kind),
            sent_ns=unsigned(message, "sent_ns", kind, 0),
            number=unsigned(message, "number", kind, 0),
            version=version,
        )
    if kind == "ack":
        sent_ns = unsigned(message, "sent_ns", kind, 0)
        return Ack(_producer(message, kind), _seq(message, "mark", kind), sent_ns, version)
    if kind == "alive":
        offset = message.get("offset")
        return Alive(_producer(message, kind), _clock(message), None if offset is None else to_offset(offset), version)
    if kind == "end":
        return End(_producer(message, kind), _seq(message, "last", kind), _clock(message), version)
    if kind == "locate":
        return Locate(version)
    if kind == "inspect":
        return Inspect(version)
    if kind == "state":
        return _state(message, kind, version)
    if kind == "refuse":
        return Refuse(field(message, "reason", str, kind), _optional_producer(message, kind), version)
    raise WireError(f"a control message of unknown kind {kind[:40]!r}")


def whereabouts(packed: bytes) -> tuple[str, int]:
    """The host and process of a recorded hello; ("", 0) where it does not say. Never raises."""
    try:
        hello = unpack_control(packed)
    except WireError:
        return "", 0
    return (hello.host, hello.pid) if isinstance(hello, Hello) else ("", 0)


def _clock(message: dict[str, Any]) -> Reading | None:
    reading = message.get("clock")
    return None if reading is None else to_reading(reading)


def _seq(message: dict[str, Any], key: str, kind: str) -> int:
    value = unsigned(message, key, kind)
    if value > MAX_SEQ:
        raise WireError(f"a {kind} with {key} = {value}; seqs end at {MAX_SEQ}")
    return value


def _state(message: dict[str, Any], kind: str, version: int) -> State:
    counters = field(message, "counters", dict, kind)
    losses = field(message, "losses", list, kind, [])
    if len(losses) > MAX_LOSSES:
        raise WireError(f"a state with {len(losses)} losses; at most {MAX_LOSSES} are allowed")
    return State(
        recording=field(message, "recording", str, kind),
        name=field(message, "name", str, kind),
        library=field(message, "library", str, kind),
        pid=unsigned(message, "pid", kind),
        started_ns=unsigned(message, "started_ns", kind),
        now_ns=unsigned(message, "now_ns", kind),
        received_ns=unsigned(message, "received_ns", kind),
        durable=unsigned(message, "durable", kind),
        counters={name: unsigned(counters, name, "counter") for name in counters},
        free_bytes=None if message.get("free_bytes") is None else unsigned(message, "free_bytes", kind),
        losses=tuple(_loss(loss) for loss in losses),
        version=version,
    )


def _loss(values: object) -> Loss:
    if not isinstance(values, list) or len(values) < len(Loss._fields):
        raise WireError(f"a loss is an array of {len(Loss._fields)} elements, not {str(values)[:60]}")
    named = dict(zip(Loss._fields, values, strict=False))
    return Loss(
        _producer(named, "loss"), unsigned(named, "events", "loss"), field(named, "host", str, "loss"),
        unsigned(named, "pid", "loss"),
    )  # fmt: skip


def _producer(message: dict[str, Any], kind: str) -> bytes:
    producer = field(message, "producer", bytes, kind)
    if len(producer) != PRODUCER_BYTES:
        raise WireError(f"a {kind} with a producer id of {len(producer)} bytes; it has {PRODUCER_BYTES}")
    return producer


def _optional_producer(message: dict[str, Any], kind: str) -> bytes | None:
    return None if message.get("producer") is None else _producer(message, kind)
