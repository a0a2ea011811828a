"""Following a recording while it is written.

Rules:
- Whoever follows sees synced positions only, so it never has to take back what it has seen.
- Damage never raises, and what retention removed is passed over (see reader).
"""

from __future__ import annotations

from embertrace.errors import RecordingError
from embertrace.recording.files import OpenSegment, segment_path
from embertrace.recording.layout import RECORD_HEADER_BYTES, Damage, Record
from embertrace.recording.reader import MISSING_SEGMENT, Items, Recording, in_pieces, unreadable

POLL_BYTES = 8 * 1024 * 1024
"""How much a follower takes at once: some hundred thousand events, a fraction of a second of analysis."""


class Follower:
    """New records of a recording as they become durable. One thread.

    `position` is where it has got to. `damages` are the stretches it had to skip; `removed_segments` how many segments
    retention had removed when it last passed over some. Idle polls cost a look into memory. A segment is open as long
    as something of it that was durable when it was opened is left, between polls too: there is no `close`, so one that
    is kept and not polled holds a descriptor, and the disk space of a segment that retention removed meanwhile (of a
    packed one, memory instead).
    """

    def __init__(self, recording: Recording, start: int = 0) -> None:
        """Follow from `start` on: 0, a record's position, or the `position` of another follower."""
        self._recording = recording
        self._items: Items | None = None
        self._base: int | None = None
        self.position = start
        self.damages: list[Damage] = []
        self.removed_segments = 0

    def poll(self, limit_bytes: int = POLL_BYTES) -> list[Record]:
        """The next durable records, in order; stops once they have `limit_bytes` or more. Empty if there are none.

        Holds about a MiB in memory beside them; of a packed segment its packed bytes and some ten MiB. Raises
        RecordingError if the recording was cut back or replaced behind the follower, or can't be read.
        """
        records: list[Record] = []
        taken = 0
        while taken < limit_bytes:
            try:
                item = self._next()
            except RecordingError:
                if records:  # taken already: the error comes again
                    break
                raise
            if item is None:
                break
            self.position = item.end
            if isinstance(item, Record):
                records.append(item)
                taken += RECORD_HEADER_BYTES + len(item.payload)
            else:
                self.damages.append(item._replace(tail=False))
        return records

    def _next(self) -> Record | Damage | None:
        """What comes next, None if that is not durable yet. After an error the same is tried again."""
        while self._items is not None or self._advance():
            assert self._items is not None
            items, self._items = self._items, None
            try:
                item = next(items)
            except StopIteration as over:
                self.position = over.value
                continue
            except OSError as error:
                raise unreadable(self._recording.directory, error) from error
            self._items = items
            return item
        return None

    def _advance(self) -> bool:
        """Take up what is durable in the present segment, else in the next one. False if there is nothing."""
        synced = self._recording.synced()
        if synced == self.position:
            return False
        if synced < self.position:
            raise RecordingError(
                f"{self._recording.directory} is durable up to position {synced}, but {self.position} was followed: "
                "it was cut back or replaced; follow it anew from the start"
            )
        if self._base is not None and self._take(self._base, synced):
            return True
        bases = self._recording.bases()
        self._base = max((base for base in bases if base <= self.position), default=None)
        if self._base is not None and self._take(self._base, synced):
            return True
        following = min((base for base in bases if self.position < base < synced), default=None)
        if following is None:
            return False
        removed = self._recording.removed()
        if removed.before > self.position:
            self.removed_segments = removed.segments
        unexplained = max(self.position, min(removed.before, following))
        if unexplained < following:
            self.damages.append(Damage(unexplained, following - unexplained, MISSING_SEGMENT))
        self._base = self.position = following
        return self._take(following, synced)

    def _take(self, base: int, synced: int) -> bool:
        """Go on to the end of this segment or of what is durable, which is where a record ends."""
        try:
            segment = OpenSegment(self._recording.directory, base)
        except OSError as error:
            raise unreadable(segment_path(self._recording.directory, base), error) from error
        end = min(base + segment.length, synced)
        if end <= self.position:
            segment.close()
            return False
        self._items = _all_of(segment, base, self.position, end)
        return True


def _all_of(segment: OpenSegment, base: int, position: int, end: int) -> Items:
    """As `in_pieces`; the segment is closed then."""
    with segment:
        return (yield from in_pieces(segment, base, position, end))
