"""Places where spools are to lie and can't, or are not left alone: operators live, and it is said once."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pathlib
import shutil
import signal
import tempfile
import time
from typing import Any

import pytest

from embertrace.emit import adopter, drain, spool_directory
from embertrace.emit.extent import HEADER_BYTES
from embertrace.emit.files import load
from embertrace.emit.spool_directory import Meta
from support.aggregators import aggregator, recorded
from support.mounts import remount, tmpfs
from support.ports import free_endpoint
from support.spools import (
    DEADLINE_S,
    FOREVER,
    MIB,
    emitter_in,
    emitting,
    event,
    kill,
    left_behind,
    returned,
    until,
)

NOBODY = 65534


def delivers(directory: pathlib.Path, tmp_path: pathlib.Path, events: int = 2000) -> None:
    """Whether an emitter with a spool there delivers everything, once."""
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emitter_in(directory, ready["endpoint"])
        for number in range(events):
            emitter.put(event(number))
        assert emitter.close(20)
        assert emitter.stats().dropped == 0
    (stream,) = recorded(tmp_path / "rec").values()
    assert stream == [(number + 1, str(number)) for number in range(events)]


def said(caplog: pytest.LogCaptureFixture) -> str:
    """The one sentence that was said."""
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return record.getMessage()


def test_a_read_only_file_system(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    with tmpfs(tmp_path / "mounted", "size=1m,ro") as place:
        delivers(place / "spools", tmp_path)
    assert "held in memory, and die with this process: [Errno 30] Read-only file system" in said(caplog)


def test_a_component_of_the_path_is_a_file(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a directory")
    delivers(tmp_path / "file" / "spools", tmp_path)
    assert "held in memory, and die with this process: [Errno 20] Not a directory" in said(caplog)


def _as_nobody(directory: pathlib.Path, report: Any) -> None:
    """In a forked child: what an emitter of a user without rights says and does."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("embertrace").addHandler(handler)
    emitter = emitter_in(directory, "tcp://127.0.0.1:1")
    for number in range(100):
        emitter.put(event(number))
    emitter.close(0.05)
    report.send((found, emitter.stats().dropped))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_directory_of_another_user(mode: int) -> None:
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as name:  # a test's own directory lies where others may not even look
        mine = pathlib.Path(name)
        mine.chmod(mode)
        child = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(mine, there))
        child.start()
        assert here.poll(DEADLINE_S)
        (memory, lost), dropped = here.recv()
        child.join(DEADLINE_S)
        assert list(mine.iterdir()) == []
    assert "held in memory, and die with this process: [Errno 13] Permission denied" in memory
    assert "100 events were not delivered" in lost
    assert dropped == 0


def test_what_is_made_is_for_this_user_alone(tmp_path: pathlib.Path) -> None:
    umask = os.umask(0)
    try:
        emitter = emitter_in(tmp_path / "a" / "spools", "tcp://127.0.0.1:1")
        emitter.put(event("x"))
        assert not emitter.close(0)
    finally:
        os.umask(umask)
    (stream,) = spool_directory.streams(tmp_path / "a" / "spools")
    assert {path.stat().st_mode & 0o777 for path in (stream, stream.parent)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in stream.iterdir()} == {0o600}


