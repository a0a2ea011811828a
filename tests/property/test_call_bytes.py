"""The two events of a call, put together from parts, read as what `pack_event` would have packed."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embertrace.errors import WireError
from embertrace.event import CALL, ERROR, RESULT
from embertrace.wire.calls import frame_context, pack_call, pack_end, pack_place
from embertrace.wire.event import MAX_EVENT_BYTES, RawEvent, pack_event, unpack_event

U64 = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1))
TIMES = st.integers(-(1 << 63), (1 << 63) - 1)
NAMES = st.tuples(*[st.text(max_size=40)] * 3)
BYTES = st.one_of(st.binary(max_size=300), st.integers(0, 70_000).map(bytes))


class Call(NamedTuple):
    trace_id: bytes
    call_id: int
    attempt: int
    slot: int
    names: tuple[str, str, str]


CALLS = st.builds(Call, st.binary(min_size=16, max_size=16), U64, U64, U64, NAMES)
LINKS = st.none() | st.lists(st.integers(1, (1 << 64) - 1), max_size=3).map(tuple)


def told(kind: int, timestamp_ns: int, call: Call, parent: Call | None) -> RawEvent:
    """The event with all that a call's two events have in common."""
    above = (0, 0) if parent is None else (parent.call_id, parent.attempt)
    return RawEvent(
        kind, timestamp_ns, call.trace_id, call.call_id, above[0], call.attempt, above[1], call.slot, *call.names,
        None, 0, 0, (), b"", b"",
    )  # fmt: skip


@given(TIMES, CALLS, st.none() | CALLS, U64, LINKS, BYTES, BYTES)
@example(1, Call(bytes(16), 1, 0, 0, ("", "", "")), None, 0, None, b"", bytes(255))
@example(1, Call(bytes(16), 1, 0, 127, ("", "", "")), None, 0, None, b"", bytes(256))
@example(1, Call(bytes(16), 1, 127, 128, ("", "", "")), None, 0, None, bytes(255), b"")
@example(1, Call(bytes(16), 1, 128, 0, ("", "", "")), None, 0, (), bytes(256), b"")
def test_a_call_event(
    timestamp_ns: int,
    call: Call,
    parent: Call | None,
    follows: int,
    links: tuple[int, ...] | None,
    context: bytes,
    data: bytes,
) -> None:
    wanted = told(CALL, timestamp_ns, call, parent)._replace(
        follows=follows, links=links or (), context=context[: 1 << 16], data=data
    )
    packed = pack_call(timestamp_ns, pack_place(call, parent), follows, links, frame_context(context[: 1 << 16]), data)
    assert unpack_event(packed) == unpack_event(pack_event(wanted)) == wanted


@given(st.sampled_from([RESULT, ERROR]), TIMES, CALLS, st.none() | CALLS, st.none() | U64, U64, BYTES, BYTES)
@example(RESULT, 1, Call(bytes(16), 1, 0, 0, ("", "", "")), None, 5, 127, b"", bytes(255))
@example(RESULT, 1, Call(bytes(16), 1, 0, 0, ("", "", "")), None, 5, 128, b"", bytes(256))
@example(ERROR, 1, Call(bytes(16), 1, 0, 0, ("", "", "")), None, None, 0, b"c", b"")
def test_its_end(
    kind: int,
    timestamp_ns: int,
    call: Call,
    parent: Call | None,
    duration_ns: int | None,
    slots: int,
    context: bytes,
    data: bytes,
) -> None:
    wanted = told(kind, timestamp_ns, call, parent)._replace(
        duration=duration_ns, slots=slots, context=context[: 1 << 16], data=data
    )
    packed = pack_end(kind, timestamp_ns, pack_place(call, parent), duration_ns, slots, context[: 1 << 16], data)
    assert unpack_event(packed) == unpack_event(pack_event(wanted)) == wanted


def test_what_no_batch_could_hold_is_refused() -> None:
    place = pack_place(Call(bytes(16), 1, 0, 0, ("", "", "")), None)
    data = bytes(MAX_EVENT_BYTES)
    with pytest.raises(WireError, match="the limit is"):
        pack_call(1, place, 0, None, frame_context(b""), data)
    with pytest.raises(WireError, match="the limit is"):
        pack_end(RESULT, 1, place, 1, 0, b"", data)
