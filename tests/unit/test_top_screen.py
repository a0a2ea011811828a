"""The screen of `top`, driven by its keys, over readings with known numbers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.worker import WorkerFailed

from embertrace.errors import MissingExtraError
from embertrace.top import command
from embertrace.top.model import TABLES
from embertrace.top.screen import TopApp, TopTable
from support.tops import FakeFeed, busy, hostile, reading

SIZES = [(100, 32), (80, 24), (20, 8)]
NEVER_S = 3600.0
"""Ticks are the test's own."""


def drive(
    feed: FakeFeed, script: Callable[[TopApp, Any], Awaitable[None]], size: tuple[int, int] = (100, 32)
) -> TopApp:
    """The app on a terminal of that size, while the script presses its keys."""

    async def run() -> TopApp:
        app = TopApp(feed, reading(), NEVER_S)
        async with app.run_test(size=size) as pilot:
            await script(app, pilot)
        return app

    return asyncio.run(run())


async def tick(app: TopApp, pilot: Any) -> None:
    """Take a reading, and wait until it is shown."""
    app.tick()
    await app.workers.wait_for_complete()
    await pilot.pause()


def cells(app: TopApp, name: str) -> list[list[str]]:
    table = app.query_one(f"#{name}", TopTable)
    return [[cell.plain for cell in table.get_row_at(place)] for place in range(table.row_count)]


def text(app: TopApp, name: str) -> str:
    return str(app.query_one(f"#{name}").render())


def test_the_first_reading_is_shown_at_once() -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.pause()
        assert text(app, "title") == "monday at tcp://host:5557, up 60 min: the last 51 events"
        assert text(app, "pace").startswith("12.5 events/s   1,250 calls/s   errors 4.0 %")
        assert "nothing lost" in text(app, "health")
        assert [row[:3] for row in cells(app, "stages")][-1] == ["search", "2", "1"]
        assert len(cells(app, "slowest")) == 25
        assert cells(app, "errors")[0][-1] == "TimeoutError"
        assert not app.query_one("#news").display

    drive(FakeFeed(reading()), script)


def test_a_tick_shows_the_next_reading_and_the_cursor_stays() -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.press("down", "down")
        await tick(app, pilot)
        assert len(cells(app, "stages")) == 11
        assert app.query_one("#stages", TopTable).cursor_row == 2

    drive(FakeFeed(reading(busy())), script)


def test_sort_and_reverse() -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.press("r", "s", "s")
        assert [row[0] for row in cells(app, "stages")][:1] == ["members"]
        await pilot.press("r")
        assert [row[0] for row in cells(app, "stages")][-1] == "members"
        head = [str(column.label) for column in app.query_one("#stages", TopTable).ordered_columns]
        assert head[:2] == ["stage", "calls ▲"]
        await pilot.press("tab", "s", "s")
        assert [row[1] for row in cells(app, "slowest")] == sorted(row[1] for row in cells(app, "slowest"))
        await tick(app, pilot)
        assert [row[0] for row in cells(app, "stages")][-1] == "members"

    drive(FakeFeed(reading()), script)


def test_filter_is_kept_by_enter_and_dropped_by_escape() -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.press("slash", *"JUDGE")
        assert [row[0] for row in cells(app, "stages")] == ["judge_1"]
        await pilot.press("enter")
        await tick(app, pilot)
        assert [row[0] for row in cells(app, "stages")] == ["judge_1"]
        assert "rows with 'JUDGE'" in text(app, "title")
        await pilot.press("slash", "escape")
        assert len(cells(app, "stages")) == 5

    drive(FakeFeed(reading()), script)


def test_a_filter_of_markup_is_text() -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.press("slash", *"[red]")
        await pilot.pause()
        assert "rows with '[red]'" in text(app, "title")
        assert cells(app, "stages") == []

    drive(FakeFeed(reading()), script)


def test_a_pause_asks_nothing() -> None:
    feed = FakeFeed(reading(busy()))

    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.press("p")
        await tick(app, pilot)
        assert feed.asked == 0
        assert "paused at" in text(app, "title")
        await pilot.press("p")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert (feed.asked, len(cells(app, "stages"))) == (1, 11)
        assert "paused" not in text(app, "title")

    drive(feed, script)


def test_zoom_shows_one_table_alone() -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.press("tab", "z")
        assert app.screen.maximized is app.query_one("#slowest")
        await tick(app, pilot)
        assert app.screen.maximized is app.query_one("#slowest")
        await pilot.press("z")
        assert app.screen.maximized is None

    drive(FakeFeed(reading()), script)


def test_a_lost_aggregator_is_said_and_so_is_its_return() -> None:
    lost = dataclasses.replace(reading(), trouble="none answered", news=("connection lost, trying again: [b]none",))
    back = dataclasses.replace(reading(), news=("connected again after 10 s", "the aggregator was restarted at 12:00"))

    async def script(app: TopApp, pilot: Any) -> None:
        await tick(app, pilot)
        assert "NO ANSWER" in text(app, "title")
        assert text(app, "news") == "connection lost, trying again: [b]none"
        assert len(cells(app, "stages")) == 5
        await tick(app, pilot)
        assert "NO ANSWER" not in text(app, "title")
        assert text(app, "news").splitlines() == list(back.news)

    drive(FakeFeed(lost, back), script)


@pytest.mark.parametrize("size", SIZES)
def test_hostile_text_is_shown_as_text(size: tuple[int, int]) -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await tick(app, pilot)
        stages = [row[0] for row in cells(app, "stages")]
        assert "[red]\\x1b[31m\\u202e evi…" in stages
        for name in TABLES:
            assert all(cell.isprintable() and len(cell) <= 160 for row in cells(app, name) for cell in row)
        await pilot.press("d")
        assert "\x1b" not in app.export_screenshot()

    drive(FakeFeed(reading(hostile())), script, size)


def test_quit() -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        await pilot.press("q")

    assert drive(FakeFeed(reading()), script).return_code == 0


def test_a_fault_of_ours_ends_it_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    async def script(app: TopApp, pilot: Any) -> None:
        app.tick()
        with contextlib.suppress(WorkerFailed):
            await app.workers.wait_for_complete()
        await pilot.pause()

    assert drive(FakeFeed(ValueError("no [b]such[/] thing")), script).return_code == 1
    assert "no [b]such[/] thing" in capsys.readouterr().err


def test_without_textual_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--plain does without.*pip install 'embertrace\[top\]'"):
        command._show(FakeFeed(reading()), reading(), 1.0)
