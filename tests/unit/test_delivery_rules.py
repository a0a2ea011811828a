"""Single stories of delivery, told with the model of tests.support; any other one is played by the property tests."""

from __future__ import annotations

from aggregator.collector import Collector, Identity
from embertrace.emit.actions import Redial, Report
from embertrace.emit.producer import HEARTBEAT_S, WINDOW_BYTES
from embertrace.wire.batch import BATCH, GAP, HEADER_BYTES
from embertrace.wire.control import Alive, unpack_control
from support.delivery_streams import Process
from support.delivery_world import Figures, World

ROOM = 10**9


def told(heartbeat_s: int = HEARTBEAT_S) -> tuple[World, Process]:
    world = World(1, 10**6, Figures())
    return world, world.start(ROOM, heartbeat_s)


def emit(process: Process, count: int, size: int = 50) -> None:
    for _ in range(count):
        process.emit(size)


def recorded(world: World) -> list[tuple[int, int, int]]:
    return [(record.kind, record.first_seq, record.count) for record in world.log.records() if record.count]


def test_without_trouble_nothing_is_sent_twice() -> None:
    world, process = told()
    for _ in range(100):
        emit(process, 200)
        world.round(0.03)
    world.heal()
    assert process.line.pushed_bytes == sum(
        HEADER_BYTES + len(record.payload) for record in world.log.records() if record.kind == BATCH
    )
    assert world.aggregator is not None
    assert world.aggregator.counters.duplicates == 0


def test_what_is_on_its_way_is_bounded() -> None:
    world, process = told()
    world.round(0.0)
    world.round(0.0)
    emit(process, 30_000)
    process.step(world.now)
    assert WINDOW_BYTES <= process.line.pushed_bytes < WINDOW_BYTES + 2 * 64 * 1024


def test_a_fresh_recording_met_by_an_old_stream_gets_a_gap() -> None:
    world, process = told()
    emit(process, 5000)
    world.heal()
    process.machine.recording = None
    fresh = World(2, 10**6, Figures())
    fresh.streams, fresh.lines = world.streams, world.lines
    fresh.aggregator = Collector(Identity("another", "n", 1, 2), {})
    emit(process, 10)
    for _ in range(20):
        fresh.round(0.5)
    assert recorded(fresh) == [(GAP, 1, 5000), (BATCH, 5001, 10)]


def test_another_recording_is_refused_and_the_events_are_kept() -> None:
    world, process = told()
    emit(process, 3)
    world.heal()
    world.aggregator = Collector(Identity("another", "n", 1, 2), {})
    emit(process, 2)
    for _ in range(20):
        world.round(1.0)
    assert process.machine.owes
    assert process.spool.oldest == 4
    world.restart()
    world.heal()
    world.settle()
    assert recorded(world) == [(BATCH, 1, 3), (BATCH, 4, 2)]


def test_a_producer_that_falls_silent_is_gone_and_what_it_says_later_takes_that_back() -> None:
    world, process = told()
    emit(process, 1)
    world.heal()
    for _ in range(4 * HEARTBEAT_S):
        world.now += 1.0
        world.aggregate()
    world.check()
    assert not world.ledger.alive
    emit(process, 1)
    world.heal()
    world.settle()
    assert set(world.ledger.alive) == {process.stream.id}


def test_while_the_aggregator_stood_still_nobody_was_silent() -> None:
    world, process = told()
    emit(process, 1)
    world.heal()
    world.now += 600.0
    world.aggregate()
    world.check()
    assert set(world.ledger.alive) == {process.stream.id}


def test_a_replay_promises_no_heartbeat_and_is_never_gone() -> None:
    world, process = told(heartbeat_s=0)
    emit(process, 1)
    world.heal()
    assert process.machine.wait_s(world.now) is None
    for _ in range(100):
        world.now += 1.0
        world.aggregate()
    world.check()
    assert set(world.ledger.alive) == {process.stream.id}


def test_who_dies_while_the_aggregator_is_down_is_known_to_be_gone_also_after_a_new_segment() -> None:
    """It began in a segment that no writer reads any more; each new one tells who lives."""
    world = World(1, 300, Figures())
    process = world.start(ROOM)
    for _ in range(20):
        emit(process, 5)
        world.round(0.5)
    world.round(0.5)
    assert len(world.log.segments) > 2
    process.leave()
    world.restart()
    for _ in range(4 * HEARTBEAT_S):
        world.round(1.0)
    world.check()
    assert not world.ledger.alive


def test_an_idle_producer_wakes_for_its_heartbeat_alone() -> None:
    world, process = told()
    emit(process, 1)
    world.heal()
    wait = process.machine.wait_s(world.now)
    assert wait is not None
    assert 0 < wait <= HEARTBEAT_S
    world.now += wait
    process.step(world.now)
    ((_, said),) = process.line.control.carry()
    assert isinstance(unpack_control(said), Alive)


def test_an_unanswered_producer_wakes_about_once_a_second_and_says_so_once() -> None:
    world, process = told()
    world.aggregator = None
    emit(process, 1)
    wakes, reports, redials, begun = 0, 0, 0, world.now
    while world.now < begun + 20:
        actions = process.machine.tick(world.now)
        reports += sum(isinstance(action, Report) for action in actions)
        redials += sum(isinstance(action, Redial) for action in actions)
        wait = process.machine.wait_s(world.now)
        assert wait is not None
        world.now += max(wait, 1e-3)
        wakes += 1
    assert wakes < 50
    assert reports == 1
    assert redials == 20 // 3, "the connection is made anew after every third hello in vain"


def test_an_idle_producer_comes_back_to_an_aggregator_that_believed_it_gone() -> None:
    world, process = told()
    emit(process, 1)
    world.heal()
    for _ in range(4 * HEARTBEAT_S):
        world.now += 1.0
        world.aggregate()
    world.restart()
    for _ in range(2 * HEARTBEAT_S):
        world.round(1.0)
    world.check()
    assert set(world.ledger.alive) == {process.stream.id}
