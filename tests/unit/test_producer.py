"""The producer's state machine where a single step matters; what holds whatever happens is in property tests."""

from __future__ import annotations

import pytest

from aggregator.collector import Collector, Identity
from embertrace.emit.producer import BATCH_BYTES, BATCH_S, HELLO_S, WINDOW_BYTES, Connect, Producer, Push, Say
from embertrace.emit.spool import Spool
from embertrace.emit.storage import Memory
from embertrace.recording import KIND_NAMES
from embertrace.wire.batch import GAP, Batch, unpack_batch
from embertrace.wire.control import Ack, Alive, End, Hello, Welcome

ME = b"p" * 16


def welcome(mark: int, number: int = 1) -> Welcome:
    """The answer to the hello of this number."""
    return Welcome("rec", "name", mark, 1, 2, ME, number=number)


def hello_again(machine: Producer, now: float) -> None:
    """Nothing was acknowledged for so long that the machine says hello."""
    said = [action.message for action in machine.tick(now) if isinstance(action, Say)]
    assert [type(message) for message in said] == [Hello]


def pushed(actions: list[object]) -> list[tuple[int, int]]:
    """First and last seq of each message sent."""
    batches: list[Batch] = [unpack_batch(action.message) for action in actions if isinstance(action, Push)]
    return [(batch.first_seq, batch.last_seq) for batch in batches]


def connects(actions: list[object]) -> int:
    return sum(isinstance(action, Connect) for action in actions)


def greeted(events: int) -> tuple[Producer, Spool]:
    spool = Spool(Memory(1 << 20), ME)
    machine = Producer(ME, spool, 0.0)
    for _ in range(events):
        spool.append(b"x")
    assert [action for action in machine.tick(0.0) if isinstance(action, Say)]
    return machine, spool


def test_an_earlier_cut_that_arrives_after_all_is_not_waited_for() -> None:
    """The aggregator got 1–3 over the first socket, and refuses 1–5: nothing after it would ever be accepted."""
    machine, spool = greeted(3)
    assert pushed(machine.receive(welcome(0), 0.0)) == [(1, 3)]
    spool.append(b"x")
    spool.append(b"x")
    hello_again(machine, 1.0)
    assert pushed(machine.receive(welcome(0, 2), 1.1)) == [(1, 5)], "over a fresh socket, cut anew"
    spool.append(b"x")
    actions = machine.receive(Ack(ME, 3), 1.2)
    assert connects(actions) == 1
    assert pushed(actions) == [(4, 6)]
    assert pushed(machine.receive(Ack(ME, 6), 1.3)) == []
    assert not machine.owes


def test_a_hole_that_grew_while_it_was_sent_is_declared_whole() -> None:
    machine, spool = greeted(1)
    spool.drop()
    assert pushed(machine.receive(welcome(0), 0.0)) == [(1, 1), (2, 2)]
    spool.drop()
    hello_again(machine, 1.0)
    actions = machine.receive(welcome(0, 2), 1.1)
    assert pushed(actions) == [(1, 1), (2, 3)]
    assert [unpack_batch(action.message).kind for action in actions if isinstance(action, Push)][1] == GAP
    assert pushed(machine.receive(Ack(ME, 2), 1.2)) == [(3, 3)]


def test_a_hole_that_goes_on_growing_wakes_nobody() -> None:
    """An aggregator that stands still is not told of each drop: of all that came meanwhile, once it answers."""
    machine, spool = greeted(1)
    spool.drop()
    assert pushed(machine.receive(welcome(0), 0.0)) == [(1, 1), (2, 2)]
    for now in (0.1, 0.2, 0.3):
        spool.drop()
        assert pushed(machine.tick(now)) == []
        assert not machine.may_send
    assert machine.wait_s(0.3) == HELLO_S - 0.3
    spool.append(b"x")
    machine.receive(Ack(ME, 2), 0.4)
    assert pushed(machine.tick(0.4)) == [(3, 5)]
    assert pushed(machine.tick(0.5, hurry=True)) == [(6, 6)]
    assert machine.may_send


