"""Whatever happens to the bytes of a segment: what precedes it is read, nothing is invented, nothing raises."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace.errors import RecordingError
from embertrace.recording import BATCH, Damage, Follower, Record, Recording, RecordingWriter, check
from embertrace.recording.layout import pack_record, pack_segment_header, scan, scan_segment
from embertrace.recording.manifest import read_manifest
from embertrace.recording.recovery import recover
from support.recordings import ONE, make_small, records, segments, ticking


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small recording, never written to."""
    directory = tmp_path_factory.mktemp("damage") / "small"
    make_small(directory)
    return directory


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "copy"))


def split(items: list[Record | Damage]) -> tuple[list[Record], list[Damage]]:
    return [item for item in items if isinstance(item, Record)], [item for item in items if isinstance(item, Damage)]


def test_the_last_segment_cut_at_every_byte(small: Path, copy: Path) -> None:
    original, (_, last) = records(small), segments(copy)
    content, base = last.read_bytes(), int(last.stem)
    for size in range(len(content)):
        last.write_bytes(content[:size])
        left, damages = split(list(Recording.open(copy).records()))
        assert left == [record for record in original if record.end <= base + size]
        assert len(damages) <= 1
        assert all(damage.tail and damage.end == base + size for damage in damages)
        assert not check(copy).ok, "the published position says that more was there"
        assert [record for record in Follower(Recording.open(copy)).poll() if record not in original] == []


def test_a_recording_cut_at_every_byte_is_recovered(small: Path, copy: Path) -> None:
    """As after a power failure: nothing says that the bytes which are missing were durable."""
    original, (_, last) = records(small), segments(copy)
    content, base = last.read_bytes(), int(last.stem)
    header = next(record.position for record in original if record.position > base) - base
    for size in range(header, len(content)):
        last.write_bytes(content[:size])
        (copy / "synced").unlink(missing_ok=True)
        before = [record for record in original if record.end <= base + size]
        with RecordingWriter(copy, clock_ns=ticking()) as writer:
            end = max(before[-1].end, base + header)
            assert (writer.recovered, writer.position) == (base + size - end, end)
            writer.append(BATCH, b"a new producer!!", 1, 1, b"\x00")
        assert records(copy)[:-1] == before


@pytest.mark.parametrize("place", [0, 1])
def test_every_byte_flipped_is_noticed(place: int, small: Path, copy: Path) -> None:
    original, path = records(small), segments(copy)[place]
    content, base = path.read_bytes(), int(path.stem)
    for offset in range(len(content)):
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 0xFF]) + content[offset + 1 :])
        left, damages = split(list(Recording.open(copy).records()))
        hit = [record for record in original if record.position <= base + offset < record.end]
        assert left == [record for record in original if record not in hit]
        assert len(damages) == 1
        assert damages[0].position <= base + offset < damages[0].end
        assert not check(copy).ok


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 400),
    st.integers(0, 1),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    st.floats(0, 1),
    st.randoms(use_true_random=False),
)
def test_pieces_show_what_the_whole_shows(
    small: Path, size: int, place: int, changes: list[tuple[float, int]], kept: float, chance: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patched:
        copy = Path(shutil.copytree(small, Path(scratch) / "copy"))
        content = bytearray(segments(copy)[place].read_bytes())
        for at, byte in changes:
            content[int(at * len(content))] = byte
        whole = content[: round(kept * len(content))] if chance.random() < 0.3 else content
        segments(copy)[place].write_bytes(bytes(whole) + bytes(chance.choice([0, 0, 300])))
        start = chance.choice([0, *(record.position for record in records(small))])
        expected = list(Recording.open(copy).records(start))
        patched.setattr("embertrace.recording.reader.PIECE_BYTES", size)
        assert list(Recording.open(copy).records(start)) == expected


def test_every_bit_flipped_costs_its_record_and_no_other(small: Path) -> None:
    for path in segments(small):
        content, base = path.read_bytes(), int(path.stem)
        original, _ = split(list(scan_segment(content, base)))
        for bit in range(len(content) * 8):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            left, damages = split(list(scan_segment(bytes(flipped), base)))
            position = base + bit // 8
            assert left == [record for record in original if not record.position <= position < record.end]
            assert len(damages) == 1


def test_an_image_of_a_record_in_a_payload_is_never_taken_for_one() -> None:
    inner = pack_record(BATCH, 1, ONE, 1, 1, b"\x00", 32)
    header = pack_segment_header(0, 1, {})
    first = pack_record(BATCH, 1, ONE, 1, 3, inner, len(header))
    second = pack_record(BATCH, 1, ONE, 4, 1, b"\x00", len(header) + len(first))
    content = bytearray(header + first + second)
    content[len(header) + 9] ^= 1  # the header around the image: the search for the next record passes through it
    left, damages = split(list(scan_segment(bytes(content), 0)))
    assert [record.first_seq for record in left] == [4]
    assert [damage.length for damage in damages] == [len(first)]


def small_content() -> tuple[bytes, list[Record]]:
    content, expected = pack_segment_header(1000, 5, {ONE: 3}), []
    for seq in range(4, 10):
        position = 1000 + len(content)
        payload = bytes([0x89]) * seq
        content += pack_record(BATCH, seq, ONE, seq, 1, payload, position)
        expected.append(position)
    found, damages = split(list(scan_segment(content, 1000)))
    assert [record.position for record in found] == expected
    assert damages == []
    return content, found


CONTENT, RECORDS = small_content()
PIECE = st.one_of(
    st.binary(max_size=100),
    st.builds(bytes, st.integers(0, 200)),
    st.tuples(st.integers(0, len(CONTENT)), st.integers(0, 200)).map(lambda cut: CONTENT[cut[0] : cut[0] + cut[1]]),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT)), st.integers(0, 100), PIECE), max_size=4))
