"""Stretches of a buffer are copied and told apart as Python slices them; ids are numbered as a dict numbers them."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embertrace.analysis.table.distinct import Distinct
from embertrace.analysis.table.ids import NONE, DenseIds
from embertrace.wire.spans import LINE, PADDING, Hash, alike, copied, pieces

PIECES = st.one_of(
    st.binary(max_size=3),
    st.sampled_from([b"", b"\0", b"\0\0", b"member_1", b"member_2", b"x" * PADDING, b"y" * (PADDING + 1)]),
    st.text("ab", min_size=7, max_size=40).map(str.encode),
    st.binary(min_size=LINE - 1, max_size=LINE + 1),
    st.binary(min_size=PADDING - 2, max_size=PADDING + 40),
)


def spread(held: list[bytes], gaps: list[int]) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A buffer with the pieces in it, some bytes between them: the buffer, where they start, how long they are."""
    buffer, starts = b"", []
    for place, piece in enumerate(held):
        buffer += bytes(range(1, 1 + gaps[place % len(gaps)]))
        starts.append(len(buffer))
        buffer += piece
    return buffer + bytes(PADDING), np.array(starts, np.int64), np.array([*map(len, held)], np.int64)


@given(st.lists(PIECES, max_size=60), st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_stretches_are_copied_one_behind_the_other(held: list[bytes], gaps: list[int]) -> None:
    buffer, starts, lengths = spread(held, gaps)
    for each in (buffer, buffer[:-PADDING]):
        assert copied(each, starts, lengths) == b"".join(held)


@given(st.lists(PIECES, max_size=60), st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_stretches_are_what_they_hold(held: list[bytes], gaps: list[int]) -> None:
    buffer, starts, lengths = spread(held, gaps)
    for each in (buffer, buffer[:-PADDING]):
        assert pieces(each, starts, lengths) == held


@given(st.lists(PIECES, max_size=60), st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_stretches_that_hold_the_same_are_alike(held: list[bytes], gaps: list[int]) -> None:
    found = alike(*spread(held, gaps)).tolist()
    assert [held[place] for place in found] == held
    assert len(set(found)) == len(set(held))


IDS = st.one_of(
    st.integers(0, 40),  # drawn one after the other
    st.integers(0, 40).map(lambda number: number << 32),
    st.integers(0, (1 << 64) - 1),
)


@given(st.lists(st.tuples(st.booleans(), st.lists(IDS, max_size=60)), max_size=8))
def test_ids_have_numbers_as_they_are_first_met(calls: list[tuple[bool, list[int]]]) -> None:
    ids, met = DenseIds(), {0: 0}
    for puts_in, wanted in calls:
        found = (ids.add if puts_in else ids.find)(np.array(wanted, np.uint64)).tolist()
        if puts_in:
            met.update({each: number for each, number in zip(wanted, found, strict=True) if each not in met})
        assert found == [met.get(each, NONE) for each in wanted]
        assert sorted(met.values()) == [*range(len(met))]
        assert ids.ids.tolist() == sorted(met, key=met.__getitem__)


def test_many_ids_keep_their_numbers_while_the_table_grows() -> None:
    ids = DenseIds()
    random = np.random.default_rng(5).integers(1, 1 << 63, 40_000, dtype=np.uint64)
    drawn = np.concatenate([random, random[0] + np.arange(1, 40_001, dtype=np.uint64)])
    numbers = np.concatenate([ids.add(part) for part in np.array_split(drawn, 90)])
    assert (ids.find(drawn) == numbers).all()
    assert (ids.ids[numbers] == drawn).all()
    assert len(ids) == len(set(drawn.tolist())) + 1


@pytest.mark.parametrize("shift", [4, 11, 32])
def test_ids_that_are_alike_in_their_lowest_bits_find_a_place_each(shift: int) -> None:
    ids = DenseIds()
    drawn = np.arange(1, 20_001, dtype=np.uint64) << np.uint64(shift)
    numbers = np.concatenate([ids.add(part) for part in np.array_split(drawn, 30)])
    assert numbers.tolist() == [*range(1, len(ids))] == ids.find(drawn).tolist()
    assert (ids.find(drawn + np.uint64(1)) == NONE).all()


class Coarse(Hash):
    """A hash under which many that differ are the same: the first ones that are drawn are such."""

    left = 0

    def __init__(self) -> None:
        super().__init__()
        self._is_coarse = Coarse.left > 0
        Coarse.left -= 1

    def of(self, buffer: bytes, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return (
            lengths.astype(np.uint64) % np.uint64(3) + np.uint64(1)
            if self._is_coarse
            else super().of(buffer, starts, lengths)
        )


@example([[b"a"], [b"b"], [b"b", b"a"]], 1)
@example([[b"a", b"b"], [b"b", b"a"]], 2)
@given(st.lists(st.lists(PIECES, max_size=20, unique=True), max_size=6), st.sampled_from([0, 0, 1, 2, 5]))
def test_texts_have_numbers_as_they_are_first_met_whatever_their_hash_is(given: list[list[bytes]], coarse: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embertrace.analysis.table.distinct.Hash", Coarse)
        Coarse.left = coarse
        distinct, met = Distinct(), dict[bytes, int]()
        for texts in given:
            found = distinct.numbers(*spread(texts, [3])).tolist()
            for text in texts:
                met.setdefault(text, len(met) + 1)
            assert found == [met[text] for text in texts]
            assert len(distinct) == len(met) + 1
        assert distinct.texts == [b"", *met]


@pytest.mark.parametrize("together", [True, False])
def test_long_texts_of_one_hash_get_others(monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    """Those beyond PADDING bytes, too: under the first key all of them are alike."""
    keys: list[bytes] = []

    def first_is_coarse(text: bytes, *, digest_size: int, key: bytes) -> Any:
        keys.append(key)
        return blake2b(b"" if key == keys[0] else text, digest_size=digest_size, key=key)

    monkeypatch.setattr("embertrace.wire.spans.blake2b", first_is_coarse)
    texts = [bytes([place]) * 200 for place in range(5)]
    distinct = Distinct()
    for part in [texts] if together else [[text] for text in texts]:
        distinct.numbers(*spread(part, [3]))
    assert distinct.texts == [b"", *texts]
    assert distinct.numbers(*spread(texts[::-1], [3])).tolist() == [5, 4, 3, 2, 1]
    assert len(set(keys)) > 1


def test_no_objects_are_made_of_texts_that_come_again() -> None:
    distinct, texts = Distinct(), [b"member_%d" % place for place in range(9)]
    for part in (texts[:4], texts[4:]):
        distinct.numbers(*spread(part, [3]))
    before = distinct.nbytes
    assert distinct.numbers(*spread(texts[2:6], [3])).tolist() == [3, 4, 5, 6]
    assert distinct.nbytes == before
    assert distinct.texts == [b"", *texts]
    assert distinct.nbytes > before
