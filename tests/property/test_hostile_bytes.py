"""Whatever bytes come by the network or from the disk: every decoder gives a value, or the one error it documents.

Bytes that are anything, and valid messages changed in one place or a few; valid values are in test_round_trips.py. And
none takes more memory than a small multiple of its input, however large the lengths it states.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import tempfile
import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace import payload
from embertrace.emit import extent, spool_directory
from embertrace.errors import RecordingError, SecurityError, VersionError, WireError
from embertrace.event import Frame
from embertrace.keys import ClientKey, ServerKey, allowed
from embertrace.lineage import to_operator_event, unpack_mapping
from embertrace.recording.layout import pack_record, pack_segment_header, scan_segment, unpack_segment_header
from embertrace.recording.manifest import read_manifest
from embertrace.recording.recovery import recover
from embertrace.recording.synced import SyncedPosition
from embertrace.wire.batch import BATCH, gap_payload, gap_reason, pack_batch, pack_gap, unpack_batch
from embertrace.wire.carrier import Carrier, Shared, pack_carrier, unpack_carrier
from embertrace.wire.clock import Offset, Reading, pack_offset, unpack_offset
from embertrace.wire.context import Added, pack_context, unpack_context
from embertrace.wire.control import (
    Ack,
    Alive,
    End,
    Hello,
    Locate,
    Refuse,
    Welcome,
    pack_control,
    unpack_control,
    whereabouts,
)
from embertrace.wire.event import MAX_LINKS, RawEvent, iter_events, pack_event, split_events, unpack_event
from embertrace.wire.rpc import Answer, Request, pack_answer, pack_request, unpack_answer, unpack_request
from embertrace.wire.traceparent import pack_traceparent, unpack_traceparent
from support.mutations import STRANGE, mutate, nested_ext
from support.spools import extent_of

ID = b"p" * 16
FRAMES = (Frame("ensemble", "ensemble", "vote", 7, 0, 1), Frame("judge", "judge", "end", 2**64 - 1, 3, 0))
ITEM, TAGS = payload.pack({"key": 3, "truth": ["a", "b"]}), payload.pack({"who": "me"})
DATA = payload.pack({"args": [1, "two", {3: None, (4, 5): 2**70}], "result": "\ud800", "cut": "x" * 100}, limit=60)
CONTEXT = pack_context(Added(FRAMES, "run", ITEM, TAGS, member=False))
EVENT = RawEvent(1, 10**18, b"t" * 16, 5, 4, 1, 0, 2, "op", "member", "stage", 1.5, 3, 4, (7, 9), CONTEXT, DATA)
EVENTS = pack_event(EVENT) * 3
CONTROLS = [
    Hello(ID, 1, 5, "rec", "host", 77, "0.1", 10), Welcome("rec", "monday", 8, 1, 2, ID, 3, "host"), Ack(ID, 9),
    Alive(ID, Reading(1, 2, 3), Offset(1, -2, 3)), End(ID, 9), Locate(), Refuse("no", ID),
]  # fmt: skip
SHARED = Shared(FRAMES, "run", ITEM, TAGS, "tcp://h:1", "key", 1, {"capture": "all"}, {"fn": {"type": "judge"}}, 0.25)
CARRIER = Carrier(b"t" * 16, SHARED, 2, 5, (7, 8))
QUERY = {"verb": "items", "filters": [["stage", "a"], ["between", 1.0, 2], ["item", 3]], "options": {"pool": True}}
HEADER = pack_segment_header(0, 5, {ID: 3, b"q" * 16: 9})
SEGMENT = HEADER + pack_record(BATCH, 1, ID, 4, 3, EVENTS, len(HEADER))
KEY = {"name": "alice", "server_public": "s" * 40, "public": "p" * 40, "secret": "k" * 40}


class Decoder(NamedTuple):
    """`decode` takes bytes and may raise `error` alone; `slack` is memory that does not grow with the input."""

    decode: Callable[[bytes], Any]
    error: type[Exception] | tuple[()]
    samples: list[bytes]
    slack: int = 512 * 1024


def _in_directory(names: str, read: Callable[[pathlib.Path], Any], mode: int = 0o600) -> Callable[[bytes], Any]:
    """A decoder of a file: `read` is called with the directory in which it stands."""

    def decode(content: bytes) -> Any:
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, names)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
            return read(pathlib.Path(name))

    return decode


def _synced(directory: pathlib.Path) -> int:
    position = SyncedPosition(directory)
    try:
        return position.load()
    finally:
        position.close()


def _text(content: bytes) -> Any:
    return unpack_traceparent(content.decode("utf-8", "surrogatepass" if content.isascii() else "replace"))


ARRAYS = 1024 * MAX_LINKS * 8
"""What msgpack may set aside for arrays that break off, one in another, as long as events may have them."""
BAG = msgpack.packb


DECODERS = {
    "event": Decoder(unpack_event, WireError, [pack_event(EVENT)], ARRAYS + 512 * 1024),
    "events": Decoder(lambda b: list(iter_events(b, 3)), (), [EVENTS], ARRAYS + 512 * 1024),
    "split": Decoder(lambda b: split_events(b, 3), WireError, [EVENTS]),
    "public event": Decoder(lambda b: to_operator_event(EVENT._replace(data=b), {}), (), [DATA]),
    "batch": Decoder(unpack_batch, WireError, [pack_batch(BATCH, ID, 4, 3, EVENTS), pack_gap(ID, 4, 9, "full")]),
    "context": Decoder(unpack_context, (), [CONTEXT]),
    "gap reason": Decoder(gap_reason, (), [gap_payload("dropped (spool full)")]),
    "whereabouts": Decoder(whereabouts, (), [pack_control(Hello(ID, 1, 2, host="h", pid=3))]),
    "offset": Decoder(unpack_offset, (), [pack_offset(Offset(3, -5, 7))]),
    "extent": Decoder(extent.scan, VersionError, [extent_of(ID, 3, [b"event"], dropped=2, size=200)]),
    "control": Decoder(unpack_control, WireError, [pack_control(message) for message in CONTROLS]),
    "carrier": Decoder(unpack_carrier, WireError, [pack_carrier(CARRIER), pack_carrier(Carrier(None))]),
    "request": Decoder(unpack_request, WireError, [pack_request(Request(1, "query", QUERY))]),
    "answer": Decoder(unpack_answer, WireError, [
        pack_answer(Answer(1, {"rows": [[1, "a"], None]})), pack_answer(Answer(2, error="no", code="query")),
    ]),
    "traceparent": Decoder(_text, WireError, [pack_traceparent(b"t" * 16, 5).encode()]),
    "payload": Decoder(payload.unpack, WireError, [DATA, ITEM, BAG(None), payload.pack(FRAMES), payload.pack(print)]),
    "mapping": Decoder(unpack_mapping, (), [ITEM]),
    "segment header": Decoder(lambda b: unpack_segment_header(b, 0), RecordingError, [HEADER]),
    "segment": Decoder(lambda b: list(scan_segment(b, 0)), (), [SEGMENT]),
    "recovery": Decoder(lambda b: recover([0], lambda _: b, len(b) // 2), (), [SEGMENT]),
    "manifest": Decoder(_in_directory("recording.json", read_manifest), RecordingError, [
        json.dumps({"format": 1, "id": "0" * 32, "name": "monday", "created": 1.5}).encode(),
    ]),
    "synced": Decoder(_in_directory("synced", _synced), FileNotFoundError, [bytes(8)]),
    "spool meta": Decoder(_in_directory("meta.json", spool_directory.Meta.read), (), [
        json.dumps(dataclasses.asdict(spool_directory.Meta("tcp://127.0.0.1:5557"))).encode(),
    ]),
    "client key": Decoder(_in_directory("a.key", lambda d: ClientKey.read(d / "a.key")), SecurityError, [
        json.dumps(KEY).encode(),
    ]),
    "server key": Decoder(_in_directory("aggregator.key", ServerKey.read), SecurityError, [json.dumps(KEY).encode()]),
    "allow-list": Decoder(_in_directory("clients/a.pub", allowed), SecurityError, [json.dumps(KEY).encode()]),
}  # fmt: skip
each_decoder = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
JSON_BOMBS = [b"[" * 4000, b'{"a":' * 700, b"1" * 4999, b'"\\ud800"', b"NaN", b"\xff\xfe", b"\xef\xbb\xbf{}", b"1e999"]


def attempt(decoder: Decoder, packed: bytes) -> None:
    with contextlib.suppress(*([decoder.error] if decoder.error else [])):
        decoder.decode(packed)


@each_decoder
@given(st.binary(max_size=300) | st.sampled_from([*STRANGE, *JSON_BOMBS]))
def test_any_bytes(decoder: Decoder, packed: bytes) -> None:
    attempt(decoder, packed)


@each_decoder
@given(st.randoms(use_true_random=False), st.data())
def test_valid_messages_changed(decoder: Decoder, random: Random, data: st.DataObject) -> None:
    attempt(decoder, mutate(random, data.draw(st.sampled_from(decoder.samples))))


@each_decoder
def test_many_valid_messages_changed(decoder: Decoder) -> None:
    for seed in range(1500):
        random = Random(seed)
        packed = mutate(random, random.choice(decoder.samples))
        try:
            attempt(decoder, packed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {packed[:200]!r}") from error


@each_decoder
def test_samples_are_valid(decoder: Decoder) -> None:
    for sample in decoder.samples:
        decoder.decode(sample)


@each_decoder
def test_memory_is_bounded_by_the_input(decoder: Decoder) -> None:
    random = Random(11)
    inputs = [*STRANGE, *(mutate(random, sample) for sample in decoder.samples for _ in range(60))]
    inputs += [(prefix * 1000).ljust(60_000, b"\xc0") for prefix in STRANGE if len(prefix) in (3, 5)]
    inputs += [b"\x81\xa1k" + packed for packed in inputs[-20:]]
    for packed in inputs:
        limit = decoder.slack + 150 * len(packed)
        peak = _peak(decoder, packed)
        for _ in range(5):  # what other threads of this process allocate meanwhile is counted too: once, or twice
            if peak > limit:
                peak = min(peak, _peak(decoder, packed))
        assert peak <= limit, f"{peak} bytes for {len(packed)}: {packed[:40]!r}"


def _peak(decoder: Decoder, packed: bytes) -> int:
    tracemalloc.start()
    try:
        attempt(decoder, packed)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["name", "server_public", "public", "secret"])
@pytest.mark.parametrize("value", ["\ud800" * 40, "?" * 39 + "\ud800", "", "x" * 41, 7, None, ["x" * 40]])
def test_a_key_file_with_a_strange_value_is_refused(name: str, value: Any) -> None:
    content = json.dumps({**KEY, name: value}).encode()
    if name != "name" or not isinstance(value, str):
        with pytest.raises(SecurityError):
            DECODERS["client key"].decode(content)


def test_nesting_ends_in_an_error_and_not_in_the_stack() -> None:
    deep = b"\x91" * 1000 + b"\xc0"
    with pytest.raises(WireError, match="nested more than 100 deep"):
        unpack_control(b"\x82\xa7version\x01\xa4kind" + deep)
    with pytest.raises(WireError, match="not an array of 1"):
        unpack_event(deep[-50:])
    with pytest.raises(WireError, match="arrays in arrays"):
        unpack_event(deep)
    with pytest.raises(WireError, match="nested more than 100 deep"):
        payload.unpack(deep)
    assert payload.unpack(b"\x91" * 100 + b"\xc0") is not None


def test_extensions_in_extensions_do_not_use_up_the_stack_of_c() -> None:
    assert payload.unpack(nested_ext(5, payload.MAX_EXTENSIONS)) is not None
    with pytest.raises(WireError, match="extensions in extensions"):
        payload.unpack(nested_ext(5, 2000))


def test_what_is_packed_deepest_can_be_read() -> None:
    value: Any = "leaf"
    for _ in range(100):
        value = {(value if isinstance(value, tuple | str) else "k",): [value, {1}]}
    names: Any = "leaf"
    for _ in range(100):
        names = (names,)
    error: Any = "leaf"
    for _ in range(100):
        error = [{"e": RecordingError(error)}]
    for whole in (value, {names: names}, error, Frame):
        packed = payload.pack(whole)
        again = payload.unpack(packed)
        payload.canonical(again)
        assert payload.pack(again) == packed
