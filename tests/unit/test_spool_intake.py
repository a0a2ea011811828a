"""The door of a spool: whoever comes in between (threads, finalisers, interrupts, forks), each event is there once."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embertrace.emit.extent import record
from embertrace.emit.files import Files, in_order, load
from embertrace.emit.intake import Intake
from embertrace.emit.spool import Batch, Extent, Spool
from embertrace.emit.spool_directory import Meta
from embertrace.emit.storage import NO_ROOM, Memory, Nowhere, Room

PRODUCER = bytes(range(16))
MIB = 1024 * 1024


def door(spool: Spool) -> Intake:
    """An intake that nobody waits at."""
    return Intake(spool, lambda: None, threading.Condition(), 0.0)


def held(spool: Spool, size: int) -> Iterator[bytes]:
    """The events that a spool holds, each of this size, up to the first hole."""
    at = spool.oldest
    while isinstance(found := spool.cut(at, 10_000, 1000), Batch):
        assert found.first_seq == at
        at += found.events
        yield from (found.payload[place : place + size] for place in range(0, len(found.payload), size))


class Small(Memory):
    """Memory in many small rooms."""

    def __init__(self, rooms: int) -> None:
        super().__init__(4 * 4096)
        self._most = rooms


class Interrupting(Memory):
    """Memory that calls `amid` once, when a room is wanted: as a finaliser or a signal would run then."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.amid: list[Callable[[], object]] = []

    def allocate(self) -> Room | None:
        while self.amid:
            self.amid.pop(0)()
        return super().allocate()


class Patience:
    """An intake over a small memory spool, with its parts."""

    def __init__(self, block_s: float) -> None:
        self.spool = Spool(Memory(4000), PRODUCER)
        self.progress = threading.Condition()
        self.intake = Intake(self.spool, lambda: None, self.progress, block_s)

    def fill(self) -> None:
        while self.spool.take(b"x" * 100):
            pass


def test_a_full_spool_blocks_until_there_is_room() -> None:
    world = Patience(block_s=60.0)
    world.fill()
    full = world.spool.next - 1
    put = threading.Thread(target=world.intake.put, args=(b"y" * 100,))
    put.start()
    put.join(0.05)
    assert put.is_alive()
    with world.progress:
        world.spool.trim(full)
        world.progress.notify_all()
    put.join(60)
    assert not put.is_alive()
    assert world.spool.dropped == 0
    assert world.spool.next == full + 2


def test_who_waited_in_vain_delays_nobody_again() -> None:
    world = Patience(block_s=0.02)
    world.fill()
    waits = []
    waiting = world.progress.wait_for
    world.progress.wait_for = lambda *args: waits.append(args) or waiting(*args)  # type: ignore[method-assign]
    for _ in range(5):
        world.intake.put(b"y" * 100)
    assert len(waits) == 1
    assert world.spool.dropped == 5
    world.spool.trim(world.spool.next - 1)
    world.fill()
    world.intake.put(b"y" * 100)
    assert len(waits) == 2


def test_the_sender_never_waits_nor_does_an_event_that_can_not_fit() -> None:
    world = Patience(block_s=60.0)
    world.fill()
    world.intake.put(b"y" * 4000)
    world.intake.sender = threading.current_thread()
    world.intake.put(b"y" * 100)
    assert world.spool.dropped == 2


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_put_at_once_while_extents_roll(restless: None) -> None:
    """Each event once, and those of a thread in its order; others count, cut, trim and prepare meanwhile."""
    spool = Spool(Small(1000), PRODUCER)
    intake, names, each = door(spool), range(4), 10_000
    begin, done = threading.Barrier(len(names) + 2), threading.Event()
    asked: list[int] = []

    def put_all(name: int) -> None:
        begin.wait(30)
        for number in range(each):
            intake.put(b"%04d%016d" % (name, number))

    def look_on() -> None:
        begin.wait(30)
        while not done.is_set():
            asked.append(spool.next)
            assert spool.held_bytes >= 0
            assert spool.events_after(0) >= 0

    workers = [threading.Thread(target=put_all, args=(name,)) for name in names]
    onlooker = threading.Thread(target=look_on)
    for thread in (*workers, onlooker):
        thread.start()
    begin.wait(30)
    found: list[bytes] = []
    while len(found) < len(names) * each and (
        any(worker.is_alive() for worker in workers) or spool.gave_out(spool.oldest)
    ):
        found += held(spool, 20)
        spool.trim(len(found))
        intake.prepare()
    done.set()
    for thread in (*workers, onlooker):
        thread.join(30)
    assert spool.dropped == 0
    assert len(found) == spool.next - 1 == len(names) * each
    for name in names:
        own = [packed for packed in found if packed.startswith(b"%04d" % name)]
        assert own == [b"%04d%016d" % (name, number) for number in range(each)]
    assert asked == sorted(asked)


