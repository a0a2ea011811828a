"""The events of one producer that are not yet acknowledged, in order, numbered, and bounded. Does no I/O of its own.

Rules:
- Events lie in extents (see extent), in rooms that a storage gives out. What `take` returned True for is written.
- Every event has a seq, counted from 1. One that is dropped burns its seq, and is counted and remembered as a hole, so
  that whoever reads the stream learns exactly what is missing. A drop closes its extent: seqs inside one have no holes.
  What there was no room for is dropped, and so is what no extent can hold: an event that is too large, or empty.
- Events and drops are written before they can be cut. Drops are written into the extent before them: those before the
  first one are known to this process alone, and told by the first seq of the first extent once there is one.
- `cut` reads a batch (or a hole) from any seq still held and changes nothing; `trim` forgets what is acknowledged.
- An extent is freed as a whole, the last one never: it tells which seqs were given out.
- After `shut` every event is dropped, and that is counted here only.

One thread at a time takes and drops (its owner holds a lock around it), and one other cuts, trims and prepares; the
two need no lock between them: one only appends (and allocates where nothing was prepared), the other only reads what
is appended, removes from the front, and has rooms ready.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from embertrace.emit.extent import HEAD_BYTES, HEADER_BYTES, begin, record_head, write_dropped
from embertrace.emit.storage import NO_ROOM, Nowhere, Room, Storage

Piece = bytes | bytearray
"""A slice of a room's buffer: of one that is mapped, or of what a dead process left."""


class Batch(NamedTuple):
    """Consecutive events as one payload."""

    first_seq: int
    events: int
    payload: bytes


class Hole(NamedTuple):
    """Consecutive seqs whose events were dropped."""

    first_seq: int
    events: int
    reason: str = "dropped (spool full)"


class Extent:
    """The index of one extent: its events have the seqs from `first` on, and `dropped` more follow them.

    `starts` has the offset of each record, and at the end that of the next. Up to `limit` there is room for more.
    """

    __slots__ = ("before", "dropped", "first", "limit", "room", "starts")

    def __init__(self, room: Room, first: int, starts: array[int], dropped: int = 0, limit: int = 0) -> None:
        self.room = room
        self.first = first
        self.before = first - 1
        self.starts = starts
        self.dropped = dropped
        self.limit = limit

    @property
    def events_end(self) -> int:
        """The seq after its last event."""
        return self.first + len(self.starts) - 1

    @property
    def end(self) -> int:
        """The seq after its last event and all that was dropped behind it."""
        return self.first + len(self.starts) - 1 + self.dropped

    def bytes_from(self, seq: int) -> int:
        """Bytes of its events from `seq` on."""
        place = min(max(seq - self.first, 0), len(self.starts) - 1)
        return self.starts[-1] - self.starts[place] - HEAD_BYTES * (len(self.starts) - 1 - place)


def _nothing(first: int) -> Extent:
    """An extent without room: what is dropped before (or after) there is any belongs to it."""
    return Extent(NO_ROOM, first, array("I", (0,)))


