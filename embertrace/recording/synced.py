"""The file `synced`: 8 bytes, the position up to which a recording is durable, shared by memory mapping.

One native unsigned 64-bit integer, stored and loaded in one piece: a reader in another process sees the value before
or the value after, never a torn one, and looks without a system call. The file itself is not synced to disk: after a
power failure it may name an earlier position than was reached, never a later one.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from embertrace.recording.files import SYNCED

_BYTES = 8


class SyncedPosition:
    """The mapped position. The writer makes the file and stores; readers only load."""

    def __init__(self, directory: Path, *, writable: bool = False) -> None:
        """Map the file; a writer makes it where it is missing. Raises FileNotFoundError or another OSError."""
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        descriptor = os.open(directory / SYNCED, flags, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size < _BYTES and writable:  # written, not stretched: a sparse page on a full disk would be SIGBUS
                os.pwrite(descriptor, bytes(_BYTES), 0)
            elif size < _BYTES:
                raise FileNotFoundError(directory / SYNCED)
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, _BYTES, access=access)
        finally:
            os.close(descriptor)
        self._cell = memoryview(self._map).cast("Q")

    def load(self) -> int:
        return self._cell[0]

    def store(self, position: int) -> None:
        self._cell[0] = position

    def close(self) -> None:
        """Unmap. `load` and `store` raise ValueError from here on."""
        self._cell.release()
        self._map.close()
