"""What a message does to the aggregator's state. Pure: no sockets, no files, no clock of its own.

The rules of acceptance, all of them:

1. A producer is alive from its hello, recorded as a begin with what it says of itself, to its end. Nothing is accepted
   of others, and they are not answered (but for rules 3 and 5): whoever hears nothing says hello. Who was alive when
   the recording was opened still is.
2. A batch or gap of the living is accepted only if its first seq is the producer's mark + 1. Then it is to be recorded,
   and the mark moves to its last seq. Anything else changes nothing and is answered with the mark.
3. A hello of another version, or for another recording, or that makes no sense, is refused with a sentence.
4. A hello that no longer holds mark + 1 (`oldest` is above it) declares a gap: it is recorded, and the mark moves.
5. An end that names no seq above the mark is recorded, once in a life, and answered with an end, every time: the
   answer to an earlier one may be lost. One that names a higher seq changes nothing and is answered with the mark.
6. A living producer that promised a heartbeat and misses MISSED of them is gone: an end says so. While the aggregator
   itself stood still, nobody is silent.
7. What a control message tells of the clock of a living producer is recorded where it is news (see clocks).
8. Whoever of the living was touched is answered with the mark, as it is then, but only after what was decided is
   durable (`due`); who only asks where things are, or is refused, need not wait for that (`due_at_once`). Without a
   return address (after a restart, until a hello or alive brings one) there is no answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from aggregator.clocks import Clocks
from embertrace.errors import WireError
from embertrace.recording import BEGIN, CLOCK, END
from embertrace.wire.batch import GAP, MAX_SEQ, VERSION, Batch, gap_payload
from embertrace.wire.clock import Offset, pack_offset
from embertrace.wire.control import (
    Ack,
    Alive,
    Control,
    End,
    Hello,
    Locate,
    Refuse,
    Welcome,
    pack_control,
    unpack_control,
)

MISSED = 3
"""Heartbeats: one may be late on a busy machine, two may be lost with a connection."""
STOOD_STILL_S = 5.0
"""Between two ticks: more than any drain or sync takes, so this process was stopped, or the machine slept."""
SILENT = "nothing was heard of it"
MAX_PRODUCERS = 100_000
"""Return addresses kept: one per process that ever said hello. Beyond it the longest silent are forgotten:
neither answered nor found silent until they are heard again."""


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
    """What happened since the aggregator started. `ahead` are batches that came before what precedes them, or hello."""

    batches: int = 0
    events: int = 0
    duplicates: int = 0
    ahead: int = 0
    gaps: int = 0
    refused: int = 0
    malformed: int = 0
    silent: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What this aggregator tells everybody: its recording and its ports."""

    recording: str
    name: str
    push_port: int
    rpc_port: int
    advertise: str | None = None


