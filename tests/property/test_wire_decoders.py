"""Every decoder of the wire takes any bytes: a valid value, or a WireError; and keeps its bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace.errors import VersionError, WireError
from embertrace.event import Frame
from embertrace.wire.batch import BATCH, MAX_BATCH_BYTES, gap_reason, pack_batch, pack_gap, unpack_batch
from embertrace.wire.carrier import MAX_CARRIER_BYTES, Carrier, Shared, join_carrier, pack_carrier, unpack_carrier
from embertrace.wire.context import NOTHING_ADDED, pack_context, unpack_context
from embertrace.wire.control import MAX_LOSSES, Loss, State, pack_control, unpack_control
from embertrace.wire.event import BadEvent, RawEvent, iter_events, pack_event, unpack_event
from embertrace.wire.rpc import unpack_answer, unpack_request

DECODERS: list[Callable[[bytes], Any]] = [
    unpack_event, unpack_batch, unpack_control, unpack_carrier, unpack_context, unpack_request, unpack_answer,
]  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=18) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)
EVENT = RawEvent(0, 1, b"t" * 16, 5, 0, 0, 0, 0, "op", "type", "stage", None, 0, 0, (), b"", b"")


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
@given(packed=st.binary(max_size=200) | VALUES.map(msgpack.packb))
def test_any_bytes_decode_or_raise_wire_error(decode: Callable[[bytes], Any], packed: bytes) -> None:
    try:
        decode(packed)
    except WireError:
        pass


@given(st.binary(max_size=100), st.integers(0, 100), st.data())
def test_one_flipped_bit_of_a_batch_never_passes(body: bytes, first: int, data: st.DataObject) -> None:
    message = bytearray(pack_batch(BATCH, b"p" * 16, first + 1, 1, body + b"x"))
    place = data.draw(st.integers(0, len(message) * 8 - 1))
    message[place // 8] ^= 1 << place % 8
    with pytest.raises(WireError):
        unpack_batch(bytes(message))


def test_a_newer_version_is_told_apart_from_damage() -> None:
    message = bytearray(pack_batch(BATCH, b"p" * 16, 1, 1, b"x"))
    message[4] = 9
    with pytest.raises(VersionError, match="version 9"):
        unpack_batch(bytes(message))
    with pytest.raises(VersionError, match="version 7"):
        unpack_carrier(b"\x89ETC\x07" + bytes(40))


@pytest.mark.parametrize("view", [bytes, memoryview])
def test_a_gap_says_why_whatever_its_message_was(view: Callable[[bytes], bytes | memoryview]) -> None:
    told = unpack_batch(view(pack_gap(b"p" * 16, 1, 2, "the disk is full")))
    assert gap_reason(told.payload) == "the disk is full"
    for payload in (b"", b"\xc1", b"\x80" * 5000):
        assert gap_reason(view(payload)) == "dropped"


def test_an_oversized_batch_is_refused() -> None:
    with pytest.raises(WireError, match="the limit is"):
        unpack_batch(pack_batch(BATCH, b"p" * 16, 1, 1, b"x" * (MAX_BATCH_BYTES + 1)))


def test_one_bad_event_costs_itself_alone_and_broken_msgpack_the_rest() -> None:
    good = pack_event(EVENT)
    found = list(iter_events(good + msgpack.packb([1, 2]) + good, 3))
    assert found == [EVENT, BadEvent(1, 1, "an event is an array of at least 17 elements, not an array of 2"), EVENT]
    found = list(iter_events(good + b"\xc1" + good, 3))
    assert found[0] == EVENT
    assert isinstance(found[1], BadEvent)
    assert found[1].lost == 2


def test_an_event_with_more_fields_is_read_by_those_it_knows() -> None:
    assert unpack_event(msgpack.packb([*EVENT, "from the future"])) == EVENT


@given(st.integers(0, 300), st.integers(0, 2000), st.binary(max_size=6000), st.integers(1, 300))
def test_carriers_stay_small_and_keep_root_and_leaf(depth: int, links: int, tags: bytes, name: int) -> None:
    frames = tuple(Frame("n" * name, "t", "s", number + 1) for number in range(depth))
    shared = Shared(frames, tags=tags, endpoint="tcp://h:1")
    packed = pack_carrier(Carrier(b"t" * 16, shared, links=tuple(range(1, links + 1))))
    assert len(packed) <= MAX_CARRIER_BYTES
    kept = unpack_carrier(packed).shared.frames
    if depth:
        assert (kept[0], kept[-1]) == (frames[0], frames[-1])


ANY_TYPE = (None, False, True, 0, 7, -1, 0.0, 7.5, "", "text", b"", b"\x80", [], [7], {}, {"a": 7})
FOR_SHARED: dict[str, tuple[object, ...]] = {
    "frames": (None, []),
    **dict.fromkeys(("run", "endpoint", "key"), (None, "", "text")),
    **dict.fromkeys(("item", "tags"), (None, b"", b"\x80")),
    "settings": (None, {}, {"a": 7}),
    "roles": (None, {}),
    "shard": (None, 0, 7),
    "share": (None, 0.0),
}


def one_of(value: object, values: tuple[object, ...]) -> bool:
    return any(type(value) is type(one) and value == one for one in values)


@pytest.mark.parametrize("value", ANY_TYPE, ids=repr)
@pytest.mark.parametrize("name", FOR_SHARED)
def test_a_field_of_what_is_shared_is_of_its_type_or_refused_by_name(name: str, value: object) -> None:
    def read() -> Carrier:
        return unpack_carrier(join_carrier((None, 3, 0, (), msgpack.packb({name: value}))))

    if one_of(value, FOR_SHARED[name]):
        found = read()
        if value is None:
            assert found == Carrier(None, slot=3)
    else:
        with pytest.raises(WireError):
            read()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda good: good[:39], "a carrier of 39 bytes; it has from 40 to 4096"),
        (lambda good: good + bytes(4096), "it has from 40 to 4096"),
        (lambda good: b"\x89ETB" + good[4:], "begins with"),
        (lambda good: good[:6] + b"\xff\xff" + good[8:], "can't hold 65535 links"),
        (lambda good: good[:40] + bytes(8) + good[48:], "links are not call ids"),
        (lambda good: good[:56], "can't be read"),
        (lambda good: good[:-1] + b"\x90", "a map with string keys"),
    ],
)
def test_a_carrier_that_is_damaged_says_what_is_wrong(change: Callable[[bytes], bytes], says: str) -> None:
    good = pack_carrier(Carrier(b"t" * 16, slot=3, follows=5, links=(7, 8)))
    assert unpack_carrier(good) == Carrier(b"t" * 16, slot=3, follows=5, links=(7, 8))
    with pytest.raises(WireError, match=says):
        unpack_carrier(change(good))


def test_frames_belong_to_a_trace() -> None:
    with pytest.raises(WireError, match="frames but no trace id"):
        unpack_carrier(pack_carrier(Carrier(None, Shared((Frame("n", "t", "s", 1),)))))


def test_a_context_that_adds_nothing_has_no_bytes() -> None:
    assert pack_context(NOTHING_ADDED) == b""
    assert unpack_context(b"") == NOTHING_ADDED


LOSSES = st.builds(
    Loss, st.binary(min_size=16, max_size=16), st.integers(0, 2**64 - 1), st.text(max_size=64), st.just(0)
)
NUMBERS = st.integers(0, 2**64 - 1)


@given(st.dictionaries(st.text(max_size=12), NUMBERS, max_size=15), st.lists(LOSSES, max_size=MAX_LOSSES), NUMBERS)
def test_a_state_comes_back_as_it_was(counters: dict[str, int], losses: list[Loss], number: int) -> None:
    state = State("rec", "monday", "0.1.0", 1, 2, 3, 4, number, counters, number, tuple(losses))
    assert unpack_control(pack_control(state)) == state


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("counters", {"events": -1}),
        ("counters", {"events": "many"}),
        ("counters", [1]),
        ("losses", [[b"short", 1, "host", 1]]),
        ("losses", [[b"p" * 16, 1, "host"]]),
        ("losses", ["text"]),
        ("losses", [[b"p" * 16, 1, "host", 1]] * (MAX_LOSSES + 1)),
        ("free_bytes", -1),
        ("durable", None),
    ],
)
def test_a_state_with_a_bad_field_is_refused(key: str, value: object) -> None:
    good = msgpack.unpackb(pack_control(State("rec", "monday", "0.1.0", 1, 2, 3, 4, 5, {})))
    with pytest.raises(WireError):
        unpack_control(msgpack.packb({**good, key: value}))
