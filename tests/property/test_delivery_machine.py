"""Nothing lost, nothing twice: the producer's and the collector's state machines over a network that does anything.

The network loses, delays, doubles and reorders what it carries; the aggregator restarts, keeping what is recorded and
forgetting who asked; the spool overflows. When the network heals, every seq is recorded exactly once, in order, as an
event or in a gap; and what was dropped is exactly what the gaps say.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.collector import Collector, Entry, Identity
from embertrace.emit.producer import HEARTBEAT_S, WINDOW_BYTES, Action, Connect, Producer, Push, Say
from embertrace.emit.spool import Batch, Hole, Spool
from embertrace.emit.storage import Memory
from embertrace.recording import BEGIN, END
from embertrace.wire.batch import BATCH, GAP, unpack_batch
from embertrace.wire.control import Control, Hello, pack_control, unpack_control

PRODUCER = b"p" * 16
IDENTITY = Identity("rec", "name", 1, 2)


class World:
    """One producer, one aggregator, and a network with a seed."""

    def __init__(self, seed: int, capacity: int, trouble: float) -> None:
        self.random = random.Random(seed)
        self.trouble = trouble
        self.now = 0.0
        self.spool = Spool(Memory(capacity), PRODUCER)
        self.machine = Producer(PRODUCER, self.spool, self.now)
        self.recorded: list[Entry] = []
        self.collector = Collector(IDENTITY, {})
        self.to_aggregator: list[bytes] = []
        self.control: list[Control] = []
        self.answers: list[Control] = []
        self.pushed_bytes = 0
        self.put = 0
        self.believed_alive = False

    def emit(self, count: int) -> None:
        for _ in range(count):
            self.put += 1
            self.spool.append(msgpack.packb(self.put) * 50)

    def step(self, seconds: float) -> None:
        self.now += seconds
        self.perform(self.machine.tick(self.now))
        self.aggregate()
        for message in self.carry(self.answers):
            self.perform(self.machine.receive(unpack_control(pack_control(message)), self.now))

    def perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Push):
                self.to_aggregator.append(action.message)
                self.pushed_bytes += len(action.message)
            elif isinstance(action, Say):
                self.control.append(action.message)
            elif isinstance(action, Connect) and self.trouble:
                self.to_aggregator.clear()  # the old socket takes what lingers in it along

    def aggregate(self) -> None:
        self.record(self.collector.tick(self.now))
        for message in self.carry(self.control):
            self.record(self.collector.on_control(b"address", message, 0))
        for packed in self.carry(self.to_aggregator, reorder=False):
            self.record(self.collector.on_batch(unpack_batch(packed)))
        self.answers += [reply.message for reply in self.collector.due()]

    def record(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind in (BEGIN, END):
                self.believed_alive = entry.kind == BEGIN
            else:
                assert self.believed_alive, "recorded of somebody who is believed to be gone"
                self.recorded.append(entry)

    def carry(self, queue: list, reorder: bool = True) -> list:  # type: ignore[type-arg]
        """What arrives now; the rest is lost, or stays for later."""
        arrived, later = [], []
        for message in queue:
            roll = self.random.random()
            if roll < self.trouble / 2:
                continue
            (later if roll < self.trouble else arrived).append(message)
            if roll > 1 - self.trouble / 4:
                later.append(message)
        queue[:] = later
        if reorder and self.trouble:
            self.random.shuffle(arrived)
        return arrived

    def restart(self) -> None:
        """The aggregator dies: what is on the way is gone, what is recorded is not."""
        marks = {entry.producer: entry.first_seq + entry.count - 1 for entry in self.recorded}
        hello = Hello(self.machine.id, 1, 1, heartbeat_s=HEARTBEAT_S)
        self.collector = Collector(IDENTITY, marks, {self.machine.id: hello} if self.believed_alive else {})
        self.to_aggregator.clear()
        self.control.clear()
        self.answers.clear()

    def heal(self) -> None:
        self.trouble = 0.0
        for _ in range(200):
            if not self.machine.owes:
                return
            self.step(0.5)
        raise AssertionError("the stream does not get on although the network is whole: a livelock")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.integers(1, 400)),
        st.tuples(st.just("step"), st.sampled_from([0.0, 0.01, 0.03, 1.1, 4.0, 9.0])),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(0, 2**32), st.sampled_from([2_000, 60_000, 10**9]), st.sampled_from([0.0, 0.2, 0.6]))
def test_every_seq_is_recorded_once_in_order(steps: list, seed: int, capacity: int, trouble: float) -> None:  # type: ignore[type-arg]
    world = World(seed, capacity, trouble)
    for what, value in steps:
        if what == "emit":
            world.emit(value)
        elif what == "step":
            world.step(value)
        else:
            world.restart()
        assert world.spool.held_bytes <= capacity
    world.heal()

    expected = 1
    events = gaps = 0
    for entry in world.recorded:
        assert entry.first_seq == expected
        expected += entry.count
        if entry.kind == BATCH:
            assert _numbers(entry.payload) == list(range(entry.first_seq, entry.first_seq + entry.count))
            events += entry.count
        else:
            assert entry.kind == GAP
            gaps += entry.count
    assert expected - 1 == world.put == events + gaps
    assert gaps == world.spool.dropped
    for _ in range(20):
        world.step(4.0)
    assert world.believed_alive or not world.put, "it says it is alive, and nobody believes it"


def _numbers(payload: bytes) -> list[int]:
    """The events of a payload: each is its own number, fifty times."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(payload)
    return list(unpacker)[::50]