def test_pieces_replaced_removed_and_inserted(edits: list[tuple[int, int, bytes]]) -> None:
    content = CONTENT
    for begin, length, piece in edits:
        content = content[:begin] + piece + content[begin + length :]
    items = list(scan_segment(content, 1000))
    left, _ = split(items)
    assert [record for record in left if record not in RECORDS] == []
    changed = next((i for i, (a, b) in enumerate(zip(content, CONTENT, strict=False)) if a != b), len(content))
    header = RECORDS[0].position - 1000
    if changed >= header:
        assert left[: sum(record.end <= 1000 + changed for record in RECORDS)] == [
            record for record in RECORDS if record.end <= 1000 + changed
        ]
    assert [item.position for item in items] == sorted(item.position for item in items)
    assert all(before.end <= after.position for before, after in itertools.pairwise(items))
    assert all(not damage.tail for damage in items[:-1] if isinstance(damage, Damage))


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=400), st.lists(PIECE, max_size=6).map(b"".join)), st.integers(0, 1 << 63))
def test_any_bytes_are_accounted_for_to_the_last(content: bytes, base: int) -> None:
    items = list(scan(content, 0, base))
    assert sum(item.end - item.position for item in items) == len(content)
    for item in scan_segment(content, base):
        assert isinstance(item, Damage | Record)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.integers(0, len(CONTENT)), st.integers(0, 1 << 64))
def test_recovery_of_any_tail_keeps_what_is_valid(tail: bytes, cut: int, synced: int) -> None:
    content = CONTENT[:cut] + tail
    found = recover([1000], lambda _: content, synced)
    whole = [record for record in RECORDS if record.end <= 1000 + cut]
    assert found.end >= max((record.end for record in whole), default=1000)
    assert found.end + found.cut == 1000 + len(content)
    assert content[found.durable - 1000 : found.end - 1000] == found.again
    if 1000 <= synced <= 1000 + len(content):
        assert found.end >= synced


def test_every_byte_flipped_is_said_with_its_file_and_offset(small: Path, copy: Path) -> None:
    for path in segments(copy):
        content = path.read_bytes()
        for offset in range(len(content)):
            path.write_bytes(content[:offset] + bytes([content[offset] ^ 0x01]) + content[offset + 1 :])
            report = check(copy)
            (found,) = report.to_data()["damages"]
            assert found["file"] == f"segments/{path.name}"
            assert found["offset"] <= offset < found["offset"] + found["length"]
            assert report.damaged_bytes == found["length"]
            assert f"damaged in segments/{path.name} at offset {found['offset']}" in str(report)
        path.write_bytes(content)
    assert check(copy).ok


@pytest.mark.parametrize("bit", [0x01, 0x04, 0x20, 0xFF])
def test_a_flipped_byte_in_what_a_recording_says_of_itself_is_noticed(copy: Path, bit: int) -> None:
    """Unless it says the same as before."""
    manifest = copy / "recording.json"
    content, whole = manifest.read_bytes(), read_manifest(copy)
    for offset in range(len(content)):
        manifest.write_bytes(content[:offset] + bytes([content[offset] ^ bit]) + content[offset + 1 :])
        for look in (check, Recording.open):
            try:
                look(copy)
                assert read_manifest(copy) == whole
            except RecordingError as error:
                assert "is damaged" in str(error) or "of format" in str(error)


def test_a_flipped_byte_elsewhere_never_invents_or_raises_anything_unclear(small: Path, copy: Path) -> None:
    original = records(small)
    for name in ("recording.json", "synced", "lock"):
        content = (copy / name).read_bytes()
        for offset in range(len(content)):
            (copy / name).write_bytes(content[:offset] + bytes([content[offset] ^ 0xFF]) + content[offset + 1 :])
            try:
                assert list(Recording.open(copy).records()) == original
                assert check(copy).ok or name == "synced"
            except RecordingError as error:
                assert name == "recording.json" and "is damaged" in str(error)
        (copy / name).write_bytes(content)
