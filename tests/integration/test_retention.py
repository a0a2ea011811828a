"""Retention with a real aggregator: what is too much goes, producers go on, and every answer says so."""

from __future__ import annotations

import pathlib
import time

import pytest

import embertrace as et
from embertrace.client import Client
from embertrace.emit import Emitter
from embertrace.event import METRIC
from embertrace.recording import Recording, RecordingWriter, check
from embertrace.wire.event import RawEvent, pack_event
from support.aggregators import aggregator, recorded, refused
from support.recordings import ONE, append_batch, segments


def event(name: str) -> bytes:
    return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, name, "t", "s", None, 0, 0, (), b"", b"\x80"))


@pytest.fixture
def ten(tmp_path: pathlib.Path) -> pathlib.Path:
    """A recording of ten sealed segments and an active one."""
    with RecordingWriter(tmp_path / "rec", name="n", clock_ns=time.time_ns, segment_bytes=10) as writer:
        for seq in range(1, 11):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
    return tmp_path / "rec"


def test_an_aggregator_keeps_its_recording_within_the_limit(ten: pathlib.Path) -> None:
    size = sum(path.stat().st_size for path in segments(ten)[-4:])
    with aggregator(ten, "--keep-bytes", str(size)) as (ready, _), Client(ready["endpoint"]) as client:
        while client.call("info")["removed_segments"] < 7:
            pass
        emitter = Emitter(ready["endpoint"], spool_bytes=1024 * 1024, linger_s=5.0)
        emitter.put(event("after"))
        assert emitter.close(30)
        assert client.call("ping") == "pong"
    assert check(ten).ok
    assert Recording.open(ten).removed().segments == 7
    assert [seq for seq, _ in recorded(ten)[ONE]] == [8, 9, 10]
    with RecordingWriter(ten, clock_ns=time.time_ns) as writer:
        assert writer.marks[ONE] == 10
    with aggregator(ten) as (ready, _):  # an analyst that begins after the removal says what it never saw
        analysis = et.connect(ready["endpoint"])
        while analysis.health()["events"] < 4:
            pass
        assert analysis.health()["removed_segments"] == 7
        assert analysis.health()["damaged_bytes"] == 0


def test_by_age_nothing_young_goes(ten: pathlib.Path) -> None:
    with aggregator(ten, "--keep-days", "1") as (ready, _), Client(ready["endpoint"]) as client:
        while client.call("info")["events"] < 10:
            pass
        assert client.call("info")["removed_segments"] == 0
    assert len(segments(ten)) == 11


def test_limits_that_make_no_sense_are_refused(tmp_path: pathlib.Path) -> None:
    assert "--keep-bytes is 'lots'; it must be" in refused(tmp_path / "a", "--keep-bytes", "lots")
    assert "--keep-days is -1.0; it must be" in refused(tmp_path / "a", "--keep-days", "-1")
    assert not (tmp_path / "a").exists()
