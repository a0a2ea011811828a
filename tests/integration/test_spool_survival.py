"""Every event whose emit returned survives the death of its process: killed workers, and oracles of what they emitted.

An oracle has a line for each emit that returned; the recording must have all of them, once, in order. It may have a
little more: an event that was written while its process died before it could say so.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from embertrace import emit
from embertrace.client import Client
from embertrace.emit import Emitter, drain, spool_directory
from embertrace.emit.spool_directory import Meta
from embertrace.event import METRIC
from embertrace.wire.event import RawEvent, pack_event
from support.aggregators import aggregator, recorded
from support.ports import free_endpoint
from support.spools import FOREVER, emitting, extent_of, kill, returned

DEADLINE_S = 60.0


def event(name: object) -> bytes:
    return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, str(name), "t", "s", None, 0, 0, (), b"", b""))


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def nobody_left(spools: pathlib.Path, *living: Emitter) -> bool:
    """Whether the only streams left are those of the living."""
    return {path.name for path in spool_directory.streams(spools)} <= {emitter.producer.hex() for emitter in living}


def living_emitter(endpoint: str, spools: pathlib.Path) -> Emitter:
    """An emitter of this process that has emitted once."""
    emitter = Emitter(endpoint, spool_bytes=4 * 1024 * 1024, linger_s=5.0, directory=spools, node_bytes=1 << 30)
    emitter.put(event("alive"))
    return emitter


def check_recorded(directory: pathlib.Path, *oracles: list[str], at_most_more: int = 1) -> None:
    """Each oracle is the beginning of one recorded stream, without a gap; each seq is there once."""
    streams = list(recorded(directory).values())
    for oracle in oracles:
        assert oracle
        (stream,) = [found for found in streams if found and found[0][1] == oracle[0]]
        assert [seq for seq, _ in stream] == list(range(1, len(stream) + 1))
        names = [name for _, name in stream]
        assert names[: len(oracle)] == oracle
        assert len(names) <= len(oracle) + at_most_more


def test_a_killed_worker_is_adopted_by_another_process(tmp_path: pathlib.Path) -> None:
    spools, oracle = tmp_path / "spools", tmp_path / "oracle"
    with aggregator(tmp_path / "rec") as (ready, _):
        living = living_emitter(ready["endpoint"], spools)
        with emitting(FOREVER, ready["endpoint"], oracle, spools) as worker:
            kill(worker)
        until(lambda: nobody_left(spools, living), "adoption")
        assert living.close(10)
    check_recorded(tmp_path / "rec", returned(oracle))
    assert spool_directory.streams(spools) == []


def test_workers_killed_while_nobody_listened_are_adopted_when_somebody_does(tmp_path: pathlib.Path) -> None:
    spools, endpoint = tmp_path / "spools", free_endpoint()
    oracles = [tmp_path / f"oracle-{number}" for number in range(3)]
    for oracle in oracles:
        with emitting(FOREVER, endpoint, oracle, spools) as worker:
            kill(worker)
    assert len(spool_directory.streams(spools)) == 3
    with aggregator(tmp_path / "rec", bind=endpoint):
        living = living_emitter(endpoint, spools)
        until(lambda: nobody_left(spools, living), "adoption")
        assert living.close(10)
    check_recorded(tmp_path / "rec", *map(returned, oracles))


def test_both_dead_then_drained(tmp_path: pathlib.Path) -> None:
    spools, oracle, endpoint = tmp_path / "spools", tmp_path / "oracle", free_endpoint()
    with (
        aggregator(tmp_path / "rec", bind=endpoint) as (_, server),
        emitting(FOREVER, endpoint, oracle, spools) as worker,
    ):
        server.send_signal(signal.SIGKILL)
        server.wait(30)
        kill(worker)
    with aggregator(tmp_path / "rec") as (ready, _):  # the killed one's ports may not be free yet
        done = drain(spools, to=ready["endpoint"])
    assert [stream.left for stream in done.streams] == [None]
    assert done.left == 0
    check_recorded(tmp_path / "rec", returned(oracle))
    assert list(spools.iterdir()) == []


def test_what_a_session_left_under_its_own_key_is_drained_to_another_aggregator_of_its_recording(
    tmp_path: pathlib.Path,
) -> None:
    with aggregator(tmp_path / "rec") as (ready, _), Client(ready["endpoint"]) as client:
        recording = client.locate().recording
    meta = Meta("tcp://127.0.0.1:1", key="embedded-0123", recording=recording)
    left = spool_directory.create(tmp_path / "spools", b"p" * 16, meta)
    (left.path / "00000000.ext").write_bytes(extent_of(b"p" * 16, 1, [event("kept")]))
    left.release()
    (stream,) = drain(tmp_path / "spools").streams
    assert "key 'embedded-0123'" in (stream.left or "")
    with aggregator(tmp_path / "other") as (ready, _):
        (stream,) = drain(tmp_path / "spools", to=ready["endpoint"]).streams
        assert "refused" in (stream.left or ""), "it is another recording"
    with aggregator(tmp_path / "rec") as (ready, _):
        assert drain(tmp_path / "spools", to=ready["endpoint"]).left == 0
    assert recorded(tmp_path / "rec") == {b"p" * 16: [(1, "kept")]}


def test_os_exit_loses_nothing(tmp_path: pathlib.Path) -> None:
    spools, oracle = tmp_path / "spools", tmp_path / "oracle"
    program = "for number in range(3000): put(number)\nready()\nos._exit(0)"
    with aggregator(tmp_path / "rec") as (ready, _):
        with emitting(program, ready["endpoint"], oracle, spools) as worker:
            worker.wait(30)
        drain(spools)
    check_recorded(tmp_path / "rec", returned(oracle), at_most_more=0)
    assert len(returned(oracle)) == 3000


def test_without_a_spool_the_same_death_loses_events(tmp_path: pathlib.Path) -> None:
    """The control: a harness that can't see loss proves nothing."""
    spools, oracle, endpoint = tmp_path / "spools", tmp_path / "oracle", free_endpoint()
    with emitting(FOREVER, endpoint, oracle, spools, EMBERTRACE_DELIVERY="memory") as worker:
        kill(worker)
    with aggregator(tmp_path / "rec", bind=endpoint):
        assert drain(spools).streams == ()
    assert returned(oracle)
    with pytest.raises(ValueError, match="unpack"):
        check_recorded(tmp_path / "rec", returned(oracle))