def test_a_full_disk_drops_and_counts_and_goes_on(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = free_endpoint()
    with tmpfs(tmp_path / "mounted", "size=1m") as place:
        emitter = emitter_in(place, endpoint, 4 * 256 * 1024)  # four extents, of which three fit
        for number in range(2000):
            emitter.put(event(f"{number:<1000}"))
        dropped = emitter.stats().dropped
        assert 0 < dropped < 2000
        assert "No space left on device" in said(caplog)
        remount(place, "size=8m")
        after = []

        def is_taken() -> bool:
            before = emitter.stats().dropped
            emitter.put(event("space again"))
            after.append(1)
            return emitter.stats().dropped == before

        until(is_taken, "it goes on")
        with aggregator(tmp_path / "rec", bind=endpoint):
            assert emitter.close(30)
        dropped = emitter.stats().dropped
    (stream,) = recorded(tmp_path / "rec").values()
    assert [seq for seq, _ in stream] == list(range(1, 2000 + len(after) + 1))
    names = [name for _, name in stream]
    assert names.count("gap") == dropped
    assert names[-1] == "space again"
    kept = [name for name in names if name not in ("gap", "space again")]
    assert kept == [f"{number:<1000}" for number in range(len(kept))]


def test_a_disk_without_space_for_the_first_extent(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    with tmpfs(tmp_path / "mounted", "size=1m") as place:
        (place / "filling").write_bytes(bytes(600_000))
        delivers(place / "spools", tmp_path)
        assert list((place / "spools").iterdir()) == []
    assert "held in memory, and die with this process: [Errno 28] No space left" in said(caplog)


def test_a_disk_that_fills_up_does_not_hide_the_recording(tmp_path: pathlib.Path) -> None:
    """Without it the stream could go to another recording at the same endpoint."""
    with tmpfs(tmp_path / "mounted", "size=1m") as place:
        claim = spool_directory.create(place, b"p" * 16, Meta("tcp://127.0.0.1:1"))
        filling = os.open(place / "filling", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space"):
            while True:
                os.write(filling, bytes(4096))
        os.close(filling)
        claim.describe(Meta("tcp://127.0.0.1:1", recording="known now"))
        claim.acknowledge(7)
        found = Meta.read(claim.path)
        assert found is not None and found.recording == "known now"
        assert claim.acknowledged() == 7
        claim.release()


def test_a_directory_deleted_under_an_emitter(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    endpoint, spools = free_endpoint(), tmp_path / "spools"
    emitter = emitter_in(spools, endpoint)
    emitter.put(event("before"))
    shutil.rmtree(spools)
    for number in range(3000):
        emitter.put(event(f"{number:<1000}"))
    assert emitter.stats().dropped == 0
    (stream,) = spool_directory.streams(spools)
    assert f"somebody deleted {stream}" in said(caplog)
    assert spool_directory.claim(stream) is None, "it is locked again"
    with aggregator(tmp_path / "rec", bind=endpoint):
        assert emitter.close(30)
    (recording,) = recorded(tmp_path / "rec").values()
    assert recording == list(enumerate(["before", *(f"{number:<1000}" for number in range(3000))], 1))
    assert list(spools.iterdir()) == []


def test_foreign_things_in_the_directory_are_left_alone(tmp_path: pathlib.Path) -> None:
    """Links lead elsewhere, and opening a pipe may wait for ever: neither is followed, opened or counted."""
    spools, elsewhere, endpoint = tmp_path / "spools", tmp_path / "elsewhere", free_endpoint()
    target = left_behind(elsewhere, endpoint, b"e" * 16)
    (target / "precious").write_text("mine")
    left_behind(spools, endpoint, b"p" * 16)
    (spools / ("a" * 32)).symlink_to(target)
    (spools / ("." + "b" * 32)).symlink_to(target)
    (spools / ("c" * 32)).write_text("a file")
    (spools / "notes.txt").write_text("hello")
    stranger = spools / ("d" * 32)
    stranger.mkdir()
    os.mkfifo(stranger / "lock")
    piped = left_behind(spools, endpoint, b"f" * 16)
    (piped / "meta.json").unlink()
    os.mkfifo(piped / "meta.json")
    assert spool_directory.held_bytes(spools) == 2 * MIB
    spool_directory.sweep(spools, time.time() + 10 * 3600)
    with aggregator(tmp_path / "rec", bind=endpoint):
        living = emitter_in(spools, endpoint)
        living.put(event("living"))
        assert living.close(20)
    assert sorted(len(stream) for stream in recorded(tmp_path / "rec").values()) == [1, 10]
    assert (target / "precious").read_text() == "mine"
    assert len(list(target.glob("*.ext"))) == 1
    assert {path.name for path in spools.iterdir()} == {
        "a" * 32, "." + "b" * 32, "c" * 32, "notes.txt", stranger.name, piped.name,
    }  # fmt: skip


def test_foreign_things_in_a_stream_hold_nobody_up(tmp_path: pathlib.Path) -> None:
    spools, endpoint = tmp_path / "spools", free_endpoint()
    stream = left_behind(spools, endpoint, b"p" * 16)
    secret = tmp_path / "secret.ext"
    secret.write_bytes(b"x" * 100)
    (stream / "aaa.ext").symlink_to(secret)
    os.mkfifo(stream / "bbb.ext")
    (stream / "ccc.ext").mkdir()
    (stream / "ddd.ext").write_bytes(os.urandom(HEADER_BYTES * 3))
    (stream / "eee.ext").write_bytes(b"")
    os.truncate(stream / "eee.ext", 1 << 33)
    (stream / "orphaned").symlink_to(tmp_path / "made by following")
    with aggregator(tmp_path / "rec", bind=endpoint):
        (drained,) = drain(spools).streams
    assert (drained.left, drained.events) == (None, 10)
    (recording,) = recorded(tmp_path / "rec").values()
    assert recording == [(number + 1, str(number)) for number in range(10)]
    assert secret.exists()
    assert not (tmp_path / "made by following").exists()
    assert spool_directory.streams(spools) == []


def _claim_all(directory: pathlib.Path, start: Any, report: Any) -> None:
    start.wait()
    claims = [claim for path in spool_directory.streams(directory) if (claim := spool_directory.claim(path))]
    report.send([claim.path.name for claim in claims])
    signal.pause()  # a claim lasts as long as its process


def test_of_several_processes_one_gets_a_stream(tmp_path: pathlib.Path) -> None:
    names = set()
    for number in range(50):
        names.add(spool_directory.create(tmp_path, number.to_bytes(16), Meta("tcp://127.0.0.1:1")))
    for claim in names:
        claim.release()
    fork = multiprocessing.get_context("fork")
    start, (here, there) = fork.Barrier(4), fork.Pipe()
    children = [fork.Process(target=_claim_all, args=(tmp_path, start, there)) for _ in range(4)]
    for child in children:
        child.start()
    won = []
    try:
        for _ in children:
            assert here.poll(DEADLINE_S)
            won += here.recv()
    finally:
        for child in children:
            child.kill()
            child.join()
    assert sorted(won) == sorted(claim.path.name for claim in names)


def test_several_adopters_deliver_nothing_twice(tmp_path: pathlib.Path) -> None:
    spools, endpoint = tmp_path / "spools", free_endpoint()
    oracles = [tmp_path / f"oracle-{number}" for number in range(3)]
    for oracle in oracles:
        with emitting(FOREVER, endpoint, oracle, spools) as worker:
            kill(worker)
    with aggregator(tmp_path / "rec", bind=endpoint):
        adopters = [emitter_in(spools, endpoint) for _ in range(4)]
        for emitter in adopters:
            emitter.put(event("adopter"))
        assert all(emitter.close(30) for emitter in adopters)
    streams = list(recorded(tmp_path / "rec").values())
    for stream in streams:
        assert [seq for seq, _ in stream] == list(range(1, len(stream) + 1))
    assert sorted(len(stream) for stream in streams)[:4] == [1] * 4
    assert len(streams) == 7
    for oracle in oracles:
        names = returned(oracle)
        assert any([name for _, name in stream][: len(names)] == names for stream in streams)


def test_a_clock_that_is_set_back_neither_deletes_nor_keeps_for_ever(tmp_path: pathlib.Path) -> None:
    path = left_behind(tmp_path, "tcp://127.0.0.1:1", b"p" * 16)
    year = 365 * 24 * 3600.0

    def expires(now: float) -> bool:
        claim = spool_directory.claim(path)
        assert claim is not None
        gone = adopter.expire(claim, Meta.read(path), now)
        claim.release()
        return gone

    now = 2_000_000_000.0
    assert not expires(now + year), "the clock is a year ahead"
    assert not expires(now), "and was set right: the week begins anew"
    assert not expires(now + adopter.KEEP_S - 1)
    assert expires(now + adopter.KEEP_S)


def test_what_was_acknowledged_is_deleted_by_whoever_finds_it(tmp_path: pathlib.Path) -> None:
    """A worker of an ended session is killed: its recording will never be there again, and nothing is owed to it."""
    spools = tmp_path / "spools"
    settled = "for number in range(100): put(number)\nassert emitter.flush(30)\nready()\ntime.sleep(600)"
    owing = "ready()\nfor number in range(10**9): put(number); time.sleep(0.01)"
    oracle = tmp_path / "owing"
    with contextlib.ExitStack() as workers:
        with aggregator(tmp_path / "one") as (ready, _):
            workers.enter_context(emitting(settled, ready["endpoint"], tmp_path / "settled", spools))
            workers.enter_context(emitting(owing, ready["endpoint"], oracle, spools))
        acknowledged = len(returned(oracle))
        until(lambda: len(returned(oracle)) > acknowledged + 3, "something is owed")
    with aggregator(tmp_path / "two") as (ready, _):
        living = emitter_in(spools, ready["endpoint"])
        living.put(event("living"))
        until(lambda: len(spool_directory.streams(spools)) == 2, "one of the dead ones is gone")
        assert living.close(20)
    (stream,) = spool_directory.streams(spools)
    (extent,) = stream.glob("*.ext")
    found = load(extent, bytes.fromhex(stream.name))
    assert found is not None
    assert found.events_end - 1 >= len(returned(oracle)), "it is the one that is owed something"
