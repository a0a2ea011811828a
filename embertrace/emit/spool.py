"""The events of one producer that are not yet acknowledged, in order, numbered, and bounded. Does no I/O of its own.

Rules:
- Events lie in extents (see extent), in rooms that a storage gives out. What `take` returned True for is written.
- Every event has a seq, counted from 1. One that is dropped burns its seq, and is counted and remembered as a hole, so
  that whoever reads the stream learns exactly what is missing. A drop seals its extent: seqs inside one have no holes.
  What there was no room for is dropped, and so is what no extent can hold: an event that is too large, or empty.
- Events and drops are written before they can be cut. Drops are written into the extent before them: those before the
  first one are known to this process alone, and told by the first seq of the first extent once there is one.
- `cut` reads a batch (or a hole) from any seq still held and changes nothing; `trim` forgets what is acknowledged.
- An extent is freed as a whole, the last one never: it tells which seqs were given out.
- After `shut` every event is dropped, and that is counted here only.

Any thread may `write`, at any time: one call in C takes a record whole, or raises ValueError and changes nothing, since
the last extent is full or sealed. A sealed one takes nothing any more: only then is it settled how many events it has.
How many there are, and where they lie, is found out by whoever asks, any thread, by going from record to record.

One thread at a time takes, drops and prepares (its owner holds a lock around it), and one other cuts and trims; the two
need no lock between them: one only appends, and allocates, the other only reads what is appended, and removes from the
front.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from embertrace.emit.extent import HEAD_BYTES, HEADER_BYTES, MAX_SEQ, begin, count, read, record, write_dropped
from embertrace.emit.storage import NO_ROOM, Nowhere, Room, Storage


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


Place = tuple[int, int]
"""A seq, and where its record begins, or would if it were there."""


class Extent:
    """One extent: its events have the seqs from `first` on, and `dropped` more follow them.

    Places that were found are kept. Each is true for good: a thread may put an older one over a newer one, and none of
    them needs a lock.
    """

    __slots__ = ("_cut", "_end", "_stop", "dropped", "first", "room")

    def __init__(self, room: Room, first: int, stop: int, events: int = 0, dropped: int = 0) -> None:
        """No record lies behind `stop`; so many `events`, if they are known, end there."""
        self.room = room
        self.first = first
        self.dropped = dropped
        self._stop = stop
        start = (first, HEADER_BYTES)
        self._end: Place = (first + events, stop) if events else start
        self._cut: tuple[Place, Place] = (start, start)

    @property
    def events_end(self) -> int:
        """The seq after its last event."""
        return self._count()

    @property
    def end(self) -> int:
        """The seq after its last event and all that was dropped behind it."""
        dropped = self.dropped  # asked first: once one is dropped no event is added
        return self._count() + dropped

    def has(self, seq: int) -> bool:
        """Whether the event `seq`, which is not before the first one, lies here. Counts no more than it must."""
        return seq < self._count(seq + 1)

    def read(self, seq: int, max_bytes: int, max_events: int, *, at_least_one: bool) -> tuple[int, bytes]:
        """How many events from `seq` on, which is here, lie within both limits (of records), and the events."""
        at, buffer = self._place_of(seq), self.room.buffer
        stop = min(self._stop, buffer.tell())
        events = read(buffer, at, min(at + max(max_bytes, 0), stop), max_events)
        if not events and at_least_one:
            events = read(buffer, at, count(buffer, at, stop, 1)[1], 1)
        payload = b"".join(events)
        after = (seq + len(events), at + len(payload) + HEAD_BYTES * len(events))
        self._cut = ((seq, at), after)
        self._end = max(self._end, after)
        return len(events), payload

    def bytes_from(self, seq: int) -> int:
        """Bytes of its events from `seq` on."""
        end = self.events_end
        seq = min(max(seq, self.first), end)
        try:
            return self._place_of(end) - self._place_of(seq) - HEAD_BYTES * (end - seq)
        except ValueError:  # it was freed meanwhile
            return 0

    def _count(self, until: int = MAX_SEQ) -> int:
        """The seq after the last event, as far as that is known: up to `until` those not known yet are looked for."""
        seq, at = self._end  # once: another thread may put an older one there
        if seq >= until or at + HEAD_BYTES >= self._stop:
            return seq
        try:
            more, at = count(self.room.buffer, at, self._stop, until - seq)
        except ValueError:  # it was freed meanwhile, and counted before
            return seq
        if more:
            self._end = (seq + more, at)
        return seq + more

    def _place_of(self, seq: int) -> int:
        known, at = max(place for place in ((self.first, HEADER_BYTES), *self._cut, self._end) if place[0] <= seq)
        return at if known == seq else count(self.room.buffer, at, self._stop, seq - known)[1]


def _nothing(first: int) -> Extent:
    """An extent without room: what is dropped before (or after) there is any belongs to it."""
    return Extent(NO_ROOM, first, 0)


class Spool:
    """Held events of one producer. `oldest` is the first seq it holds (or will hold), `next` the one given out next."""

    def __init__(self, storage: Storage, producer: bytes, held: Iterable[Extent] = ()) -> None:
        self.dropped = 0
        self._storage = storage
        self._producer = producer
        self._ready: deque[Room] = deque()
        self._extents = deque(held) or deque([_nothing(1)])
        self._trimmed = self._extents[0].first - 1

    @property
    def oldest(self) -> int:
        return self._trimmed + 1

    @property
    def next(self) -> int:
        return self._extents[-1].end

    def gave_out(self, seq: int) -> bool:
        """Whether `seq`, which is not below `oldest`, is below `next`: cheaper to ask, since nothing needs counting."""
        last = self._extents[-1]
        return seq < last.first or last.has(seq) or seq < last.end

    @property
    def begun(self) -> int:
        """The first seq of the last extent: a greater one once another was begun."""
        return self._extents[-1].first

    @property
    def frontier(self) -> tuple[int, int, int]:
        """Another one after each put and each drop; cheap to ask, for whoever trims: others may find it freed."""
        last = self._extents[-1]
        return last.first, last.dropped, last.room.buffer.tell()

    @property
    def held_bytes(self) -> int:
        """Bytes of the events held."""
        return sum(extent.bytes_from(self._trimmed + 1) for extent in list(self._extents))

    def events_after(self, mark: int) -> int:
        """How many of the seqs above `mark` are of events, not of what was dropped."""
        return sum(max(0, extent.events_end - max(extent.first, mark + 1)) for extent in list(self._extents))

    @property
    def has_room(self) -> bool:
        """Whether an event that did not fit might now."""
        return bool(self._ready) or self._storage.has_room

    # Whoever emits.

    @property
    def write(self) -> Callable[[bytes], int]:
        """Takes in one record, or raises ValueError where it has no room in the last extent; from any thread."""
        return self._extents[-1].room.buffer.write

    def append(self, packed: bytes) -> int:
        """Take in one event, or drop it where there is no room; its seq, unless others write meanwhile."""
        seq = self.next
        if not self.take(packed):
            self.drop()
        return seq

    def take(self, packed: bytes) -> bool:
        """Take in one event; False, and nothing has changed, where there is no room for it."""
        if not self.fits(packed):
            return False
        try:
            self.write(record(packed))
        except ValueError:
            return self._roll() and self.take(packed)
        return True

    def drop(self) -> None:
        """Burn a seq: its event is not kept."""
        self.seal()
        extent = self._extents[-1]
        if extent.room is not NO_ROOM:  # first: what is sent of a stream must be in its files, should it be adopted
            write_dropped(extent.room.buffer, extent.dropped + 1)
        extent.dropped += 1
        self.dropped += 1

    def fits(self, packed: bytes) -> bool:
        """Whether an event is of a size that can be taken, if not now then once something is acknowledged."""
        return 0 < len(packed) <= self._storage.extent_bytes - HEADER_BYTES - HEAD_BYTES

    def seal(self) -> None:
        """Let nobody write into the last extent any more, whatever `write` they hold."""
        self._extents[-1].room.buffer.seek(0, os.SEEK_END)

    def shut(self) -> None:
        """From now on everything is dropped, and counted here only: the extents are somebody else's from now on."""
        self.seal()
        self._storage = Nowhere()
        self._ready.clear()
        self._extents.append(_nothing(self.next))

    def _roll(self) -> bool:
        """Begin another extent, in a room that was made ready or else in one allocated here."""
        room = self._room()
        if room is None:
            return False
        self.seal()  # before its events are counted
        first = self.next
        begin(room.buffer, self._producer, first)
        self._extents.append(Extent(room, first, len(room.buffer)))
        self._ready.popleft()
        return True

    def _room(self) -> Room | None:
        """The room for the next extent. It stays ready until it is one: whatever comes in between, it is not lost."""
        if self._ready and self._ready[0] is self._extents[-1].room:  # an interrupt came right then
            self._ready.popleft()
        if not self._ready:
            room = self._storage.allocate()
            if room is None:
                return None
            self._ready.append(room)
        return self._ready[0]

    def prepare(self) -> None:
        """Allocate ahead: the next room is ready well before the last one is full. The first is not made here."""
        room = self._extents[-1].room
        if room is not NO_ROOM and not self._ready and room.buffer.tell() * 4 >= len(room.buffer):
            ahead = self._storage.allocate()
            if ahead is not None:
                self._ready.append(ahead)

    # Whoever sends.

    def cut(self, from_seq: int, max_bytes: int, max_events: int) -> Batch | Hole | None:
        """What comes next from `from_seq`: a batch within both limits (one event at least), a hole, or nothing.

        `from_seq` must not be below `oldest`. The bytes are those of the records.
        """
        payloads: list[bytes] = []
        seq, left = from_seq, max_bytes
        for extent in list(self._extents):
            dropped = extent.dropped  # asked first: once one is dropped no event is added
            if extent.has(seq):
                events, payload = extent.read(seq, left, max_events - (seq - from_seq), at_least_one=not payloads)
                if events:  # none where no more fits, or somebody wrote into our file
                    payloads.append(payload)
                left -= len(payload) + HEAD_BYTES * events
                seq += events
                if extent.has(seq):
                    break
            if dropped and seq < extent.end:
                if seq == from_seq:
                    return Hole(seq, extent.end - seq)
                break
        return Batch(from_seq, seq - from_seq, b"".join(payloads)) if payloads else None

    def trim(self, mark: int) -> None:
        """Forget everything up to `mark`."""
        self._trimmed = max(self._trimmed, mark)
        while len(self._extents) > 1 and self._extents[0].end <= mark + 1:
            self._extents.popleft().room.free()
