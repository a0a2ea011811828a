"""Removing the segments that a recording need not keep: the shell around `retention`, which decides.

Rules:
- `removed.json` states durably what is about to go before the first file goes. A crash in between leaves neither a hole
  that nobody can explain nor a segment that is counted twice: the next round finishes it.
- One thread enforces, that of the writer. The segment that is being written stays.
- Marks survive: the header of each later segment holds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from embertrace.recording.files import SEGMENTS, segment_bases, segment_paths, sync_directory
from embertrace.recording.reader import Recording
from embertrace.recording.removed import Removed, keep_space, read_removed, write_removed
from embertrace.recording.retention import Limits, Sealed, count_expired


class Retention:
    """Keeps the recording in a directory within limits. `clock_ns` gives Unix nanoseconds. Not thread-safe."""

    def __init__(self, directory: Path, limits: Limits, *, clock_ns: Callable[[], int]) -> None:
        self._directory = directory
        self._limits = limits
        self._clock_ns = clock_ns
        self._begun_ns: dict[int, int] = {}
        """When the segments that were looked at were begun: headers never change."""

    def enforce(self) -> int:
        """Remove what is to go; how many segments went. Raises RecordingError or OSError; try again later."""
        if self._limits == Limits():
            return 0
        self._keep_space()
        removed = read_removed(self._directory)
        bases = segment_bases(self._directory)
        leftover = [base for base in bases[:-1] if base < removed.before]
        kept = bases[len(leftover) :]
        sealed, active_bytes = self._describe(kept)
        count = count_expired(sealed, active_bytes, self._limits, self._clock_ns())
        if count:
            write_removed(self._directory, Removed(kept[count], removed.segments + count))
        for base in leftover + kept[:count]:
            for path in segment_paths(self._directory, base):
                path.unlink(missing_ok=True)
            self._begun_ns.pop(base, None)
        if leftover or count:
            sync_directory(self._directory / SEGMENTS)
            self._keep_space()
        return count

    def _keep_space(self) -> None:
        """For the next statement. Without any to keep, that one may fail, and is tried again."""
        with contextlib.suppress(OSError):
            keep_space(self._directory)

    def _describe(self, bases: list[int]) -> tuple[list[Sealed], int]:
        """The sealed segments, all but the last, and the size of that."""
        sizes = [sum(path.stat().st_size for path in segment_paths(self._directory, base)) for base in bases]
        newest_ns, sealed = self._clock_ns(), []
        for base, size in reversed(list(zip(bases, sizes, strict=True))):
            sealed.append(Sealed(base, size, newest_ns))
            newest_ns = self._begun(base, newest_ns)
        return sealed[:0:-1], sizes[-1] if sizes else 0

    def _begun(self, base: int, otherwise_ns: int) -> int:
        """When a segment was begun, so that the one before it has nothing newer; as the next if its header is bad."""
        if base not in self._begun_ns:
            header = Recording.open(self._directory).header(base)
            self._begun_ns[base] = header.created_ns if header is not None else otherwise_ns
        return self._begun_ns[base]
