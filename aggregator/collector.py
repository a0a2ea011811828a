"""What a message does to the aggregator's state. Pure: no sockets, no files, no clock of its own.

The rules of acceptance, all of them:

1. A batch or gap is accepted only if its first seq is the producer's mark + 1. Then it is to be recorded, and the mark
   moves to its last seq. Anything else changes nothing and is answered with the mark.
2. A hello of another version, or for another recording, is refused with a sentence.
3. A hello that no longer holds mark + 1 (`oldest` is above it) declares a gap: it is recorded, and the mark moves.
4. An end is recorded once, when it comes at the mark.
5. Whoever was touched is answered, but only after what was decided is durable (`due`). A producer that never said
   hello can't be answered: it has no return address yet, and will say hello when it hears nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from embertrace.recording import BEGIN, END
from embertrace.wire.batch import GAP, VERSION, Batch, gap_payload
from embertrace.wire.control import Ack, Control, End, Hello, Locate, Refuse, Welcome, pack_control

MAX_PRODUCERS = 100_000
"""Return addresses kept: one per process that ever said hello. Beyond it the longest silent are forgotten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One record to append."""

    kind: int
    producer: bytes
    first_seq: int
    count: int
    payload: bytes
    payload_crc: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One control message to send to a return address."""

    address: bytes
    message: Control


@dataclasses.dataclass(slots=True)
class Counters:
    """What happened since the aggregator started."""

    batches: int = 0
    events: int = 0
    duplicates: int = 0
    ahead: int = 0
    gaps: int = 0
    refused: int = 0
    malformed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What this aggregator tells everybody: its recording and its ports."""

    recording: str
    name: str
    push_port: int
    rpc_port: int
    advertise: str | None = None


class Collector:
    """The state of all producers. `marks` are those of the recording it was opened with."""

    def __init__(self, identity: Identity, marks: Mapping[bytes, int]) -> None:
        self.identity = identity
        self.counters = Counters()
        self._marks = dict(marks)
        self._addresses: dict[bytes, bytes] = {}
        self._ended: set[bytes] = set()
        self._touched: dict[bytes, None] = {}
        self._replies: list[Reply] = []

    def on_batch(self, batch: Batch) -> Entry | None:
        """What to record of a message from the PUSH door, if anything (rule 1)."""
        mark = self._marks.get(batch.producer, 0)
        self._touched[batch.producer] = None
        if batch.first_seq != mark + 1:
            if batch.first_seq <= mark:
                self.counters.duplicates += 1
            else:
                self.counters.ahead += 1
            return None
        self._marks[batch.producer] = batch.last_seq
        if batch.kind == GAP:
            self.counters.gaps += batch.count
        else:
            self.counters.batches += 1
            self.counters.events += batch.count
        return Entry(batch.kind, batch.producer, batch.first_seq, batch.count, batch.payload, batch.payload_crc)

    def on_control(self, address: bytes, message: Control) -> list[Entry]:
        """What to record of a control message, if anything."""
        if isinstance(message, Hello):
            return self._on_hello(address, message)
        if isinstance(message, End):
            return self._on_end(address, message)
        if isinstance(message, Locate):
            self._replies.append(Reply(address, self._welcome(None)))
        return []

    def on_malformed(self) -> None:
        """Bytes that are no message came in by one of the doors."""
        self.counters.malformed += 1

    def due(self) -> Iterator[Reply]:
        """The answers owed, now that everything decided so far is durable. Taking them clears them."""
        replies, self._replies = self._replies, []
        touched, self._touched = self._touched, {}
        yield from replies
        for producer in touched:
            address = self._addresses.get(producer)
            if address is not None:
                yield Reply(address, Ack(producer, self._marks.get(producer, 0)))

    def _on_hello(self, address: bytes, hello: Hello) -> list[Entry]:
        reason = self._why_refuse(hello)
        if reason is not None:
            self.counters.refused += 1
            self._replies.append(Reply(address, Refuse(reason, hello.producer)))
            return []
        entries = []
        if hello.producer not in self._addresses:
            about = pack_control(hello)
            entries.append(Entry(BEGIN, hello.producer, self._marks.get(hello.producer, 0) + 1, 0, about))
        self._remember(hello.producer, address)
        first = self._marks.get(hello.producer, 0) + 1
        if hello.oldest > first:
            count = hello.oldest - first
            self.counters.gaps += count
            entries.append(Entry(GAP, hello.producer, first, count, gap_payload("no longer held by the producer")))
            self._marks[hello.producer] = hello.oldest - 1
        self._replies.append(Reply(address, self._welcome(hello.producer)))
        return entries

    def _on_end(self, address: bytes, end: End) -> list[Entry]:
        self._remember(end.producer, address)
        self._touched[end.producer] = None
        if end.last != self._marks.get(end.producer, 0) or end.producer in self._ended:
            return []
        self._ended.add(end.producer)
        return [Entry(END, end.producer, end.last, 0, b"")]

    def _why_refuse(self, hello: Hello) -> str | None:
        if hello.version != VERSION:
            return f"it speaks version {VERSION} of the protocol, not {hello.version}: use the same embertrace on both"
        if hello.recording is not None and hello.recording != self.identity.recording:
            return f"it records into {self.identity.recording}, and these events belong to {hello.recording}"
        if not 1 <= hello.oldest <= hello.next:
            return f"a hello with oldest seq {hello.oldest} and next seq {hello.next} makes no sense"
        return None

    def _welcome(self, producer: bytes | None) -> Welcome:
        who = self.identity
        mark = self._marks.get(producer, 0) if producer is not None else 0
        return Welcome(who.recording, who.name, mark, who.push_port, who.rpc_port, producer, None, who.advertise)

    def _remember(self, producer: bytes, address: bytes) -> None:
        self._addresses.pop(producer, None)
        self._addresses[producer] = address
        if len(self._addresses) > MAX_PRODUCERS:
            del self._addresses[next(iter(self._addresses))]
