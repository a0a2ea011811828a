"""A spool keeps count: every seq is an event or in a hole, whatever is put, trimmed and dropped."""

from __future__ import annotations

import mmap

from hypothesis import given
from hypothesis import strategies as st

from embertrace.emit.spool import Batch, Hole, Spool
from embertrace.emit.storage import Memory, Room

PRODUCER = b"p" * 16


@given(
    st.lists(st.one_of(st.integers(1, 300).map(lambda n: ("put", n)), st.integers(0, 100).map(lambda n: ("trim", n)))),
    st.integers(100, 5000),
)
def test_a_spool_holds_every_seq_as_event_or_hole(steps: list[tuple[str, int]], capacity: int) -> None:
    spool = Spool(Memory(capacity), PRODUCER)
    dropped: set[int] = set()
    for what, value in steps:
        if what == "put":
            before = spool.dropped
            seq = spool.append(bytes([value % 256]) * value)
            if spool.dropped > before:
                dropped.add(seq)
        else:
            spool.trim(spool.oldest + value - 1 if spool.oldest + value <= spool.next else spool.next - 1)
        assert 0 <= spool.held_bytes <= capacity
    at = spool.oldest
    while (found := spool.cut(at, 500, 7)) is not None:
        assert found.first_seq == at
        seqs = set(range(at, at + found.events))
        if isinstance(found, Hole):
            assert seqs <= dropped
        else:
            assert isinstance(found, Batch)
            assert not seqs & dropped
            assert found.events <= 7
        at += found.events
    assert at == spool.next


def test_what_can_be_sent_is_written_before() -> None:
    """Another thread sends meanwhile: an adopter must not find less in the files than was sent of them."""
    seen: list[tuple[int, int]] = []

    class Watched(mmap.mmap):
        def write(self, data) -> int:  # type: ignore[no-untyped-def]
            before = spool.next
            written = super().write(data)
            seen.append((before, spool.next))
            return written

        def __setitem__(self, place, value) -> None:  # type: ignore[no-untyped-def]
            super().__setitem__(place, value)
            seen.append((spool.next, spool.next))

    class Once(Memory):
        def allocate(self) -> Room | None:
            room = super().allocate()
            if room is not None:
                room.buffer = Watched(-1, self.extent_bytes)  # type: ignore[misc]
            return room

    spool = Spool(Once(4000), PRODUCER)
    spool.append(b"an event")
    spool.drop()
    spool.drop()
    assert seen == [(1, 1), (1, 2), (2, 2), (3, 3)], "the header, the event, and each of the drops before it counts"
    assert spool.next == 4