def test_a_torn_last_record_is_left_out(tmp_path: pathlib.Path) -> None:
    spools, oracle, endpoint = tmp_path / "spools", tmp_path / "oracle", free_endpoint()
    program = "for number in range(100): put(number)\nready()\ntime.sleep(600)"
    with emitting(program, endpoint, oracle, spools) as worker:
        kill(worker)
    (stream,) = spool_directory.streams(spools)
    (extent,) = [path for path in stream.iterdir() if path.suffix == ".ext" and path.read_bytes().strip(b"\0")]
    data = bytearray(extent.read_bytes())
    data[len(bytes(data).rstrip(b"\0")) - 1] ^= 1
    extent.write_bytes(data)
    with aggregator(tmp_path / "rec", bind=endpoint):
        (drained,) = drain(spools).streams
    assert drained.events == 99
    (recording,) = recorded(tmp_path / "rec").values()
    assert recording == [(number + 1, str(number)) for number in range(99)]


def test_a_forked_child_that_lives_on_does_not_keep_its_parents_stream(tmp_path: pathlib.Path) -> None:
    spools, oracle = tmp_path / "spools", tmp_path / "oracle"
    program = """
put("parent")
child = os.fork()
if child == 0:
    emitter.put(event("child"))
    (Path(sys.argv[2]).parent / "child").write_text(str(os.getpid()))
    time.sleep(600)
while not (Path(sys.argv[2]).parent / "child").exists():
    time.sleep(0.01)
put("parent again")
ready()
time.sleep(600)
"""
    endpoint = free_endpoint()
    with emitting(program, endpoint, oracle, spools) as worker:
        child = int((tmp_path / "child").read_text())
        kill(worker)
    try:
        with aggregator(tmp_path / "rec", bind=endpoint):
            until(lambda: drain(spools).left == 1, "the parent's stream is delivered, by the child or here")
            os.kill(child, signal.SIGKILL)
            until(lambda: drain(spools).left == 0, "the child's lock is free")
    finally:
        if pathlib.Path(f"/proc/{child}").exists():
            os.kill(child, signal.SIGKILL)
    streams = sorted([name for _, name in stream] for stream in recorded(tmp_path / "rec").values())
    assert streams == [["child"], ["parent", "parent again"]]


def test_finalisers_that_emit_neither_deadlock_nor_lose(tmp_path: pathlib.Path) -> None:
    spools, oracle, endpoint = tmp_path / "spools", tmp_path / "oracle", free_endpoint()
    program = """
class Dying:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        emitter.put(event("last words"))
gc.set_threshold(5)
for number in range(2000):
    Dying()
    put(number)
gc.collect()
ready()
time.sleep(600)
"""
    with emitting(program, endpoint, oracle, spools) as worker:
        kill(worker)
    with aggregator(tmp_path / "rec", bind=endpoint):
        assert drain(spools).left == 0
    (stream,) = recorded(tmp_path / "rec").values()
    names = [name for _, name in stream]
    assert [name for name in names if name != "last words"] == returned(oracle)
    assert names.count("last words") == 2000


