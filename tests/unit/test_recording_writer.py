"""The writer: creating, opening, refusing, recovering, failing."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from embertrace.errors import RecordingError
from embertrace.recording import BATCH, BEGIN, END, GAP, Recording, RecordingWriter, check, check_name
from support.recordings import ONE, TWO, append_batch, make_small, records, segments, ticking


def writer_of(directory: pathlib.Path, **options: Any) -> RecordingWriter:
    return RecordingWriter(directory, clock_ns=ticking(), **options)


def test_what_is_appended_comes_back(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "new" / "monday"
    with writer_of(directory) as writer:
        first = append_batch(writer, ONE, 1, 3)
        second = writer.append(GAP, ONE, 4, 2, b"\x80")
        assert writer.synced == first
        assert writer.sync() == writer.position == writer.synced
        assert writer.marks == {ONE: 5}
    batch, gap = records(directory)
    assert (batch.position, gap.position) == (first, second)
    assert (batch.kind, batch.producer, batch.first_seq, batch.count, batch.last_seq) == (BATCH, ONE, 1, 3, 3)
    assert (gap.kind, gap.count, gap.payload, gap.position) == (GAP, 2, b"\x80", batch.end)
    assert gap.received_ns > batch.received_ns


def test_an_empty_directory_becomes_a_recording_called_as_it(tmp_path: pathlib.Path) -> None:
    with writer_of(tmp_path / "tuesday") as writer:
        assert writer.name == "tuesday"
        identity = writer.id
    assert len(identity) == 32
    with writer_of(tmp_path / "tuesday") as again:
        assert (again.id, again.name, again.recovered, again.marks) == (identity, "tuesday", 0, {})
    text = (tmp_path / "tuesday" / "recording.json").read_bytes()
    stated = json.loads(text)
    before, _, _ = text.partition(b', "crc"')
    assert stated.pop("crc") == f"{zlib.crc32(before):08x}"
    assert stated == {"format": 1, "id": identity, "name": "tuesday", "created": 1_700_000_000.0}


def test_each_segment_tells_anew_who_lives(tmp_path: pathlib.Path) -> None:
    """A writer reads the last segment only: who began in an earlier one would never be known to be gone."""
    with writer_of(tmp_path, segment_bytes=10) as writer:
        writer.append(BEGIN, ONE, 1, 0, b"one")
        writer.append(BEGIN, TWO, 1, 0, b"two")
        writer.sync()
        writer.append(END, TWO, 0, 0, b"")
        writer.sync()
        append_batch(writer, ONE, 1, 1)
    with writer_of(tmp_path) as again:
        assert again.begun == {ONE: b"one"}
        assert again.marks == {ONE: 1}
    first = [record.kind for record in records(tmp_path, start=int(segments(tmp_path)[-1].stem))]
    assert first == [BEGIN]
    assert check(tmp_path).ok


def test_nothing_is_visible_or_synced_before_sync(tmp_path: pathlib.Path) -> None:
    with writer_of(tmp_path) as writer:
        before = writer.synced
        append_batch(writer, ONE, 1, 1)
        assert writer.position > before == writer.synced == Recording.open(tmp_path).synced()
        assert records(tmp_path) == []
        assert writer.sync() == Recording.open(tmp_path).synced() == Recording.open(tmp_path).end()


def test_a_second_writer_is_refused_until_the_first_is_closed(tmp_path: pathlib.Path) -> None:
    first = writer_of(tmp_path)
    with pytest.raises(RecordingError, match=rf"another aggregator \(process {os.getpid()}\)"):
        writer_of(tmp_path)
    append_batch(first, ONE, 1, 1)
    first.close()
    first.close()
    writer_of(tmp_path).close()
    assert len(records(tmp_path)) == 1


def test_a_directory_with_something_else_in_it_is_refused_and_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(RecordingError, match="not empty and no recording"):
        writer_of(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RecordingError, match="is a file"):
        writer_of(tmp_path / "thesis.tex")


def test_a_newer_format_and_another_name_are_refused(tmp_path: pathlib.Path) -> None:
    writer_of(tmp_path, name="monday").close()
    with pytest.raises(RecordingError, match="is the recording 'monday', not 'tuesday'"):
        writer_of(tmp_path, name="tuesday")
    manifest = tmp_path / "recording.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(RecordingError, match="format 2 and this embertrace reads format 1: update"):
        writer_of(tmp_path)


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "a" * 101, "é", "a\n"])
def test_names_that_are_refused(name: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(RecordingError, match="can't name a recording"):
        check_name(name)
    with pytest.raises(RecordingError, match="can't name a recording"):
        writer_of(tmp_path, name=name)


def test_what_the_format_cannot_hold_is_refused_and_costs_nothing(tmp_path: pathlib.Path) -> None:
    with writer_of(tmp_path) as writer:
        for bad in (
            (9, ONE, 1, 1, b"x"),
            (BATCH, b"short", 1, 1, b"x"),
            (BATCH, ONE, 0, 1, b"x"),
            (BATCH, ONE, 1, 0, b"x"),
            (BATCH, ONE, 1, 2, b"x"),
            (BATCH, ONE, 1, 1, bytes(1024 * 1024 + 1)),
            (GAP, ONE, 1 << 63, 1, b""),
        ):
            with pytest.raises(ValueError, match="can't be recorded"):
                writer.append(*bad)
        append_batch(writer, ONE, 1, 1)
    assert len(records(tmp_path)) == 1


def test_segments_roll_and_marks_are_rebuilt_from_the_last_one(tmp_path: pathlib.Path) -> None:
    make_small(tmp_path)
    first, second = segments(tmp_path)
    assert int(second.stem) == first.stat().st_size
    first.write_bytes(bytes(first.stat().st_size))  # the last segment alone must do
    with writer_of(tmp_path) as writer:
        assert writer.marks == {ONE: 3, TWO: 8}


def test_marks_survive_a_damaged_last_header(tmp_path: pathlib.Path) -> None:
    make_small(tmp_path)
    last = segments(tmp_path)[-1]
    content = bytearray(last.read_bytes())
    content[30] ^= 1
    last.write_bytes(content)
    with writer_of(tmp_path) as writer:
        assert writer.marks == {ONE: 3, TWO: 8}


def test_many_small_records_in_one_sync(tmp_path: pathlib.Path) -> None:
    with writer_of(tmp_path) as writer:  # more parts than one writev takes
        for seq in range(1, 2001):
            writer.append(BATCH, ONE, seq, 1, b"\x00")
    assert [record.first_seq for record in records(tmp_path)] == list(range(1, 2001))


def test_a_torn_tail_is_cut_and_appending_goes_on(tmp_path: pathlib.Path) -> None:
    with writer_of(tmp_path) as writer:
        append_batch(writer, ONE, 1, 2)
    whole = segments(tmp_path)[0].read_bytes()
    with writer_of(tmp_path) as writer:
        torn = append_batch(writer, ONE, 3, 2)
    last = segments(tmp_path)[0]
    os.truncate(last, last.stat().st_size - 5)
    (tmp_path / "synced").unlink()  # as if the machine had failed before anything said that these bytes were durable
    lost = last.stat().st_size - len(whole)
    with writer_of(tmp_path) as writer:
        assert (writer.recovered, writer.position, writer.marks) == (lost, torn, {ONE: 2})
        append_batch(writer, ONE, 3, 1)
    assert [record.last_seq for record in records(tmp_path)] == [2, 3]
    assert check(tmp_path).ok


def test_durable_bytes_that_became_unreadable_are_kept_and_reported(tmp_path: pathlib.Path) -> None:
    with writer_of(tmp_path) as writer:
        append_batch(writer, ONE, 1, 1)
        append_batch(writer, ONE, 2, 1)
    last = segments(tmp_path)[0]
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    assert not check(tmp_path).ok
    with writer_of(tmp_path) as writer:
        assert (writer.recovered, writer.position, writer.marks) == (0, len(content), {ONE: 1})
        append_batch(writer, ONE, 2, 1)
    report = check(tmp_path)
    assert (report.records, len(report.damages), report.ok) == (2, 1, False)
    assert report.discontinuities == []


def test_a_leftover_of_a_segment_that_was_never_begun_is_removed(tmp_path: pathlib.Path) -> None:
    make_small(tmp_path)
    before = segments(tmp_path)
    (tmp_path / "segments" / f"{999:020d}.seg.tmp").write_bytes(b"half a head")
    writer_of(tmp_path).close()
    assert segments(tmp_path) == before


def test_a_process_that_died_while_creating_leaves_nothing_in_the_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lock").write_text("123\n")
    (tmp_path / "recording.json.tmp").write_text('{"form')
    with writer_of(tmp_path) as writer:
        append_batch(writer, ONE, 1, 1)
    assert check(tmp_path).ok


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("operation", ["writev", "fdatasync"])
def test_after_a_failure_the_writer_refuses_and_nothing_is_published(
    operation: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_of(tmp_path)
    append_batch(writer, ONE, 1, 1)
    synced = writer.sync()
    append_batch(writer, ONE, 2, 1)
    with monkeypatch.context() as broken:
        broken.setattr(os, operation, failing(errno.EIO))
        with pytest.raises(RecordingError, match="failed"):
            writer.sync()
    for refused in (writer.sync, lambda: append_batch(writer, ONE, 2, 1)):
        with pytest.raises(RecordingError, match="nothing more is recorded"):
            refused()
    assert writer.synced == Recording.open(tmp_path).synced() == synced
    writer.close()
    with writer_of(tmp_path) as again:  # what it holds is decided anew, from the disk
        append_batch(again, ONE, again.marks[ONE] + 1, 1)
    assert check(tmp_path).ok


def test_a_short_write_is_completed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer_of(tmp_path) as writer:
        append_batch(writer, ONE, 1, 3)
        with monkeypatch.context() as short:
            short.setattr(os, "writev", lambda descriptor, parts: os.write(descriptor, b"".join(parts)[:9]))
            writer.sync()
    assert [record.count for record in records(tmp_path)] == [3]


def test_a_failed_roll_leaves_everything_durable(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = writer_of(tmp_path, segment_bytes=10)
    append_batch(writer, ONE, 1, 1)
    with monkeypatch.context() as broken:
        broken.setattr(pathlib.Path, "rename", failing(errno.EIO))
        with pytest.raises(RecordingError, match="failed"):
            writer.sync()
    writer.close()
    with writer_of(tmp_path, segment_bytes=10) as again:
        assert again.marks == {ONE: 1}
        append_batch(again, ONE, 2, 1)
    assert len(records(tmp_path)) == 2
    assert len(segments(tmp_path)) == 2
