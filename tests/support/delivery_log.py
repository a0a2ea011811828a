"""A recording in memory: the writer's rules over byte arrays, with the real layout and the real recovery.

What is appended lies in this process until it is synced. A crash may happen anywhere in a sync: any prefix of what was
being written may be there, followed by nothing or (on a file system that extends files first) by zeros.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from embertrace.recording.layout import Damage, Record, pack_record, scan, unpack_segment_header
from embertrace.recording.recovery import Recovered, note_life, note_mark, recover, segment_head

WHERE = ("received", "writing", "written", "published", "rolling", "synced")
"""The moments of a round at which an aggregator may die."""


class Died(Exception):
    """The aggregator is dead: nothing of this round happens any more."""


@dataclasses.dataclass(frozen=True)
class Fate:
    """Where an aggregator dies; of what is being written the first `part` is there, the rest missing or `zeros`."""

    where: str
    part: float = 0.0
    zeros: bool = False
    forgets: bool = False
    """The host dies too: `synced` says what it said one sync before."""


class Log:
    """Segments by their base. `synced` is where durable records end; `published` what its eight bytes say."""

    def __init__(self, segment_bytes: int) -> None:
        self.segments: dict[int, bytearray] = {}
        self.published = self.position = self.synced = 0
        self.tails_cut = 0
        self.rolls = 0
        self._before = 0
        self._segment_bytes = segment_bytes
        self._clock = itertools.count(1)
        self._pending: list[bytes] = []
        self._marks: dict[bytes, int] = {}
        self._begun: dict[bytes, bytes] = {}

    def open(self) -> Recovered:
        """As a writer does that finds what an earlier one left."""
        self._pending.clear()
        if not self.segments:
            self._begin(0)
        bases = sorted(self.segments)
        found = recover(bases, lambda base: bytes(self.segments[base]), self.published)
        last = self.segments[bases[-1]]
        last[found.durable - bases[-1] :] = found.again
        self.tails_cut += found.cut > 0
        self._marks, self._begun = dict(found.marks), dict(found.begun)
        self.position = bases[-1] + len(last)
        self._publish()
        return found

    def append(self, kind: int, producer: bytes, first_seq: int, count: int, payload: bytes) -> None:
        record = pack_record(kind, next(self._clock), producer, first_seq, count, payload, self.position)
        self._pending.append(record)
        self.position += len(record)
        note_mark(self._marks, kind, producer, first_seq + count - 1)
        note_life(self._begun, kind, producer, payload)

    def sync(self, fate: Fate | None = None) -> None:
        """Make all that was appended durable; or die on the way."""
        if not self._pending:
            _die(fate)
            return
        if fate is not None and fate.forgets:
            self.published = self._before
        _die(fate, "received")
        base, content = max(self.segments.items())
        data = b"".join(self._pending)
        if fate is not None and fate.where == "writing":
            upto = int(fate.part * len(data))
            content += data[:upto] + bytes(len(data) - upto if fate.zeros else 0)
        _die(fate, "writing")
        self._pending.clear()
        content += data
        _die(fate, "written")
        self._publish()
        _die(fate, "published")
        if self.position - base >= self._segment_bytes:
            self._begin(self.position)
            _die(fate, "rolling")
            self._publish()
        _die(fate)

    def records(self, start: int = 0) -> Iterator[Record]:
        """The durable records from a position on; nothing may be damaged among them."""
        for base, content in sorted(self.segments.items()):
            data = bytes(content[: self.synced - base])
            if not data or base + len(data) <= start:
                continue
            offset = start - base if start > base else unpack_segment_header(data, base).length
            for item in scan(data, offset, base):
                assert not isinstance(item, Damage), f"what was durable can't be read: {item}"
                yield item

    def _begin(self, base: int) -> None:
        self.rolls += 1
        head = segment_head(base, next(self._clock), self._marks, self._begun)
        self.segments[base] = bytearray(head)
        self.position = base + len(head)

    def _publish(self) -> None:
        self._before, self.published, self.synced = self.published, self.position, self.position


def _die(fate: Fate | None, where: str | None = None) -> None:
    """Here, if that is its fate; without a place at the latest."""
    if fate is not None and where in (None, fate.where):
        raise Died