def test_drops_of_a_dead_process_are_gaps(tmp_path: pathlib.Path) -> None:
    spools, oracle, endpoint = tmp_path / "spools", tmp_path / "oracle", free_endpoint()
    program = 'for number in range(3000): put(f"{number:<1000}")\nready()\ntime.sleep(600)'
    with emitting(program, endpoint, oracle, spools, EMBERTRACE_SPOOL_BYTES=str(1024 * 1024)) as worker:
        kill(worker)
    with aggregator(tmp_path / "rec", bind=endpoint):
        (drained,) = drain(spools).streams
    (stream,) = recorded(tmp_path / "rec").values()
    assert [seq for seq, _ in stream] == list(range(1, 3001))
    kept = [name for _, name in stream if name != "gap"]
    assert kept == [f"{number:<1000}" for number in range(len(kept))]
    assert len(kept) == drained.events > 900


def test_two_sessions_in_turn_stay_apart(tmp_path: pathlib.Path) -> None:
    """Orphans of one recording while only the other is up: not crossed, and delivered when theirs is back."""
    spools, oracle, endpoint = tmp_path / "spools", tmp_path / "oracle", free_endpoint()
    program = 'put("first")\nassert emitter.flush(30)\nfor number in range(100): put(number)\nready()\ntime.sleep(600)'
    with (
        aggregator(tmp_path / "one", bind=endpoint) as (_, server),
        emitting(program, endpoint, oracle, spools) as worker,
    ):
        server.send_signal(signal.SIGKILL)
        server.wait(30)
        kill(worker)
    with aggregator(tmp_path / "two") as (ready, _):
        living = living_emitter(ready["endpoint"], spools)
        assert living.close(10)
        (stream,) = drain(spools, to=ready["endpoint"]).streams
        assert stream.left is not None
        assert "refused" in stream.left
    assert all(names == [(1, "alive")] for names in recorded(tmp_path / "two").values())
    with aggregator(tmp_path / "one") as (ready, _):  # at another port
        living = living_emitter(ready["endpoint"], spools)
        until(lambda: nobody_left(spools, living), "adoption by recording")
        assert living.close(10)
    check_recorded(tmp_path / "one", returned(oracle), at_most_more=0)


def test_what_is_not_delivered_at_exit_stays_and_is_said(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    emitter = living_emitter(free_endpoint(), tmp_path)
    assert not emitter.close(0.1)
    (stream,) = spool_directory.streams(tmp_path)
    assert f"1 events were not delivered to {emitter.endpoint} and stay in {stream}" in caplog.text
    emitter.put(event("too late"))
    assert emitter.stats().dropped == 1


def test_what_was_dropped_does_not_stay(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter(free_endpoint(), directory=tmp_path, spool_bytes=1024 * 1024, linger_s=0.1)
    packed = event("x" * 1000)
    for _ in range(3000):
        emitter.put(packed)
    assert not emitter.close()
    (stream,) = spool_directory.streams(tmp_path)
    dropped = emitter.stats().dropped
    assert 0 < dropped < 3000
    assert (
        f"{3000 - dropped} events were not delivered to {emitter.endpoint} and stay in {stream} until they can be; "
        f"{dropped} more were dropped"
    ) in caplog.text


def test_the_command_drains(tmp_path: pathlib.Path) -> None:
    spools, oracle, endpoint = tmp_path / "spools", tmp_path / "oracle", free_endpoint()
    program = "for number in range(10): put(number)\nready()\ntime.sleep(600)"

    def command(*arguments: object) -> tuple[int, Any]:
        line = [sys.executable, "-c", "from embertrace.cli import main; main()", "drain", *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout

    with emitting(program, endpoint, oracle, spools) as worker:
        code, said = command(spools)
        assert code == 1
        assert "its process lives" in said
        kill(worker)
    with aggregator(tmp_path / "rec", bind=endpoint):
        code, said = command(spools, "--json")
    assert code == 0
    (stream,) = json.loads(said)["streams"]
    assert (stream["events"], stream["left"], stream["endpoint"]) == (10, None, endpoint)
    assert command(spools)[1].strip() == f"{spools}: 0 streams (0 events) delivered, 0 left"
    check_recorded(tmp_path / "rec", returned(oracle), at_most_more=0)


def test_a_clean_end_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = living_emitter(ready["endpoint"], tmp_path / "spools")
        assert emitter.close(10)
        assert list((tmp_path / "spools").iterdir()) == []
        assert emit.drain(tmp_path / "spools").streams == ()
