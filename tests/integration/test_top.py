"""`embertrace top` and `OperatorMonitor` against real aggregators: known numbers, restarts, hostile names."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace.client import Client
from embertrace.errors import AggregatorError, QueryError
from embertrace.top.feed import AggregatorFeed
from embertrace.top.plain import block
from support.aggregators import aggregator
from support.ports import free_endpoint
from support.tops import HOSTILE

COMMAND = [sys.executable, "-c", "from embertrace.cli import main; main()", "top"]
WAIT_S = 30.0


@et.trace(type="member", stage="members")
def member(question: str, answer: str) -> str:
    return answer


@et.trace(type="judge", stage="judge_1")
def judge(question: str, answers: list[str]) -> str:
    return answers[0]


@et.trace(type="retriever", stage="search")
def search(question: str) -> str:
    raise TimeoutError(question)


def ask(key: str, answers: str, truth: str = "a") -> None:
    """One item: 12 events of 6 calls where three answer."""
    with et.item(key, truth=truth), et.operator("pipeline", type="pipeline", stage="all"):
        with et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
            found = [member(key, answer) for answer in answers]
            panel.result(found)
        judge(key, found)


def four_items() -> None:
    """Disagreement (0 + 0 + 0.5 + 0.5)/4, judge right 3 of 4, one error."""
    for key, answers in {"q1": "aaa", "q2": "aaa", "q3": "aab", "q4": "baa"}.items():
        ask(key, answers)
    with contextlib.suppress(TimeoutError):
        search("q5")


def top(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An aggregator with the four items."""
    with aggregator(tmp_path_factory.mktemp("top") / "rec") as (ready, _):
        with et.init(ready["endpoint"], run="items"):
            four_items()
        with et.OperatorMonitor(1000, ready["endpoint"]) as monitor:
            until(monitor, 4)
        yield ready["endpoint"]


def test_json_has_known_numbers(endpoint: str) -> None:
    found = json.loads(top(endpoint, "--json"))
    stages = {row["stage"]: row for row in found["stages"]["rows"]}
    assert {name: (row["calls"], row["errors"]) for name, row in stages.items()} == {
        "all": (4, 0), "ensemble_1": (4, 0), "members": (12, 0), "judge_1": (4, 0), "search": (1, 1),
    }  # fmt: skip
    assert (found["disagreement"]["value"], found["disagreement"]["n"]) == (0.25, 4)
    assert (found["judge_accuracy"]["value"], found["judge_accuracy"]["n"]) == (0.75, 4)
    assert stages["ensemble_1"]["disagreement"] == 0.25
    assert found["error_share"] == pytest.approx(1 / 25)
    assert [row["error"] for row in found["errors"]["rows"]] == ["TimeoutError: q5"]
    assert (found["recording"]["gaps"], found["aggregator"]["behind_bytes"], found["trouble"]) == (0, 0, None)
    assert found["rates"]["over_s"] == 10.0


def test_once_is_one_block(endpoint: str) -> None:
    lines = top(endpoint, "--once").splitlines()
    assert "disagreement 0.250 (n=4), judge accuracy 0.750 (n=4)" in lines[1]
    assert "connected of 1" in lines[2] and lines[2].endswith("no lag, nothing lost")
    assert [line.split()[0] for line in lines[4:10]] == ["stage", "all", "ensemble_1", "judge_1", "members", "search"]
    assert lines[-1].split()[1:3] == ["search", "search"] and lines[-1].endswith("TimeoutError: q5")


def test_a_window_holds_the_last_events_alone(endpoint: str) -> None:
    found = json.loads(top(endpoint, "--json", "--window", "2"))
    assert [row["stage"] for row in found["stages"]["rows"]] == ["search"]
    assert (found["window"], found["error_share"]) == ({"size": 2, "events": 2}, 1.0)


def test_nobody_there_is_said() -> None:
    assert "no aggregator answered at tcp://127.0.0.1:9" in top("tcp://127.0.0.1:9", "--once", code=2)
    assert "--window" in top("tcp://127.0.0.1:9", "--window", "0", code=2)


