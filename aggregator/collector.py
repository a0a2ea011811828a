"""What a message does to the aggregator's state. Pure: no sockets, no files, no clock of its own.

The rules of acceptance, all of them:

1. A producer is alive from its hello, recorded as a begin with what it says of itself, to its end. Nothing is accepted
   of others, and they are not answered (but for rules 3 and 5): whoever hears nothing says hello. Who was alive when
   the recording was opened still is.
2. A batch or gap of the living is accepted only if its first seq is the producer's mark + 1. Then it is to be recorded,
   and the mark moves to its last seq. Anything else changes nothing and is answered with the mark.
3. A hello of another version, or for another recording, or that makes no sense, is refused with a sentence; so is that
   of a producer beyond MAX_PRODUCERS. None is ever forgotten: its mark is what keeps its events from coming twice.
4. A hello that no longer holds mark + 1 (`oldest` is above it) declares a gap: it is recorded, and the mark moves.
5. An end that names no seq above the mark is recorded, once in a life, and answered with an end, every time: the
   answer to an earlier one may be lost. One that names a higher seq changes nothing and is answered with the mark.
6. A living producer that promised a heartbeat and falls silent (see lives) is gone: an end says so.
7. What a control message tells of the clock of a living producer is recorded where it is news (see clocks).
8. Whoever of the living was touched is answered with the mark, as it is then, but only after what was decided is
   durable (`due`); who only asks where things are, or is refused, need not wait for that (`due_at_once`). Without a
   return address (after a restart, until a hello or alive brings one) there is no answer.
9. Whoever inspects is owed the state (`inspectors`, `state`), which changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from aggregator.clocks import Clocks
from aggregator.counters import Counters, Losses, bounded
from aggregator.lives import Lives
from embertrace.recording import BEGIN, CLOCK, END
from embertrace.wire.batch import GAP, MAX_SEQ, VERSION, Batch, gap_payload
from embertrace.wire.clock import Offset, pack_offset
from embertrace.wire.control import (
    Ack,
    Alive,
    Control,
    End,
    Hello,
    Inspect,
    Locate,
    Refuse,
    State,
    Welcome,
    pack_control,
)

SILENT = "nothing was heard of it"
MAX_ABOUT = 256
"""Characters of a host or library that are recorded: longer than any, and a begin is said again in every segment."""

MAX_PRODUCERS = 1_000_000
"""Of one recording: two hundred bytes each in memory, and 24 at the beginning of every segment."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One record to append."""

    kind: int
    producer: bytes
    first_seq: int
    count: int
    payload: bytes | memoryview
    payload_crc: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One control message to send to a return address."""

    address: bytes
    message: Control


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What this aggregator tells everybody: its recording and its ports; and, to who inspects it, itself."""

    recording: str
    name: str
    push_port: int
    rpc_port: int
    advertise: str | None = None
    library: str = ""
    pid: int = 0
    started_ns: int = 0
    http_port: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What the state tells of the disk and the clock; fields as in State."""

    now_ns: int
    received_ns: int
    durable: int
    free_bytes: int | None


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
        self._lives = Lives(begun or {})
        self._marks = dict(marks)
        self._losses = Losses()
        self._inspectors: list[bytes] = []
        self._touched: dict[bytes, None] = {}
        self._at_once: list[Reply] = []
        self._welcomes: dict[tuple[bytes, bytes], int] = {}
        """By return address and producer, which hello is to be answered."""
        self._ends: dict[tuple[bytes, bytes], None] = {}
        self._clocks = Clocks()

    def tick(self, now: float) -> list[Entry]:
        """Time passed: what to record of those who fell silent. `now` is monotonic; every step of the loop says it."""
        silent = self._lives.tick(now)
        self.counters.silent += len(silent)
        return [self._bury(producer, gap_payload(SILENT)) for producer in silent]

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
            self._count_lost(batch.producer, batch.count)
        else:
            self.counters.batches += 1
            self.counters.events += batch.count
            self.counters.bytes += len(batch.payload)
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
        elif isinstance(message, Inspect):
            self._inspectors.append(address)
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

    def state(self, ground: Ground) -> State:
        """How the aggregator fares, for who inspects it."""
        who = self.identity
        counters = {
            **bounded(self.counters),
            "producers": len(self._marks.keys() | self._lives.names()),
            "connected": self._lives.connected,
            "ended": len(self._lives.ended),
        }
        return State(
            who.recording, who.name, who.library, who.pid, who.started_ns, ground.now_ns, ground.received_ns,
            ground.durable, counters, ground.free_bytes, self._losses.worst(),
        )  # fmt: skip

    def inspectors(self) -> list[bytes]:
        """The return addresses of who is owed the state. Taking them clears them."""
        inspectors, self._inspectors = self._inspectors, []
        return inspectors

    def due(self) -> Iterator[Reply]:
        """The answers owed, now that everything decided so far is durable. Taking them clears them."""
        welcomes, self._welcomes = self._welcomes, {}
        ends, self._ends = self._ends, {}
        touched, self._touched = self._touched, {}
        for (address, producer), number in welcomes.items():
            touched.pop(producer, None)
            yield Reply(address, self._welcome(producer, number))
        for address, producer in ends:
            yield Reply(address, End(producer, self._marks.get(producer, 0)))
        for producer in touched:
            where = self._lives.address(producer)
            if where is not None:
                yield Reply(where, Ack(producer, self._marks.get(producer, 0)))
        yield from self.due_at_once()

    def _on_hello(self, address: bytes, hello: Hello) -> list[Entry]:
        reason = self._why_refuse(hello)
        if reason is not None:
            self.counters.refused += 1
            self._at_once.append(Reply(address, Refuse(reason, hello.producer)))
            return []
        entries = []
        first = self._marks.get(hello.producer, 0) + 1
        if hello.producer not in self._lives:
            # A gap may have declared every seq there is: none is left then, and what begins can't go on.
            entries.append(Entry(BEGIN, hello.producer, min(first, MAX_SEQ), 0, _about(hello)))
        given_up = self._lives.begin(hello, address)
        if given_up is not None:
            entries.append(self._bury(given_up, gap_payload(SILENT)))
        if hello.oldest > first:
            count = hello.oldest - first
            self._count_lost(hello.producer, count)
            entries.append(Entry(GAP, hello.producer, first, count, gap_payload("no longer held by the producer")))
            self._marks[hello.producer] = hello.oldest - 1
        self._welcomes[address, hello.producer] = hello.number
        return entries

    def _on_alive(self, address: bytes, alive: Alive) -> list[Entry]:
        if self._heard(alive.producer, address) and alive.offset is not None:
            return [self._clock(alive.producer, alive.offset)]
        return []

    def _on_clock(self, message: Hello | Alive | End, received_ns: int) -> list[Entry]:
        if message.clock is None or message.producer not in self._lives:
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
        return [self._bury(end.producer, b"")] if end.producer in self._lives else []

    def _heard(self, producer: bytes, address: bytes | None = None) -> bool:
        """A sign of life, to be answered; whether it is one of the living."""
        if not self._lives.hear(producer, address):
            return False
        self._touched[producer] = None
        return True

    def _bury(self, producer: bytes, why: bytes) -> Entry:
        self._lives.end(producer)
        self._clocks.forget(producer)
        return Entry(END, producer, self._marks.get(producer, 0), 0, why)

    def _count_lost(self, producer: bytes, events: int) -> None:
        self.counters.gaps += events
        self._losses.add(producer, events, self._lives.of(producer))

    def _why_refuse(self, hello: Hello) -> str | None:
        if hello.version != VERSION:
            return f"it speaks version {VERSION} of the protocol, not {hello.version}: use the same embertrace on both"
        if hello.recording is not None and hello.recording != self.identity.recording:
            return f"it records into {self.identity.recording}, and these events belong to {hello.recording}"
        if not 1 <= hello.oldest <= hello.next:
            return f"a hello with oldest seq {hello.oldest} and next seq {hello.next} makes no sense"
        if not self._has_place_for(hello.producer):
            return (
                f"{MAX_PRODUCERS} producers have written this recording, and no more can: start one in a new directory"
            )
        return None

    def _has_place_for(self, producer: bytes) -> bool:
        marks, ended = self._marks, self._lives.ended
        known = producer in marks or producer in ended or producer in self._lives
        return known or max(len(marks), len(ended)) < MAX_PRODUCERS

    def _welcome(self, producer: bytes | None, number: int) -> Welcome:
        who = self.identity
        mark = self._marks.get(producer, 0) if producer is not None else 0
        return Welcome(
            who.recording, who.name, mark, who.push_port, who.rpc_port, producer, who.http_port, who.advertise,
            number=number,
        )  # fmt: skip


def _about(hello: Hello) -> bytes:
    """What a begin records of a hello."""
    return pack_control(dataclasses.replace(hello, host=hello.host[:MAX_ABOUT], library=hello.library[:MAX_ABOUT]))
