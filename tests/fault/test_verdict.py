"""The verdict: each fault is found, and named."""

from __future__ import annotations

import pathlib

import pytest

from fault.verdict import Recorded, Verdict, judge, read_oracle

P, Q = b"p" * 16, b"q" * 16


def events(*numbers: int, producer: bytes = P, first: int = 1, name: str = "w") -> list[Recorded]:
    return [Recorded(producer, first + place, (name, number)) for place, number in enumerate(numbers)]


def test_nothing_is_clean() -> None:
    assert judge({}, []) == Verdict(0, 0, (), (), (), 0)
    assert judge({}, []).clean


def test_all_once_and_in_order_is_clean_whatever_lies_between() -> None:
    mixed = [*events(0, 1), *events(0, 1, name="v", producer=Q), *events(2, first=3)]
    found = judge({"w": range(3), "v": range(2)}, mixed)
    assert found.clean
    assert (found.returned, found.recorded) == (5, 5)


def test_what_is_missing_is_lost() -> None:
    found = judge({"w": range(4)}, events(0, 3))
    assert found.missing == (("w", 1), ("w", 2))
    assert found.lost == 2
    assert not found.clean


def test_an_event_recorded_though_its_emit_never_returned_is_no_fault() -> None:
    assert judge({"w": range(2)}, events(0, 1, 2)).clean


@pytest.mark.parametrize(
    "again", [events(1, first=3), events(1, producer=Q), [Recorded(P, 2, ("w", 2))]], ids=["seq", "producer", "event"]
)
def test_what_comes_again_is_twice(again: list[Recorded]) -> None:
    found = judge({"w": range(2)}, [*events(0, 1), *again])
    assert len(found.twice) == 1
    assert not found.clean


def test_what_comes_behind_a_later_one_is_disordered() -> None:
    assert judge({"w": range(3)}, events(0, 2, 1)).disordered == (("w", 1),)
    by_seq = [*events(0), Recorded(P, 3, ("w", 1)), Recorded(P, 2, ("w", 2))]
    assert judge({"w": range(3)}, by_seq).disordered == (("w", 2),)


def test_what_gaps_declare_is_not_lost_but_not_clean() -> None:
    gap = [Recorded(P, seq, None) for seq in (3, 4)]
    found = judge({"w": range(5)}, [*events(0, 1), *gap, *events(4, first=5)])
    assert (found.lost, found.declared, found.clean) == (0, 2, False)
    assert judge({"w": range(5)}, [*events(0, 1), *gap]).lost == 1


def test_an_oracle_ends_where_its_worker_died(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "w.oracle"
    assert read_oracle(path) == []
    path.write_bytes(b"0\n1\n1")
    assert read_oracle(path) == [0, 1]
