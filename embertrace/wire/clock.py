"""Clocks of different hosts: what two messages tell of the difference between them. Pure.

A producer stamps what it says with its own clock, and repeats the last stamp it heard from the aggregator, with the
time it heard it (a `Reading`). No message arrives before it is sent; so, with received_ns by the aggregator's clock,

    echo_ns − heard_ns  ≤  aggregator's clock − producer's clock  ≤  received_ns − sent_ns

as in Cristian's algorithm (Probabilistic clock synchronization, 1989). An `Offset` is what is recorded of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from embertrace.errors import WireError
from embertrace.wire.bounds import outline, unpack_bounded

MAX_NS = (1 << 63) - 1


class Reading(NamedTuple):
    """Three times in Unix nanoseconds; `echo_ns` and `heard_ns` are 0 while nothing was heard."""

    sent_ns: int
    echo_ns: int
    heard_ns: int


class Offset(NamedTuple):
    """For the producer's events from `from_seq` on, the aggregator's minus its clock is in low … high nanoseconds."""

    from_seq: int
    low_ns: int
    high_ns: int


def bounds(reading: Reading, received_ns: int, from_seq: int) -> Offset | None:
    """What a reading tells that arrived at `received_ns`, before event `from_seq`; None while one way is unknown."""
    if not reading.echo_ns:
        return None
    low, high = reading.echo_ns - reading.heard_ns, received_ns - reading.sent_ns
    return Offset(from_seq, min(low, high), high)  # reversed only if a clock was stepped in between


def pack_offset(offset: Offset) -> bytes:
    """The payload of a clock record."""
    return msgpack.packb(list(offset))


def unpack_offset(payload: bytes) -> Offset | None:
    """What a clock record says; None where that can't be read. Never raises."""
    try:
        return to_offset(unpack_bounded(payload))
    except WireError:
        return None


def to_reading(value: Any) -> Reading:
    """Raises WireError."""
    return Reading(*_three(value, "clock", 0))


def to_offset(value: Any) -> Offset:
    """Raises WireError."""
    offset = Offset(*_three(value, "offset", -MAX_NS))
    if offset.low_ns > offset.high_ns or offset.from_seq < 0:
        raise WireError(f"an offset of {offset.low_ns} to {offset.high_ns} from {offset.from_seq} on makes no sense")
    return offset


def _three(value: Any, what: str, least: int) -> Sequence[int]:
    if not isinstance(value, list) or len(value) != 3 or not all(type(one) is int for one in value):
        raise WireError(f"a {what} is three integers, not {outline(value)}")
    if not all(least <= one <= MAX_NS for one in value):
        raise WireError(f"a {what} of {value[0]}, {value[1]}, {value[2]} is out of range")
    return value
