"""One recorded producer on its way again: what the delivery protocol sends from (see emit.producer.Held). Pure.

Entries are recorded batches and gaps in the order of their seqs. Seqs that are in neither (a damaged record) are gaps.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from embertrace.emit.spool import Batch, Hole

UNREADABLE = "missing in the recording that was replayed"


class _Entry(NamedTuple):
    first_seq: int
    events: int
    payload: bytes | None
    """None in a gap."""
    reason: str = ""

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.events - 1


class Stream:
    """Held entries of one producer, from `first_seq` on."""

    def __init__(self, first_seq: int) -> None:
        self.next = first_seq
        self.held_bytes = 0
        self._entries: deque[_Entry] = deque()

    @property
    def oldest(self) -> int:
        return self._entries[0].first_seq if self._entries else self.next

    def gave_out(self, seq: int) -> bool:
        """Whether there is anything at `seq`."""
        return seq < self.next

    def append(self, first_seq: int, events: int, payload: bytes | None, reason: str = "") -> None:
        """Take in a batch, or a gap (`payload` is None) and why. What lies before `next` is already in and left out."""
        if first_seq < self.next:
            return
        if first_seq > self.next:
            self._entries.append(_Entry(self.next, first_seq - self.next, None, UNREADABLE))
        self._entries.append(_Entry(first_seq, events, payload, reason))
        self.next = first_seq + events
        self.held_bytes += len(payload or b"")

    def cut(self, from_seq: int, max_bytes: int, max_events: int) -> Batch | Hole | None:
        """The entry at `from_seq`, whole: recorded batches keep their bounds."""
        for entry in self._entries:
            if entry.last_seq >= from_seq:
                if entry.payload is None:
                    return Hole(from_seq, entry.last_seq - from_seq + 1, entry.reason)
                return Batch(entry.first_seq, entry.events, entry.payload)
        return None

    def trim(self, mark: int) -> None:
        """Forget the entries that end at `mark` or before."""
        while self._entries and self._entries[0].last_seq <= mark:
            self.held_bytes -= len(self._entries.popleft().payload or b"")