class Slow(Memory):
    """Memory with two small rooms; `amid` is called when the second was found, before it is handed over."""

    def __init__(self) -> None:
        super().__init__(4 * 4096)
        self._most = 2
        self.amid: Callable[[], object] = lambda: None

    def allocate(self) -> Room | None:
        room = super().allocate()
        if room is not None and not self.has_room:
            self.amid()
        return room


def test_who_needs_the_room_that_is_being_made_ready_waits_for_it() -> None:
    memory = Slow()
    spool = Spool(memory, PRODUCER)
    intake, many = door(spool), 40
    for _ in range(many // 2):
        intake.put(b"x" * 100)
    put = threading.Thread(target=lambda: [intake.put(b"y" * 100) for _ in range(many // 2)])

    def come_in_between() -> None:
        put.start()
        put.join(0.2)  # to its end, if nobody has to wait

    memory.amid = come_in_between
    intake.prepare()
    put.join(30)
    assert (spool.dropped, spool.next) == (0, many + 1)


def test_a_new_extent_wakes_the_sender_and_no_other_event_that_one_who_is_awake() -> None:
    spool, woken = Spool(Small(1000), PRODUCER), []

    def wake() -> None:
        intake.asleep = False
        woken.append(spool.begun)

    intake = Intake(spool, wake, threading.Condition(), 0.0)
    first = {spool.begun}
    for _ in range(500):
        intake.put(b"x" * 100)
        first.add(spool.begun)
    assert woken == sorted(woken)
    assert {*woken} | {1} == first
    assert len(woken) == len({*woken})


def test_who_holds_the_write_of_a_sealed_extent_is_refused(tmp_path: pathlib.Path) -> None:
    for storage in (Memory(4 * MIB), Files(tmp_path, PRODUCER, Meta("tcp://127.0.0.1:1"), 4 * MIB, 1 << 30)):
        spool = Spool(storage, PRODUCER)
        intake = door(spool)
        stale = [spool.write]
        for _ in range(2):
            intake.put(b"x" * 100)
            stale.append(spool.write)
            spool.drop()
        intake.put(b"y" * 100)
        spool.trim(4)
        stale.append(spool.write)
        spool.shut()
        for write in stale:
            with pytest.raises(ValueError):
                write(record(b"z"))
        assert (spool.next, spool.dropped, spool.held_bytes) == (6, 2, 100)
        assert storage.close(delivered=False) is None or list(held(left_by(tmp_path), 100)) == [b"y" * 100]


def left_by(directory: pathlib.Path) -> Spool:
    """What somebody else finds of a spool whose process has died."""
    paths = (directory / PRODUCER.hex()).glob("*.ext")
    return Spool(Nowhere(), PRODUCER, in_order(extent for path in paths if (extent := load(path, PRODUCER))))


def test_a_put_amid_a_slow_one_waits_its_turn() -> None:
    storage = Interrupting(4 * MIB)
    spool = Spool(storage, PRODUCER)
    intake = door(spool)
    storage.amid = [lambda: intake.put(b"second"), lambda: intake.put(b"third.")]
    intake.put(b"first.")
    intake.put(b"fourth")
    assert list(held(spool, 6)) == [b"first.", b"second", b"third.", b"fourth"]


def test_what_an_interrupted_put_left_comes_before_what_is_put_next() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    storage = Interrupting(4 * MIB)
    spool = Spool(storage, PRODUCER)
    intake = door(spool)
    storage.amid = [lambda: intake.put(b"finaliser's"), interrupt]
    with pytest.raises(KeyboardInterrupt):
        intake.put(b"interrupted")
    intake.put(b"the next...")
    assert list(held(spool, 11)) == [b"finaliser's", b"the next..."]


def test_puts_amid_a_slow_one_keep_their_order_also_where_a_smaller_one_would_still_fit() -> None:
    storage = Interrupting(4 * 4096)
    spool = Spool(storage, PRODUCER)
    intake = door(spool)
    intake.put(b"x" * 3700)
    storage.amid = [lambda: intake.put(b"a" * 400), lambda: intake.put(b"b")]
    intake.put(b"y" * 400)
    assert [found.payload[3700:] for found in [spool.cut(1, 10_000, 10)] if isinstance(found, Batch)] == [
        b"y" * 400 + b"a" * 400 + b"b"
    ]


def test_a_finaliser_emits_at_any_moment_and_nothing_is_lost_or_twice() -> None:
    class Dying:
        def __init__(self, name: int) -> None:
            self.cycle, self.name = self, name

        def __del__(self) -> None:
            intake.put(b"d%09d" % self.name)

    spool = Spool(Small(1000), PRODUCER)
    intake = door(spool)
    before = gc.get_threshold()
    gc.set_threshold(3)
    try:
        for number in range(3000):
            Dying(number)
            intake.put(b"e%09d" % number)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    found = list(held(spool, 10))
    assert [packed for packed in found if packed[:1] == b"e"] == [b"e%09d" % number for number in range(3000)]
    assert sorted(packed for packed in found if packed[:1] == b"d") == [b"d%09d" % number for number in range(3000)]


class Trial:
    """A slow put that something may go wrong in, and what must hold afterwards."""

    def __init__(self) -> None:
        self.storage = Memory(4 * 4096)
        self.spool = Spool(self.storage, PRODUCER)
        self.intake = door(self.spool)
        self.intake.put(b"a" * 1000)
        self.intake.put(b"b" * 3000)

    def put(self) -> None:
        self.intake.put(b"c" * 3000)

    def check(self, raised: bool) -> None:
        """Each event is there, in order, but for one whose put raised; and no room is lost."""
        self.intake.put(b"d" * 3000)
        batches = [self.spool.cut(seq, 100_000, 1) for seq in range(1, self.spool.next)]
        found = b"".join(batch.payload for batch in batches if isinstance(batch, Batch))
        whole = b"a" * 1000 + b"b" * 3000 + b"c" * 3000 + b"d" * 3000
        assert found == whole or (raised and found == whole.replace(b"c", b""))
        assert self.spool.dropped == 0
        assert {extent.room for extent in self.spool._extents} - {NO_ROOM} | {*self.spool._ready} == self.storage._rooms


def at_point(number: int, act: Callable[[], object], events: tuple[str, ...]) -> tuple[Any, Iterator[int]]:
    """A profile function that acts once, at such a point of the spool's code; and the points that are left to it."""
    left = iter(range(number, -1, -1))

    def profile(frame: Any, event: str, argument: object) -> None:
        is_ours = frame.f_code.co_filename.endswith(("intake.py", "spool.py", "extent.py"))
        if is_ours and event in events and next(left, None) == 0:
            act()

    return profile, left


@contextlib.contextmanager
def profiled(function: Any) -> Iterator[None]:
    sys.setprofile(function)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_what_gets_in_amid_a_slow_put_is_counted() -> None:
    """By a thread that holds the `write` of the extent that is left: it gets in whole, or is refused."""
    for number in itertools.count():
        trial = Trial()
        trial.intake.put(b"x" * 2000)
        stale, taken = trial.spool.write, []

        def write(stale: Any = stale, taken: list[int] = taken) -> None:
            with contextlib.suppress(ValueError):
                taken.append(stale(record(b"s" * 10)))

        profile, left = at_point(number, write, ("call", "return", "c_call", "c_return"))
        with profiled(profile):
            trial.put()
        trial.intake.put(b"d" * 20)
        assert trial.spool.next - 1 == 5 + len(taken)
        batches = [trial.spool.cut(seq, 100_000, 1) for seq in range(1, trial.spool.next)]
        found = b"".join(batch.payload for batch in batches if isinstance(batch, Batch))
        whole = b"a" * 1000 + b"b" * 3000 + b"x" * 2000 + b"s" * 10 * len(taken) + b"c" * 3000 + b"d" * 20
        assert found == whole
        if next(left, None) is not None:
            assert number > 40, "there were points"
            break


def test_whoever_cuts_while_another_puts_and_drops_sees_no_hole_where_an_event_is() -> None:
    outcomes = set()
    for number in itertools.count():
        trial = Trial()

        def put_and_drop(trial: Trial = trial) -> None:
            trial.spool.write(record(b"c"))
            trial.spool.drop()

        profile, left = at_point(number, put_and_drop, ("call", "return", "c_call", "c_return"))
        with profiled(profile):
            found = trial.spool.cut(3, 1000, 10)
        outcomes.add(found)
        if next(left, None) is not None:
            break
    assert outcomes == {None, Batch(3, 1, b"c")}


def test_extents_are_freed_at_any_moment_and_nobody_who_puts_or_asks_minds() -> None:
    """Others go on and the sender frees what was acknowledged, whenever they need not wait for who is watched here."""
    for act in (
        lambda trial: trial.put(),
        lambda trial: trial.spool.next,
        lambda trial: trial.spool.held_bytes,
        lambda trial: trial.spool.events_after(0),
        lambda trial: trial.spool.gave_out(2),
    ):
        for number in itertools.count():
            trial = Trial()

            def go_on(trial: Trial = trial) -> None:
                if not trial.intake._lock._is_owned():  # type: ignore[attr-defined]
                    for _ in range(2):
                        trial.intake.put(b"x" * 3000)
                    trial.spool.trim(trial.spool.next - 1)

            profile, left = at_point(number, go_on, ("call", "return", "c_call", "c_return"))
            with profiled(profile):
                act(trial)
            assert trial.spool.dropped == 0
            if next(left, None) is not None:
                break


def test_whoever_counted_slowly_hides_nothing_from_others() -> None:
    """A thread that looked long ago writes what it found over what others have found since."""
    for number in itertools.count():
        spool = Spool(Memory(4 * 4096), PRODUCER)
        assert spool.take(b"a")
        (extent,) = (extent for extent in spool._extents if extent.room is not NO_ROOM)
        early = extent._end
        assert spool.next == 2
        assert spool.take(b"b")

        def put_back(extent: Extent = extent, early: tuple[int, int] = early) -> None:
            extent._end = early

        profile, left = at_point(number, put_back, ("call", "return", "c_call", "c_return"))
        with profiled(profile):
            assert spool.cut(2, 1000, 10) == Batch(2, 1, b"b")
        if next(left, None) is not None:
            break


def test_an_interrupt_at_any_point_of_a_slow_put_loses_that_event_at_most() -> None:
    """It may come when a function begins, and when one was called."""
    for number in itertools.count():
        trial, raised = Trial(), False

        def interrupt() -> None:
            raise KeyboardInterrupt

        profile, left = at_point(number, interrupt, ("call", "return", "c_return"))
        try:
            with profiled(profile):
                trial.put()
        except KeyboardInterrupt:
            raised = True
        trial.check(raised)
        if next(left, None) is not None:
            assert number > 20, "there were points"
            break


def test_however_little_room_there_is_for_calls_nothing_is_lost_but_what_raised() -> None:
    limit, outcomes = sys.getrecursionlimit(), []
    for spare in range(1, 40):
        trial, raised = Trial(), False
        depth = next(depth for depth in itertools.count(1) if _is_below(depth))
        sys.setrecursionlimit(depth + spare)
        try:
            trial.put()
        except RecursionError:
            raised = True
        finally:
            sys.setrecursionlimit(limit)
        trial.check(raised)
        outcomes.append(raised)
    assert sorted(set(outcomes)) == [False, True]
    assert outcomes == sorted(outcomes, reverse=True), "where there is more room it is taken"


def test_however_little_room_there_is_for_calls_the_sender_is_woken_or_still_to_be_woken() -> None:
    limit, outcomes = sys.getrecursionlimit(), set()
    for spare in range(1, 40):
        trial, woken = Trial(), []

        def wake(trial: Trial = trial, woken: list[bool] = woken) -> None:
            trial.intake.asleep = False
            (lambda: (lambda: (lambda: woken.append(True))())())()

        trial.intake._wake = wake
        trial.intake.asleep = True
        trial.spool.take(b"x" * 3000)  # so that the put goes the slow way, and has little to do there
        depth = next(depth for depth in itertools.count(1) if _is_below(depth))
        sys.setrecursionlimit(depth + spare)
        with contextlib.suppress(RecursionError):
            trial.intake.put(b"c" * 10)
        sys.setrecursionlimit(limit)
        assert woken or trial.intake.asleep
        outcomes.add(bool(woken))
    assert outcomes == {False, True}


def _is_below(depth: int) -> bool:
    """Whether the caller stands at this depth of calls, or less deep."""
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(depth + 1)  # this function's own
    except RecursionError:
        return False
    sys.setrecursionlimit(limit)
    return True


def test_a_forked_child_writes_nothing_into_what_is_its_parents(tmp_path: pathlib.Path) -> None:
    spool = Spool(Files(tmp_path, PRODUCER, Meta("tcp://127.0.0.1:1"), 4 * MIB, 1 << 30), PRODUCER)
    intake = door(spool)
    intake.put(b"before")
    stale, passed_on = spool.write, []
    child = os.fork()
    if child == 0:
        status = 1
        try:
            intake.abandon(passed_on.append)
            intake.put(b"child.")
            with pytest.raises(ValueError):
                stale(record(b"child."))
            status = int(passed_on != [b"child."])
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    intake.put(b"after.")
    assert list(held(spool, 6)) == list(held(left_by(tmp_path), 6)) == [b"before", b"after."]
