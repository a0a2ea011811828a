"""What a message does to the aggregator's state. Pure: no sockets, no files, no clock of its own.

The rules of acceptance, all of them:

1. A batch or gap is accepted only if its first seq is the producer's mark + 1. Then it is to be recorded, and the mark
   moves to its last seq. Anything else changes nothing and is answered with the mark.
2. A hello of another version, or for another recording, is refused with a sentence.
3. A hello that no longer holds mark + 1 (`oldest` is above it) declares a gap: it is recorded, and the mark moves.
4. An end is recorded once, when it comes at the mark.
5. A producer that promised a heartbeat and misses MISSED of them is gone: an end says so. If it is heard again after
   all, a begin takes that back, before anything else of it is recorded. While the aggregator itself stood still,
   nobody is silent.
6. What a control message tells of the producer's clock is recorded where it is news (see clocks).
7. Whoever was touched is answered, but only after what was decided is durable (`due`); who only asks where things
   are, or is refused, need not wait for that (`due_at_once`). A producer that never said
   hello can't be answered: it has no return address yet, and will say hello when it hears nothing.
8. Whoever inspects is owed the state (`inspectors`, `state`), which changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from aggregator.clocks import Clocks
from aggregator.counters import Counters, Losses, bounded
from embertrace.recording import BEGIN, CLOCK, END
from embertrace.wire.batch import GAP, MAX_SEQ, VERSION, Batch, gap_payload
from embertrace.wire.clock import Offset, pack_offset
from embertrace.wire.control import (
    MAX_LOSS_HOST,
    Ack,
    Alive,
    Control,
    End,
    Hello,
    Inspect,
    Locate,
    Loss,
    Refuse,
    State,
    Welcome,
    pack_control,
)

MISSED = 3
"""Heartbeats: one may be late on a busy machine, two may be lost with a connection."""
STOOD_STILL_S = 5.0
"""Between two ticks: more than any drain or sync takes, so this process was stopped, or the machine slept."""
SILENT = "nothing was heard of it"
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


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What the state tells of the disk and the clock; fields as in State."""

    now_ns: int
    received_ns: int
    durable: int
    free_bytes: int | None


