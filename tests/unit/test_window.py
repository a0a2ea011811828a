"""The window of the last events: rates, what it leaves out, its bounds; in this process and in a recording."""

from __future__ import annotations

import math
from typing import Any

import pytest

import embertrace as et
from aggregator.recent import NEVER, Begin, Trail
from embertrace.analysis.window import (
    MAX_ROWS,
    MAX_STAGES,
    MAX_TEXT,
    MAX_WINDOW,
    Arrival,
    check_window,
    overview,
    overview_from_data,
    rates,
    rates_from_data,
)
from embertrace.errors import QueryError
from embertrace.recording import BATCH, GAP, Record
from support.forests import Story, grown


def arrivals(*times: float, ends: bool = False) -> list[Arrival]:
    return [Arrival(at, ends) for at in times]


# Rates.


def test_rates_are_over_the_last_ten_seconds() -> None:
    came = arrivals(0, 1, 91, 95) + arrivals(99, 100, ends=True)
    assert rates(came, NEVER, 100.0) == (0.4, 0.2, 10.0)


def test_rates_of_a_window_that_reaches_back_less_are_over_that() -> None:
    """Two batches of three; of the first, one event is in the window, which came with those that are not."""
    came = arrivals(8) + arrivals(10, 10, 10, ends=True)
    assert rates(came, 8.0, 10.0) == (1.5, 1.5, 2.0)


def test_rates_of_nothing_and_of_no_time() -> None:
    assert rates([], NEVER, 100.0) == (0.0, 0.0, 10.0)
    found = rates(arrivals(100), 100.0, 100.0)
    assert math.isnan(found.events) and math.isnan(found.calls)
    assert rates(arrivals(101), NEVER, 100.0).events == 0  # a clock that was set back


# Where the last events of a recording lie.


def batch(position: int, events: int, received_s: float, kind: int = BATCH) -> Record:
    return Record(kind, int(received_s * 1e9), bytes(16), 1, events, b"", position, position + 100)


def trail(*batches: tuple[int, int, float]) -> Trail:
    made = Trail()
    for entry in batches:
        made.take(batch(*entry))
    return made


def test_a_trail_knows_where_the_last_events_begin() -> None:
    made = trail((100, 3, 1.0), (200, 2, 2.0), (300, 4, 3.0))
    made.take(batch(400, 10, 4.0, kind=GAP))
    assert made.begin(4) == Begin(300, 2.0)
    assert made.begin(5) == Begin(200, 2.0)
    assert made.begin(6) == Begin(200, 1.0)
    assert made.begin(9) == made.begin(10) == Begin(100, NEVER)
    assert Trail().begin(5) is None


def test_a_trail_is_bounded() -> None:
    made = Trail()
    for place in range(MAX_WINDOW + 500):
        made.take(batch(place, 1, place))
    assert made.begin(MAX_WINDOW) == Begin(500, 499.0)
    made.take(batch(10**9, 3 * MAX_WINDOW, 10.0**6))
    assert made.begin(1) == made.begin(MAX_WINDOW) == Begin(10**9, 10.0**6)


# What a window says.


def pipeline(count: int) -> Story:
    story = Story()
    for place in range(count):
        story.question(f"q{place}", "aab" if place % 2 else "aaa", "a", "a" if place % 4 else "b")
    return story


def test_overview_has_known_numbers() -> None:
    found = overview(pipeline(4).forest())
    assert (found.disagreement, found.disagreement.n) == (0.25, 4)
    assert (found.judge_accuracy, found.judge_accuracy.n) == (0.75, 4)
    assert found.error_share == 0
    assert found.latency_s == {"p50": 1e-6, "p95": 1e-6}
    stages = {row["stage"]: row for row in found.stages}
    assert {name: row["calls"] for name, row in stages.items()} == {
        "default": 4, "ensemble_1": 4, "judge_1": 4, "members": 12,
    }  # fmt: skip
    assert (stages["ensemble_1"]["disagreement"], stages["ensemble_1"]["ensembles"]) == (0.25, 4)
    assert (stages["judge_1"]["judge_accuracy"], stages["judge_1"]["judged"]) == (0.75, 4)
    assert math.isnan(stages["members"]["disagreement"])
    assert len(found.slowest) == 24


