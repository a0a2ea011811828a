"""A small world of processes, adopters, an aggregator with its log, and the lines between them. Chance is a seed's.

Whoever plays it (see delivery_machine) calls its methods in any order; after each of them `check` must hold, and after
`heal` everything must have come to rest.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from aggregator.collector import Collector, Entry, Identity
from aggregator.ingest import TICK_S
from embertrace.wire.batch import unpack_batch
from embertrace.wire.control import pack_control, unpack_control
from support.delivery_ledger import Ledger
from support.delivery_log import Died, Fate, Log
from support.delivery_net import CALM, Line, Weather
from support.delivery_streams import Adopter, Process, Stream

IDENTITY = Identity("recording", "name", 5558, 5559)
HEAL_ROUNDS = 400
"""Of half a second: an adopter that waits for a lost answer gives up after ten seconds, and another one begins."""


@dataclasses.dataclass
class Figures:
    """What happened in all the worlds that were played."""

    sequences: int = 0
    steps: int = 0
    taken: int = 0
    dropped: int = 0
    crashes: int = 0
    torn: int = 0
    adoptions: int = 0
    adopters_died: int = 0
    restarts: int = 0
    tails_cut: int = 0
    rolls: int = 0
    duplicates: int = 0
    ahead: int = 0
    silent: int = 0
    ends: int = 0
    replayed: int = 0


class World:
    """`aggregator` is None while it is down."""

    collector: type[Collector] = Collector
    hasty = False
    """Whether the aggregator answers before it syncs, which it must not."""

    def __init__(self, seed: int, segment_bytes: int, figures: Figures) -> None:
        self.figures = figures
        self.chance = random.Random(seed)
        self.now = 1000.0
        self.log = Log(segment_bytes)
        self.streams: dict[bytes, Stream] = {}
        self.ledger = Ledger(self.log, self.streams)
        self.weather = (CALM, CALM, CALM)
        self.aggregator: Collector | None = None
        self.lines: list[Line] = []
        self._tick_at = self.now
        self.restart()

    # Who is there.

    @property
    def processes(self) -> list[Process]:
        return [stream.owner for stream in self.streams.values() if isinstance(stream.owner, Process)]

    @property
    def adopters(self) -> list[Adopter]:
        return [stream.owner for stream in self.streams.values() if isinstance(stream.owner, Adopter)]

    @property
    def orphans(self) -> list[Stream]:
        return [stream for stream in self.streams.values() if stream.is_orphan]

    # What happens.

    def start(self, capacity: int, heartbeat_s: int = 8) -> Process:
        stream = Stream(len(self.streams))
        stream.before_deletion = self.ledger.before_deletion
        stream.after_end = self.ledger.after_end
        self.streams[stream.id] = stream
        process = Process(stream, capacity, self.now, self.chance, heartbeat_s)
        self._connect(process.line)
        return process

    def adopt(self, stream: Stream) -> None:
        adopter = Adopter(stream, stream.recording or IDENTITY.recording, self.now, self.chance)
        self._connect(adopter.line)
        self.figures.adoptions += 1

    def set_weather(self, control: Weather, pushed: Weather, answers: Weather) -> None:
        self.weather = (control, pushed, answers)
        for line in self.lines:
            self._expose(line)

    def round(self, seconds: float, fate: Fate | None = None) -> None:
        """Time passes, and everybody does what is due."""
        self.now += seconds
        for sender in [*self.processes, *self.adopters]:
            sender.step(self.now)
        self.aggregate(fate)
        for line in self.lines:
            line.inbox.extend(line.answers.carry())

    def aggregate(self, fate: Fate | None = None) -> None:
        """One round of the aggregator: receive, tick, sync, answer. It may die on the way."""
        collector = self.aggregator
        if collector is None:
            return
        try:
            self._receive(collector)
            if self.now >= self._tick_at:
                self._tick_at = self.now + TICK_S
                self._append(collector.tick(self.now))
            if self.hasty:
                self._answer(collector)
            self.log.sync(fate)
            self._answer(collector)
        except Died:
            self._fall()

    def restart(self) -> None:
        """Another aggregator opens the recording."""
        found = self.log.open()
        self.aggregator = self.collector(IDENTITY, found.marks, found.begun)
        self._tick_at = self.now

    def heal(self) -> None:
        """Everything is well from now on: all that is owed must arrive, and the gone be known to be gone."""
        self.set_weather(CALM, CALM, CALM)
        if self.aggregator is None:
            self.restart()
        for process in self.processes:
            if process.ending:
                process.leave()
        for _ in range(HEAL_ROUNDS):
            for stream in self.orphans:
                self.adopt(stream)
            self.round(0.5)
            if not self.adopters and not self.orphans and all(process.machine.is_settled for process in self.processes):
                break
        else:
            raise AssertionError("the network is whole, and still not everything has arrived: a livelock")
        for _ in range(40):
            self.round(1.0)
            self.check()

    # What must hold.

    def check(self) -> None:
        self.ledger.read()
        for process in self.processes:
            stream, held = process.stream, process.spool.held_bytes
            assert held <= process.capacity
            if process.machine.ended:
                self.ledger.after_end(stream)
            assert process.machine.mark <= self.ledger.marks.get(stream.id, 0), f"{stream.id!r}: not all is durable"

    def settle(self) -> None:
        """After `heal`: nothing is lost, twice or invented, and the living and the gone are told apart."""
        self.ledger.settle()
        for stream in self.streams.values():
            is_alive = stream.id in self.ledger.alive
            is_known = stream.id in self.ledger.seen
            assert is_known or not (stream.events or stream.dropped)
            assert is_alive == (stream.owner is not None and is_known), f"{stream.id!r}: alive is {is_alive} in the log"

    def count(self) -> None:
        """Add what happened to the figures."""
        figures = self.figures
        figures.sequences += 1
        figures.taken += sum(len(stream.events) for stream in self.streams.values())
        figures.dropped += sum(len(stream.dropped) for stream in self.streams.values())
        figures.tails_cut += self.log.tails_cut
        figures.rolls += self.log.rolls - 1
        figures.ends += self.ledger.ends
        self._count_collector()

    # How.

    def _connect(self, line: Line) -> None:
        self.lines.append(line)
        self._expose(line)

    def _expose(self, line: Line) -> None:
        for wire, weather in zip(line.wires, self.weather, strict=True):
            wire.weather = weather

    def _arrivals(self) -> Iterator[tuple[Line, tuple[bytes, bytes] | bytes]]:
        """Control messages first, each kind in any order of the lines."""
        lines = list(self.lines)
        if self.weather != (CALM, CALM, CALM):
            self.chance.shuffle(lines)
        for line in lines:
            yield from ((line, message) for message in line.control.carry())
        for line in lines:
            yield from ((line, message) for message in line.pushed.carry())

    def _receive(self, collector: Collector) -> None:
        for _, message in self._arrivals():
            if isinstance(message, tuple):
                self._append(collector.on_control(message[0], unpack_control(message[1]), 1))
            else:
                self._append(collector.on_batch(unpack_batch(message)))

    def _append(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.log.append(entry.kind, entry.producer, entry.first_seq, entry.count, entry.payload)

    def _answer(self, collector: Collector) -> None:
        lines = {line.address: line for line in self.lines}
        for reply in collector.due():
            if reply.address in lines:
                lines[reply.address].answers.send(pack_control(reply.message))

    def _fall(self) -> None:
        """The aggregator died: connections break, and senders connect again; half of what was on its way is lost."""
        self._count_collector()
        self.aggregator = None
        for line in self.lines:
            line.reconnect(0.5)

    def _count_collector(self) -> None:
        if self.aggregator is not None:
            self.figures.duplicates += self.aggregator.counters.duplicates
            self.figures.ahead += self.aggregator.counters.ahead
            self.figures.silent += self.aggregator.counters.silent