class Collector:
    """The state of all producers.

    `marks` are those of the recording it was opened with, `begun` the hellos of producers that had not ended there.
    """

    def __init__(
        self, identity: Identity, marks: Mapping[bytes, int], begun: Mapping[bytes, Hello] | None = None
    ) -> None:
        self.identity = identity
        self.counters = Counters()
        self._now: float | None = None
        self._due: dict[bytes, float] = {}
        """By when something must have been heard of a producer that promised so."""
        self._patience: dict[bytes, int] = {
            producer: MISSED * hello.heartbeat_s for producer, hello in (begun or {}).items() if hello.heartbeat_s
        }
        self._marks = dict(marks)
        self._addresses: dict[bytes, bytes] = {}
        self._hellos = dict(begun or {})
        self._losses = Losses()
        self._ended: set[bytes] = set()
        self._inspectors: list[bytes] = []
        self._touched: dict[bytes, None] = {}
        self._replies: list[Reply] = []
        self._clocks = Clocks()

    def tick(self, now: float) -> list[Entry]:
        """Time passed: what to record of those who fell silent. `now` is monotonic; every step of the loop says it."""
        before, self._now = self._now, now
        if before is None:
            self._due = {producer: now + patience for producer, patience in self._patience.items()}
        elif now - before > STOOD_STILL_S:
            self._due = {producer: due + now - before for producer, due in self._due.items()}
        silent = [producer for producer, due in self._due.items() if due < now]
        for producer in silent:
            del self._due[producer]
            self._ended.add(producer)
            self.counters.silent += 1
        return [Entry(END, producer, self._marks.get(producer, 0), 0, gap_payload(SILENT)) for producer in silent]

    def on_batch(self, batch: Batch) -> list[Entry]:
        """What to record of a message from the PUSH door, if anything (rule 1)."""
        mark = self._marks.get(batch.producer, 0)
        self._touched[batch.producer] = None
        entries = self._heard(batch.producer)
        if batch.first_seq != mark + 1:
            if batch.first_seq <= mark:
                self.counters.duplicates += 1
            else:
                self.counters.ahead += 1
            return entries
        self._marks[batch.producer] = batch.last_seq
        if batch.kind == GAP:
            self._count_lost(batch.producer, batch.count)
        else:
            self.counters.batches += 1
            self.counters.events += batch.count
            self.counters.bytes += len(batch.payload)
        entries.append(
            Entry(batch.kind, batch.producer, batch.first_seq, batch.count, batch.payload, batch.payload_crc)
        )
        return entries

    def on_control(self, address: bytes, message: Control, received_ns: int) -> list[Entry]:
        """What to record of a control message that came at `received_ns` (Unix nanoseconds), if anything."""
        if isinstance(message, Hello):
            return [*self._on_hello(address, message), *self._on_clock(message, received_ns)]
        if isinstance(message, End):
            return [*self._on_clock(message, received_ns), *self._on_end(address, message)]
        if isinstance(message, Alive):
            return [*self._on_alive(address, message), *self._on_clock(message, received_ns)]
        if isinstance(message, Locate):
            self._replies.append(Reply(address, self._welcome(None)))
        elif isinstance(message, Inspect):
            self._inspectors.append(address)
        return []

    def on_malformed(self) -> None:
        """Bytes that are no message came in by one of the doors."""
        self.counters.malformed += 1

    def due_at_once(self) -> list[Reply]:
        """The answers that promise nothing, so that nothing need be durable for them: to where, and to refusals.

        Taking them clears them. Of the others the last to each address is kept: a hello may come again and again.
        """
        at_once = [reply for reply in self._replies if _promises_nothing(reply.message)]
        later = {reply.address: reply for reply in self._replies if not _promises_nothing(reply.message)}
        self._replies = list(later.values())
        return at_once

    def state(self, ground: Ground) -> State:
        """How the aggregator fares, for who inspects it."""
        who = self.identity
        counters = {
            **bounded(self.counters),
            "producers": len(self._marks.keys() | self._addresses.keys()),
            "connected": len(self._addresses.keys() - self._ended),
            "ended": len(self._ended),
        }
        losses = []
        for producer, events in self._losses.worst():
            hello = self._hellos.get(producer)
            host, pid = (hello.host, hello.pid) if hello is not None else ("", 0)
            losses.append(Loss(producer, events, host[:MAX_LOSS_HOST], pid))
        return State(
            who.recording, who.name, who.library, who.pid, who.started_ns, ground.now_ns, ground.received_ns,
            ground.durable, counters, ground.free_bytes, tuple(losses),
        )  # fmt: skip

    def inspectors(self) -> list[bytes]:
        """The return addresses of who is owed the state. Taking them clears them."""
        inspectors, self._inspectors = self._inspectors, []
        return inspectors

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
        if hello.producer not in self._addresses or hello.producer in self._ended:
            entries.append(self._begin(hello.producer, pack_control(hello)))
        if hello.heartbeat_s:
            self._patience[hello.producer] = MISSED * hello.heartbeat_s
        self._heard(hello.producer)
        self._remember(hello.producer, address)
        self._hellos[hello.producer] = hello
        first = self._marks.get(hello.producer, 0) + 1
        if hello.oldest > first:
            count = hello.oldest - first
            self._count_lost(hello.producer, count)
            entries.append(Entry(GAP, hello.producer, first, count, gap_payload("no longer held by the producer")))
            self._marks[hello.producer] = hello.oldest - 1
        self._replies.append(Reply(address, self._welcome(hello.producer)))
        return entries

    def _on_alive(self, address: bytes, alive: Alive) -> list[Entry]:
        self._remember(alive.producer, address)
        self._touched[alive.producer] = None
        entries = self._heard(alive.producer)
        if alive.offset is not None:
            entries.append(self._clock(alive.producer, alive.offset))
        return entries

    def _on_clock(self, message: Hello | Alive | End, received_ns: int) -> list[Entry]:
        if message.clock is None or message.producer not in self._addresses:
            return []
        from_seq = self._marks.get(message.producer, 0) + 1
        news = self._clocks.read(message.producer, message.clock, received_ns, from_seq)
        return [self._clock(message.producer, news)] if news is not None else []

    @staticmethod
    def _clock(producer: bytes, offset: Offset) -> Entry:
        return Entry(CLOCK, producer, 0, 0, pack_offset(offset))

    def _on_end(self, address: bytes, end: End) -> list[Entry]:
        self._remember(end.producer, address)
        self._touched[end.producer] = None
        if end.last != self._marks.get(end.producer, 0) or end.producer in self._ended:
            return []
        self._ended.add(end.producer)
        self._clocks.forget(end.producer)
        self._patience.pop(end.producer, None)
        self._due.pop(end.producer, None)
        return [Entry(END, end.producer, end.last, 0, b"")]

    def _heard(self, producer: bytes) -> list[Entry]:
        """A sign of life: what to record of it, if it was believed to be gone."""
        patience = self._patience.get(producer)
        if patience is None or self._now is None:
            return []
        self._due[producer] = self._now + patience
        if producer not in self._ended:
            return []
        return [self._begin(producer, b"")]

    def _count_lost(self, producer: bytes, events: int) -> None:
        self.counters.gaps += events
        self._losses.add(producer, events)

    def _begin(self, producer: bytes, about: bytes) -> Entry:
        self._ended.discard(producer)
        # A gap may have declared every seq there is: none is left then, and what begins can't go on.
        first = min(self._marks.get(producer, 0) + 1, MAX_SEQ)
        return Entry(BEGIN, producer, first, 0, about)

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
            forgotten = next(iter(self._addresses))
            del self._addresses[forgotten]
            self._clocks.forget(forgotten)
            self._hellos.pop(forgotten, None)
            self._patience.pop(forgotten, None)
            self._due.pop(forgotten, None)


def _promises_nothing(message: Control) -> bool:
    return isinstance(message, Refuse) or (isinstance(message, Welcome) and message.producer is None)
