"""A repaired copy holds everything readable, declares what is missing, and passes the check."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from embertrace.errors import RecordingError
from embertrace.recording import BATCH, GAP, Damage, Record, Recording, RecordingWriter, check, repair
from embertrace.recording.repair import REASON
from support.recordings import ONE, TWO, append_batch, make_small, records, segments, ticking


@pytest.fixture
def small(tmp_path: pathlib.Path) -> pathlib.Path:
    make_small(tmp_path / "small")
    return tmp_path / "small"


def flip(path: pathlib.Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


def stream(directory: pathlib.Path, producer: bytes) -> list[tuple[int, int, int]]:
    found = [record for record in records(directory) if record.producer == producer and record.kind in (BATCH, GAP)]
    return [(record.kind, record.first_seq, record.count) for record in found]


def unplaced(record: Record) -> Record:
    return record._replace(position=0)


def test_a_copy_of_what_is_whole_is_the_same_byte_by_byte(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    steps: list[tuple[int, int]] = []
    report = repair(small, tmp_path / "copy", lambda done, total: steps.append((done, total)))
    assert [path.name for path in segments(tmp_path / "copy")] == [path.name for path in segments(small)]
    for ours, theirs in zip(segments(small), segments(tmp_path / "copy"), strict=True):
        assert ours.read_bytes() == theirs.read_bytes()
    assert Recording.open(tmp_path / "copy").id == Recording.open(small).id
    assert (report.records, report.events, report.left_out, report.gaps) == (9, 6, [], [])
    assert "nothing was left out" in str(report)
    assert steps[-1][0] == steps[-1][1]


def test_a_damaged_batch_becomes_a_gap_of_its_events(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first, original = segments(small)[0], records(small)
    flip(first, original[1].end - 1)  # the batch with the first two events of ONE
    report = repair(small, tmp_path / "copy")
    assert check(tmp_path / "copy").ok
    assert stream(tmp_path / "copy", ONE) == [(GAP, 1, 2), (BATCH, 3, 1)]
    (bad,) = report.left_out
    assert (bad.file, bad.offset) == (f"segments/{first.name}", original[1].position)
    assert report.left_out_bytes == bad.length == original[1].end - original[1].position
    assert (report.gap_events, report.records, report.events) == (2, 8, 4)
    left_out, gap = str(report).splitlines()[1:]
    assert left_out.startswith(f"left out {bad.length} bytes of {bad.file} from offset {bad.offset}")
    assert gap == f"gap: 2 events of producer {ONE.hex()} from seq 1 on"
    assert json.loads(json.dumps(report.to_data()))["gaps"] == [{"producer": ONE.hex(), "first_seq": 1, "count": 2}]


def test_what_only_the_next_segment_or_an_end_reveals_is_declared_too(
    small: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    original = records(small)
    flip(segments(small)[0], original[3].end - 1)  # the last batch of ONE: only marks and its end say that it was
    report = repair(small, tmp_path / "copy")
    assert stream(tmp_path / "copy", ONE) == [(BATCH, 1, 2), (GAP, 3, 1)]
    assert report.gap_events == 1
    assert check(tmp_path / "copy").ok
    with RecordingWriter(tmp_path / "copy", clock_ns=ticking()) as writer:
        assert writer.marks == {ONE: 3, TWO: 8}


def test_producers_go_on_with_the_copy(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flip(segments(small)[1], 5)
    repair(small, tmp_path / "copy")
    with (
        RecordingWriter(small, clock_ns=ticking()) as old,
        RecordingWriter(tmp_path / "copy", clock_ns=ticking()) as new,
    ):
        assert (old.marks, old.id, old.name) == (new.marks, new.id, new.name)
        append_batch(new, TWO, 9, 1)
    assert check(tmp_path / "copy").ok


def test_repeated_records_are_left_out(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking()) as writer:
        append_batch(writer, ONE, 1, 3)
        append_batch(writer, ONE, 2, 1)
        append_batch(writer, ONE, 6, 1)
    report = repair(tmp_path / "rec", tmp_path / "copy")
    assert stream(tmp_path / "copy", ONE) == [(BATCH, 1, 3), (GAP, 4, 2), (BATCH, 6, 1)]
    assert (report.repeated, report.gap_events) == (1, 2)
    assert "1 records whose seqs were there already" in str(report)
    assert check(tmp_path / "copy").ok


def test_segments_in_the_middle_that_are_gone(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking(), segment_bytes=10) as writer:
        for seq in range(1, 6):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
    before = records(tmp_path / "rec")
    for path in segments(tmp_path / "rec")[1:3]:
        path.unlink()
    repair(tmp_path / "rec", tmp_path / "copy")
    assert stream(tmp_path / "copy", ONE) == [(BATCH, 1, 1), (GAP, 2, 2), (BATCH, 4, 1), (BATCH, 5, 1)]
    assert check(tmp_path / "copy").ok
    kept = [record for record in records(tmp_path / "copy") if record.kind == BATCH]
    assert [unplaced(record) for record in kept] == [unplaced(before[i]) for i in (0, 3, 4)]


def test_undecodable_events_stay_as_they_came(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking()) as writer:
        writer.append(BATCH, ONE, 1, 3, b"\xc1\xc1\xc1")
    repair(tmp_path / "rec", tmp_path / "copy")
    assert records(tmp_path / "copy") == records(tmp_path / "rec")


def test_a_copy_is_never_made_in_place_or_over_something(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    (tmp_path / "file").write_text("precious")
    for out in (small, tmp_path, tmp_path / "file"):
        with pytest.raises(RecordingError, match=r"is not empty: .* choose a new one"):
            repair(small, out)
    with pytest.raises(RecordingError, match="no recording"):
        repair(tmp_path / "nothing", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    (tmp_path / "empty").mkdir()
    repair(small, tmp_path / "empty")
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before


def test_an_empty_recording_has_an_empty_copy(tmp_path: pathlib.Path) -> None:
    RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking()).close()
    segments(tmp_path / "rec")[0].unlink()
    assert repair(tmp_path / "rec", tmp_path / "copy").records == 0
    assert check(tmp_path / "copy").ok


@pytest.mark.parametrize("place", [0, 1])
def test_every_byte_flipped_can_be_repaired(place: int, small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    original, path = records(small), segments(small)[place]
    base, copy = int(path.stem), tmp_path / "copy"
    for offset in range(path.stat().st_size):
        flip(path, offset)
        report = repair(small, copy)
        assert check(copy).ok
        kept = [record for record in original if not record.position <= base + offset < record.end]
        assert_kept_in_order(records(copy), kept)
        assert report.left_out_bytes == sum(
            item.length for item in Recording.open(small).records() if isinstance(item, Damage)
        )
        flip(path, offset)
        shutil.rmtree(copy)


def test_every_cut_of_the_last_segment_can_be_repaired(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    original, last = records(small), segments(small)[-1]
    content, copy = last.read_bytes(), tmp_path / "copy"
    for size in range(len(content)):
        last.write_bytes(content[:size])
        repair(small, copy)
        assert check(copy).ok
        assert_kept_in_order(records(copy), [item for item in original if item.end <= int(last.stem) + size])
        shutil.rmtree(copy)


def assert_kept_in_order(copied: list[Record], kept: list[Record]) -> None:
    """The copy holds `kept`, in order, and besides them nothing but gaps of the repair's own."""
    own = [record for record in copied if record.kind != GAP or REASON.encode() not in record.payload]
    assert [unplaced(record) for record in own] == [unplaced(record) for record in kept]
