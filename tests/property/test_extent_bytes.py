"""An extent keeps what was written; whatever happens to its bytes, a reader finds a prefix of it, nothing invented."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from embertrace.emit import extent
from support.spools import write_record

PRODUCER = b"p" * 16
EVENTS = st.lists(st.binary(min_size=1, max_size=200), max_size=20)
FIRST = st.integers(1, 2**62)


def written(events: list[bytes], first: int = 1, dropped: int = 0, size: int = 8192) -> bytearray:
    """The bytes of an extent with these events."""
    buffer = bytearray(size)
    extent.begin(buffer, PRODUCER, first)
    at = extent.HEADER_BYTES
    for place, packed in enumerate(events):
        at = write_record(buffer, at, first + place, packed)
    for count in range(1, dropped + 1):
        extent.write_dropped(buffer, count)
    return buffer


def read(data: bytes) -> list[bytes] | None:
    """The events that a reader finds; None where it finds no extent."""
    found = extent.scan(data)
    if found is None:
        return None
    bounds = zip(found.starts, found.starts[1:], strict=False)
    return [data[start + extent.HEAD_BYTES : end] for start, end in bounds]


@given(EVENTS, FIRST, st.integers(0, 5))
def test_what_was_written_is_read(events: list[bytes], first: int, dropped: int) -> None:
    data = bytes(written(events, first, dropped))
    found = extent.scan(data)
    assert found is not None
    assert (found.producer, found.first_seq, found.events, found.dropped) == (PRODUCER, first, len(events), dropped)
    assert read(data) == events


@given(EVENTS, st.integers(0, 8192))
def test_a_cut_extent_has_a_prefix(events: list[bytes], length: int) -> None:
    found = read(bytes(written(events)[:length]))
    assert found is None if length < extent.HEADER_BYTES else found == events[: len(found or ())]


@given(EVENTS, st.lists(st.tuples(st.integers(0, 8191), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_damaged_extent_has_a_prefix(events: list[bytes], flips: list[tuple[int, int]]) -> None:
    data = written(events)
    for at, mask in flips:
        data[at] ^= mask
    found = read(bytes(data))
    assert found is None or found == events[: len(found)]


@given(st.binary(max_size=4096))
def test_other_bytes_are_no_extent(data: bytes) -> None:
    assert read(data) is None


@given(EVENTS, st.binary(min_size=1, max_size=300), st.data())
def test_a_death_in_the_middle_of_a_record_leaves_the_ones_before(
    events: list[bytes], last: bytes, data: st.DataObject
) -> None:
    """Any prefix of the bytes behind the length may have been written, and any part of the length last."""
    before, after = written(events), written([*events, last])
    at = extent.HEADER_BYTES + sum(extent.HEAD_BYTES + len(packed) for packed in events)
    end = at + extent.HEAD_BYTES + len(last)
    upto = data.draw(st.integers(at + 4, end))
    before[at + 4 : upto] = after[at + 4 : upto]
    if upto == end:
        length_bytes = data.draw(st.integers(0, 3))
        before[at : at + length_bytes] = after[at : at + length_bytes]
    assert read(bytes(before)) in (events, [*events, last])
    if upto < end:
        assert read(bytes(before)) == events


def test_every_flip_of_a_small_extent_is_noticed_or_harmless() -> None:
    events = [random.Random(n).randbytes(n + 1) for n in range(8)]
    whole = written(events, dropped=3, size=512)
    for at in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[at] ^= 1 << bit
            found = read(bytes(data))
            assert found is None or found == events[: len(found)]


def test_a_count_of_drops_survives_a_death_in_the_middle_of_the_next() -> None:
    before, after = written([b"x"], dropped=6), written([b"x"], dropped=7)
    changed = [at for at in range(len(before)) if before[at] != after[at]]
    for upto in range(len(changed)):
        torn = bytearray(before)
        for at in changed[:upto]:
            torn[at] = after[at]
        found = extent.scan(bytes(torn))
        assert found is not None
        assert found.dropped in (6, 7)
