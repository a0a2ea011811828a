"""Appending to a recording: one writer, group commit, segments that roll.

The states of a writer:

    open ── sync ──▶ open              what was appended is durable, and may be acknowledged
    open ── sync, no space ──▶ full    nothing of it is; what was appended is kept
    full ── sync ──▶ open or full      the same again, of what was not written whole
    open, full ── any other failure, or a deleted file ──▶ failed
    open, full ── close ──▶ closed     after a last sync

and of a segment: written under a temporary name, synced, named, its directory synced; appended to, synced each time;
sealed by one more sync when it is full, and never touched again. The next one begins (with the marks of all producers,
and the begins of those that live, so that it can be understood without the ones before) before it is let go of: where
there is no space for that header, the old one is simply longer.

Rules:
- `append` collects, and writes portions; `sync` writes the rest, makes durable and publishes. What is acknowledged was
  synced before.
- A write without space is undone, by cutting the file back to where it began, and may be tried again: nothing of it
  was believed. `append` leaves that to the next `sync`. Every other failure is the last operation: what a failed sync
  left on the disk is not known, and the system may have dropped the data, so that the same sync tried again would
  succeed without them. The writer refuses everything from then on; opening anew finds out what is there, and writes it
  once more.
- Positions only grow, and name the same bytes for good.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from embertrace.errors import NoSpaceError, RecordingError
from embertrace.recording.claim import make_directory, take_lock
from embertrace.recording.files import (
    DISK,
    SEGMENTS,
    TEMPORARY,
    Disk,
    create_beside,
    give_name,
    read_segment,
    segment_bases,
    segment_length,
    segment_path,
    sync_directory,
)
from embertrace.recording.layout import RECORD_HEADER_BYTES, pack_record_header
from embertrace.recording.manifest import make_recording
from embertrace.recording.recovery import note_life, note_mark, recover, segment_head
from embertrace.recording.synced import SyncedPosition

SEGMENT_BYTES = 64 * 1024 * 1024
"""Large enough that headers and names cost nothing; small enough to be read whole, and dropped by retention."""
PORTION_BYTES = 256 * 1024
"""What was appended is written when it is as much, and the memory it takes is soon used again. Written all at once
before the sync, an event took nearly twice the CPU: probably since by then it had left the processor's cache."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class RecordingWriter:
    """The one writer of the recording in a directory. Not thread-safe: one thread appends and syncs.

    `id`, `name`, `created` say which recording it is. `marks` maps each producer (16 bytes) to the last seq recorded
    or declared lost. `position` is the end of what was appended, `synced` of what is durable, `base` where the segment
    that is being written begins. `begun` is what the producers that have not ended said of themselves (the payload of
    their begin). Of the time when it was opened: `recovered` is how many bytes of a torn tail were cut, `missing` how
    many had been durable and were gone.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        name: str | None = None,
        clock_ns: Callable[[], int],
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk = DISK,
    ) -> None:
        """Create the recording, or open it and recover. `clock_ns` gives Unix nanoseconds, `disk` does what can fail.

        A new recording is called `name`, else as its directory; for an old one `name` must be its own, or None. A
        segment is sealed by the first sync that leaves it with `segment_bytes` or more.

        Raises RecordingError if another writer has it, if it is of a newer format or another name, if the directory
        holds something else, or if the system refuses.
        """
        if segment_bytes < 1:
            raise ValueError(f"segment_bytes is {segment_bytes}; it must be at least 1")
        self.directory = Path(directory)
        self._clock_ns = clock_ns
        self._now_ns = 0
        self._segment_bytes = segment_bytes
        self._disk = disk
        self._pending: list[bytes | memoryview] = []
        self._written = 0
        """Up to which position everything is in the file; what comes after it is pending."""
        self._is_full = False
        self._refusal: str | None = None
        self._lock = self._descriptor = -1
        self._published: SyncedPosition | None = None
        self.id = self.name = ""
        self.created = 0.0
        self.marks: dict[bytes, int] = {}
        self.begun: dict[bytes, bytes] = {}
        self.position = self.synced = self.recovered = self.missing = self.base = 0
        self._open(name)

    @property
    def received_ns(self) -> int:
        """When the last record was appended, by whichever writer: Unix nanoseconds; 0 for an empty recording."""
        return self._now_ns

    def append(
        self, kind: int, producer: bytes, first_seq: int, count: int, payload: bytes | memoryview,
        payload_crc: int | None = None,
    ) -> int:  # fmt: skip
        """Collect one record; returns its position. Nothing is durable before `sync`.

        `payload_crc` is taken at its word where given, so that a check made on receipt holds for the disk too. The
        payload must not change before `sync`. Raises ValueError for what the format can't hold, RecordingError if the
        system fails, and after that or `close`.
        """
        if self._refusal is not None:
            raise RecordingError(self._refusal)
        position = self.position
        self._now_ns = max(self._now_ns + 1, self._clock_ns())  # a clock that is set back must not change their order
        header = pack_record_header(kind, self._now_ns, producer, first_seq, count, payload, position, payload_crc)
        self._pending += (header, payload)
        self.position = position + RECORD_HEADER_BYTES + len(payload)
        note_mark(self.marks, kind, producer, first_seq + count - 1)
        note_life(self.begun, kind, producer, payload)
        if self.position - self._written >= PORTION_BYTES and not self._is_full:
            with contextlib.suppress(NoSpaceError), self._guarded():
                self._write_pending()
        return position

    def sync(self) -> int:
        """Make all that was appended durable, publish that, and return the position. With nothing new it is free.

        Rolls to a new segment when this one is full. Raises NoSpaceError where there is no space to write: what was
        appended is kept, and the next call tries again. Raises RecordingError if the system fails otherwise, and on
        every call from then on.
        """
        if self._refusal is not None:
            raise RecordingError(self._refusal)
        if self.position == self.synced:
            return self.synced
        with self._guarded():
            self._write_pending()
            self._disk.sync_data(self._descriptor)
            self._require_name()
            self._publish()
            if self.position - self.base >= self._segment_bytes:
                self._roll()
        return self.synced

    def close(self) -> None:
        """Sync what is left, unless the writer has failed, and let go of the recording. Once is enough.

        Raises RecordingError as `sync` does; the recording is let go of all the same.
        """
        try:
            if self._refusal is None:
                self.sync()
        finally:
            self._release()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, name: str | None) -> None:
        try:
            make_directory(self.directory)
            self._lock = take_lock(self.directory)
            self.id, self.name, self.created = make_recording(self.directory, name, self._clock_ns, self._disk)
            self._published = SyncedPosition(self.directory, writable=True)
            self._resume()
        except OSError as error:
            self._release()
            reason = error.strerror or error
            raise RecordingError(
                f"{self.directory} can't be opened for writing: {reason}; a recording is written in a directory with "
                "write permission and free space"
            ) from error
        except BaseException:
            self._release()
            raise

    def _resume(self) -> None:
        """Go on where the last valid record ends."""
        (self.directory / SEGMENTS).mkdir(exist_ok=True)
        sync_directory(self.directory)
        for leftover in (self.directory / SEGMENTS).glob(f"*{TEMPORARY}"):
            leftover.unlink()
        bases = segment_bases(self.directory)
        assert self._published is not None
        if not bases:
            self.missing = self._published.load()
            self._begin_segment(0)
            return
        found = recover(bases, lambda base: read_segment(self.directory, base), self._published.load())
        self.marks, self.position, self.recovered, self.base = found.marks, found.end, found.cut, bases[-1]
        self.begun, self._now_ns, self.missing = found.begun, found.last_ns, found.missing
        if not segment_path(self.directory, self.base).exists():  # it was packed, and thereby sealed
            self._begin_segment(max(found.end, self.base + segment_length(self.directory, self.base)))
            return
        self._descriptor = os.open(segment_path(self.directory, self.base), os.O_WRONLY)
        self._disk.cut(self._descriptor, found.end - self.base)
        os.lseek(self._descriptor, found.durable - self.base, os.SEEK_SET)
        self._disk.write(self._descriptor, [found.again])
        self._disk.sync(self._descriptor)
        self._publish()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """What fails in this block, or is interrupted, is the last operation; to be without space is no failure."""
        self._refusal = f"writing {self.directory} was interrupted; open the recording anew"
        try:
            yield
        except NoSpaceError:
            self._refusal = None
            raise
        except OSError as error:
            self._refusal = (
                f"writing {self.directory} failed ({error.strerror or error}): nothing more is recorded; "
                "see to the disk and open the recording anew"
            )
            raise RecordingError(self._refusal) from error
        self._refusal = None

    def _write_pending(self) -> None:
        """Write what was appended; without space for it, as if it had not been tried."""
        try:
            self._disk.write(self._descriptor, self._pending)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            self._is_full = True
            self._disk.cut(self._descriptor, self._written - self.base)
            raise NoSpaceError(f"there is no space to write {self.directory}: {error.strerror}") from error
        self._pending, self._written, self._is_full = [], self.position, False

    def _require_name(self) -> None:
        """What is written into a file that somebody deleted is durable, and gone with this process."""
        if not os.fstat(self._descriptor).st_nlink:
            self._refusal = (
                f"{segment_path(self.directory, self.base)} was deleted while it was written: what was recorded in it "
                "is lost, nothing more is recorded; open the recording anew to go on"
            )
            raise RecordingError(self._refusal)

    def _roll(self) -> None:
        """Seal this segment and begin the next where it ends; without space for that, this one goes on."""
        self._disk.sync(self._descriptor)
        sealed = self._descriptor
        try:
            self._begin_segment(self.position)
        except NoSpaceError:
            return
        os.close(sealed)

    def _begin_segment(self, base: int) -> None:
        self._now_ns = max(self._now_ns, self._clock_ns())
        head = segment_head(base, self._now_ns, self.marks, self.begun)
        self._now_ns += len(self.begun)
        path = segment_path(self.directory, base)
        try:
            descriptor = create_beside(path, head, self._disk)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise NoSpaceError(f"there is no space for {path}: {error.strerror}") from error
        try:
            give_name(path, self._disk)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self.base, self.position = descriptor, base, base + len(head)
        self._publish()

    def _publish(self) -> None:
        assert self._published is not None
        self._published.store(self.position)
        self.synced = self._written = self.position

    def _release(self) -> None:
        self._refusal = self._refusal or f"the writer of {self.directory} is closed"
        self._pending = []
        if self._published is not None:
            self._published.close()
            self._published = None
        for descriptor in (self._descriptor, self._lock):  # the lock goes last
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1
