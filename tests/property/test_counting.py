"""Counting says the same, whether numbers are dense and counted in tables or far apart and sorted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embertrace.analysis.table.counting import (
    counted,
    dense,
    each_once,
    first_of_each,
    firsts,
    grouped,
    in_groups,
    together,
)

numbers = st.lists(st.integers(0, 5) | st.integers(0, 70_000) | st.integers(0, 1 << 40), max_size=60)
"""Few and close together, too many for 16 bits, and too far apart for a table."""


@given(numbers)
def test_what_is_counted_is_what_occurs(given_numbers: list[int]) -> None:
    array = np.array(given_numbers, np.int64)
    distinct = sorted(set(given_numbers))
    times = [given_numbers.count(number) for number in distinct]
    assert [found.tolist() for found in counted(array)] == [distinct, times]
    places = [given_numbers.index(number) for number in distinct]
    assert [found.tolist() for found in first_of_each(array)] == [distinct, places, times]
    assert firsts(array).tolist() == [given_numbers.index(number) for number in given_numbers]


@given(numbers)
def test_equal_numbers_are_side_by_side_in_their_order(given_numbers: list[int]) -> None:
    array = np.array(given_numbers, np.int64)
    in_order = sorted(range(len(given_numbers)), key=given_numbers.__getitem__)
    assert in_groups(array).tolist() == in_order
    by_number = {key: values.tolist() for key, values in grouped(array, np.arange(len(array)))}
    assert list(by_number) == sorted(set(given_numbers))
    assert [place for places in by_number.values() for place in places] == in_order


@given(numbers)
def test_each_number_is_read_once(given_numbers: list[int]) -> None:
    read: list[int] = []

    def reader(number: int) -> int:
        read.append(number)
        return -number

    assert each_once(np.array(given_numbers, np.int64), reader).tolist() == [-number for number in given_numbers]
    assert sorted(read) == sorted(set(given_numbers))


@given(st.lists(st.tuples(*[st.integers(0, 3) | st.integers(0, 1 << 40)] * 3), max_size=60))
def test_numbers_together_tell_apart_what_any_of_them_tells_apart(rows: list[tuple[int, ...]]) -> None:
    columns = np.array(rows, np.int64).reshape(len(rows), 3).T
    found = together(*columns).tolist()
    assert len(set(zip(found, rows, strict=True))) == len(set(found)) == len(set(rows))
    assert sorted(set(found)) == list(range(len(set(rows))))
    assert sorted(set(dense(columns[0]).tolist())) == list(range(len({row[0] for row in rows})))
