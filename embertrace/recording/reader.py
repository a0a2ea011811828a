"""Reading a recording: all of it, while it is written too.

Rules:
- Damage never raises: it comes as a Damage between the records, in its place, and the records after it follow.
- A reader takes no lock and writes nothing. It may read while a writer appends, rolls, or recovers.
- What retention removed is passed over and is no damage; a segment that is gone without its word is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from embertrace.errors import RecordingError
from embertrace.recording.files import (
    REMOVED,
    OpenSegment,
    read_segment,
    segment_bases,
    segment_length,
    segment_path,
)
from embertrace.recording.layout import (
    SEGMENT_HEADER_BYTES,
    Damage,
    Record,
    SegmentHeader,
    scan,
    scan_segment,
    segment_header_bytes,
    unpack_segment_header,
)
from embertrace.recording.manifest import Manifest, read_manifest
from embertrace.recording.removed import Removed, read_removed
from embertrace.recording.synced import SyncedPosition

MISSING_SEGMENT = "a segment is missing"
PIECE_BYTES = 960 * 1024
"""How much of a segment is read at once. Memory of this size is used again and again; a segment's worth of fresh memory
costs four times what reading into it does. A record is rarely longer."""

Items = Generator[Record | Damage, None, int]
"""What is in a stretch of a segment, and at the end the position that was reached."""


class Recording:
    """A recording on disk, to be read. `id`, `name`, `created` (Unix seconds) and `directory` say which.

    Threads may share one: its methods keep no state between calls.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.id, self.name, self.created = manifest
        self._published: SyncedPosition | None = None

    @classmethod
    def open(cls, path: str | Path) -> Recording:
        """The recording at `path`. Raises RecordingError if there is none, or one of a newer format."""
        directory = Path(path)
        return cls(directory, read_manifest(directory))

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[Record | Damage]:
        """What begins from position `start` on and before `stop` (default: the end, as it is when reached), in order.

        `start` is the position of a record, the end of one, or 0. Every stretch that can't be read comes as one
        Damage (two where it spans segments); the torn end of a write that was cut short has `tail` set. An empty
        recording yields nothing. Holds about a MiB in memory; of a packed segment its packed bytes and some ten MiB.
        Raises RecordingError if the system can't read a file.
        """
        bases = self.bases()
        first = max(start, self.removed().before)
        if bases and first < bases[0] and (stop is None or first < stop):
            yield Damage(first, bases[0] - first, MISSING_SEGMENT)
        for base, after in zip(bases, [*bases, None][1:], strict=True):
            if after is not None and after <= start:
                continue
            for item in self._segment(base, after, start):
                if stop is not None and item.position >= stop:
                    return
                yield item

    def synced(self) -> int:
        """Up to where the recording is durable, as its writer says: a look into memory. 0 if it says nothing."""
        if self._published is None:
            try:
                self._published = SyncedPosition(self.directory)
            except FileNotFoundError:
                return 0
            except OSError as error:
                raise unreadable(self.directory, error) from error
        return self._published.load()

    def end(self) -> int:
        """The position after the last byte on disk, a torn tail included. 0 where there is no segment."""
        bases = self.bases()
        if not bases:
            return 0
        return bases[-1] + self._length_of(bases[-1])

    def length(self) -> int:
        """How many bytes its segments have, unpacked. Fewer than up to the end, where some are missing."""
        return sum(self._length_of(base) for base in self.bases())

    def bases(self) -> list[int]:
        """The positions at which the segments begin, ascending. The first is above 0 once old ones were removed."""
        before = self.removed().before
        try:
            return [base for base in segment_bases(self.directory) if base >= before]
        except OSError as error:
            raise unreadable(self.directory, error) from error

    def removed(self) -> Removed:
        """What retention removed so far: how many segments, and up to which position. Raises RecordingError."""
        try:
            return read_removed(self.directory)
        except OSError as error:
            raise unreadable(self.directory / REMOVED, error) from error

    def base_at(self, time_ns: int) -> int:
        """The base of the segment that was being written at a time (Unix nanoseconds); the first if none is older."""
        found = 0
        for base in self.bases():
            header = self.header(base)
            if header is None:  # damaged: the one before it is early enough
                continue
            if header.created_ns > time_ns:
                break
            found = base
        return found

    def marks_before(self) -> dict[bytes, int]:
        """The producers' high-water marks before the first segment there is. Empty if its header is damaged."""
        headers = [self.header(base) for base in self.bases()[:1]]
        return headers[0].marks if headers and headers[0] is not None else {}

    def header(self, base: int) -> SegmentHeader | None:
        """The header of the segment at `base`; None if it is damaged or gone. Raises RecordingError as `read` does."""
        start = self.read(base, 0, SEGMENT_HEADER_BYTES)
        packed = self.read(base, 0, segment_header_bytes(start))
        try:
            return unpack_segment_header(packed, base)
        except RecordingError:
            return None

    def read(self, base: int, offset: int = 0, stop: int | None = None) -> bytes:
        """Bytes of the segment at `base`; none if it is gone. Raises RecordingError if the system can't read it."""
        try:
            return read_segment(self.directory, base, offset, stop)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise unreadable(segment_path(self.directory, base), error) from error

    def _length_of(self, base: int) -> int:
        try:
            return segment_length(self.directory, base)
        except FileNotFoundError:  # removed since the segments were listed
            return 0
        except OSError as error:
            raise unreadable(segment_path(self.directory, base), error) from error

    def _segment(self, base: int, after: int | None, start: int) -> Iterator[Record | Damage]:
        """The records of one segment from `start` on, which ends at `after` unless it is the last."""
        begin = max(start, base)
        try:
            with OpenSegment(self.directory, base) as segment:
                end = max(begin, base + segment.length)
                if after is None:
                    yield from in_pieces(segment, base, begin, end)
                    return
                if end == begin and after <= self.removed().before:  # removed since the segments were listed
                    return
                for item in in_pieces(segment, base, begin, min(end, after)):
                    yield item._replace(tail=False) if isinstance(item, Damage) else item
        except OSError as error:
            raise unreadable(segment_path(self.directory, base), error) from error
        if end < after:
            yield Damage(end, after - end, f"{after - end} bytes are missing before the next segment")
        elif end > after:
            yield Damage(after, end - after, f"{end - after} bytes lie beyond where the next segment begins")


