"""Batches read at once say what they say event by event, whatever their bytes are."""

from __future__ import annotations

import random

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.intake import Intake
from embertrace.analysis.table.names import Names
from embertrace.analysis.table.seqs import Seqs
from embertrace.wire.columns import decode
from embertrace.wire.event import BadEvent, RawEvent, iter_events, pack_event

IDS = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
SMALL = st.one_of(st.integers(0, 3), st.integers(0, 2**16), st.integers(0, 2**64 - 1))
NAMES = st.one_of(st.sampled_from(["", "judge", "ensemble", "stage_1"]), st.text(max_size=40), st.just("x" * 300))
STAMPS = st.one_of(
    st.integers(1_600_000_000_000_000_000, 2_000_000_000_000_000_000),
    st.floats(allow_nan=False),
    st.integers(-5, 5),
    st.integers(-(2**63), 2**64 - 1),
)
DATA = st.one_of(st.binary(max_size=80), st.sampled_from([b"", b"\xdc\x00\x11\x00\xcf" + bytes(60), bytes(70_000)]))
EVENTS = st.builds(
    RawEvent,
    type=st.integers(0, 3),
    timestamp=STAMPS,
    trace_id=st.one_of(st.none(), st.binary(min_size=16, max_size=16)),
    call_id=IDS,
    parent_call_id=IDS,
    attempt=SMALL,
    parent_attempt=SMALL,
    slot=SMALL,
    operator_id=NAMES,
    operator_type=NAMES,
    stage=NAMES,
    duration=st.one_of(st.none(), SMALL, st.floats(allow_nan=False)),
    slots=SMALL,
    follows=IDS,
    links=st.lists(st.integers(1, 2**64 - 1), max_size=20).map(tuple),
    context=st.one_of(st.just(b""), st.binary(max_size=300)),
    data=DATA,
)
ORDINARY = EVENTS.map(lambda event: event._replace(timestamp=1_700_000_000_000_000_000, duration=12_345, data=b"\xc0"))
BATCHES = st.lists(st.one_of(st.lists(ORDINARY, min_size=1, max_size=8), st.lists(EVENTS, min_size=1, max_size=4)))


def packed(events: list[RawEvent]) -> bytes:
    return b"".join(map(pack_event, events))


def one_by_one(batches: list[tuple[bytes, int]]) -> list[RawEvent]:
    return [event for payload, count in batches for event in iter_events(payload, count) if type(event) is RawEvent]


def side_by_side(batches: list[tuple[bytes, int]]) -> list[RawEvent]:
    taken = Intake()
    for place, (payload, count) in enumerate(batches):
        taken.add_batch(place.to_bytes(16, "big"), 1, count, payload)
    taken.flush()
    lost = sum(
        event.lost for payload, count in batches for event in iter_events(payload, count) if type(event) is BadEvent
    )
    assert taken.known.undecodable == lost
    rows = [(taken.events.origin(row)[1:], taken.events.event(row)) for row in range(len(taken.events))]
    return [event for _, event in sorted(rows, key=lambda row: row[0])]


@settings(max_examples=200, deadline=None)
@given(BATCHES)
def test_events_read_at_once_are_those_read_one_by_one(events: list[list[RawEvent]]) -> None:
    batches = [(packed(batch), len(batch)) for batch in events]
    assert side_by_side(batches) == one_by_one(batches)


@settings(max_examples=200, deadline=None)
@given(BATCHES, st.randoms(use_true_random=False))
def test_whatever_bytes_say_they_say_it_at_once_too(events: list[list[RawEvent]], chance: random.Random) -> None:
    batches = []
    for batch in events:
        changed, count = bytearray(packed(batch)), len(batch)
        for _ in range(chance.randint(0, 2)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        if chance.random() < 0.2:
            del changed[chance.randrange(len(changed)) :]
        count += chance.choice([0, 0, 0, 1, -1])
        batches.append((bytes(changed), max(count, 1)))
    assert repr(side_by_side(batches)) == repr(one_by_one(batches))


@given(st.lists(ORDINARY, min_size=1, max_size=30))
def test_ordinary_events_are_read_at_once(events: list[RawEvent]) -> None:
    columns, good = decode([packed(events)], [len(events)], Names().of_packed)
    assert good.all()
    table = EventTable()
    names = [table.names.number((event.operator_id, event.operator_type, event.stage)) for event in events]
    table.append(columns._replace(name=np.array(names)), [(table.producer(b"p"), 1, len(events))])
    assert [table.event(row) for row in range(len(table))] == events


WHOLE = RawEvent(
    2, 1_700_000_000_000_000_000, b"t" * 16, 2**63, 300, 1, 0, 2**40, "an operator", "m", "s", 12_345, 1, 7, (5, 2**63),
    b"context", b"data" * 9,
)  # fmt: skip


@pytest.mark.parametrize(
    "event", [WHOLE, WHOLE._replace(trace_id=None, parent_call_id=0, slot=3, duration=None, links=())]
)
@pytest.mark.parametrize("behind", [[], [(pack_event(WHOLE), 1)]])
def test_an_event_cut_at_every_byte_is_none(event: RawEvent, behind: list[tuple[bytes, int]]) -> None:
    fine = pack_event(event)
    for size in range(1, len(fine)):
        for before in (b"", fine):
            batches = [(before + fine[:size], 1 + bool(before)), *behind]
            _, good = decode([payload for payload, _ in batches], [count for _, count in batches], Names().of_packed)
            assert good.tolist() == [False, *[True] * len(behind)]
            assert side_by_side(batches) == one_by_one(batches)


@pytest.mark.parametrize(
    "event", [WHOLE, WHOLE._replace(trace_id=None, parent_call_id=0, slot=3, duration=None, links=())]
)
def test_every_byte_of_an_event_changed_says_what_it_says_alone(event: RawEvent) -> None:
    fine = pack_event(event)
    for place in range(len(fine)):
        for byte in (0, 0x0F, 0x90, 0x9F, 0xC0, 0xC4, 0xC5, 0xC6, 0xCA, 0xCB, 0xCC, 0xCF, 0xD3, 0xD9, 0xDB, 0xDC, 0xFF):
            batches = [(fine, 1), (fine[:place] + bytes([byte]) + fine[place + 1 :], 1)]
            assert repr(side_by_side(batches)) == repr(one_by_one(batches))


def test_one_bad_batch_costs_its_neighbours_nothing() -> None:
    event = RawEvent(0, 1_700_000_000_000_000_000, None, 1, 0, 0, 0, 0, "a", "b", "c", None, 0, 0, (), b"", b"\xc0")
    fine = pack_event(event)
    wide = msgpack.packb([*event, "more"])
    no_text = fine.replace(b"\xa1a", b"\xa1\xff")
    batches = [(fine, 1), (no_text, 1), (wide, 1), (fine[:-1], 1), (b"\xc1", 1), (fine, 1), (fine * 2, 1)]
    _, good = decode([payload for payload, _ in batches], [count for _, count in batches], Names().of_packed)
    assert good.tolist() == [True, False, False, False, False, True, False]
    assert side_by_side(batches) == one_by_one(batches)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 10)), max_size=30))
def test_spans_of_seqs_are_a_set(spans: list[tuple[int, int]]) -> None:
    seqs, meant = Seqs(), set[int]()
    for first, count in spans:
        told = {seq for low, high in seqs.add(first, count) for seq in range(low, high)}
        assert told == {*range(first, first + count)} - meant
        meant |= told
    assert seqs.last == max(meant, default=0)