class Collector:
    """The state of all producers.

    `marks` are those of the recording it was opened with, `begun` what the producers that had not ended there said of
    themselves (the payloads of their begins).
    """

    def __init__(
        self, identity: Identity, marks: Mapping[bytes, int], begun: Mapping[bytes, bytes] | None = None
    ) -> None:
        self.identity = identity
        self.counters = Counters()
        self._now: float | None = None
        patience = {producer: _patience(about) for producer, about in (begun or {}).items()}
        self._alive = {producer: seconds for producer, seconds in patience.items() if seconds is not None}
        """The living, and for how many seconds each may be silent; 0 for ever."""
        self._due: dict[bytes, float] = {}
        """By when something must have been heard of a producer that promised so."""
        self._marks = dict(marks)
        self._addresses: dict[bytes, bytes] = {}
        self._touched: dict[bytes, None] = {}
        self._at_once: list[Reply] = []
        self._welcomes: dict[tuple[bytes, bytes], int] = {}
        """By return address and producer, which hello is to be answered."""
        self._ends: dict[tuple[bytes, bytes], None] = {}
        self._clocks = Clocks()

    def tick(self, now: float) -> list[Entry]:
        """Time passed: what to record of those who fell silent. `now` is monotonic; every step of the loop says it."""
        before, self._now = self._now, now
        if before is None:
            self._due = {producer: now + patience for producer, patience in self._alive.items() if patience}
        elif now - before > STOOD_STILL_S:
            self._due = {producer: due + now - before for producer, due in self._due.items()}
        silent = [producer for producer, due in self._due.items() if due < now]
        for producer in silent:
            self._bury(producer)
            self.counters.silent += 1
        return [Entry(END, producer, self._marks.get(producer, 0), 0, gap_payload(SILENT)) for producer in silent]

    def on_batch(self, batch: Batch) -> list[Entry]:
        """What to record of a message from the PUSH door, if anything (rules 1 and 2)."""
        mark = self._marks.get(batch.producer, 0)
        is_alive = self._heard(batch.producer)
        if batch.first_seq <= mark:
            self.counters.duplicates += 1
            return []
        if batch.first_seq > mark + 1 or not is_alive:
            self.counters.ahead += 1
            return []
        self._marks[batch.producer] = batch.last_seq
        if batch.kind == GAP:
            self.counters.gaps += batch.count
        else:
            self.counters.batches += 1
            self.counters.events += batch.count
        return [Entry(batch.kind, batch.producer, batch.first_seq, batch.count, batch.payload, batch.payload_crc)]

    def on_control(self, address: bytes, message: Control, received_ns: int) -> list[Entry]:
        """What to record of a control message that came at `received_ns` (Unix nanoseconds), if anything."""
        if isinstance(message, Hello):
            return [*self._on_hello(address, message), *self._on_clock(message, received_ns)]
        if isinstance(message, End):
            return [*self._on_clock(message, received_ns), *self._on_end(address, message)]
        if isinstance(message, Alive):
            return [*self._on_alive(address, message), *self._on_clock(message, received_ns)]
        if isinstance(message, Locate):
            self._at_once.append(Reply(address, self._welcome(None, 0)))
        return []

    def on_malformed(self) -> None:
        """Bytes that are no message came in by one of the doors."""
        self.counters.malformed += 1

    def due_at_once(self) -> list[Reply]:
        """The answers that promise nothing, so that nothing need be durable for them: to where, and to refusals.

        Taking them clears them. Of the others the last to each producer is kept: a hello may come again and again.
        """
        replies, self._at_once = self._at_once, []
        return replies

    def due(self) -> Iterator[Reply]:
        """The answers owed, now that everything decided so far is durable. Taking them clears them."""
        yield from self.due_at_once()
        welcomes, self._welcomes = self._welcomes, {}
        ends, self._ends = self._ends, {}
        touched, self._touched = self._touched, {}
        for (address, producer), number in welcomes.items():
            touched.pop(producer, None)
            yield Reply(address, self._welcome(producer, number))
        for address, producer in ends:
            yield Reply(address, End(producer, self._marks.get(producer, 0)))
        for producer in touched:
            if producer in self._addresses:
                yield Reply(self._addresses[producer], Ack(producer, self._marks.get(producer, 0)))

    def _on_hello(self, address: bytes, hello: Hello) -> list[Entry]:
        reason = self._why_refuse(hello)
        if reason is not None:
            self.counters.refused += 1
            self._at_once.append(Reply(address, Refuse(reason, hello.producer)))
            return []
        entries = []
        first = self._marks.get(hello.producer, 0) + 1
        if hello.producer not in self._alive:
            # A gap may have declared every seq there is: none is left then, and what begins can't go on.
            entries.append(Entry(BEGIN, hello.producer, min(first, MAX_SEQ), 0, pack_control(hello)))
        self._alive[hello.producer] = MISSED * hello.heartbeat_s
        self._due.pop(hello.producer, None)
        self._heard(hello.producer, address)
        if hello.oldest > first:
            count = hello.oldest - first
            self.counters.gaps += count
            entries.append(Entry(GAP, hello.producer, first, count, gap_payload("no longer held by the producer")))
            self._marks[hello.producer] = hello.oldest - 1
        self._welcomes[address, hello.producer] = hello.number
        return entries

    def _on_alive(self, address: bytes, alive: Alive) -> list[Entry]:
        if self._heard(alive.producer, address) and alive.offset is not None:
            return [self._clock(alive.producer, alive.offset)]
        return []

    def _on_clock(self, message: Hello | Alive | End, received_ns: int) -> list[Entry]:
        if message.clock is None or message.producer not in self._alive:
            return []
        from_seq = self._marks.get(message.producer, 0) + 1
        news = self._clocks.read(message.producer, message.clock, received_ns, from_seq)
        return [self._clock(message.producer, news)] if news is not None else []

    @staticmethod
    def _clock(producer: bytes, offset: Offset) -> Entry:
        return Entry(CLOCK, producer, 0, 0, pack_offset(offset))

    def _on_end(self, address: bytes, end: End) -> list[Entry]:
        mark = self._marks.get(end.producer, 0)
        if end.last > mark:
            self._heard(end.producer, address)
            return []
        self._ends[address, end.producer] = None
        if end.producer not in self._alive:
            return []
        self._bury(end.producer)
        return [Entry(END, end.producer, mark, 0, b"")]

    def _heard(self, producer: bytes, address: bytes | None = None) -> bool:
        """A sign of life, to be answered; whether it is one of the living."""
        patience = self._alive.get(producer)
        if patience is None:
            return False
        if patience and self._now is not None:
            self._due[producer] = self._now + patience
        if address is not None:
            self._remember(producer, address)
        self._touched[producer] = None
        return True

    def _bury(self, producer: bytes) -> None:
        """All that remains of it is its mark."""
        del self._alive[producer]
        self._due.pop(producer, None)
        self._addresses.pop(producer, None)
        self._clocks.forget(producer)

    def _why_refuse(self, hello: Hello) -> str | None:
        if hello.version != VERSION:
            return f"it speaks version {VERSION} of the protocol, not {hello.version}: use the same embertrace on both"
        if hello.recording is not None and hello.recording != self.identity.recording:
            return f"it records into {self.identity.recording}, and these events belong to {hello.recording}"
        if not 1 <= hello.oldest <= hello.next:
            return f"a hello with oldest seq {hello.oldest} and next seq {hello.next} makes no sense"
        return None

    def _welcome(self, producer: bytes | None, number: int) -> Welcome:
        who = self.identity
        mark = self._marks.get(producer, 0) if producer is not None else 0
        return Welcome(
            who.recording, who.name, mark, who.push_port, who.rpc_port, producer, None, who.advertise, number=number
        )

    def _remember(self, producer: bytes, address: bytes) -> None:
        self._addresses.pop(producer, None)
        self._addresses[producer] = address
        if len(self._addresses) > MAX_PRODUCERS:
            forgotten = next(iter(self._addresses))
            del self._addresses[forgotten]
            self._clocks.forget(forgotten)
            self._due.pop(forgotten, None)


def _patience(about: bytes) -> int | None:
    """For how many seconds whoever began so may be silent, 0 for ever; None where that can't be read."""
    try:
        message = unpack_control(about)
    except WireError:
        return None
    return MISSED * message.heartbeat_s if isinstance(message, Hello) else None
