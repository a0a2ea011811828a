"""Real aggregators on disks that are full or failing: acknowledgements stop, nothing is lost, nothing comes twice."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from embertrace.client import Client
from embertrace.emit import Emitter
from embertrace.event import METRIC
from embertrace.recording import check
from embertrace.wire.event import RawEvent, pack_event
from support.aggregators import aggregator, recorded
from support.filesystems import mounted, resize
from support.ports import free_endpoint

TESTS = pathlib.Path(__file__).parents[1]


def event(name: str) -> bytes:
    return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, name, "t", "s", None, 0, 0, (), b"", b"\x80"))


def test_a_full_disk_stops_the_acknowledgements_until_there_is_space(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    with mounted(1024 * 1024) as disk, aggregator(disk / "rec", log=log) as (ready, process):
        emitter = Emitter(ready["endpoint"], spool_bytes=64 * 1024 * 1024, linger_s=30.0)
        for number in range(3000):
            emitter.put(event(f"{number:<1000}"))
        while b"no space" not in log.read_bytes():
            assert process.poll() is None
        emitter.flush(0.5)  # what was acknowledged before may be on its way
        held = emitter.stats().acknowledged
        assert not emitter.flush(2.5)  # longer than it waits before it tries again
        assert emitter.stats().acknowledged == held < 1100
        with Client(ready["endpoint"]) as client:  # it is up: a newcomer finds it, and has its questions answered
            while (events := client.call("info")["events"]) < held:
                pass
            assert events == held
        resize(disk, 8 * 1024 * 1024)
        assert emitter.close(60)
        assert emitter.stats().acknowledged == 3000
        process.stdin.close()
        assert process.wait(30) == 0
        (stream,) = recorded(disk / "rec").values()
        assert stream == [(number + 1, f"{number:<1000}") for number in range(3000)]
        assert check(disk / "rec").ok
    said = log.read_text().splitlines()
    assert sum("there is no space to write" in line for line in said) == 1
    assert sum("there is space again" in line for line in said) == 1


def test_an_aggregator_that_is_stopped_on_a_full_disk_says_so(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    with mounted(1024 * 1024) as disk:
        with aggregator(disk / "rec", log=log) as (ready, process):
            emitter = Emitter(ready["endpoint"], spool_bytes=64 * 1024 * 1024, linger_s=0.1)
            for number in range(2000):
                emitter.put(event(f"{number:<1000}"))
            while b"no space" not in log.read_bytes():
                assert process.poll() is None
            process.terminate()
            assert process.wait(30) == 2
            emitter.flush(0.1)
            acknowledged = emitter.stats().acknowledged
            emitter.close(0.1)
        assert check(disk / "rec").ok
        (stream,) = recorded(disk / "rec").values()
        assert [seq for seq, _ in stream] == list(range(1, len(stream) + 1))
        assert acknowledged <= len(stream) < 2000
    assert "Traceback" not in log.read_text()


def test_a_failed_sync_ends_the_aggregator_and_the_next_one_has_everything(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "support.faulty_aggregator", str(tmp_path / "rec"), free_endpoint()]
    with subprocess.Popen(
        [*command, str(64 * 1024 * 1024), "sync_data:3:EIO"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TESTS,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        ready = json.loads(process.stdout.readline())
        emitter = Emitter(ready["endpoint"], spool_bytes=1024 * 1024, linger_s=30.0)
        sent = 0
        while process.poll() is None:
            sent += 1
            emitter.put(event(str(sent)))
            emitter.flush(0.05)
        assert process.returncode == 2
        said = process.stderr.read()
        assert "failed (Input/output error): nothing more is recorded; see to the disk" in said
        assert "Traceback" not in said
    acknowledged = emitter.stats().acknowledged
    assert acknowledged < sent
    with aggregator(tmp_path / "rec", bind=ready["endpoint"]):
        emitter.put(event(str(sent + 1)))
        assert emitter.close(60)
    (stream,) = recorded(tmp_path / "rec").values()
    assert stream == [(seq, str(seq)) for seq in range(1, sent + 2)]
    assert check(tmp_path / "rec").ok
