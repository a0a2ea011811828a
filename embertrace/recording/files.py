"""The files of a recording: their names, and the few operations on them that must be durable or bounded.

    recording.json               what it is (see manifest)
    lock                         held with flock by the writer; its text is the writer's process id
    removed.json                 what retention removed of it (see removed); not there before it did
    removed.json.tmp             space for the next removed.json, where there is retention
    synced                       8 bytes: up to which position the data is durable (see synced)
    segments/<base>.seg          the data; <base> is the position of the file's first byte, in 20 digits
    segments/<base>.segz         the same of a sealed segment, packed (see packed)

Files appear whole under their names: they are written beside them first (".tmp"), synced and renamed.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import re
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embertrace.recording.packed import PackedSegment

MANIFEST = "recording.json"
LOCK = "lock"
SYNCED = "synced"
REMOVED = "removed.json"
SEGMENTS = "segments"
TEMPORARY = ".tmp"
_SEGMENT_NAME = re.compile(r"([0-9]{20})\.segz?")
_MOST_PARTS = 1024
"""IOV_MAX on Linux: more parts in one writev are refused."""


def segment_path(directory: Path, base: int) -> Path:
    """Where the segment that begins at position `base` is."""
    return directory / SEGMENTS / f"{base:020d}.seg"


def packed_path(directory: Path, base: int) -> Path:
    """Where the same segment is once it is packed."""
    return directory / SEGMENTS / f"{base:020d}.segz"


def segment_paths(directory: Path, base: int) -> list[Path]:
    """Its files: one, none if it is gone, or two, if packing it was interrupted. Readers take the first."""
    return [path for path in (segment_path(directory, base), packed_path(directory, base)) if path.exists()]


def place_in(bases: Sequence[int], position: int) -> tuple[str, int]:
    """Where a position is, given the segments' bases: the file, relative to the recording, and the offset in it.

    What lies before the first base is in a file that is not there, and has no better name than its own position.
    """
    index = bisect.bisect_right(bases, position) - 1
    base = bases[index] if index >= 0 else position
    return f"{SEGMENTS}/{base:020d}.seg", position - base


def segment_bases(directory: Path) -> list[int]:
    """The bases of the segments there are, ascending; other files are ignored. No directory has none."""
    try:
        names = [path.name for path in (directory / SEGMENTS).iterdir()]
    except FileNotFoundError:
        return []
    return sorted({int(match[1]) for match in map(_SEGMENT_NAME.fullmatch, names) if match})


def read_segment(directory: Path, base: int, offset: int = 0, stop: int | None = None) -> bytes:
    """The bytes of a segment from an offset up to another (or its end), fewer if there are fewer. Raises OSError."""
    try:
        file = segment_path(directory, base).open("rb", buffering=0)
    except FileNotFoundError:
        return _packed(directory, base).read(offset, stop)
    with file:
        return _read(file, offset, stop)


class OpenSegment:
    """A segment to be read in pieces, whatever becomes of its file meanwhile; one that is gone already is empty.

    `length` is how many bytes it had when it was opened. Of one that is packed the packed bytes are in memory, and one
    block of what they unpack to. All raise OSError.
    """

    def __init__(self, directory: Path, base: int) -> None:
        self._file: FileIO | None = None
        self._packed: PackedSegment | None = None
        self.length = 0
        try:
            self._file = segment_path(directory, base).open("rb", buffering=0)
            self.length = os.fstat(self._file.fileno()).st_size
        except FileNotFoundError:
            with contextlib.suppress(FileNotFoundError):
                self._packed = _packed(directory, base)
                self.length = self._packed.length

    def __enter__(self) -> OpenSegment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, offset: int, stop: int) -> bytes:
        """The bytes from an offset up to another, fewer if there are fewer."""
        if self._file is not None:
            return _read(self._file, offset, stop)
        return self._packed.read(offset, stop) if self._packed is not None else b""


def segment_length(directory: Path, base: int) -> int:
    """How many bytes the segment has, unpacked if it is packed. Raises OSError."""
    try:
        return segment_path(directory, base).stat().st_size
    except FileNotFoundError:
        packed = packed_path(directory, base).read_bytes()
    from embertrace.recording.packed import unpacked_length

    return unpacked_length(packed, base)


def _read(file: FileIO, offset: int, stop: int | None) -> bytes:
    """Read, not mapped: a mapped file that is cut or has a bad disk block kills its reader with SIGBUS."""
    size = os.fstat(file.fileno()).st_size
    length = max(0, (size if stop is None else min(stop, size)) - offset)
    parts = []
    file.seek(offset)
    while length > 0 and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _packed(directory: Path, base: int) -> PackedSegment:
    """Of a segment without a plain file. Packing makes the packed one before it removes that: one of them is there."""
    packed = packed_path(directory, base).read_bytes()
    from embertrace.recording.packed import PackedSegment  # loads numpy, which most writers never need

    return PackedSegment(packed, base)


def write_all(descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
    """Write all of `parts` in order at the descriptor's offset, without joining them first. Raises OSError."""
    for begin in range(0, len(parts), _MOST_PARTS):
        group = parts[begin : begin + _MOST_PARTS]
        written = os.writev(descriptor, group)
        if written < sum(map(len, group)):
            rest = memoryview(b"".join(group))[written:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Disk:
    """The operations on files whose failure a writer must survive: the one door at which a test can make them fail.

    Stateless. Every method raises OSError.
    """

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        """Write all of `parts` at the descriptor's offset."""
        write_all(descriptor, parts)

    def cut(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes, and go on there."""
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)

    def sync_data(self, descriptor: int) -> None:
        """Make what was written durable, and the file's size."""
        os.fdatasync(descriptor)

    def sync(self, descriptor: int) -> None:
        """As `sync_data`, and all else that is known of the file."""
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def sync_directory(self, directory: Path) -> None:
        """Make the names in a directory durable."""
        sync_directory(directory)


DISK = Disk()


def create_beside(path: Path, content: bytes, disk: Disk = DISK) -> int:
    """A synced file of this content under a temporary name; returns a descriptor at its end. Raises OSError.

    Nothing is left of it where it fails.
    """
    beside = path.with_name(path.name + TEMPORARY)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        disk.write(descriptor, [content])
        disk.sync(descriptor)
    except BaseException:
        os.close(descriptor)
        beside.unlink(missing_ok=True)
        raise
    return descriptor


def give_name(path: Path, disk: Disk = DISK) -> None:
    """What was created beside `path` appears there, durably. Raises OSError."""
    disk.rename(path.with_name(path.name + TEMPORARY), path)
    disk.sync_directory(path.parent)


def create_durably(path: Path, content: bytes, disk: Disk = DISK) -> int:
    """A file of this content appears at `path`, durably; returns a descriptor at its end. Raises OSError."""
    descriptor = create_beside(path, content, disk)
    try:
        give_name(path, disk)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_durably(path: Path, content: bytes, disk: Disk = DISK) -> None:
    """As `create_durably`, and done with the file."""
    os.close(create_durably(path, content, disk))