def test_a_terminal_gets_the_screen_and_q_leaves_it(endpoint: str) -> None:
    """A real pseudo-terminal: what Textual draws goes there and nowhere else."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen([*COMMAND, endpoint], stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        drawn, asked = b"", False
        with contextlib.suppress(OSError):  # the end of a pseudo-terminal
            while part := os.read(ours, 65536):
                drawn += part
                if b"TimeoutError" in drawn and not asked:
                    asked = os.write(ours, b"q") == 1
        assert process.wait(WAIT_S) == 0
    os.close(ours)
    assert b"judge" in drawn and b"\x1b[?1049h" in drawn


def test_a_dumb_terminal_gets_lines_until_it_is_interrupted(endpoint: str) -> None:
    with subprocess.Popen(
        [*COMMAND, endpoint, "--interval", "0.1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        titles = 0
        while titles < 3:
            titles += b"the last" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=WAIT_S)
        assert (process.returncode, said) == (0, b"")
        assert b"\x1b" not in rest


def test_a_reader_that_has_enough_is_no_error(endpoint: str) -> None:
    with subprocess.Popen(
        [*COMMAND, endpoint, "--interval", "0.1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WAIT_S) == 0


# Restarts.


def feed_until(feed: AggregatorFeed, wanted: str) -> str:
    """Blocks of readings until one has a text in it; all of them."""
    deadline, said = time.monotonic() + WAIT_S, ""
    while wanted not in said:
        assert time.monotonic() < deadline, said
        said += block(feed.read()) + "\n"
    return said


def test_an_aggregator_that_is_restarted_is_found_again(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec", bind=free_endpoint()) as (ready, _):
        at = ready["endpoint"]
        with et.init(at, run="first"):
            four_items()
        feed = AggregatorFeed(at)
        first = feed_until(feed, "judge accuracy 0.750 (n=4)")
        assert "restarted" not in first
    said = feed_until(feed, "does not answer")
    assert said.count("connection lost, trying again") == 1
    with aggregator(tmp_path / "rec", bind=at):
        with et.init(at, run="second"):
            ask("q6", "aaa")
        said = feed_until(feed, "(n=5)")
        assert said.count("connected again after") == said.count("the aggregator was restarted at") == 1
        assert "judge accuracy 0.800 (n=5)" in said
    feed.close()


def test_a_monitor_of_an_aggregator_that_is_restarted(tmp_path: pathlib.Path) -> None:
    with (
        aggregator(tmp_path / "rec", bind=free_endpoint()) as (ready, _),
        et.OperatorMonitor(window_size=1000, endpoint=ready["endpoint"]) as far,
    ):
        with et.init(ready["endpoint"], run="first"):
            four_items()
        assert until(far, 4)["judge_accuracy"] == 0.75
    with pytest.raises(AggregatorError):
        et.OperatorMonitor(10, ready["endpoint"], timeout_s=0.2).get_rolling_stats()
    with aggregator(tmp_path / "rec", bind=ready["endpoint"]):
        assert until(far, 4)["judge_accuracy"] == 0.75
        far.close()


def until(monitor: et.OperatorMonitor, judged: int) -> dict[str, Any]:
    """The statistics, as soon as they are of so many judge calls."""
    deadline = time.monotonic() + WAIT_S
    while (stats := monitor.get_rolling_stats())["judge_accuracy"].n < judged:
        assert time.monotonic() < deadline, stats
    return stats


# The monitor.


def test_a_monitor_says_the_same_here_and_of_an_aggregator(tmp_path: pathlib.Path) -> None:
    """The last 26 events: two items, and the search."""
    with (
        et.session(tmp_path / "rec", quiet=True) as session,
        et.OperatorMonitor(26) as near,
        et.OperatorMonitor(26, session.endpoint) as far,
    ):
        four_items()
        session.settle(WAIT_S)
        here, there = near.get_rolling_stats(), far.get_rolling_stats()
        assert len(near.events) == 26
        with pytest.raises(QueryError, match="the aggregator keeps the events"):
            far.events
    for name in ("disagreement_rate", "judge_accuracy", "accuracy_by_stage", "error_share", "latency_s"):
        assert repr(here[name]) == repr(there[name]), name
    assert here["disagreement_rate"].n == 2
    assert here["judge_accuracy"].n == 2
    assert here["events_per_second"] > 0
    assert here.keys() == there.keys()


def test_a_window_that_is_too_large_for_an_aggregator(endpoint: str) -> None:
    with pytest.raises(QueryError, match="it must be 1 to 20,000 events"):
        et.OperatorMonitor(20_001, endpoint)
    with pytest.raises(ValueError, match="at least 1 event"):
        et.OperatorMonitor(0, endpoint)
    with Client(endpoint) as client, pytest.raises(QueryError, match="window is x; it must be 1 to 20,000"):
        client.call("snapshot", window="x")


# Others.


def test_hostile_names_are_lines_of_text(tmp_path: pathlib.Path) -> None:
    with et.session(tmp_path / "rec", quiet=True) as session:
        with et.item(HOSTILE), contextlib.suppress(ValueError), et.operator(HOSTILE, type=HOSTILE, stage=HOSTILE):
            raise ValueError(HOSTILE + "x" * 1_000_000)
        session.settle(WAIT_S)
        said = top(session.endpoint, "--once")
        json.loads(top(session.endpoint, "--json"))
        with Client(session.endpoint) as client:
            assert len(json.dumps(client.call("snapshot"))) < 20_000
    assert all(line.isprintable() for line in said.split("\n"))
    assert "ValueError: [red]\\x1b[31m\\u202e evil[/]" in said


def test_a_window_across_batches_and_segments(tmp_path: pathlib.Path) -> None:
    """The aggregator reads only the last batches: the numbers are those of the last events, however they lie."""
    with et.session(tmp_path / "rec", quiet=True) as session:
        for place in range(60):
            ask(f"q{place}", "aaa" if place < 50 else "aab")
            session.run.emitter.flush(WAIT_S)
        session.settle(WAIT_S)
        with Client(session.endpoint) as client:
            found = client.call("snapshot", window=12 * 10)
            assert found["window"]["events"] == 120
            assert (found["disagreement"]["value"], found["disagreement"]["n"]) == (0.5, 10)
            assert client.call("snapshot", window=20_000)["disagreement"]["n"] == 60
