"""An extent keeps what was written; whatever happens to its bytes, a reader finds a prefix of it, nothing invented."""

from __future__ import annotations

import mmap
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace.emit import extent
from embertrace.errors import VersionError
from support.spools import extent_of

PRODUCER = b"p" * 16
EVENTS = st.lists(st.binary(min_size=1, max_size=200), max_size=20)
FIRST = st.integers(1, 2**62)


def written(events: list[bytes], first: int = 1, dropped: int = 0, size: int = 8192) -> bytearray:
    """The bytes of an extent with these events."""
    return bytearray(extent_of(PRODUCER, first, events, dropped, size))


def read(data: bytes) -> list[bytes] | None:
    """The events that a reader finds; None where it finds no extent."""
    found = extent.scan(data)
    if found is None:
        return None
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    assert extent.count(buffer, extent.HEADER_BYTES, found.end) == (found.events, found.end)
    return extent.read(buffer, extent.HEADER_BYTES, found.end, found.events)


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


@given(EVENTS, st.integers(0, 8191), st.integers(1, 255))
def test_an_extent_with_a_wrong_byte_has_a_prefix(events: list[bytes], at: int, mask: int) -> None:
    data = written(events)
    data[at] ^= mask
    found = read(bytes(data))
    assert found is None or found == events[: len(found)]


@given(EVENTS, st.integers(0, 8191), st.integers(1, 4096))
def test_an_extent_with_a_lost_page_has_a_prefix(events: list[bytes], at: int, size: int) -> None:
    data = written(events)
    data[at : at + size] = bytes(len(data[at : at + size]))
    found = read(bytes(data))
    assert found is None or found == events[: len(found)]


@given(EVENTS, st.integers(0, 8192), st.integers(1, 30))
def test_what_is_cut_short_is_read_as_far_as_it_is_whole(events: list[bytes], stop: int, most: int) -> None:
    buffer = mmap.mmap(-1, 8192)
    buffer.write(written(events))
    found = extent.read(buffer, extent.HEADER_BYTES, stop, most)
    ends = [sum(len(extent.record(packed)) for packed in events[: place + 1]) for place in range(len(events))]
    assert found == events[: min(most, sum(extent.HEADER_BYTES + end <= stop for end in ends))]


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


def test_the_bytes_of_version_2() -> None:
    """What dead processes left is read by later releases."""
    data = bytes(written([b"one", b"two!"], first=7, dropped=1, size=90))
    assert data.hex(" ", -4) == (
        "89455458 02000000 70707070 70707070 70707070 70707070 07000000 00000000 "
        "e959ee38 00000000 00000000 00000000 00000000 01000000 00000000 f7df88a9 "
        "03000000 43019102 6f6e6504 0000007c 01380474 776f2100 0000"
    )


def test_an_extent_of_another_version_is_not_taken_for_damaged() -> None:
    data = written([b"one"])
    data[4] = 1
    assert extent.scan(bytes(data)) is None, "a flipped byte"
    with pytest.MonkeyPatch.context() as older:
        older.setattr(extent, "VERSION", 1)
        data = written([b"one"])
    with pytest.raises(VersionError, match=r"version 1, .* version 2"):
        extent.scan(bytes(data))
