"""The collector where a single message matters; what holds whatever happens is in property tests."""

from __future__ import annotations

import pytest

from aggregator import collector as collecting
from aggregator import lives
from aggregator.collector import Collector, Entry, Identity
from aggregator.lives import MISSED
from embertrace.recording import BEGIN, END
from embertrace.wire.batch import BATCH, GAP, Batch
from embertrace.wire.control import Ack, Alive, Control, End, Hello, Refuse, Welcome, pack_control

ME = b"p" * 16
IDENTITY = Identity("rec", "name", 1, 2)
HELLO = Hello(ME, 1, 1, heartbeat_s=8, number=1)


def batch(first: int, count: int = 1) -> Batch:
    return Batch(BATCH, ME, first, count, 0, b"x" * count)


def greeted() -> Collector:
    collector = Collector(IDENTITY, {})
    assert kinds(collector.on_control(b"a", HELLO, 1)) == [BEGIN]
    assert [type(message) for message in answers(collector)] == [Welcome]
    return collector


def restarted(marks: dict[bytes, int], *begun: Hello) -> Collector:
    return Collector(IDENTITY, marks, {hello.producer: pack_control(hello) for hello in begun})


def kinds(entries: list[Entry]) -> list[int]:
    return [entry.kind for entry in entries]


def answers(collector: Collector) -> list[Control]:
    return [reply.message for reply in collector.due()]


def test_an_end_is_recorded_once_and_confirmed_every_time_also_after_a_restart() -> None:
    collector = greeted()
    collector.on_batch(batch(1))
    assert kinds(collector.on_control(b"a", End(ME, 1), 1)) == [END]
    assert answers(collector) == [End(ME, 1)]
    assert collector.on_control(b"a", End(ME, 1), 1) == []
    assert answers(collector) == [End(ME, 1)]
    again = restarted({ME: 1})
    assert again.on_control(b"b", End(ME, 1), 1) == []
    assert answers(again) == [End(ME, 1)]


def test_an_end_of_what_is_not_recorded_is_answered_with_the_mark() -> None:
    collector = greeted()
    assert collector.on_control(b"a", End(ME, 1), 1) == []
    assert answers(collector) == [Ack(ME, 0)]


def test_an_end_below_the_mark_is_one() -> None:
    """A drop may have been sent just before its process died, and not be written down in what an adopter finds."""
    collector = greeted()
    collector.on_batch(Batch(GAP, ME, 1, 5, 0, b"x"))
    (entry,) = collector.on_control(b"a", End(ME, 4), 1)
    assert (entry.kind, entry.first_seq) == (END, 5)
    assert answers(collector) == [End(ME, 5)]


def test_a_restart_does_not_begin_the_living_again() -> None:
    collector = restarted({ME: 3}, HELLO)
    assert kinds(collector.on_batch(batch(4))) == [BATCH]
    assert answers(collector) == [], "it has no return address yet"
    assert collector.on_control(b"b", HELLO, 1) == []


def test_of_the_gone_nothing_is_recorded_before_they_begin_again() -> None:
    """It was believed to be gone, and the aggregator restarted: its next batch must not follow its end."""
    collector = restarted({ME: 3})
    assert collector.on_batch(batch(4)) == []
    assert collector.on_control(b"b", Alive(ME), 1) == []
    assert answers(collector) == [], "so it says hello"
    assert kinds(collector.on_control(b"b", HELLO, 1)) == [BEGIN]
    assert kinds(collector.on_batch(batch(4))) == [BATCH]


def test_who_lived_before_a_restart_and_says_nothing_is_gone() -> None:
    collector = restarted({ME: 3}, HELLO)
    assert collector.tick(100.0) == []
    ends = [entry for second in range(1, 60) for entry in collector.tick(100.0 + second)]
    assert kinds(ends) == [END]
    assert MISSED * HELLO.heartbeat_s < 60


def test_a_welcome_has_the_mark_of_the_moment_it_is_sent() -> None:
    collector = greeted()
    collector.on_control(b"a", Hello(ME, 1, 3, number=7), 1)
    collector.on_batch(batch(1, 2))
    (welcome,) = answers(collector)
    assert isinstance(welcome, Welcome)
    assert (welcome.mark, welcome.number) == (2, 7)


def test_one_address_may_greet_for_many() -> None:
    """A replay does: while there is no space to write, none of the welcomes is forgotten."""
    collector, other = Collector(IDENTITY, {}), b"q" * 16
    for producer in (ME, other):
        collector.on_control(b"a", Hello(producer, 1, 1, number=1), 1)
    assert collector.due_at_once() == []
    assert [message.producer for message in answers(collector) if isinstance(message, Welcome)] == [ME, other]


def test_of_too_many_lives_the_one_longest_unheard_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MAX_LIVES", 2)
    collector = Collector(IDENTITY, {})
    one, two, three = (bytes([letter]) * 16 for letter in b"123")
    for producer in (one, two):
        collector.on_control(b"a", Hello(producer, 1, 1), 1)
    collector.on_control(b"a", Alive(one), 1)
    entries = collector.on_control(b"a", Hello(three, 1, 1), 1)
    assert [(entry.kind, entry.producer) for entry in entries] == [(BEGIN, three), (END, two)]


def test_of_too_many_producers_the_new_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever producers do, what is kept of them is bounded; none of them is forgotten for it."""
    monkeypatch.setattr(collecting, "MAX_PRODUCERS", 1)
    marked, ended, living, new = (bytes([letter]) * 16 for letter in b"1234")
    with_marks = restarted({marked: 5}, Hello(living, 1, 1))
    with_ends = restarted({}, Hello(living, 1, 1), Hello(ended, 1, 1))
    with_ends.on_control(b"a", End(ended, 0), 1)
    for collector, known in ((with_marks, marked), (with_ends, ended)):
        answers(collector)
        assert collector.on_control(b"a", Hello(new, 1, 1), 1) == []
        (refusal,) = answers(collector)
        assert isinstance(refusal, Refuse)
        assert "1 producers" in refusal.reason and "new directory" in refusal.reason
        for producer in (known, living):
            collector.on_control(b"a", Hello(producer, 6, 6), 1)
            assert [type(answer) for answer in answers(collector)] == [Welcome]


def test_what_a_hello_says_of_itself_is_recorded_within_bounds() -> None:
    """A begin is said again in every segment."""
    collector = Collector(IDENTITY, {})
    (begin,) = collector.on_control(b"a", Hello(ME, 1, 1, host="h" * 3000, library="l" * 900), 1)
    assert len(begin.payload) < 1024
