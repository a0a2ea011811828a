"""Sinks where there is no room, or no file, left: the traced program never hears of it, and no event is told twice."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

import embertrace as et
from embertrace import collect, emit, run
from embertrace.config import Settings
from embertrace.context import Roots
from embertrace.emit import Emitter, emitter
from embertrace.emit.producer import BATCH_S
from embertrace.sinks import EventList, Fan
from embertrace.wire.control import Welcome

NOBODY_THERE = "tcp://127.0.0.1:1"


class Full:
    """A sink that has no room, as at the limit of recursion."""

    def put(self, packed: bytes) -> None:
        raise RecursionError


def test_lists_are_told_last_so_that_what_fails_fails_before_anybody_has_it() -> None:
    events = EventList(1000)
    with pytest.raises(RecursionError):
        Fan((events, Full())).put(b"x")
    assert len(events) == 0


def test_a_function_is_not_removed_because_the_program_recursed_too_deep() -> None:
    def told(event: et.OperatorEvent) -> None:
        raise RecursionError

    et.EventCollector.register(told)
    try:
        et.label("q", truth=1)
        assert collect.sinks
    finally:
        et.EventCollector.unregister(told)
    assert not collect.sinks


def test_a_function_that_raises_amid_a_change_of_sinks_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finaliser may run wherever memory is taken: in the middle of `add_sink`, say."""

    def bad(event: et.OperatorEvent) -> None:
        raise ValueError

    def good(event: et.OperatorEvent) -> None:
        heard.append(event)

    def finalised(sinks: Any) -> Any:
        monkeypatch.setattr(collect, "as_one", as_one)
        et.label("q", truth=1)
        return as_one(sinks)

    heard: list[et.OperatorEvent] = []
    as_one = collect.as_one
    et.EventCollector.register(bad)
    monkeypatch.setattr(collect, "as_one", finalised)
    et.EventCollector.register(good)
    try:
        assert [getattr(sink, "function", None) for sink in collect.sinks] == [good]
        et.label("q", truth=2)
        assert len(heard) == 1
    finally:
        et.EventCollector.unregister(good)
        et.EventCollector.unregister(bad)


def test_an_emitter_that_can_not_start_holds_events_and_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_files() -> None:
        raise OSError(24, "Too many open files")

    made = emitter.Waker
    monkeypatch.setattr(emitter, "Waker", no_files)
    held = Emitter(NOBODY_THERE, spool_bytes=1 << 20, linger_s=0.0)
    with caplog.at_level(logging.ERROR, "embertrace"):
        held.put(b"x")
        held.put(b"y")
    (said,) = caplog.records
    assert "could not start the sender" in said.getMessage() and not held.flush(0.0)
    monkeypatch.setattr(emitter, "Waker", made)
    monkeypatch.setattr(emitter, "START_AGAIN_S", 0.0)
    monkeypatch.setattr(held, "_start_at", 0.0)
    held.put(b"z")
    assert held._thread is not None and held._thread.is_alive() and held.stats().emitted == 3
    held.close()


def test_an_event_that_was_taken_is_not_refused_for_want_of_room_to_wake_the_sender() -> None:
    def no_room() -> None:
        raise RecursionError

    held = Emitter(NOBODY_THERE, spool_bytes=1 << 20, linger_s=0.0)
    held._intake._wake = no_room
    held._intake.asleep = True
    held._intake.put(b"x")
    assert held._intake.asleep, "the next event wakes it"
    assert held.stats().emitted == 1


def test_the_sender_does_not_fall_asleep_over_an_event_that_came_meanwhile() -> None:
    held = Emitter(NOBODY_THERE, spool_bytes=1 << 20, linger_s=0.0)
    now = time.monotonic()
    held._machine.tick(now)
    held._machine.receive(Welcome("rec", "name", 0, 1, 2, held.producer, number=1), now)
    waits: list[float] = []
    connection: Any = SimpleNamespace(wait=waits.append)
    waker: Any = None  # it does not rest
    seen = held._spool.frontier
    held._sender._sleep(connection, None, waker, seen)
    held._intake.put(b"x")
    held._sender._sleep(connection, None, waker, seen)
    seen = held._spool.frontier
    held._spool.drop()
    held._sender._sleep(connection, None, waker, seen)
    idle, after_put, after_drop = waits
    assert idle > 5 * BATCH_S
    assert after_put == after_drop == 0.0


def test_runs_that_want_no_files_have_another_emitter(tmp_path: Any) -> None:
    before = collect.settings
    try:
        collect.configure(Settings(spool_dir=str(tmp_path)))
        files = emit.emitter_for(NOBODY_THERE)
        collect.adopt({"delivery": "memory"})
        memory = emit.emitter_for(NOBODY_THERE)
        collect.adopt({})
        assert memory is not files is emit.emitter_for(NOBODY_THERE)
    finally:
        emit.close_all(0.0)
        collect.configure(before)


def test_roots_that_came_to_nothing_are_none() -> None:
    roots = Roots()
    for _ in range(5):
        next(roots.count)
    roots.withdraw()
    assert [roots.number() for _ in range(3)] == [4, 4, 4]


def test_a_run_whose_description_was_interrupted_is_described_with_its_next_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted() -> dict[str, Any]:
        raise KeyboardInterrupt

    surroundings = run._surroundings
    monkeypatch.setattr(run, "_surroundings", interrupted)
    with et.init(NOBODY_THERE, delivery="memory", linger_s=0.0) as begun:
        with pytest.raises(KeyboardInterrupt):
            et.label("q", truth=1)
        monkeypatch.setattr(run, "_surroundings", surroundings)
        et.label("q", truth=2)
        assert begun.emitter.stats().emitted == 2  # the description, and the label
    emit.close_all(0.0)


def test_nobody_waits_for_the_description_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = threading.Event(), threading.Event()

    def slow() -> dict[str, Any]:
        asked.set()
        assert answered.wait(30)
        return {}

    monkeypatch.setattr(run, "_surroundings", slow)
    with et.init(NOBODY_THERE, delivery="memory", linger_s=0.0) as begun:
        first = threading.Thread(target=lambda: et.label("q", truth=1))
        first.start()
        assert asked.wait(30)
        et.label("q", truth=2)
        assert begun.emitter.stats().emitted == 1
        answered.set()
        first.join(30)
        assert begun.emitter.stats().emitted == 3
    emit.close_all(0.0)
