"""Killed before, in and after every write, sync, seal and rename: no acknowledged event lost, none there twice."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

from embertrace.emit import Emitter
from embertrace.event import METRIC
from embertrace.recording import check
from embertrace.wire.event import RawEvent, pack_event
from support.aggregators import aggregator, recorded
from support.disks import KILLED, MOMENTS
from support.ports import free_endpoint

TESTS = pathlib.Path(__file__).parents[1]
STARTING = 3
"""Operations of an aggregator that opens a recording: cut, write, sync. One round of it follows them here: write,
sync_data, and as every round seals, sync, then write, sync, rename and sync_directory for the next segment."""
ROUND = 7
WRITES = (1, 4)
"""Which of these may be left half-way."""


def event(name: str) -> bytes:
    return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, name, "t", "s", None, 0, 0, (), b"", b"\x80"))


def outcomes_of(directory: pathlib.Path, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "support.failpoints", str(directory), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=TESTS)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_writer_that_acknowledges_too_early_is_caught(tmp_path: pathlib.Path) -> None:
    """A harness that can't see a loss proves nothing."""
    assert any(told["lost"] for told in outcomes_of(tmp_path, "early"))


def test_a_writer_killed_at_every_failpoint(tmp_path: pathlib.Path) -> None:
    outcomes = outcomes_of(tmp_path)
    assert [told for told in outcomes if told["lost"] or not told["contiguous"] or not told["whole"]] == []
    killed = [told for told in outcomes if told["code"] == KILLED]
    assert {(told["torn"], told["moment"]) for told in killed} == {
        (torn, moment) for torn in (False, True) for moment in MOMENTS
    }
    assert len(killed) == len(outcomes) - 2 * len(MOMENTS), "every series ends with a child that was not killed"
    assert len(killed) > 100


def test_an_aggregator_killed_at_every_failpoint_of_a_round(tmp_path: pathlib.Path) -> None:
    """Before a write is after the acknowledgement of the round before; after the last one is before this round's."""
    endpoint = free_endpoint()
    with aggregator(tmp_path / "rec", bind=endpoint):
        emitter = Emitter(endpoint, spool_bytes=64 * 1024 * 1024, linger_s=30.0)
        emitter.put(event("1"))
        assert emitter.flush(30)
    sent = 1
    failpoints = [(place, moment) for place in range(1, ROUND + 1) for moment in ("before", "after")]
    failpoints += [(place, "half") for place in WRITES]
    for place, moment in failpoints:
        command = [sys.executable, "-m", "support.faulty_aggregator", str(tmp_path / "rec"), endpoint, "1"]
        with subprocess.Popen(
            [*command, f"kill:{STARTING + place}:{moment}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=TESTS,
        ) as process:
            while process.poll() is None:
                sent += 1
                emitter.put(event(str(sent)))
                emitter.flush(0.05)
            assert process.returncode == KILLED, (place, moment)
    with aggregator(tmp_path / "rec", bind=endpoint):
        assert emitter.close(30)
    (stream,) = recorded(tmp_path / "rec").values()
    assert stream == [(seq, str(seq)) for seq in range(1, sent + 1)]
    assert check(tmp_path / "rec").ok
