"""Spools in files: allocated whole, bounded per process and per node, and in memory where files don't work."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from embertrace.emit import adopter, files, spool_directory
from embertrace.emit.extent import HEAD_BYTES, HEADER_BYTES
from embertrace.emit.files import Files, in_order, load
from embertrace.emit.spool import Batch, Hole, Spool
from embertrace.emit.spool_directory import Meta, claim, create, held_bytes, streams, sweep
from embertrace.emit.storage import EXTENT_BYTES, Nowhere

PRODUCER = bytes(range(16))
META = Meta("tcp://127.0.0.1:5557")
MIB = 1024 * 1024


def files_in(
    directory: pathlib.Path, capacity: int = 8 * MIB, node: int = 1 << 30, producer: bytes = PRODUCER
) -> Files:
    return Files(directory, producer, META, capacity, node)


def left_by(directory: pathlib.Path, producer: bytes = PRODUCER) -> Spool:
    """What somebody else finds of a spool whose process has died."""
    paths = [path for path in (directory / producer.hex()).iterdir() if path.suffix == ".ext"]
    return Spool(Nowhere(), producer, in_order(extent for path in paths if (extent := load(path, producer))))


def everything(spool: Spool) -> tuple[list[bytes], list[Hole]]:
    """All events (of 100 bytes each) and holes."""
    events, holes, at = [], [], spool.oldest
    while (found := spool.cut(at, 10_000, 1000)) is not None:
        assert found.first_seq == at
        at += found.events
        if isinstance(found, Batch):
            events += [found.payload[place : place + 100] for place in range(0, len(found.payload), 100)]
        else:
            holes.append(found)
    assert at == spool.next
    return events, holes


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%0100d" % number for number in range(start, start + count)]


def test_what_is_put_is_in_the_files_at_once(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path), PRODUCER)
    events = numbered(30_000)  # several extents
    for event in events:
        assert spool.take(event)
    assert everything(left_by(tmp_path)) == (events, [])
    assert everything(spool) == (events, [])


def test_extents_are_allocated_whole_and_private(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path), PRODUCER)
    spool.append(b"x")
    (path,) = (tmp_path / PRODUCER.hex()).glob("*.ext")
    assert path.stat().st_blocks * 512 >= path.stat().st_size == EXTENT_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_drops_of_a_dead_process_are_known_exactly(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path, MIB), PRODUCER)
    kept = 0
    for event in numbered(12_000):
        kept += spool.take(event) or bool(spool.drop())
    found = left_by(tmp_path)
    assert everything(found) == (numbered(kept), [Hole(kept + 1, 12_000 - kept)])
    assert spool.dropped == 12_000 - kept > 0


def test_a_spool_goes_on_after_it_was_full(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path, MIB), PRODUCER)
    while spool.take(b"%0100d" % spool.next):
        pass
    full = spool.next - 1
    spool.drop()
    spool.trim(full // 2)
    assert spool.take(b"%0100d" % 7)
    events, holes = everything(spool)
    assert holes == [Hole(full + 1, 1)]
    assert events[-1] == b"%0100d" % 7
    spool.trim(spool.next - 1)
    assert len(list((tmp_path / PRODUCER.hex()).glob("*.ext"))) == 1, "the last extent stays: it knows the seqs"
    assert everything(left_by(tmp_path))[0] == [b"%0100d" % 7]


def test_a_lost_extent_is_a_hole(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path), PRODUCER)
    for event in numbered(30_000):
        spool.append(event)
    damaged = sorted((tmp_path / PRODUCER.hex()).glob("*.ext"))[1]
    damaged.write_bytes(b"\x89" + os.urandom(1000))
    events, (hole,) = everything(left_by(tmp_path))
    assert len(events) + hole.events == 30_000
    before = hole.first_seq - 1
    assert events == numbered(before) + numbered(len(events) - before, before + hole.events)


def test_who_writes_into_the_file_of_a_living_process_makes_no_events(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path), PRODUCER)
    spool.append(b"whole")
    spool.append(b"damaged")
    (path,) = (tmp_path / PRODUCER.hex()).glob("*.ext")
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + HEAD_BYTES + len(b"whole"))
        file.write(b"\xff\xff\xff\x7f")
    assert spool.cut(1, 10_000, 10) == Batch(1, 1, b"whole")
    assert spool.cut(2, 10_000, 10) is None


def test_events_that_can_never_fit_are_dropped(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path), PRODUCER)
    for packed in (b"", b"x" * EXTENT_BYTES):
        assert not spool.fits(packed)
        assert not spool.take(packed)
        spool.drop()
    assert spool.take(b"%0100d" % 1)
    assert everything(spool) == ([b"%0100d" % 1], [Hole(1, 2)])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_drops_and_says_so_once_and_goes_on_when_there_is_space(
    code: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = files_in(tmp_path)
    spool = Spool(storage, PRODUCER)
    spool.append(b"first")
    clock = [100.0]
    monkeypatch.setattr(files.time, "monotonic", lambda: clock[0])
    attempts = []

    def refuse(descriptor: int, offset: int, length: int) -> None:
        attempts.append(length)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        for _ in range(20_000):
            spool.append(b"%0100d" % 1)
        assert spool.dropped > 0
        assert len(attempts) == 1
        clock[0] += files.RETRY_S
        spool.append(b"again")
        assert len(attempts) == 2
    assert len(list((tmp_path / PRODUCER.hex()).glob("*.ext"))) == 1
    assert [record.getMessage().count("can't grow") for record in caplog.records] == [1]
    clock[0] += files.RETRY_S
    assert storage.has_room
    assert spool.take(b"space again")


def no_fallocate(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path) -> None:
    monkeypatch.delattr(os, "posix_fallocate")


def no_locks(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(spool_directory.fcntl, "flock", refuse)


def locks_that_hold_nobody_off(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path) -> None:
    monkeypatch.setattr(spool_directory.fcntl, "flock", lambda descriptor, how: None)


def a_file_in_the_way(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path) -> None:
    directory.write_text("in the way")


def a_full_node(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path) -> None:
    monkeypatch.setattr(files.spool_directory, "held_bytes", lambda directory: 1 << 40)


@pytest.mark.parametrize(
    "trouble", [no_fallocate, no_locks, locks_that_hold_nobody_off, a_file_in_the_way, a_full_node]
)
def test_where_files_do_not_work_events_are_held_in_memory(
    trouble, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # type: ignore[no-untyped-def]
    directory = tmp_path / "spools"
    trouble(monkeypatch, directory)
    storage = files_in(directory)
    spool = Spool(storage, PRODUCER)
    for event in numbered(20_000):
        assert spool.take(event)
    assert everything(spool) == (numbered(20_000), [])
    assert [("held in memory" in record.getMessage()) for record in caplog.records] == [True]
    assert storage.close(delivered=False) is None
    assert not directory.is_dir() or list(directory.iterdir()) == []


def test_all_processes_together_are_bounded(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Spool(files_in(tmp_path, 4 * MIB, node=3 * MIB), PRODUCER)
    for event in numbered(50_000):
        first.append(event)
    assert held_bytes(tmp_path) == 3 * MIB
    assert first.dropped
    assert "all streams may hold" in caplog.text
    assert streams(tmp_path) == [tmp_path / PRODUCER.hex()]


def test_a_stream_has_one_owner(tmp_path: pathlib.Path) -> None:
    made = create(tmp_path, PRODUCER, META)
    assert claim(made.path) is None
    assert Meta.read(made.path) == META
    made.release()
    adopted = claim(made.path)
    assert adopted is not None
    assert claim(made.path) is None
    adopted.delete()
    assert list(tmp_path.iterdir()) == []
    assert claim(made.path) is None


def test_a_forked_child_leaves_the_lock_to_its_parent(tmp_path: pathlib.Path) -> None:
    made = create(tmp_path, PRODUCER, META)
    told, tell = os.pipe()
    heard, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(say, b"x")
        os.read(told, 1)  # lives until it is told
        os._exit(0)
    try:
        assert os.read(heard, 1)
        assert claim(made.path) is None, "the child's closing must not unlock"
        made.release()
        adopted = claim(made.path)
        assert adopted is not None, "the child must not hold it"
        adopted.delete()
    finally:
        os.write(tell, b"x")
        os.waitpid(child, 0)
        for end in (told, tell, heard, say):
            os.close(end)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"version": 1}', "[" * 5000, "\x00"])
def test_a_meta_that_can_not_be_read_is_none(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "meta.json").write_text(text)
    assert Meta.read(tmp_path) is None


def test_a_stream_that_nobody_could_deliver_for_a_week_is_deleted_and_counted(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = files_in(tmp_path)
    spool = Spool(storage, PRODUCER)
    for event in numbered(5):
        spool.append(event)
    path = storage.close(delivered=False)
    assert path is not None
    now = 1_000_000.0
    for later, is_gone in ((0.0, False), (adopter.KEEP_S - 1, False), (adopter.KEEP_S, True)):
        owned = claim(path)
        assert owned is not None
        assert adopter.expire(owned, Meta.read(path), now + later) is is_gone
        owned.release()
    assert not path.exists()
    assert "deleted up to 5 events meant for tcp://127.0.0.1:5557" in caplog.text


def test_what_somebody_died_over_is_swept_after_a_while(tmp_path: pathlib.Path) -> None:
    left, young = tmp_path / f".{'a' * 32}", tmp_path / f".{'b' * 32}"
    other = tmp_path / ".keep"
    for path in (left, young, other):
        path.mkdir()
        (path / "meta.json").write_text("{}")
    now = young.stat().st_mtime
    os.utime(left, (now - 7200, now - 7200))
    sweep(tmp_path, now)
    assert sorted(tmp_path.iterdir()) == sorted([young, other])


def test_after_the_end_everything_is_dropped_and_the_files_stay_as_they_were(tmp_path: pathlib.Path) -> None:
    storage = files_in(tmp_path)
    spool = Spool(storage, PRODUCER)
    spool.append(b"%0100d" % 1)
    spool.shut()
    for _ in range(3):
        spool.append(b"late")
    assert (spool.next, spool.dropped) == (5, 3)
    assert storage.close(delivered=False) is not None
    assert everything(left_by(tmp_path)) == ([b"%0100d" % 1], [])


def test_who_sends_allocates_ahead_but_never_first(tmp_path: pathlib.Path) -> None:
    spool = Spool(files_in(tmp_path), PRODUCER)
    spool.prepare()
    assert list(tmp_path.iterdir()) == [], "nobody has emitted: there is no file"
    spool.append(b"x" * 1000)
    spool.prepare()
    assert held_bytes(tmp_path) == EXTENT_BYTES
    for _ in range(300):
        spool.append(b"x" * 1000)
    spool.prepare()
    spool.prepare()
    assert held_bytes(tmp_path) == 2 * EXTENT_BYTES
    for _ in range(1000):
        spool.append(b"x" * 1000)
    assert held_bytes(tmp_path) == 2 * EXTENT_BYTES
