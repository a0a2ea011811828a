"""Looking at a spool directory: what it says of streams, and that it leaves them as they are."""

from __future__ import annotations

import math
import os
import pathlib

import pytest

from embertrace.emit import spool_directory
from embertrace.emit.files import Files
from embertrace.emit.spool import Spool
from embertrace.emit.spool_directory import ORPHANED, Meta
from embertrace.emit.survey import rehearse, survey

META = Meta("tcp://127.0.0.1:5557", key="team", recording="rec")


def left_by_the_dead(directory: pathlib.Path, events: int, producer: bytes = b"d" * 16) -> pathlib.Path:
    """A stream of so many events whose owner let go of it."""
    files = Files(directory, producer, META, 4 << 20, 1 << 30)
    spool = Spool(files, producer)
    for number in range(events):
        spool.append(b"event %d" % number)
    kept = files.close(delivered=False)
    assert kept is not None
    return kept


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_a_dead_process_stream_is_counted_and_left_as_it_is(tmp_path: pathlib.Path) -> None:
    path = left_by_the_dead(tmp_path, 17)
    before = contents(tmp_path)
    (stream,) = survey(tmp_path, math.inf)
    assert (stream.producer, stream.owner, stream.events, stream.meta) == (path.name, "dead", 17, META)
    assert stream.bytes == 1 << 20
    assert stream.orphaned is None
    assert contents(tmp_path) == before
    again = spool_directory.claim(path)
    assert again is not None, "its lock was let go of"
    again.release()


def test_since_when_nobody_could_deliver_it_is_told(tmp_path: pathlib.Path) -> None:
    marker = left_by_the_dead(tmp_path, 1) / ORPHANED
    marker.touch()
    os.utime(marker, (1000, 1000))
    assert [stream.orphaned for stream in survey(tmp_path, math.inf)] == [1000.0]


def test_without_time_nothing_is_counted(tmp_path: pathlib.Path) -> None:
    left_by_the_dead(tmp_path, 3)
    assert [stream.events for stream in survey(tmp_path, -math.inf)] == [None]


def test_a_living_process_holds_its_stream(tmp_path: pathlib.Path) -> None:
    owner = spool_directory.create(tmp_path, b"a" * 16, META)
    assert [(stream.owner, stream.events) for stream in survey(tmp_path, math.inf)] == [("alive", None)]
    owner.delete()


def test_what_can_not_be_read_is_said_to_be_unknown(tmp_path: pathlib.Path) -> None:
    (tmp_path / ("e" * 32)).mkdir()
    (stream,) = survey(tmp_path, math.inf)
    assert (stream.owner, stream.meta, stream.bytes) == ("unknown", None, 0)


def test_no_directory_has_no_streams(tmp_path: pathlib.Path) -> None:
    assert survey(tmp_path / "nowhere", math.inf) == []


def test_a_rehearsal_leaves_nothing(tmp_path: pathlib.Path) -> None:
    rehearse(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_says_what_the_system_refuses(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="nowhere"):
        rehearse(tmp_path / "nowhere")

    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="not supported"):
        rehearse(tmp_path)
    assert list(tmp_path.iterdir()) == []
