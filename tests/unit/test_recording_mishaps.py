"""What befalls a recording from outside: deleted files, other formats, read-only disks, clocks that are set back."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable

import pytest

from embertrace import sources
from embertrace.errors import RecordingError
from embertrace.recording import BATCH, Follower, Recording, RecordingWriter, check
from embertrace.recording.layout import pack_record, pack_segment_header
from support.aggregators import refused
from support.filesystems import make_read_only, mounted
from support.recordings import ONE, TWO, append_batch, events, make_small, records, segments, ticking


@pytest.fixture
def small(tmp_path: pathlib.Path) -> pathlib.Path:
    make_small(tmp_path / "small")
    return tmp_path / "small"


def refusals(directory: pathlib.Path) -> list[str]:
    """What opening for reading, and an aggregator, say; neither changes a file."""
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(RecordingError) as raised:
        sources.open(directory)
    said = [str(raised.value), refused(directory, "--bind", "tcp://127.0.0.1:0")]
    assert {path: path.read_bytes() for path in before} == before
    assert all(len(sentence.splitlines()) == 1 for sentence in said)
    return said


def restate(directory: pathlib.Path, **fields: object) -> None:
    manifest = directory / "recording.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **fields}))


def test_another_format_is_named_with_what_to_do(small: pathlib.Path) -> None:
    restate(small, format=7)
    for said in refusals(small):
        assert "is a recording of format 7 and this embertrace reads format 1: update embertrace" in said
    restate(small, format=0)
    for said in refusals(small):
        assert "is a recording of format 0" in said and "the version of embertrace that wrote it" in said


def test_a_recording_json_that_is_damaged_or_missing(small: pathlib.Path) -> None:
    (small / "recording.json").write_bytes(b"\x00" * 100)
    for said in refusals(small):
        assert "recording.json is damaged: it is not JSON; restore it from a copy" in said
    (small / "recording.json").unlink()
    for said in refusals(small):
        assert "has segments of a recording, but its recording.json is missing: restore it from a copy" in said


def test_a_recording_json_that_does_not_match_its_checksum(small: pathlib.Path) -> None:
    before = sources.open(small).calls
    restate(small, name="another")
    for said in refusals(small):
        assert "recording.json is damaged: it does not match its checksum; restore it from a copy, or take" in said
    stated = json.loads((small / "recording.json").read_text())
    del stated["crc"]  # as the first versions wrote it
    (small / "recording.json").write_text(json.dumps(stated))
    assert len(sources.open(small).calls) == len(before)


def test_a_segment_of_another_format_is_damage_that_names_it(small: pathlib.Path) -> None:
    first = segments(small)[0]
    content = bytearray(first.read_bytes())
    content[4] = 9
    first.write_bytes(content)
    (damage,) = check(small).damages
    assert "says it is of format 9; this embertrace reads format 1" in damage.reason


def test_a_read_only_recording_is_read_and_can_not_be_written(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with mounted(1024 * 1024) as disk:
        shutil.copytree(small, disk / "rec")
        make_read_only(disk)
        assert records(disk / "rec") == records(small)
        assert check(disk / "rec").ok
        assert len(Follower(Recording.open(disk / "rec")).poll()) == 9
        said = refused(disk / "rec", "--bind", "tcp://127.0.0.1:0")
        assert "can't be opened for writing: Read-only file system; a recording is written in a directory" in said
        assert "Read-only file system" in refused(disk / "new", "--bind", "tcp://127.0.0.1:0")


def test_a_sealed_segment_deleted_under_a_writer_costs_only_itself(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path, name="n", clock_ns=ticking(), segment_bytes=10) as writer:
        follower = Follower(Recording.open(tmp_path))
        for seq in (1, 2, 3):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
        middle = segments(tmp_path)[1]
        middle.unlink()
        append_batch(writer, ONE, 4, 1)
        writer.sync()
        assert [record.first_seq for record in follower.poll()] == [1, 3, 4]
        assert [damage.position for damage in follower.damages] == [int(middle.stem)]
    report = check(tmp_path)
    assert (report.ok, report.discontinuity_count, len(report.damages)) == (False, 1, 1)
    with RecordingWriter(tmp_path, clock_ns=ticking()) as writer:
        assert (writer.marks, writer.missing) == ({ONE: 4}, 0)


@pytest.mark.parametrize("remove", [lambda path: path.unlink(), lambda path: shutil.rmtree(path.parents[1])])
def test_the_active_segment_deleted_under_a_writer_stops_it(
    remove: Callable[[pathlib.Path], None], tmp_path: pathlib.Path
) -> None:
    writer = RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking())
    append_batch(writer, ONE, 1, 1)
    synced = writer.sync()
    (active,) = segments(tmp_path / "rec")
    remove(active)
    append_batch(writer, ONE, 2, 1)
    for _ in range(2):
        with pytest.raises(RecordingError, match=r"\.seg was deleted while it was written: .* open the recording anew"):
            writer.sync()
    assert writer.synced == synced
    writer.close()
    with RecordingWriter(tmp_path / "rec", clock_ns=ticking()) as anew:
        assert anew.marks == {}  # a producer that goes on declares what is gone
        append_batch(anew, ONE, 1, 1)
    assert check(tmp_path / "rec").ok


def test_durable_bytes_that_are_gone_are_counted_on_opening(small: pathlib.Path) -> None:
    last = segments(small)[-1]
    size = last.stat().st_size
    last.write_bytes(last.read_bytes()[: records(small)[-1].position - int(last.stem)])
    gone = size - last.stat().st_size
    assert check(small).missing_bytes == gone
    with RecordingWriter(small, clock_ns=ticking()) as writer:
        assert writer.missing == gone


def test_all_segments_deleted_is_said_on_opening(small: pathlib.Path) -> None:
    durable = Recording.open(small).synced()
    for path in segments(small):
        path.unlink()
    assert check(small).missing_bytes == durable > 0
    with RecordingWriter(small, clock_ns=ticking()) as writer:
        assert writer.missing == durable
        assert writer.marks == {}


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: pathlib.Path) -> None:
    now = [10**18]
    options = {"clock_ns": lambda: now[0], "segment_bytes": 300}
    for start in (1, 4, 7):  # each time the writer is opened anew, the last time onto a segment without a record
        with RecordingWriter(tmp_path, name="n", **options) as writer:
            for seq in range(start, start + 3):
                append_batch(writer, ONE, seq, 1)
                writer.sync()
                now[0] -= 3600 * 10**9
        now[0] -= 24 * 3600 * 10**9
    times = [record.received_ns for record in records(tmp_path)]
    assert len(times) == 9
    assert times == sorted(set(times))
    recording = Recording.open(tmp_path)
    headers = [recording.header(base) for base in recording.bases()]
    begun = [header.created_ns for header in headers if header is not None]
    assert len(begun) == len(headers) > 2
    assert begun == sorted(begun)
    assert recording.base_at(times[-1]) == recording.bases()[-1] or times[-1] < begun[-1]


def test_a_segment_far_behind_all_others_costs_no_memory_for_what_is_missing(small: pathlib.Path) -> None:
    base, payload = 1 << 60, events(1, 1)
    header = pack_segment_header(base, 0, {})
    record = pack_record(BATCH, 0, TWO, 50, 1, payload, base + len(header))
    (small / "segments" / f"{base:020d}.seg").write_bytes(header + record)
    assert sources.open(small).health()["damaged_bytes"] > 1 << 59
    assert Recording.open(small).length() == sum(path.stat().st_size for path in segments(small))
