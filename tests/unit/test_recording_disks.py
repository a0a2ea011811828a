"""The writer on disks that fill up or fail: what is acknowledged is there, once, and a failed sync is final."""

from __future__ import annotations

import errno
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from embertrace.errors import NoSpaceError, RecordingError
from embertrace.recording import Disk, Recording, RecordingWriter, check
from support.disks import FailingDisk, FullDisk
from support.recordings import ONE, append_batch, records, segments, ticking


def writer_on(disk: Disk, directory: pathlib.Path, **options: Any) -> RecordingWriter:
    return RecordingWriter(directory, name="n", clock_ns=ticking(), disk=disk, **options)


def seqs(directory: pathlib.Path) -> list[int]:
    return [seq for record in records(directory) for seq in range(record.first_seq, record.last_seq + 1)]


@pytest.mark.parametrize("space", range(0, 600, 7))
def test_without_space_nothing_is_lost_and_it_goes_on_when_there_is(space: int, tmp_path: pathlib.Path) -> None:
    disk = FullDisk(1000)
    with writer_on(disk, tmp_path) as writer:
        append_batch(writer, ONE, 1, 1)
        synced = writer.sync()
        disk.space = space
        append_batch(writer, ONE, 2, 5)
        append_batch(writer, ONE, 7, 1)
        if space >= writer.position - synced:
            writer.sync()
        for _ in range(3 if writer.synced == synced else 0):
            with pytest.raises(NoSpaceError, match=r"there is no space to write .*No space left on device"):
                writer.sync()
            assert writer.synced == Recording.open(tmp_path).synced() == Recording.open(tmp_path).end() == synced
            assert seqs(tmp_path) == [1]
        disk.space = 1000
        append_batch(writer, ONE, 8, 1)
        assert writer.sync() == writer.position
        assert writer.marks == {ONE: 8}
    assert seqs(tmp_path) == list(range(1, 9))
    assert check(tmp_path).ok


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two or three of the records here are written by `append`."""
    monkeypatch.setattr("embertrace.recording.writer.PORTION_BYTES", 200)


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("space", range(0, 1800, 23))
def test_a_portion_without_space_waits_for_the_sync(space: int, tmp_path: pathlib.Path) -> None:
    disk = FullDisk(1000)
    with writer_on(disk, tmp_path) as writer:
        append_batch(writer, ONE, 1, 1)
        synced = writer.sync()
        disk.space = space
        for seq in range(2, 20):
            append_batch(writer, ONE, seq, 1)
        assert writer.synced == Recording.open(tmp_path).synced() == synced
        assert disk.failed <= 1, "one failure is enough to know"
        assert len(records(tmp_path)) > 1 or space < 300
        for _ in range(3 if space < writer.position - synced else 0):
            with pytest.raises(NoSpaceError, match="there is no space to write"):
                writer.sync()
            assert writer.synced == Recording.open(tmp_path).synced() == synced
        disk.space = 10_000
        append_batch(writer, ONE, 20, 1)
        assert writer.sync() == writer.position == Recording.open(tmp_path).synced()
    assert seqs(tmp_path) == list(range(1, 21))
    assert check(tmp_path).ok


@pytest.mark.usefixtures("small_portions")
def test_portions_are_written_again_once_there_is_space(tmp_path: pathlib.Path) -> None:
    disk = FullDisk(100)
    with writer_on(FullDisk(1000), tmp_path) as writer:
        writer._disk = disk
        for seq in range(1, 10):
            append_batch(writer, ONE, seq, 1)
        disk.space = 10_000
        writer.sync()
        held = disk.space
        for seq in range(10, 20):
            append_batch(writer, ONE, seq, 1)
        assert disk.space < held


@pytest.mark.usefixtures("small_portions")
def test_a_portion_that_fails_is_final(tmp_path: pathlib.Path) -> None:
    disk = FailingDisk("write", 4)  # the manifest, a segment, a portion
    writer = writer_on(disk, tmp_path)
    with pytest.raises(RecordingError, match="nothing more is recorded; see to the disk"):
        for seq in range(1, 20):
            append_batch(writer, ONE, seq, 1)
    for refused in (writer.sync, lambda: append_batch(writer, ONE, seq, 1)):
        with pytest.raises(RecordingError, match="nothing more is recorded"):
            refused()
    assert (disk.calls, Recording.open(tmp_path).synced()) == (4, writer.synced)
    writer.close()
    assert disk.calls == 4, "a failure is never tried again"
    with writer_on(Disk(), tmp_path) as anew:
        append_batch(anew, ONE, anew.marks[ONE] + 1, 1)
    assert check(tmp_path).ok


@pytest.mark.usefixtures("small_portions")
def test_a_portion_that_is_interrupted_is_final(tmp_path: pathlib.Path) -> None:
    class Interrupted(Disk):
        def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
            super().write(descriptor, [b"".join(parts)[:9]])
            raise KeyboardInterrupt

    writer = writer_on(Disk(), tmp_path)
    writer._disk = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        for seq in range(1, 20):
            append_batch(writer, ONE, seq, 1)
    with pytest.raises(RecordingError, match="was interrupted"):
        writer.sync()
    writer.close()
    with writer_on(Disk(), tmp_path) as anew:
        assert anew.recovered == 9
    assert check(tmp_path).ok


def test_a_writer_closed_without_space_says_so_and_lets_go(tmp_path: pathlib.Path) -> None:
    disk = FullDisk(1000)
    writer = writer_on(disk, tmp_path)
    append_batch(writer, ONE, 1, 1)
    writer.sync()
    disk.space = 10
    append_batch(writer, ONE, 2, 1)
    with pytest.raises(NoSpaceError):
        writer.close()
    with writer_on(Disk(), tmp_path) as again:
        assert again.marks == {ONE: 1}
    assert check(tmp_path).ok


def test_without_space_for_a_new_segment_the_old_one_goes_on(tmp_path: pathlib.Path) -> None:
    disk = FullDisk(10_000)
    with writer_on(disk, tmp_path, segment_bytes=300) as writer:
        for seq in range(1, 4):
            append_batch(writer, ONE, seq, 1)
        disk.space = writer.position - writer.synced
        writer.sync()  # durable, to the last byte of the disk
        assert (len(segments(tmp_path)), disk.failed) == (1, 1)
        disk.space = 10_000
        append_batch(writer, ONE, 4, 1)
        writer.sync()
        assert [path.name[-4:] for path in segments(tmp_path)] == [".seg", ".seg"]
        append_batch(writer, ONE, 5, 1)
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]
    assert check(tmp_path).ok


def test_without_space_at_the_start_it_says_so(tmp_path: pathlib.Path) -> None:
    writer_on(Disk(), tmp_path / "other").close()
    stated = (tmp_path / "other" / "recording.json").stat().st_size
    for space in (0, 50, stated + 10, 10):
        with pytest.raises(RecordingError, match="No space left on device"):
            writer_on(FullDisk(space), tmp_path / "rec")
    with writer_on(Disk(), tmp_path / "rec") as writer:
        append_batch(writer, ONE, 1, 1)
    assert seqs(tmp_path / "rec") == [1]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        *((operation, errno.EIO) for operation in ("write", "sync_data", "sync", "rename", "sync_directory")),
        ("sync_data", errno.ENOSPC),  # too late to undo: what was written may or may not be there
    ],
)
@pytest.mark.parametrize("place", [1, 2, 3])
def test_any_other_failure_is_final_and_opening_anew_has_what_was_acknowledged(
    operation: str, code: int, place: int, tmp_path: pathlib.Path
) -> None:
    with writer_on(Disk(), tmp_path) as writer:
        append_batch(writer, ONE, 1, 1)
    disk = FailingDisk(operation, place + (operation in ("write", "sync")), code)  # opening does one of these
    writer = writer_on(disk, tmp_path, segment_bytes=300)
    acknowledged, seq = 1, 1
    with pytest.raises(RecordingError, match="nothing more is recorded; see to the disk") as raised:
        for seq in range(2, 20):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
            acknowledged = seq
    assert not isinstance(raised.value, NoSpaceError)
    calls = disk.calls
    for refused in (writer.sync, lambda: append_batch(writer, ONE, seq, 1)):
        with pytest.raises(RecordingError, match="nothing more is recorded"):
            refused()
    writer.close()
    assert disk.calls == calls, "a failure is never tried again"
    with writer_on(Disk(), tmp_path, segment_bytes=300) as anew:
        assert acknowledged <= anew.marks[ONE] <= seq
        append_batch(anew, ONE, anew.marks[ONE] + 1, 1)
    assert seqs(tmp_path) == list(range(1, anew.marks[ONE] + 1))
    assert check(tmp_path).ok


def test_a_cut_that_fails_is_final(tmp_path: pathlib.Path) -> None:
    class Both(FullDisk):
        def cut(self, descriptor: int, size: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

    disk = FullDisk(1000)
    writer_on(disk, tmp_path).close()
    with pytest.raises(RecordingError, match="can't be opened"):
        writer_on(Both(1000), tmp_path)
    writer = writer_on(disk, tmp_path)
    writer._disk = Both(3)
    append_batch(writer, ONE, 1, 1)
    for _ in range(2):
        with pytest.raises(RecordingError, match="nothing more is recorded"):
            writer.sync()
    writer.close()
    assert check(tmp_path).ok
