"""The extents of a stream as files: one's own, mapped; and what a dead process left, to be read.

Rules:
- Every file is allocated whole before it is mapped: a write into a hole of a file on a full disk would be a SIGBUS.
- The stream's directory is made with the first extent. Where that fails, and wherever files, locks or allocation don't
  work, the events are held in memory, and that is said once.
- Later, a failure means no room: it is said once, and tried again after RETRY_S.
- A stream's directory that somebody deleted is made again: what lay in it lives in the mappings, as long as we do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import logging
import mmap
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from embertrace.emit import spool_directory
from embertrace.emit.extent import scan
from embertrace.emit.spool import Extent
from embertrace.emit.spool_directory import EXTENT, Claim, Meta
from embertrace.emit.storage import EXTENT_BYTES, Memory, Room, extent_bytes_for

log = logging.getLogger("embertrace")

RETRY_S = 1.0
"""A full disk is asked again so often; an attempt costs a few system calls."""

NODE_S = 1.0
"""Age of the sum over all streams: with hundreds of them it takes milliseconds, and it need not be exact."""


class Files:
    """The storage of one producer's spool below `directory`; `node_bytes` bounds all streams in it together."""

    def __init__(self, directory: Path, producer: bytes, meta: Meta, capacity_bytes: int, node_bytes: int) -> None:
        self.extent_bytes = extent_bytes_for(capacity_bytes)
        self._directory = directory
        self._producer = producer
        self._meta = meta
        self._capacity = capacity_bytes
        self._node_bytes = node_bytes
        self._numbers = itertools.count()
        self._rooms: set[_MappedFile] = set()
        self._claim: Claim | None = None
        self._placing = threading.RLock()
        """Who emits and who sends may find at the same time that the directory is gone; a finaliser may amid that."""
        self._memory: Memory | None = None
        self._retry_at = 0.0
        self._node_held = 0
        self._node_asked_at = -NODE_S
        self._said = False

    @property
    def has_room(self) -> bool:
        if self._memory is not None:
            return self._memory.has_room
        return (len(self._rooms) + 1) * self.extent_bytes <= self._capacity and time.monotonic() >= self._retry_at

    def allocate(self) -> Room | None:
        """A mapped file; None where there is no room. The first call must return before there is a second."""
        if self._memory is not None:
            return self._memory.allocate()
        if not self.has_room:
            return None
        try:
            return self._map(self._place() / f"{next(self._numbers):08d}{EXTENT}")
        except OSError as error:
            if not self._rooms:
                return self._turn_to_memory(error)
            self._fail(error)
            return None

    def note_recording(self, recording: str) -> None:
        """The stream belongs to this recording from now on."""
        if recording == self._meta.recording:
            return
        self._meta = dataclasses.replace(self._meta, recording=recording)
        if self._claim is not None:
            try:
                self._claim.describe(self._meta)
            except OSError as error:
                log.warning("could not note the recording of %s: %s", self._claim.path, error)

    def note_acknowledged(self, mark: int) -> None:
        """Nothing that lies here is needed by anybody any more."""
        if self._claim is not None:
            with contextlib.suppress(OSError):  # then it is sent once more, and refused
                self._claim.acknowledge(mark)

    def close(self, delivered: bool) -> Path | None:
        """Delete the files, or leave them to whoever adopts them: then where they are."""
        kept = self._claim.path if self._claim is not None and not delivered and self._claim.path.is_dir() else None
        if self._claim is not None:
            if delivered:
                self._claim.delete()
            self._claim.release()
        return kept

    def _place(self) -> Path:
        """The stream's directory. Raises OSError."""
        with self._placing:
            if self._claim is not None and not self._claim.path.is_dir():
                log.warning(
                    "somebody deleted %s; undelivered events that lay there die with this process", self._claim.path
                )
                self._claim.release()
                self._claim = None
            if self._claim is None:
                self._claim = spool_directory.create(self._directory, self._producer, self._meta)
            return self._claim.path

    def _map(self, path: Path) -> Room:
        """Raises OSError."""
        if self._held_by_node() + self.extent_bytes > self._node_bytes:
            raise OSError(errno.EDQUOT, f"all streams may hold {self._node_bytes} bytes", str(self._directory))
        room = _MappedFile(self._rooms, path, map_ahead(path, self.extent_bytes))
        self._rooms.add(room)
        self._node_held += self.extent_bytes
        return room

    def _held_by_node(self) -> int:
        """Bytes of all streams in the directory, as of NODE_S ago at most."""
        now = time.monotonic()
        if now - self._node_asked_at >= NODE_S:
            self._node_asked_at = now
            self._node_held = spool_directory.held_bytes(self._directory)
        return self._node_held

    def _fail(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + RETRY_S
        if not self._said:
            self._said = True
            log.warning("the spool in %s can't grow: %s; events that don't fit are dropped", self._directory, error)

    def _turn_to_memory(self, error: OSError) -> Room | None:
        if self._claim is not None:
            self._claim.delete()
            self._claim = None
        log.warning("undelivered events are held in memory, and die with this process: %s", error)
        self._memory = Memory(self._capacity)
        return self._memory.allocate()


def map_ahead(path: Path, size: int) -> mmap.mmap:
    """A new file of `size` bytes, all of them allocated, mapped. Raises OSError, and leaves no file then."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if not hasattr(os, "posix_fallocate"):
            raise OSError(errno.ENOTSUP, "this system can't allocate files ahead", str(path))
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


class _MappedFile:
    """A file that counts as long as it is in `rooms`."""

    def __init__(self, rooms: set[_MappedFile], path: Path, buffer: mmap.mmap) -> None:
        self.buffer = buffer
        self._path = path
        self._rooms = rooms

    def free(self) -> None:
        self._rooms.discard(self)
        self.buffer.close()
        try:
            self._path.unlink()
        except OSError:  # it goes with the stream's directory
            pass


class LeftFile:
    """An extent that a dead process left. Its bytes are read into memory: a bad block is an error here, and a SIGBUS in
    a mapped file."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._buffer: mmap.mmap | None = None

    @property
    def buffer(self) -> mmap.mmap:
        """Its bytes, kept until `free`, with the position behind them. Raises OSError."""
        if self._buffer is None:
            data = _read(self._path)
            if len(data) != self._size:
                raise OSError(errno.EIO, "somebody changed it", str(self._path))
            self._buffer = mmap.mmap(-1, self._size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._buffer.write(data)
        return self._buffer

    def free(self) -> None:
        self._buffer = None
        self._path.unlink(missing_ok=True)


def load(path: Path, producer: bytes) -> Extent | None:
    """What is whole in an extent's file; None where that is nothing, or not the producer's.

    Raises OSError, and VersionError. What it has read is read again when it is wanted.
    """
    data = _read(path)
    found = scan(data)
    if found is None or found.producer != producer:
        return None
    return Extent(LeftFile(path, len(data)), found.first_seq, found.end, found.events, found.dropped)


def _read(path: Path) -> bytes:
    """Raises OSError."""
    with path.open("rb") as file:
        return file.read(EXTENT_BYTES)


def in_order(extents: Iterable[Extent]) -> list[Extent]:
    """A stream's extents by their seqs. Seqs missing between two count as dropped; one that overlaps is left out."""
    ordered: list[Extent] = []
    for extent in sorted(extents, key=lambda extent: (extent.first, extent.end)):
        if ordered and extent.first < ordered[-1].events_end:
            continue
        if ordered:
            ordered[-1].dropped = extent.first - ordered[-1].events_end
        ordered.append(extent)
    return ordered
