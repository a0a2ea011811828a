"""What was packed unpacks to the same bytes, whatever the events; and no change of a packed byte goes unnoticed."""

from __future__ import annotations

import itertools
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace import payload
from embertrace.event import CALL, RESULT
from embertrace.recording import BATCH, Damage, Record, Recording, RecordingWriter, check, pack, packed, repair
from embertrace.recording.layout import pack_record, pack_segment_header, scan_segment
from embertrace.recording.packed import blocks, pack_segment, unpack_segment
from embertrace.wire.event import RawEvent, pack_event
from support.recordings import ONE, TWO, records, segments, ticking

BASE = 1_000_000
NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
NAMES = st.sampled_from(["", "judge", "stage_1", "x" * 300])
EVENTS = st.builds(
    RawEvent,
    type=st.integers(0, 3),
    timestamp=st.one_of(st.integers(2**60, 2**62), st.integers(0, 5), st.floats(allow_nan=False)),
    trace_id=st.one_of(st.none(), st.binary(min_size=16, max_size=16)),
    call_id=NUMBERS,
    parent_call_id=NUMBERS,
    attempt=NUMBERS,
    parent_attempt=NUMBERS,
    slot=NUMBERS,
    operator_id=NAMES,
    operator_type=NAMES,
    stage=NAMES,
    duration=st.one_of(st.none(), NUMBERS, st.floats(allow_nan=False)),
    slots=NUMBERS,
    follows=NUMBERS,
    links=st.lists(st.integers(1, 2**64 - 1), max_size=3).map(tuple),
    context=st.binary(max_size=40),
    data=st.one_of(st.binary(max_size=80), st.just(b"\xdc\x00\x11\x00\xcf" + bytes(60))),
)
PAYLOADS = st.one_of(
    st.lists(EVENTS, min_size=1, max_size=6).map(lambda events: (b"".join(map(pack_event, events)), len(events))),
    st.binary(min_size=3, max_size=60).map(lambda junk: (junk, 3)),
)


def segment(batches: list[tuple[bytes, int]], marks: int = 1) -> bytes:
    """A segment of such batches, at BASE."""
    raw = pack_segment_header(BASE, 7, {bytes([number]) * 16: number for number in range(marks)})
    for number, (content, count) in enumerate(batches):
        raw += pack_record(BATCH, number, ONE, 1 + number * 10, count, content, BASE + len(raw))
    return raw


@settings(max_examples=150, deadline=None)
@given(st.lists(PAYLOADS, max_size=8), st.integers(0, 3))
def test_a_segment_unpacks_to_its_bytes(batches: list[tuple[bytes, int]], marks: int) -> None:
    raw = segment(batches, marks)
    found = pack_segment(raw, BASE)
    assert found is not None
    assert unpack_segment(found, BASE) == raw


def ordinary(count: int) -> bytes:
    """The payload of a batch as tracing makes it."""
    return b"".join(
        pack_event(
            RawEvent(
                (CALL, RESULT)[number % 2], 1_700_000_000_000_000_000 + number, b"t" * 16, 2**63 + number // 2, 0, 0,
                0, 0, "op", "member", "members", 99 if number % 2 else None, 0, 0, (), b"", payload.pack(number),
            )
        )
        for number in range(count)
    )  # fmt: skip


def test_any_part_of_several_blocks_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "BLOCK_BYTES", 500)
    raw = segment([(ordinary(6), 6)] * 9)
    found = pack_segment(raw, BASE)
    assert found is not None
    made = list(blocks(found, BASE))
    assert len(made) > 3
    assert {block.coding for block in made} == {packed.STREAMS}
    edges = sorted({0, 1, len(raw) - 1, len(raw), len(raw) + 9, *(block.offset for block in made)})
    for start, stop in itertools.product(edges, [*edges, None]):
        assert unpack_segment(found, BASE, start, stop) == raw[start:stop]


def test_a_damaged_segment_is_not_packed() -> None:
    raw = segment([(ordinary(6), 6)] * 2)
    for place in (9, 60, len(raw) // 2, len(raw) - 1):
        broken = bytearray(raw)
        broken[place] ^= 1
        assert pack_segment(bytes(broken), BASE) is None
    assert pack_segment(raw[:-1], BASE) is None
    assert pack_segment(raw, BASE + 1) is None


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packed segments, of some blocks each."""
    monkeypatch.setattr(packed, "BLOCK_BYTES", 300)
    with RecordingWriter(tmp_path / "r", name="r", clock_ns=ticking(), segment_bytes=700) as writer:
        for number in range(4):
            writer.append(BATCH, (ONE, TWO)[number % 2], 1 + number // 2 * 2, 2, ordinary(2))
            writer.sync()
    assert pack(tmp_path / "r").packed >= 2
    return tmp_path / "r"


def test_every_flip_of_a_packed_byte_is_noticed_and_costs_no_other_block(recording: Path) -> None:
    original = records(recording)
    for path in segments(recording):
        content = path.read_bytes()
        most = max(block.length for block in blocks(content, int(path.stem)))
        for place in range(len(content)):
            broken = bytearray(content)
            broken[place] ^= 1 << (place % 8)
            path.write_bytes(broken)
            found = list(Recording.open(recording).records())
            left = [item for item in found if isinstance(item, Record)]
            assert all(record in original for record in left)
            assert len(left) >= len(original) - most // 100
            assert not check(recording).ok, f"byte {place} of {path.name}"
        path.write_bytes(content)
    assert check(recording).ok


def test_a_packed_file_cut_anywhere_never_raises(recording: Path) -> None:
    original, (first, *_) = records(recording), segments(recording)
    content = first.read_bytes()
    for size in range(0, len(content), 7):
        first.write_bytes(content[:size])
        items = list(Recording.open(recording).records())
        assert all(item in original for item in items if isinstance(item, Record))
        assert any(isinstance(item, Damage) for item in items)


def test_a_repaired_copy_of_a_damaged_packed_recording_is_whole(recording: Path, tmp_path: Path) -> None:
    first = segments(recording)[0]
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 255
    first.write_bytes(content)
    repair(recording, tmp_path / "copy")
    assert check(tmp_path / "copy").ok


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_what_is_no_packed_segment_gives_nothing(junk: bytes, seed: int) -> None:
    assert unpack_segment(junk, BASE) == b""
    found = pack_segment(segment([(ordinary(4), 4)] * 2), BASE)
    assert found is not None
    chance = random.Random(seed)
    broken = bytearray(found)
    for _ in range(3):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    items: list[Any] = list(scan_segment(unpack_segment(bytes(broken), BASE), BASE))
    assert all(isinstance(item, Record | Damage) for item in items)


def test_a_header_that_states_too_much_is_not_believed() -> None:
    raw = segment([(ordinary(4), 4)])
    found = pack_segment(raw, BASE)
    assert found is not None
    for length in (packed.MAX_SEGMENT_BYTES + 1, 2**63):
        fields = [*packed._BLOCK.unpack_from(found)]
        fields[4] = length
        head = packed._BLOCK.pack(*fields)
        forged = head + zlib.crc32(head).to_bytes(4, "little") + found[packed.BLOCK_HEADER_BYTES :]
        assert list(blocks(forged, BASE)) == []
        assert unpack_segment(forged, BASE) == b""