def test_processes_of_one_machine_send_at_the_same_times() -> None:
    """So an aggregator syncs and answers once for all of them. Whoever sends wakes at the next beat by itself."""
    beats = []
    for began in (0.01, 0.07):
        machine, spool = greeted(0)
        machine.receive(welcome(0), 0.0)
        machine.receive(Ack(ME, 0), 0.0)
        spool.append(b"x")
        assert pushed(machine.tick(began)) == []
        beat = began + machine.wait_s(began)
        assert beat - began <= BATCH_S
        assert pushed(machine.tick(beat)) == [(1, 1)]
        spool.append(b"x")
        following = beat + machine.wait_s(beat)
        assert pushed(machine.tick(following)) == [(2, 2)], "nobody had to say that it came"
        machine.receive(Ack(ME, 2), following)
        assert pushed(machine.tick(following + 1.0)) == []
        assert machine.wait_s(following + 1.0) > BATCH_S, "nothing came for a beat"
        beats.append((beat, following))
    assert beats[0] == pytest.approx(beats[1])


def test_while_little_is_on_its_way_its_answer_can_wait() -> None:
    machine, spool = greeted(1)
    assert not machine.may_rest, "nobody answered yet"
    machine.receive(welcome(0), 0.0)
    assert not machine.may_rest, "an alive waits for its answer: the clocks are compared"
    machine.receive(Ack(ME, 0), 0.0)
    assert machine.may_rest
    spool.append(b"x")
    machine.tick(1 * BATCH_S)
    assert not machine.may_rest, "the one before it was to be answered by now"
    machine.receive(Ack(ME, 2), 1.5 * BATCH_S)
    assert machine.may_rest
    spool.append(b"x" * BATCH_BYTES)
    machine.tick(1.6 * BATCH_S)
    assert not machine.may_rest, "so much may come that the answer lets it go on"
    machine.receive(Ack(ME, 3), 1.7 * BATCH_S)
    machine.end()
    assert not machine.may_rest


