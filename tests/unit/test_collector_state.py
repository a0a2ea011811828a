"""What an aggregator says of itself when it is inspected: counts of what came, who lost most, and a bounded message."""

from __future__ import annotations

from aggregator.collector import Collector, Ground, Identity
from embertrace.wire.batch import BATCH, Batch, pack_batch, pack_gap, unpack_batch
from embertrace.wire.control import (
    MAX_CONTROL_BYTES,
    MAX_LOSS_HOST,
    MAX_LOSSES,
    End,
    Hello,
    Inspect,
    Loss,
    pack_control,
    unpack_control,
)

IDENTITY = Identity("rec", "n" * 100, 1, 2, None, "0.1.0", 42, 5)
GROUND = Ground(now_ns=2**63, received_ns=7, durable=2**63, free_bytes=2**63)


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def batch(producer: bytes, first_seq: int, count: int) -> Batch:
    return unpack_batch(pack_batch(BATCH, producer, first_seq, count, b"event" * count))


def gap(producer: bytes, first_seq: int, count: int) -> Batch:
    return unpack_batch(pack_gap(producer, first_seq, count, "dropped"))


def test_who_inspects_is_owed_the_state_once_and_nothing_is_recorded() -> None:
    collector = Collector(IDENTITY, {})
    assert collector.on_control(b"asker", Inspect(), 0) == []
    assert list(collector.due()) == []
    assert collector.inspectors() == [b"asker"]
    assert collector.inspectors() == []


def test_the_state_counts_what_came() -> None:
    collector = Collector(IDENTITY, {name(9): 4})
    for number in (1, 2):
        collector.on_control(b"a", Hello(name(number), 1, 1, host="host", pid=number), 0)
    collector.on_control(b"a", Hello(name(3), 1, 1, version=99), 0)
    collector.on_batch(batch(name(1), 1, 3))
    collector.on_batch(batch(name(1), 1, 3))
    collector.on_batch(batch(name(1), 9, 1))
    collector.on_batch(gap(name(1), 4, 5))
    collector.on_control(b"a", End(name(2), 0), 0)
    collector.on_malformed()
    state = collector.state(GROUND)
    assert state.counters == {
        "batches": 1, "events": 3, "bytes": 15, "duplicates": 1, "ahead": 1, "gaps": 5, "refused": 1, "malformed": 1,
        "silent": 0, "producers": 3, "connected": 1, "ended": 1,
    }  # fmt: skip
    assert state.losses == (Loss(name(1), 5, "host", 1),)
    assert (state.recording, state.library, state.pid, state.started_ns) == ("rec", "0.1.0", 42, 5)
    assert (state.now_ns, state.received_ns, state.durable, state.free_bytes) == (2**63, 7, 2**63, 2**63)


def test_events_that_a_producer_no_longer_holds_are_its_loss() -> None:
    collector = Collector(IDENTITY, {})
    collector.on_control(b"a", Hello(name(1), 11, 12, host="host", pid=1), 0)
    assert collector.state(GROUND).losses == (Loss(name(1), 10, "host", 1),)


def test_who_began_under_another_aggregator_is_known_by_what_it_said_then() -> None:
    collector = Collector(IDENTITY, {name(1): 3}, {name(1): pack_control(Hello(name(1), 1, 1, host="old", pid=6))})
    collector.on_batch(gap(name(1), 4, 2))
    assert collector.state(GROUND).losses == (Loss(name(1), 2, "old", 6),)


def test_the_worst_losses_are_named_and_the_message_stays_within_its_bound() -> None:
    collector = Collector(IDENTITY, {})
    for number in range(1, 101):
        hello = Hello(name(number), 1, 1, host="\U0001f600" * 500, pid=2**64 - 1)
        collector.on_control(b"a", hello, 0)
        collector.on_batch(gap(name(number), 1, 2**60 + number))
    state = collector.state(GROUND)
    assert state.counters["gaps"] == 2**64 - 1, "absurd claims are bounded"
    assert [loss.producer for loss in state.losses] == [name(number) for number in range(100, 100 - MAX_LOSSES, -1)]
    assert len(state.losses[0].host) == MAX_LOSS_HOST
    packed = pack_control(state)
    assert len(packed) <= MAX_CONTROL_BYTES
    assert unpack_control(packed) == state
