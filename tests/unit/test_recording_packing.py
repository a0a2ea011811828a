"""Packing a recording: what lives with it. Writers, readers along, retention, crashes in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from embertrace.recording import (
    Follower,
    Limits,
    Recording,
    RecordingWriter,
    Retention,
    check,
    pack,
    packed,
    packing,
    streams,
)
from embertrace.recording.files import packed_path, segment_bases, segment_path
from support.recordings import ONE, append_batch, make_small, records, segments, ticking


def names(directory: Path) -> list[str]:
    return [path.suffix for path in segments(directory)]


def test_a_packed_recording_reads_the_same(tmp_path: Path) -> None:
    make_small(tmp_path)
    before, end, told = records(tmp_path), Recording.open(tmp_path).end(), check(tmp_path)
    report = pack(tmp_path)
    assert (report.packed, report.left, names(tmp_path)) == (2, 0, [".segz", ".segz"])
    assert report.bytes_before == end
    assert report.bytes_after == sum(path.stat().st_size for path in segments(tmp_path))
    recording = Recording.open(tmp_path)
    assert records(tmp_path) == before
    assert (recording.end(), check(tmp_path)) == (end, told)
    assert [recording.header(base) is not None for base in recording.bases()] == [True, True]
    assert Follower(recording).poll() == before
    middle = before[4].position
    assert records(tmp_path, middle) == before[4:]
    assert pack(tmp_path).packed == 0


@pytest.mark.parametrize("limit", [1, 8 * 1024 * 1024])
@pytest.mark.parametrize("piece", [70, 500, 960 * 1024])
def test_each_block_is_unpacked_once_and_not_before_it_is_needed(
    tmp_path: Path, piece: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "BLOCK_BYTES", 300)
    monkeypatch.setattr("embertrace.recording.reader.PIECE_BYTES", piece)
    with RecordingWriter(tmp_path, clock_ns=ticking(), segment_bytes=2000) as writer:
        for number in range(40):
            append_batch(writer, ONE, 1 + number * 2, 2)
            writer.sync()
    pack(tmp_path)
    there = sum(len(list(packed.blocks(path.read_bytes(), int(path.stem)))) for path in segments(tmp_path))
    assert there > 2 * len(segments(tmp_path)) > 4
    join, unpacked = streams.join, []

    def counted(parts: list[bytes], position: int) -> bytes:
        unpacked.append(position)
        return join(parts, position)

    monkeypatch.setattr(streams, "join", counted)
    everything = records(tmp_path)
    assert len(unpacked) == len(set(unpacked)) == there
    unpacked.clear()
    follower = Follower(Recording.open(tmp_path))
    seen = follower.poll(1)
    assert len(unpacked) == 1 or piece > 70
    while found := follower.poll(limit):
        seen += found
    assert seen == everything
    assert len(unpacked) == len(set(unpacked)) == there


def test_an_empty_recording_has_one_segment_without_records(tmp_path: Path) -> None:
    RecordingWriter(tmp_path, clock_ns=ticking()).close()
    assert pack(tmp_path).packed == 1
    assert records(tmp_path) == []


def test_who_goes_on_writing_begins_a_new_segment(tmp_path: Path) -> None:
    make_small(tmp_path)
    pack(tmp_path)
    before, end = records(tmp_path), Recording.open(tmp_path).end()
    with RecordingWriter(tmp_path, clock_ns=ticking()) as writer:
        assert (writer.marks[ONE], writer.base, writer.recovered, writer.missing) == (3, end, 0, 0)
        append_batch(writer, ONE, 4, 2)
    assert names(tmp_path) == [".segz", ".segz", ".seg"]
    assert records(tmp_path)[: len(before)] == before
    assert records(tmp_path)[-1].first_seq == 4
    assert check(tmp_path).ok


def test_beside_a_writer_its_segment_stays(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, clock_ns=ticking(), segment_bytes=300) as writer:
        for number in range(6):
            append_batch(writer, ONE, 1 + number * 2, 2)
            writer.sync()
        follower = Follower(Recording.open(tmp_path))
        seen = follower.poll(1)
        assert pack(tmp_path).packed == len(segment_bases(tmp_path)) - 1 > 0
        append_batch(writer, ONE, 13, 2)
        writer.sync()
        seen += follower.poll()
    assert [record.first_seq for record in seen] == list(range(1, 15, 2))
    assert names(tmp_path)[-1] == ".seg"
    assert check(tmp_path).ok


@pytest.mark.parametrize("step", ["write_durably", "sync_directory"])
def test_a_crash_between_leaves_a_recording_that_is_packed_anew(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(tmp_path)
    before = records(tmp_path)

    def crash(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(packing, step, crash)
        pack(tmp_path)
    assert records(tmp_path) == before
    assert pack(tmp_path).left == 0
    assert (records(tmp_path), names(tmp_path)) == (before, [".segz", ".segz"])


def test_where_both_forms_are_the_plain_one_counts(tmp_path: Path) -> None:
    make_small(tmp_path)
    before, (base, _) = records(tmp_path), segment_bases(tmp_path)
    packed_path(tmp_path, base).write_bytes(b"half of it")
    assert records(tmp_path) == before
    assert pack(tmp_path).packed == 2
    assert (records(tmp_path), check(tmp_path).ok) == (before, True)


def test_what_is_damaged_stays_plain(tmp_path: Path) -> None:
    make_small(tmp_path)
    first, last = segments(tmp_path)
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    last.write_bytes(last.read_bytes()[:-3])
    report = pack(tmp_path)
    assert (report.packed, report.left, names(tmp_path)) == (0, 2, [".seg", ".seg"])
    assert "2 left as they are, since they are damaged" in str(report)


def test_retention_removes_packed_segments(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, clock_ns=ticking(), segment_bytes=300) as writer:
        for number in range(8):
            append_batch(writer, ONE, 1 + number * 2, 2)
            writer.sync()
    pack(tmp_path)
    bases = segment_bases(tmp_path)
    packed_path(tmp_path, bases[0]).with_suffix(".seg").write_bytes(b"left by a crash")
    kept = sum(path.stat().st_size for path in segments(tmp_path)[-2:])
    Retention(tmp_path, Limits(keep_bytes=kept), clock_ns=ticking()).enforce()
    assert segment_bases(tmp_path) == bases[-2:]
    assert not segment_path(tmp_path, bases[0]).exists()
    assert check(tmp_path).ok
