"""Where the extents of a spool lie: what a spool asks for, and the answer that is only memory.

A room is space for one extent: a mapping, written at its position, and full where that is the end. Whoever has it frees
it when nothing in it is needed.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Protocol

EXTENT_BYTES = 1024 * 1024
"""Holds thousands of events; allocating and freeing one costs less than a tenth of a microsecond per event."""
LEAST_EXTENTS = 4
"""So many fit into any capacity: a smaller one has smaller extents, since an extent is freed only as a whole."""


class Room(Protocol):
    """Space for one extent; `buffer` is zero where nothing was written."""

    @property
    def buffer(self) -> mmap.mmap: ...
    def free(self) -> None: ...


class Storage(Protocol):
    """Gives out rooms of `extent_bytes`. Both methods may be called from any thread, and never wait or raise."""

    @property
    def extent_bytes(self) -> int: ...

    @property
    def has_room(self) -> bool:
        """Whether `allocate` is likely to succeed."""

    def allocate(self) -> Room | None:
        """A fresh room; None when there is no space."""


class Store(Storage, Protocol):
    """A storage with a life of its own, for the one who sends what lies in it."""

    def note_recording(self, recording: str) -> None:
        """The events belong to this recording from now on, and may go nowhere else."""

    def note_acknowledged(self, mark: int) -> None:
        """Everything that was taken in, up to `mark`, is durable elsewhere."""

    def close(self, delivered: bool) -> Path | None:
        """The end of it. What was not delivered is left where somebody else can find it: the answer, or None."""


def extent_bytes_for(capacity_bytes: int) -> int:
    """How large an extent is where all together may hold so many bytes."""
    return min(EXTENT_BYTES, capacity_bytes // LEAST_EXTENTS)


class Memory:
    """Rooms in this process's memory: what lies there dies with it."""

    def __init__(self, capacity_bytes: int) -> None:
        self.extent_bytes = extent_bytes_for(capacity_bytes)
        self._most = capacity_bytes // max(self.extent_bytes, 1)
        self._rooms: set[_MemoryRoom] = set()

    @property
    def has_room(self) -> bool:
        return len(self._rooms) < self._most

    def allocate(self) -> Room | None:
        if not self.has_room:
            return None
        try:
            room = _MemoryRoom(self._rooms, self.extent_bytes)
        except OSError:  # the system has none to give
            return None
        self._rooms.add(room)
        return room

    def note_recording(self, recording: str) -> None:
        """Nobody else will read it."""

    def note_acknowledged(self, mark: int) -> None:
        """Likewise."""

    def close(self, delivered: bool) -> Path | None:
        return None


class _MemoryRoom:
    """Memory that counts as long as it is in `rooms`."""

    def __init__(self, rooms: set[_MemoryRoom], size: int) -> None:
        """Raises OSError."""
        self._rooms = rooms
        self.buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def free(self) -> None:
        self._rooms.discard(self)
        self.buffer.close()


class NoRoom:
    """Space for nothing: its one byte is less than any record takes."""

    buffer = mmap.mmap(-1, 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def free(self) -> None:
        """There is nothing to free."""


NO_ROOM: Room = NoRoom()


class Nowhere:
    """No room at all: everything is dropped, and counted."""

    extent_bytes = 0
    has_room = False

    def allocate(self) -> Room | None:
        return None
