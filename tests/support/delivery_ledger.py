"""What must hold of a recording, whatever happened: read record by record as they become durable, and at the end."""

from __future__ import annotations

from embertrace.emit.extent import scan
from embertrace.recording.layout import BEGIN, CLOCK, END, Record
from embertrace.wire.batch import BATCH
from support.delivery_log import Log
from support.delivery_streams import Stream


class Ledger:
    """The recorded fate of every seq of some streams, each checked when it is read."""

    def __init__(self, log: Log, streams: dict[bytes, Stream]) -> None:
        self.marks: dict[bytes, int] = {}
        self.alive: dict[bytes, bytes] = {}
        """Whose begin has no end, and its payload."""
        self.seen: set[bytes] = set()
        self.ends = 0
        self.ended: set[bytes] = set()
        """Who ended at least once: a late hello may have taken it back."""
        self.events: dict[bytes, set[int]] = {}
        self.gaps: dict[bytes, set[int]] = {}
        self._log = log
        self._streams = streams
        self._at = 0

    def read(self) -> None:
        """Take in what became durable."""
        if self._log.synced == self._at:
            return
        for record in self._log.records(self._at):
            if record.kind in (BEGIN, END):
                self._note_life(record)
            elif record.kind != CLOCK:
                self._note_seqs(record, self._streams[record.producer])
        self._at = self._log.synced

    def _note_life(self, record: Record) -> None:
        about = self.alive.get(record.producer)
        if record.kind == END:
            assert about is not None, f"the end of {record.producer!r} is recorded twice"
            del self.alive[record.producer]
            self.ends += 1
            self.ended.add(record.producer)
        else:
            assert about in (None, record.payload), f"{record.producer!r} begins twice"  # a new segment says it again
            self.alive[record.producer] = record.payload
            self.seen.add(record.producer)

    def _note_seqs(self, record: Record, stream: Stream) -> None:
        assert record.producer in self.alive, f"recorded of {stream.id!r}, who is believed to be gone"
        assert record.first_seq == self.marks.get(stream.id, 0) + 1, f"{stream.id!r} out of order, or twice"
        self.marks[stream.id] = record.last_seq
        seqs = range(record.first_seq, record.last_seq + 1)
        if record.kind == BATCH:
            expected = [stream.events.get(seq, stream.unsure.get(seq)) for seq in seqs]
            assert None not in expected, f"an event of {stream.id!r} that was never taken in"
            assert record.payload == b"".join(filter(None, expected)), (
                f"another event of {stream.id!r} than was emitted"
            )
            self.events.setdefault(stream.id, set()).update(seqs)
        else:
            for seq in seqs:
                is_drop = seq in stream.dropped or stream.unsure.get(seq, b"") is None
                assert is_drop, f"event {seq} of {stream.id!r} was taken in, and is declared lost"
            self.gaps.setdefault(stream.id, set()).update(seqs)

    def before_deletion(self, stream: Stream, content: bytes) -> None:
        """Nothing is forgotten that is not durable."""
        self.read()
        found = scan(content)
        if found is not None and found.events:
            last = found.first_seq + found.events - 1
            assert last <= self.marks.get(stream.id, 0), f"event {last} of {stream.id!r} is deleted, and not recorded"

    def after_end(self, stream: Stream) -> None:
        """Whoever was told that the end is recorded may rely on it."""
        self.read()
        assert stream.id in self.ended, f"the end of {stream.id!r} was confirmed, and is not recorded"

    def settle(self) -> None:
        """At the end: every seq has its fate."""
        self.read()
        for stream in self._streams.values():
            events, gaps = self.events.get(stream.id, set()), self.gaps.get(stream.id, set())
            unsure = set(stream.unsure)
            assert events - unsure == stream.events.keys() - unsure, f"of {stream.id!r} not every event is recorded"
            assert gaps - unsure == stream.dropped - unsure, f"the gaps of {stream.id!r} are not what was dropped"
