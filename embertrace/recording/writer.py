"""Appending to a recording: one writer, group commit, segments that roll.

Rules:
- `append` only collects; `sync` writes, makes durable and publishes. What is acknowledged was synced before.
- The first failure is the last operation: a write or fsync that failed is never tried again, because the system may
  already have dropped the data. The writer refuses everything from then on; opening anew finds out what is there.
- Positions only grow, and name the same bytes for good.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from embertrace.errors import RecordingError
from embertrace.recording.files import (
    LOCK,
    MANIFEST,
    SEGMENTS,
    TEMPORARY,
    create_durably,
    read_segment,
    segment_bases,
    segment_path,
    sync_directory,
    write_all,
)
from embertrace.recording.layout import RECORD_HEADER_BYTES, pack_record_header, pack_segment_header
from embertrace.recording.manifest import Manifest, check_name, read_manifest, write_manifest
from embertrace.recording.recovery import note_mark, recover
from embertrace.recording.synced import SyncedPosition

SEGMENT_BYTES = 64 * 1024 * 1024
"""Large enough that headers and names cost nothing; small enough to be read whole, and dropped by retention."""


class RecordingWriter:
    """The one writer of the recording in a directory. Not thread-safe: one thread appends and syncs.

    `id`, `name`, `created` say which recording it is. `marks` maps each producer (16 bytes) to the last seq recorded
    or declared lost. `position` is the end of what was appended, `synced` of what is durable. `recovered` is how
    many bytes of a torn tail were cut when it was opened, `begun` what the producers had said of themselves (the
    payload of their begin) that had not ended then.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        name: str | None = None,
        clock_ns: Callable[[], int],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Create the recording, or open it and recover. `clock_ns` gives Unix nanoseconds.

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
        self._pending: list[bytes] = []
        self._refusal: str | None = None
        self._lock = self._descriptor = -1
        self._published: SyncedPosition | None = None
        self.marks: dict[bytes, int] = {}
        self.begun: dict[bytes, bytes] = {}
        self.position = self.synced = self.recovered = self._base = 0
        try:
            _make_directory(self.directory)
            self._lock = _lock(self.directory)
            self.id, self.name, self.created = self._identify(name)
            self._published = SyncedPosition(self.directory, writable=True)
            self._resume()
        except OSError as error:
            self._release()
            reason = error.strerror or error
            raise RecordingError(f"{self.directory} can't be opened for writing: {reason}") from error
        except BaseException:
            self._release()
            raise

    @property
    def received_ns(self) -> int:
        """When the last record was appended, by whichever writer: Unix nanoseconds; 0 for an empty recording."""
        return self._now_ns

    def append(
        self, kind: int, producer: bytes, first_seq: int, count: int, payload: bytes, payload_crc: int | None = None
    ) -> int:
        """Collect one record; returns its position. Nothing is written before `sync`.

        `payload_crc` is taken at its word where given, so that a check made on receipt holds for the disk too.
        Raises ValueError for what the format can't hold, RecordingError after a failure or `close`.
        """
        if self._refusal is not None:
            raise RecordingError(self._refusal)
        position = self.position
        self._now_ns = max(self._now_ns + 1, self._clock_ns())  # a clock that is set back must not change their order
        header = pack_record_header(kind, self._now_ns, producer, first_seq, count, payload, position, payload_crc)
        self._pending += (header, payload)
        self.position = position + RECORD_HEADER_BYTES + len(payload)
        note_mark(self.marks, kind, producer, first_seq + count - 1)
        return position

    def sync(self) -> int:
        """Make all that was appended durable, publish that, and return the position. With nothing new it is free.

        Rolls to a new segment when this one is full. Raises RecordingError if the system fails to write or to sync,
        and on every call from then on.
        """
        if self._refusal is not None:
            raise RecordingError(self._refusal)
        if not self._pending:
            return self.synced
        self._refusal = f"writing {self.directory} was interrupted; open the recording anew"
        try:
            write_all(self._descriptor, self._pending)
            os.fdatasync(self._descriptor)
            self._publish()
            if self.position - self._base >= self._segment_bytes:
                self._roll()
        except OSError as error:
            self._refusal = (
                f"writing {self.directory} failed ({error.strerror or error}): nothing more is recorded; "
                "see to the disk and open the recording anew"
            )
            raise RecordingError(self._refusal) from error
        self._pending = []
        self._refusal = None
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

    def _identify(self, name: str | None) -> Manifest:
        """Read what the recording is, or make it one."""
        if not (self.directory / MANIFEST).exists():
            called = name if name is not None else self.directory.resolve().name
            fresh = Manifest(secrets.token_hex(16), check_name(called), self._clock_ns() / 1e9)
            write_manifest(self.directory, fresh)
            return fresh
        found = read_manifest(self.directory)
        if name is not None and name != found.name:
            raise RecordingError(
                f"{self.directory} is the recording {found.name!r}, not {name!r}: use its name or another directory"
            )
        return found

    def _resume(self) -> None:
        """Go on where the last valid record ends."""
        (self.directory / SEGMENTS).mkdir(exist_ok=True)
        sync_directory(self.directory)
        for leftover in (self.directory / SEGMENTS).glob(f"*{TEMPORARY}"):
            leftover.unlink()
        bases = segment_bases(self.directory)
        if not bases:
            self._begin_segment(0)
            return
        assert self._published is not None
        found = recover(bases, lambda base: read_segment(self.directory, base), self._published.load())
        self.marks, self.position, self.recovered, self._base = found.marks, found.end, found.cut, bases[-1]
        self.begun, self._now_ns = found.begun, found.last_ns
        self._descriptor = os.open(segment_path(self.directory, self._base), os.O_WRONLY)
        os.ftruncate(self._descriptor, found.end - self._base)
        os.lseek(self._descriptor, found.durable - self._base, os.SEEK_SET)
        write_all(self._descriptor, [found.again])
        os.fsync(self._descriptor)
        self._publish()

    def _roll(self) -> None:
        """Seal this segment and begin the next where it ends."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._begin_segment(self.position)

    def _begin_segment(self, base: int) -> None:
        header = pack_segment_header(base, self._clock_ns(), self.marks)
        self._descriptor = create_durably(segment_path(self.directory, base), header)
        self._base, self.position = base, base + len(header)
        self._publish()

    def _publish(self) -> None:
        assert self._published is not None
        self._published.store(self.position)
        self.synced = self.position

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


def _make_directory(directory: Path) -> None:
    """The directory, if it may hold a recording: new, empty, or a recording already (or the beginnings of one)."""
    if directory.exists() and not directory.is_dir():
        raise RecordingError(f"{directory} is a file; a recording is a directory: choose another path")
    directory.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in directory.iterdir()}
    if MANIFEST not in names and names - {LOCK, MANIFEST + TEMPORARY}:
        raise RecordingError(
            f"{directory} is not empty and no recording (it has no {MANIFEST}): choose a new or an empty directory"
        )
    sync_directory(directory.parent)


def _lock(directory: Path) -> int:
    """The descriptor that holds the lock. The kernel lets go of it when the process dies, however it dies.

    A forked child would hold it on: a writer's process starts others with exec, which closes the descriptor.
    """
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = re.match(rb"[0-9]{1,10}", os.pread(descriptor, 32, 0))
            who = f" (process {holder[0].decode()})" if holder else ""
            raise RecordingError(
                f"{directory} is being written by another aggregator{who}: stop that one or choose another directory"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