def test_without_trouble_nothing_is_sent_twice() -> None:
    world = World(1, 10**9, 0.0)
    for _ in range(100):
        world.emit(200)
        world.step(0.03)
    world.heal()
    held = sum(len(entry.payload) + 48 for entry in world.recorded)
    assert world.pushed_bytes == held
    assert world.collector.counters.duplicates == 0


def test_what_is_on_its_way_is_bounded() -> None:
    world = World(1, 10**9, 0.0)
    world.step(0.0)
    world.emit(100_000)
    world.perform(world.machine.tick(world.now))
    assert WINDOW_BYTES <= sum(map(len, world.to_aggregator)) < WINDOW_BYTES + 2 * 64 * 1024


def test_a_fresh_recording_met_by_an_old_stream_gets_a_gap() -> None:
    world = World(1, 10**9, 0.0)
    world.emit(5000)
    world.heal()
    world.recorded.clear()
    world.machine.recording = None
    world.collector = Collector(Identity("another", "n", 1, 2), {})
    world.emit(10)
    world.heal()
    assert [(e.kind, e.first_seq, e.count) for e in world.recorded] == [(GAP, 1, 5000), (BATCH, 5001, 10)]


def test_another_recording_is_refused_and_the_events_are_kept() -> None:
    world = World(1, 10**9, 0.0)
    world.emit(3)
    world.heal()
    world.collector = Collector(Identity("another", "n", 1, 2), {})
    world.emit(2)
    for _ in range(20):
        world.step(1.0)
    assert world.machine.owes
    assert world.spool.oldest == 4
    world.collector = Collector(IDENTITY, {PRODUCER: 3})
    world.heal()
    assert sum(entry.count for entry in world.recorded) == 5


def test_an_idle_producer_wakes_for_its_heartbeat_alone() -> None:
    world = World(1, 10**9, 0.0)
    world.emit(1)
    world.heal()
    wait = world.machine.wait_s(world.now)
    assert wait is not None
    assert 0 < wait <= HEARTBEAT_S
    world.now += wait
    assert [type(action.message).__name__ for action in world.machine.tick(world.now)] == ["Alive"]  # type: ignore[union-attr]


def test_a_producer_that_falls_silent_is_gone_and_what_it_says_later_takes_that_back() -> None:
    world = World(1, 10**9, 0.0)
    world.emit(1)
    world.heal()
    for _ in range(4 * HEARTBEAT_S):
        world.now += 1.0
        world.aggregate()
    assert not world.believed_alive
    world.emit(1)
    world.heal()
    assert world.believed_alive


def test_while_the_aggregator_stood_still_nobody_was_silent() -> None:
    world = World(1, 10**9, 0.0)
    world.emit(1)
    world.heal()
    world.now += 600.0
    world.aggregate()
    assert world.believed_alive


def test_a_replay_promises_no_heartbeat_and_is_never_gone() -> None:
    world = World(1, 10**9, 0.0)
    world.machine = Producer(b"p" * 16, world.spool, world.now, heartbeat_s=0)
    world.emit(1)
    world.heal()
    assert world.machine.wait_s(world.now) is None
    for _ in range(100):
        world.now += 1.0
        world.aggregate()
    assert world.believed_alive


def test_an_unanswered_producer_wakes_about_once_a_second_and_says_so_once() -> None:
    world = World(1, 10**9, 0.0)
    world.emit(1)
    wakes, said = 0, []
    while world.now < 20:
        actions = world.machine.tick(world.now)
        said += [action for action in actions if not isinstance(action, Say)]
        wait = world.machine.wait_s(world.now)
        assert wait is not None
        world.now += max(wait, 1e-3)
        wakes += 1
    assert wakes < 50
    assert len(said) == 1


@given(
    st.lists(st.one_of(st.integers(1, 300).map(lambda n: ("put", n)), st.integers(0, 100).map(lambda n: ("trim", n)))),
    st.integers(100, 5000),
)
def test_a_spool_holds_every_seq_as_event_or_hole(steps: list[tuple[str, int]], capacity: int) -> None:
    spool = Spool(Memory(capacity), PRODUCER)
    dropped: set[int] = set()
    for what, value in steps:
        if what == "put":
            before = spool.dropped
            seq = spool.append(bytes([value % 256]) * value)
            if spool.dropped > before:
                dropped.add(seq)
        else:
            spool.trim(spool.oldest + value - 1 if spool.oldest + value <= spool.next else spool.next - 1)
        assert 0 <= spool.held_bytes <= capacity
    at = spool.oldest
    while (found := spool.cut(at, 500, 7)) is not None:
        assert found.first_seq == at
        seqs = set(range(at, at + found.events))
        if isinstance(found, Hole):
            assert seqs <= dropped
        else:
            assert isinstance(found, Batch)
            assert not seqs & dropped
            assert found.events <= 7
        at += found.events
    assert at == spool.next
