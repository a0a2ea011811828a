"""Packing the sealed segments of a recording: the shell around `packed`, which decides what becomes of their bytes.

Rules:
- The packed file is there, whole and durable, before the plain one goes. Where both are (a crash in between), readers
  take the plain one, and the next packing makes the other anew.
- Beside a living writer the segment that it writes stays as it is. Where there is none, the last one is packed too: it
  is sealed thereby, and whoever opens the recording for writing goes on in a new one.
- A segment in which anything is unreadable stays as it is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from embertrace.errors import LockedError, RecordingError
from embertrace.recording.claim import take_lock
from embertrace.recording.files import SEGMENTS, packed_path, read_segment, segment_path, sync_directory, write_durably
from embertrace.recording.packed import pack_segment
from embertrace.recording.reader import Recording


class PackReport(NamedTuple):
    """How many segments were packed, of how many bytes into how many; `left` were not, since something is damaged."""

    path: str
    packed: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    left: int = 0

    def to_data(self) -> dict[str, Any]:
        return self._asdict()

    def __str__(self) -> str:
        shown = f"{self.path}: {self.packed} segments packed"
        if self.packed:
            shown += f", {self.bytes_before:,} bytes into {self.bytes_after:,}"
        return shown + (f"; {self.left} left as they are, since they are damaged" if self.left else "")


def pack(path: str | Path, progress: Callable[[int, int], None] | None = None) -> PackReport:
    """Pack the sealed segments of the recording at `path`; all of them, where nobody writes it.

    Nothing that can be read of it changes. `progress` is called with (segments done, segments in all). Once packed a
    segment stays so; a recording without anything to pack is left alone. Raises RecordingError if there is no
    recording, or the system refuses.
    """
    recording = Recording.open(path)
    report = PackReport(str(path))
    with _claimed(recording.directory) as alone:
        bases = recording.bases() if alone else recording.bases()[:-1]
        try:
            for done, base in enumerate(bases):
                if segment_path(recording.directory, base).exists():
                    whole = not alone or base != bases[-1] or recording.end() >= recording.synced()
                    report = _pack_one(recording.directory, base, whole, report)
                if progress is not None:
                    progress(done + 1, len(bases))
        except OSError as error:
            raise RecordingError(f"{path} can't be packed: {error.strerror or error}; see to the disk") from error
    return report


@contextlib.contextmanager
def _claimed(directory: Path) -> Iterator[bool]:
    """Whether nobody writes the recording, nor can as long as this lasts."""
    try:
        lock = take_lock(directory)
    except LockedError:
        yield False
        return
    except OSError as error:
        raise RecordingError(f"{directory} can't be packed: {error.strerror or error}") from error
    try:
        yield True
    finally:
        os.close(lock)


def _pack_one(directory: Path, base: int, whole: bool, report: PackReport) -> PackReport:
    plain = segment_path(directory, base)
    raw = read_segment(directory, base)
    packed = pack_segment(raw, base) if whole else None
    if packed is None:
        return report._replace(left=report.left + 1)
    write_durably(packed_path(directory, base), packed)
    plain.unlink(missing_ok=True)
    sync_directory(directory / SEGMENTS)
    return report._replace(
        packed=report.packed + 1,
        bytes_before=report.bytes_before + len(raw),
        bytes_after=report.bytes_after + len(packed),
    )
