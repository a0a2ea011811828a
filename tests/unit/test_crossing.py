"""Carriers taken and made in one process: what is remembered of them holds no longer than it is true."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import embertrace as et
from embertrace import collect, context, crossing, emit
from embertrace.config import Settings
from embertrace.emit import Emitter
from embertrace.event import FOREIGN_SLOT, Frame, call_id_of_task
from embertrace.wire.carrier import Carrier, Shared, pack_carrier, split_carrier, unpack_carrier

NOBODY_THERE = "tcp://127.0.0.1:1"
TRACE = b"t" * 16
FRAMES = (Frame("ensemble", "ensemble", "vote", 7, 0, 1), Frame("panel", "ensemble", "vote", 8, 1, 2))


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Taking a carrier switches tracing on for good: here until the test ends."""
    monkeypatch.setattr(collect, "enabled", False)
    monkeypatch.setattr(collect, "_pinned", False)
    before = collect.settings
    collect.configure(Settings(delivery="memory", linger_s=0.0))
    yield
    crossing.leave()
    emit.close_all(0.0)
    collect.configure(before)


def carrier(**shared: object) -> bytes:
    return pack_carrier(Carrier(TRACE, Shared(endpoint=NOBODY_THERE, **shared), slot=3, follows=5, links=(6,)))  # type: ignore[arg-type]


def emitter() -> Emitter:
    sink = context.position()[1].sink
    assert isinstance(sink, Emitter)
    return sink


def test_the_next_call_is_the_one_that_arrives() -> None:
    packed = carrier(frames=FRAMES, run="monday", share=0.5)
    for call_id in (11, 12):
        assert crossing.take(packed, call_id, attempt=1) is not None
        parent, scope, follows = context.position()
        assert parent is not None
        assert parent.frames() == FRAMES
        assert (scope.run, scope.share, scope.trace_id, follows) == ("monday", 0.5, TRACE, 5)
        assert scope.arrival == (call_id, 3, 1, (6,))


def test_callers_with_different_settings_take_turns() -> None:
    for _ in range(2):
        for capture in ("none", "all"):
            assert crossing.take(carrier(settings={"capture": capture})) is not None
            assert collect.settings.capture == capture
    collect.configure(Settings(delivery="memory", linger_s=0.0, capture="answers"))
    assert crossing.take(carrier(settings={"capture": "none"})) is not None
    assert collect.settings.capture == "none"


def test_an_emitter_that_was_closed_is_not_given_to_the_next_call() -> None:
    crossing.take(carrier())
    before = emitter()
    crossing.take(carrier())
    assert emitter() is before
    emit.close_all(0.0)
    crossing.take(carrier())
    assert emitter() is not before
    assert not emitter().closed


def test_what_runs_below_foreign_calls_is_told_apart_in_the_order_it_began() -> None:
    slots = []
    for _ in range(3):
        crossing.take(carrier(frames=FRAMES))
        parent, scope, _ = context.position()
        slots += [context.next_slot(parent, scope) for _ in range(500)]
    crossing.take(carrier())
    slots += [context.next_slot(*context.position()[:2]) for _ in range(500)]
    assert sorted(set(slots)) == slots
    assert slots[0] > FOREIGN_SLOT


def test_the_same_frames_in_another_trace_are_other_calls() -> None:
    packed = carrier(frames=FRAMES)
    for trace_id in (TRACE, b"u" * 16, TRACE):
        crossing.take(packed.replace(TRACE, trace_id))
        parent = context.position()[0]
        assert parent is not None
        assert parent.trace_id == trace_id


@pytest.mark.parametrize("packed", [b"", b"\x89ETC", "text", carrier()[:-1], pack_carrier(Carrier(TRACE))])
def test_what_can_not_be_taken_leaves_nothing_of_the_position_before(packed: object) -> None:
    assert crossing.take(carrier(frames=FRAMES), 11) is not None
    assert crossing.take(packed, 12) is None
    assert context.current.get() is context.NOWHERE


def test_more_callers_than_are_remembered_are_served() -> None:
    for number in range(2 * crossing.ORIGINS_KNOWN):
        crossing.take(carrier(run=f"run-{number}"))
        assert context.position()[1].run == f"run-{number}"
    assert len(crossing._origins) <= crossing.ORIGINS_KNOWN


def test_a_carrier_says_where_it_was_made() -> None:
    sink = emit.emitter_for(NOBODY_THERE)
    collect.add_sink(sink)
    for _ in range(2):
        with et.item("q"), et.operator("ensemble"):
            position = context.position()
            for slot in (0, 1):
                place = crossing.place_of(*position[:2])
                assert place is not None
                made = unpack_carrier(crossing.depart(place, position, slot, (4, 2)))
                assert (made.slot, made.links, made.shared.endpoint) == (slot, (4, 2), NOBODY_THERE)
                assert position[0] is not None
                assert made.shared.frames == position[0].frames()
        del position
        gc.collect()
        place = crossing.place_of(None, context.position()[1])  # the call that is gone is no root
        assert place is not None
        assert place.shared.frames == ()
    collect.remove_sink(sink)


def test_calls_are_submitted_to_where_events_go_now() -> None:
    scope = context.position()[1]
    assert crossing.place_of(None, scope) is None
    for endpoint in (NOBODY_THERE, "tcp://127.0.0.1:2"):
        sink = emit.emitter_for(endpoint)
        collect.add_sink(sink)
        place = crossing.place_of(None, scope)
        assert place is not None
        assert place.shared.endpoint == endpoint
        collect.remove_sink(sink)
    assert crossing.place_of(None, scope) is None


def test_links_that_have_no_room_are_told_beside_the_call() -> None:
    with et.collect_events(wait=0) as events:
        collect.add_sink(emit.emitter_for(NOBODY_THERE))
        position = context.position()
        place = crossing.place_of(*position[:2])
        assert place is not None
        links = tuple(range(1, 1501))
        packed = crossing.depart(place, position, 0, links)
        crossing.tell_links(packed, links, 77, None, position[1])
        for sink in collect.sinks:
            if isinstance(sink, Emitter):
                collect.remove_sink(sink)
    held = split_carrier(packed)[3]
    told = [int(link, 16) for event in events for link in event.links]
    assert held
    assert [*held, *told] == [*links]


def test_the_call_of_a_task_is_the_remainder_of_its_id() -> None:
    assert call_id_of_task(bytes.fromhex("c8ef45ccd0112571ffffffffffffffffffffffff01000000"), 0) == 0x3D8C1DF83A28A0C6
    assert call_id_of_task(((1 << 64) - 59).to_bytes(24, "big"), 0) == 1


def test_equal_tasks_of_two_clusters_are_two_calls() -> None:
    first_of_any = bytes.fromhex("c8ef45ccd0112571ffffffffffffffffffffffff01000000")
    assert call_id_of_task(first_of_any, 1) != call_id_of_task(first_of_any, 2)