def in_pieces(segment: OpenSegment, base: int, position: int, end: int) -> Items:
    """What `_scan_from` finds in a segment's bytes from `position` up to `end`, without all of them in memory.

    Returns the position up to which there were any.

    What reaches to the end of a piece may be a record that is cut there: the next piece begins with it. Where nothing
    else is in a piece, it was too short.
    """
    least = PIECE_BYTES
    if position == base:
        least = max(least, segment_header_bytes(segment.read(0, SEGMENT_HEADER_BYTES)))
    size = least
    while True:
        piece = segment.read(position - base, min(position + size, end) - base)
        reached = position + len(piece)
        is_last = reached == end or len(piece) < size
        following = reached
        for item in _scan_from(piece, base, position):
            if isinstance(item, Damage) and item.tail and not is_last:
                following = item.position
            else:
                yield item
        if is_last:
            return reached
        size = least if following > position else 2 * size
        position = following


def _scan_from(part: bytes, base: int, position: int) -> Iterator[Record | Damage]:
    """The records in a segment's bytes from `position` on, which is its base or where a record begins."""
    return scan_segment(part, base) if position == base else scan(part, 0, position)


def unreadable(path: Path, error: OSError) -> RecordingError:
    """What to raise where the system can't read a file."""
    return RecordingError(f"{path} can't be read: {error.strerror or error}; check its permissions and the disk")