def test_who_waits_for_more_than_fits_on_the_way_waits_for_no_beat() -> None:
    """The rest goes out as soon as there is room on the way; what came later waits for the beat again."""
    spool = Spool(Memory(8 << 20), ME)
    machine = Producer(ME, spool, 0.0)
    machine.tick(0.0)
    machine.receive(welcome(0), 0.0)
    machine.receive(Ack(ME, 0), 0.0)
    for _ in range(WINDOW_BYTES // BATCH_BYTES + 1):
        spool.append(b"x" * BATCH_BYTES)
    spool.append(b"x")
    asked, last = 0.01, spool.next - 1
    sent = pushed(machine.tick(asked, hurry=True))[-1][1]
    assert sent < last
    machine.receive(Ack(ME, sent), asked)
    assert pushed(machine.tick(asked))[-1][1] == last
    assert not machine.may_rest, "the answer is waited for"
    spool.append(b"x")
    assert pushed(machine.tick(asked)) == []
    machine.receive(Ack(ME, last), asked)
    assert machine.may_rest


def test_acks_that_acknowledge_nothing_new_are_no_progress() -> None:
    """What they wait for was lost: an aggregator repeats its mark for everything that is too far ahead."""
    machine, spool = greeted(2)
    machine.receive(welcome(0), 0.0)
    for tenth in range(1, 11):
        spool.append(b"x")
        assert machine.receive(Ack(ME, 0), tenth / 10) == []
        said = [action.message for action in machine.tick(tenth / 10, hurry=True) if isinstance(action, Say)]
    assert [type(message) for message in said] == [Hello]
    assert HELLO_S == 1.0


def test_a_welcome_that_answers_no_hello_since_the_last_is_an_ack() -> None:
    """A heap of them comes from an aggregator that stood still: were each heeded, everything would be sent so often."""
    machine, _ = greeted(2)
    for second in (1.0, 2.0):
        hello_again(machine, second)
    assert pushed(machine.receive(welcome(0, 1), 2.1)) == [(1, 2)]
    for number in (1, 2, 3):
        assert machine.receive(welcome(0, number), 2.2) == []
    assert machine.receive(welcome(2, 3), 2.3) == []
    assert not machine.owes, "it is an ack all the same"


def test_an_alive_without_an_answer_leads_to_a_hello() -> None:
    """Whoever is not answered is believed to be gone, or talks to somebody else than before."""
    machine, _ = greeted(0)
    machine.receive(welcome(0), 0.0)
    assert machine.receive(Ack(ME, 0), 0.1) == []
    said = [action.message for action in machine.tick(8.0) if isinstance(action, Say)]
    assert said == [Alive(ME)]
    assert machine.wait_s(8.0) == HELLO_S
    hello_again(machine, 9.0)


def test_an_end_is_said_until_it_is_answered_and_an_ack_is_no_answer() -> None:
    machine, spool = greeted(1)
    machine.receive(welcome(0), 0.0)
    machine.end()
    assert machine.tick(0.1) == [], "something is owed"
    machine.receive(Ack(ME, 1), 0.2)
    for now in (1.0, 2.0):
        assert machine.wait_s(now) == 0.0
        assert machine.tick(now) == [Say(End(ME, 1))]
        machine.receive(Ack(ME, 1), now)
        assert not machine.ended
        assert machine.wait_s(now) == HELLO_S
    machine.receive(End(ME, 1), 2.5)
    assert machine.ended
    assert (machine.tick(100.0), machine.wait_s(100.0)) == ([], None)
    spool.append(b"x")
    assert not machine.ended, "the answer was about what was there then"


def deliver(machine: Producer, collector: Collector) -> list[tuple[str, int, int]]:
    """Let both talk until nothing is owed; what was recorded, as (kind, first seq, count)."""
    recorded = []
    actions = machine.tick(0.0, hurry=True)
    for _ in range(20):
        entries = []
        for action in actions:
            if isinstance(action, Say):
                entries += collector.on_control(b"address", action.message, 0)
            elif isinstance(action, Push):
                entries += collector.on_batch(unpack_batch(action.message))
        recorded += [(KIND_NAMES[entry.kind], entry.first_seq, entry.count) for entry in entries if entry.count]
        actions = [more for reply in collector.due() for more in machine.receive(reply.message, 0.0)]
        actions += machine.tick(0.0, hurry=True)
        if not machine.owes:
            return recorded
    raise AssertionError("it does not come to an end")


def test_a_fresh_recording_meets_a_producer_that_is_far_already() -> None:
    """Also a trimmed orphan: the seqs that nobody holds any more are a gap, and everything after it is taken."""
    spool = Spool(Memory(1 << 20), ME)
    for _ in range(5003):
        spool.append(b"x")
    spool.trim(5000)
    fresh = Collector(Identity("rec", "name", 1, 2), {})
    assert deliver(Producer(ME, spool, 0.0), fresh) == [("gap", 1, 5000), ("batch", 5001, 3)]


def test_dropped_seqs_are_one_gap_and_hold_up_nothing() -> None:
    spool = Spool(Memory(1 << 20), ME)
    spool.append(b"x")
    for _ in range(7):
        spool.drop()
    spool.append(b"x")
    fresh = Collector(Identity("rec", "name", 1, 2), {})
    assert deliver(Producer(ME, spool, 0.0), fresh) == [("batch", 1, 1), ("gap", 2, 7), ("batch", 9, 1)]


def test_whoever_is_welcomed_says_once_that_it_is_alive() -> None:
    machine, _ = greeted(1)
    said = [action.message for action in machine.receive(welcome(0), 0.0) if isinstance(action, Say)]
    assert said == [Alive(ME)]
    hello_again(machine, 1.0)
    again = [action.message for action in machine.receive(welcome(0, 2), 1.0) if isinstance(action, Say)]
    assert again == []