def test_what_lies_partly_before_the_window_is_left_out() -> None:
    events = pipeline(4).events
    per_item = len(events) // 4
    found = overview(grown(events[per_item * 2 + 4 :]))  # of the third item: without its begin, and its first member
    assert found.disagreement.n == 1
    assert found.disagreement.left_out == {"incomplete": 1}
    assert found.judge_accuracy.left_out == {"unlabelled": 1}


def test_errors_come_latest_first() -> None:
    story = Story()
    for name in ("KeyError", "ValueError"):
        story.end(story.begin("op", stage="s", item={"key": name}), error=name)
    story.begin("op", stage="s")
    found = overview(story.forest())
    assert [(row["error"], row["item"]) for row in found.errors] == [
        ("ValueError", "ValueError"),
        ("KeyError", "KeyError"),
    ]
    assert found.error_share == 1
    assert (found.stages[0]["errors"], found.stages[0]["open"]) == (2, 1)


def test_lost_calls_are_errors() -> None:
    story = Story()
    story.begin("op")
    forest = story.forest()
    forest.note_end(story.producer, 1, 1)
    assert [row["error"] for row in overview(forest).errors] == ["lost: its process is gone"]


def test_an_overview_is_bounded_and_survives_its_data() -> None:
    story = Story()
    for place in range(MAX_STAGES + 5):
        story.end(
            story.begin("o" * 1000, stage=f"{place:04}" + "s" * 1000, item={"key": "k" * 10_000}), error="E" * 500
        )
    found = overview(story.forest())
    assert (len(found.stages), len(found.slowest), len(found.errors)) == (MAX_STAGES, MAX_ROWS, MAX_ROWS)
    texts = [cell for rows in (found.stages, found.slowest, found.errors) for row in rows for cell in row.values()]
    assert max(len(text) for text in texts if isinstance(text, str)) == MAX_TEXT
    again = overview_from_data(found.to_data())
    assert again.errors == found.errors and again.slowest == found.slowest
    assert again.to_data() == found.to_data()


def test_nothing_gives_nan_and_no_rows() -> None:
    found = overview(Story().forest())
    assert math.isnan(found.error_share) and math.isnan(found.disagreement)
    assert found.stages == found.slowest == found.errors == []
    assert overview_from_data(found.to_data()).to_data() == found.to_data()


@pytest.mark.parametrize(
    "data", [{}, {"stages": 3}, {**overview(Story().forest()).to_data(), "errors": {"result": "x"}}]
)
def test_data_that_is_no_overview_is_said(data: dict[str, Any]) -> None:
    with pytest.raises(QueryError, match="use the same embertrace"):
        overview_from_data(data)
    with pytest.raises(QueryError, match="use the same embertrace"):
        rates_from_data(data)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "9", None, MAX_WINDOW + 1])
def test_a_window_of_no_size_is_refused(size: Any) -> None:
    with pytest.raises(QueryError, match="it must be 1 to 20,000 events"):
        check_window(size)


# The monitor of this process.


@et.trace(type="member", stage="s")
def member(number: int) -> int:
    if number < 0:
        raise ValueError(number)
    return number


def test_a_monitor_rolls() -> None:
    now = [100.0]
    with et.OperatorMonitor(window_size=6, clock=lambda: now[0]) as monitor:
        empty = monitor.get_rolling_stats()
        assert math.isnan(empty["error_share"]) and math.isnan(empty["events_per_second"])
        now[0] = 102.0
        member(1)
        now[0] = 104.0
        assert monitor.get_rolling_stats()["events_per_second"] == 0.5
        for place in range(3):
            now[0] = 104.0 + place
            with pytest.raises(ValueError):
                member(-1)
        stats = monitor.get_rolling_stats()
        assert (stats["events_per_second"], stats["calls_per_second"], stats["error_share"]) == (1.5, 0.75, 1.0)
        assert stats["latency_s"]["p95"] > 0
        assert [event.event_type for event in monitor.events] == ["call", "error"] * 3
        now[0] = 200.0
        assert monitor.get_rolling_stats()["events_per_second"] == 0
    member(1)
    assert len(monitor.events) == 6
    monitor.close()
