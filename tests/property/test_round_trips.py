"""Whatever is packed, for the network or the disk, comes back as it was."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from embertrace.errors import WireError
from embertrace.event import Frame
from embertrace.recording.layout import pack_record, pack_segment_header, scan_segment, unpack_segment_header
from embertrace.recording.manifest import Manifest, read_manifest, write_manifest
from embertrace.wire.batch import BATCH, GAP, MAX_SEQ, pack_batch, unpack_batch
from embertrace.wire.carrier import (
    MAX_CARRIER_BYTES,
    Carrier,
    Shared,
    join_carrier,
    pack_carrier,
    pack_shared,
    unpack_carrier,
)
from embertrace.wire.context import Added, pack_context, unpack_context
from embertrace.wire.control import Ack, Alive, End, Hello, Locate, Refuse, Welcome, pack_control, unpack_control
from embertrace.wire.event import RawEvent, iter_events, pack_event, split_events
from embertrace.wire.rpc import Answer, Request, pack_answer, pack_request, unpack_answer, unpack_request
from embertrace.wire.traceparent import pack_traceparent, unpack_traceparent

SMALL = st.integers(0, 2**64 - 1)
SEQ = st.integers(0, MAX_SEQ)
IDS = st.binary(min_size=16, max_size=16)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FRAME = st.builds(Frame, NAMES, NAMES, NAMES, SMALL, SMALL, SMALL)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | NAMES | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=15,
)
RAW_EVENTS = st.builds(
    RawEvent, st.integers(0, 3), st.integers(0, 2**63) | st.floats(allow_nan=False), IDS | st.none(), SMALL, SMALL,
    SMALL, SMALL, SMALL, NAMES, NAMES, NAMES, st.none() | SMALL | st.floats(allow_nan=False), SMALL, SMALL,
    st.lists(st.integers(1, 2**64 - 1), max_size=9).map(tuple), st.binary(max_size=50), st.binary(max_size=50),
)  # fmt: skip
WELCOMES = st.builds(Welcome, NAMES, NAMES, SEQ, SMALL, SMALL, IDS | st.none(), st.none() | SMALL, NAMES | st.none())
MESSAGES = st.one_of(
    st.builds(Hello, IDS, SEQ, SEQ, NAMES | st.none(), NAMES, SMALL, NAMES, SMALL), WELCOMES, st.builds(Ack, IDS, SEQ),
    st.builds(Alive, IDS), st.builds(End, IDS, SEQ), st.builds(Locate), st.builds(Refuse, NAMES, IDS | st.none()),
)  # fmt: skip
ADDED = st.builds(
    Added, st.lists(FRAME, max_size=5).map(tuple), st.none() | NAMES.filter(bool), st.binary(max_size=20),
    st.binary(max_size=20), st.booleans(), st.floats(0, 1), st.integers(0, 2**31),
)  # fmt: skip
SHARED = st.builds(
    Shared, st.lists(FRAME, max_size=5).map(tuple), st.none() | NAMES.filter(bool), st.binary(max_size=20),
    st.binary(max_size=20), st.none() | NAMES.filter(bool), st.none() | NAMES.filter(bool), SMALL,
    st.dictionaries(NAMES, PLAIN, max_size=3), st.none() | st.dictionaries(NAMES, st.dictionaries(NAMES, NAMES)),
    st.none() | st.floats(0, 1),
)  # fmt: skip
CARRIERS = st.builds(
    Carrier, IDS.filter(any), SHARED, SMALL, SMALL, st.lists(st.integers(1, 2**64 - 1), max_size=5).map(tuple),
)  # fmt: skip


@given(st.lists(RAW_EVENTS, max_size=5))
def test_events_come_back(events: list[RawEvent]) -> None:
    packed = [pack_event(event) for event in events]
    assert list(iter_events(b"".join(packed), len(events))) == events
    assert split_events(b"".join(packed), len(events)) == packed


@given(MESSAGES)
def test_control_messages_come_back(message: Any) -> None:
    assert unpack_control(pack_control(message)) == message


@given(ADDED)
def test_contexts_come_back(added: Added) -> None:
    assert unpack_context(pack_context(added)) == added


@given(CARRIERS)
def test_carriers_come_back(carrier: Carrier) -> None:
    try:
        packed = pack_carrier(carrier)
    except WireError as error:
        assert "the limit is" in str(error)
        return
    trace_id, shared, slot, follows, links = carrier
    whole = join_carrier((trace_id, slot, follows, links, pack_shared(shared)))
    if len(whole) <= MAX_CARRIER_BYTES:
        assert packed == whole
        assert unpack_carrier(packed) == carrier


@given(st.integers(1, MAX_SEQ), st.data(), st.binary(min_size=1, max_size=100), IDS)
def test_batches_and_records_come_back(first: int, data: st.DataObject, body: bytes, producer: bytes) -> None:
    kind = data.draw(st.sampled_from([BATCH, GAP]))
    count = data.draw(st.integers(1, min(MAX_SEQ - first + 1, len(body) if kind == BATCH else MAX_SEQ)))
    batch = unpack_batch(pack_batch(kind, producer, first, count, body))
    assert batch[:] == (kind, producer, first, count) if isinstance(batch, tuple) else batch.first_seq == first
    assert (batch.kind, batch.producer, batch.count, batch.payload) == (kind, producer, count, body)
    header = pack_segment_header(first, 7, {producer: first})
    assert unpack_segment_header(header, first)[:3] == (first, 7, {producer: first})
    packed = pack_record(kind, 9, producer, first, count, body, len(header))
    (record,) = scan_segment(pack_segment_header(0, 7, {producer: first}) + packed, 0)
    assert record[:6] == (kind, 9, producer, first, count, body)


@given(SMALL, NAMES, st.dictionaries(NAMES, PLAIN), PLAIN)
def test_questions_and_answers_come_back(number: int, method: str, params: dict[str, Any], result: Any) -> None:
    assert unpack_request(pack_request(Request(number, method, params))) == Request(number, method, params)
    for answer in (Answer(number, result), Answer(number, error=method, code="query")):
        assert unpack_answer(pack_answer(answer)) == answer


@given(IDS.filter(any), st.integers(1, 2**64 - 1), st.booleans())
def test_trace_contexts_come_back(trace_id: bytes, parent: int, sampled: bool) -> None:
    assert unpack_traceparent(pack_traceparent(trace_id, parent, sampled)) == (trace_id, parent, sampled)


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.from_regex(r"[A-Za-z0-9][\w.-]{0,99}", fullmatch=True))
def test_manifests_come_back(identity: str, name: str) -> None:
    if name.isascii():
        with tempfile.TemporaryDirectory() as directory:
            write_manifest(pathlib.Path(directory), Manifest(identity, name, 1.5))
            assert read_manifest(pathlib.Path(directory)) == (identity, name, 1.5)
