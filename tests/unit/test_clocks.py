"""Clocks of several hosts: what messages tell of them, what is recorded of that, and what it makes of the calls."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.clocks import Clocks
from embertrace.analysis.forest import Forest
from embertrace.emit.clock import Clock
from embertrace.errors import WireError
from embertrace.event import CALL
from embertrace.wire.clock import MAX_NS, Offset, Reading, bounds, pack_offset, to_offset, to_reading, unpack_offset
from embertrace.wire.control import Ack, Alive, Hello, Locate, Welcome, pack_control, unpack_control
from embertrace.wire.event import RawEvent

S = 1_000_000_000
packed = b"\x80"
"""An empty map."""
HERE, THERE = b"h" * 16, b"t" * 16


@given(
    offset=st.integers(-10 * S, 10 * S),
    delays=st.lists(st.tuples(st.integers(0, S), st.integers(0, S), st.integers(0, S)), min_size=1, max_size=20),
)
def test_the_truth_is_always_within_the_bounds(offset: int, delays: list[tuple[int, int, int]]) -> None:
    """Whatever the network delays in either direction, and the pauses in between."""
    now = 1_700_000_000 * S
    clock = Clock(lambda: now - offset)
    clocks, widths = Clocks(), []
    for seq, (there, back, pause) in enumerate(delays, start=1):
        clock.heard(Ack(THERE, 0, sent_ns=now))  # hears of its own time below
        now += back
        clock.heard(Ack(THERE, 0, sent_ns=now - back))
        now += pause
        said = clock.stamp(Alive(THERE))
        assert isinstance(said, Alive)
        assert said.clock is not None
        now += there
        news = clocks.read(THERE, said.clock, now, seq)
        if news is not None:
            assert news.low_ns <= offset <= news.high_ns
            assert news.from_seq == 1, "nothing was stepped: one period"
            widths.append(news.high_ns - news.low_ns)
    assert widths
    assert all(narrow * 2 < wide for wide, narrow in itertools.pairwise(widths))


def test_a_stepped_clock_begins_a_new_period() -> None:
    clocks = Clocks()
    assert clocks.read(THERE, Reading(100, 0, 0), 150, 1) is None, "nothing was heard by it yet"
    assert clocks.read(THERE, Reading(100, 90, 80), 150, 1) == Offset(1, 10, 50)
    assert clocks.read(THERE, Reading(200, 190, 181), 245, 5) is None, "no news"
    assert clocks.read(THERE, Reading(1200, 190, 1150), 245, 9) == Offset(9, -960, -955)
    clocks.forget(THERE)
    assert clocks.read(THERE, Reading(100, 90, 80), 150, 12) == Offset(12, 10, 50)


def test_a_reading_that_contradicts_itself_still_gives_bounds() -> None:
    assert bounds(Reading(500, 90, 80), 150, 1) == Offset(1, -350, -350), "it was stepped between hearing and saying"


def test_only_who_is_heard_is_stamped() -> None:
    now = 7
    clock = Clock(lambda: now)
    assert clock.stamp(Locate()) == Locate()
    hello = clock.stamp(Hello(THERE, 1, 1))
    assert isinstance(hello, Hello)
    assert hello.clock == Reading(7, 0, 0)
    clock.heard(Welcome("r", "n", 0, 1, 2, THERE))
    again = clock.stamp(hello)
    assert isinstance(again, Hello)
    assert again.clock == Reading(7, 0, 0), "an aggregator that says no time"


def test_readings_and_offsets_cross_the_wire() -> None:
    alive = Alive(THERE, Reading(1, 2, 3), Offset(4, -5, 6))
    assert unpack_control(pack_control(alive)) == alive
    assert unpack_offset(pack_offset(Offset(4, -5, 6))) == Offset(4, -5, 6)
    assert unpack_offset(b"") is None
    assert unpack_offset(pack_offset(Offset(4, 7, 6))) is None
    for wrong in (None, [1, 2], [1, 2, 3.0], [1, 2, True], [1, 2, MAX_NS + 1], "abc", [-1, 0, 0]):
        with pytest.raises(WireError, match=r"clock"):
            to_reading(wrong)
    for wrong in (None, [1, 2, -MAX_NS - 1], [-1, 0, 0], [1, 3, 2]):
        with pytest.raises(WireError, match="offset"):
            to_offset(wrong)


def call(call_id: int, at_s: float, parent: int = 0, slot: int = 0) -> RawEvent:
    name = f"op{call_id}"
    return RawEvent(CALL, at_s, None, call_id, parent, 0, 0, slot, name, "", "", None, 0, 0, (), packed, packed)


def starts(forest: Forest) -> dict[int, float]:
    return {each.call_id: each.start for each in forest.trees.calls}


def test_calls_of_other_hosts_are_put_on_the_aggregators_clock() -> None:
    forest = Forest()
    forest.add(HERE, 1, call(1, 1000.0))
    forest.add(THERE, 1, call(2, 1005.5, parent=1))  # five seconds ahead
    forest.note_offset(HERE, Offset(1, -1000, 2000))
    assert starts(forest) == {1: 1000.0, 2: 1005.5}
    forest.note_offset(THERE, Offset(1, -6 * S, -4 * S))
    forest.note_offset(THERE, Offset(1, -5 * S - 10, -5 * S + 10))
    assert starts(forest) == {1: 1000.0, 2: 1000.5}
    assert [each.timestamp for each in forest.trees.calls] == [1000.0, 1005.5], "what was stamped stays"


def test_nothing_begins_before_its_cause() -> None:
    forest = Forest()
    forest.add(HERE, 1, call(1, 1000.0))
    forest.add(THERE, 1, call(2, 990.0, parent=1))
    forest.add(THERE, 2, call(3, 991.0, parent=2))
    forest.add(HERE, 2, call(4, 1000.25, parent=1, slot=1))
    assert starts(forest) == {1: 1000.0, 2: 1000.0, 3: 1000.0, 4: 1000.25}


def test_a_clock_that_is_set_back_does_not_turn_the_order() -> None:
    forest = Forest()
    for seq, at_s in enumerate((1000.0, 1001.0, 996.0, 997.0, 1003.0), start=1):
        forest.add(HERE, seq, call(seq, at_s))
    assert list(starts(forest)) and starts(forest) == {1: 1000.0, 2: 1001.0, 3: 1001.0, 4: 1001.0, 5: 1003.0}
    forest.note_offset(HERE, Offset(1, -5, 5))
    forest.note_offset(HERE, Offset(3, 5 * S - 5, 5 * S + 5))
    assert starts(forest) == {1: 1000.0, 2: 1001.0, 3: 1001.0, 4: 1002.0, 5: 1008.0}