class Spool:
    """Held events of one producer. `oldest` is the first seq it holds (or will hold), `next` the one given out next."""

    def __init__(self, storage: Storage, producer: bytes, held: Iterable[Extent] = ()) -> None:
        self.dropped = 0
        self._storage = storage
        self._producer = producer
        self._ready: deque[Room] = deque()
        self._extents = deque(held) or deque([_nothing(1)])
        self._last = self._extents[-1]
        self._trimmed = self._extents[0].first - 1

    @property
    def oldest(self) -> int:
        return self._trimmed + 1

    @property
    def next(self) -> int:
        return self._last.end

    @property
    def held_bytes(self) -> int:
        """Bytes of the events held."""
        return sum(extent.bytes_from(self._trimmed + 1) for extent in tuple(self._extents))

    def events_after(self, mark: int) -> int:
        """How many of the seqs above `mark` are of events, not of what was dropped."""
        extents = tuple(self._extents)
        return sum(max(0, extent.events_end - max(extent.first, mark + 1)) for extent in extents)

    @property
    def has_room(self) -> bool:
        """Whether an event that did not fit might now."""
        return bool(self._ready) or self._storage.has_room

    # Whoever emits.

    def append(self, packed: bytes) -> int:
        """Take in one event, or drop it where there is no room; its seq."""
        seq = self.next
        if not self.take(packed):
            self.drop()
        return seq

    def take(self, packed: bytes) -> bool:
        """Take in one event; False, and nothing has changed, where there is no room for it."""
        extent, size = self._last, len(packed)
        starts = extent.starts
        at = starts[-1]
        end = at + HEAD_BYTES + size
        if end > extent.limit or not size:
            return self.fits(packed) and self._roll() and self.take(packed)
        extent.room.buffer[at:end] = record_head(size, crc32(packed), extent.before + len(starts)) + packed
        starts.append(end)
        return True

    def drop(self) -> None:
        """Burn a seq: its event is not kept."""
        extent = self._last
        extent.limit = 0
        if extent.room is not NO_ROOM:  # first: what is sent of a stream must be in its files, should it be adopted
            write_dropped(extent.room.buffer, extent.dropped + 1)
        extent.dropped += 1
        self.dropped += 1

    def fits(self, packed: bytes) -> bool:
        """Whether an event is of a size that can be taken, if not now then once something is acknowledged."""
        return 0 < len(packed) <= self._storage.extent_bytes - HEADER_BYTES - HEAD_BYTES

    def shut(self) -> None:
        """From now on everything is dropped, and counted here only: the extents are somebody else's from now on."""
        self._storage = Nowhere()
        self._ready.clear()
        self._begin(_nothing(self.next))

    def _roll(self) -> bool:
        """Begin another extent, in a room that was made ready or else in one allocated here."""
        try:
            room: Room | None = self._ready.popleft()
        except IndexError:
            room = self._storage.allocate()
        if room is None:
            return False
        first = self.next
        begin(room.buffer, self._producer, first)
        self._begin(Extent(room, first, array("I", (HEADER_BYTES,)), limit=self._storage.extent_bytes))
        return True

    def _begin(self, extent: Extent) -> None:
        self._extents.append(extent)
        self._last = extent

    # Whoever sends.

    def prepare(self) -> None:
        """Allocate ahead: the next room is ready well before the last one is full. The first is not made here."""
        last = self._last
        if last.room is not NO_ROOM and not self._ready and last.starts[-1] * 4 >= last.limit:
            room = self._storage.allocate()
            if room is not None:
                self._ready.append(room)

    def cut(self, from_seq: int, max_bytes: int, max_events: int) -> Batch | Hole | None:
        """What comes next from `from_seq`: a batch within both limits (one event at least), a hole, or nothing.

        `from_seq` must not be below `oldest`.
        """
        pieces: list[Piece] = []
        seq, left = from_seq, max_bytes
        for place in range(len(self._extents)):
            extent = self._extents[place]
            if seq >= extent.end:
                continue
            if seq < extent.events_end:
                found, used = _read(extent, seq, left, max_events - len(pieces), at_least_one=not pieces)
                pieces += found
                left -= used
                seq += len(found)
            if seq < extent.events_end or (pieces and extent.dropped):
                break
            if extent.dropped:
                return Hole(seq, extent.end - seq)
        return Batch(from_seq, len(pieces), b"".join(pieces)) if pieces else None

    def trim(self, mark: int) -> None:
        """Forget everything up to `mark`."""
        self._trimmed = max(self._trimmed, mark)
        while len(self._extents) > 1 and self._extents[0].end <= mark + 1:
            self._extents.popleft().room.free()


def _read(extent: Extent, seq: int, max_bytes: int, max_events: int, *, at_least_one: bool) -> tuple[list[Piece], int]:
    """Events from `seq` on within both limits, and their bytes."""
    starts, first = extent.starts, seq - extent.first
    most = min(len(starts) - 1, first + max_events)

    def size(stop: int) -> int:
        return starts[stop] - starts[first] - HEAD_BYTES * (stop - first)

    stop = first + bisect_right(range(first + 1, most + 1), max_bytes, key=size)
    if stop == first and at_least_one and most > first:
        stop += 1
    buffer, places = extent.room.buffer, zip(starts[first:stop], starts[first + 1 : stop + 1], strict=True)
    return [buffer[begin + HEAD_BYTES : end] for begin, end in places], size(stop)
