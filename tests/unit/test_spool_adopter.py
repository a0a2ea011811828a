"""Whose streams an adopter takes: those of its recording, key, user and machine, and no others."""

from __future__ import annotations

import dataclasses
import logging
import math
import pathlib
import random
from typing import Any

import pytest
import zmq

from embertrace.emit import extent, spool_directory
from embertrace.emit.adopter import KEEP_S, LOOK_S, Adopter, expire
from embertrace.emit.sockets import Sockets
from embertrace.emit.spool_directory import Meta
from embertrace.emit.survey import survey
from support.spools import extent_of

ENDPOINT = "tcp://127.0.0.1:5557"
RECORDING = "rec"
MINE = Meta(ENDPOINT, key="team", recording=RECORDING)


class Opened(Sockets):
    """Sockets that go nowhere; `asked` counts those of adoptions."""

    key_name = "team"  # type: ignore[assignment]  # of the fake, fixed

    def __init__(self) -> None:
        self.asked = 0

    def control(self) -> Any:
        self.asked += 1
        return zmq.Context.instance().socket(zmq.DEALER)


def look(directory: pathlib.Path, recording: str | None = RECORDING, now: float = 0.0) -> bool:
    """Whether an adopter takes what is in the directory."""
    sockets = Opened()
    adopter = Adopter(directory, ENDPOINT, sockets, zmq.Poller())
    adopter.step(now, recording)
    adopter.close()
    return sockets.asked == 1


@pytest.mark.parametrize(
    ("changed", "is_taken"),
    [
        ({}, True),
        ({"endpoint": "tcp://127.0.0.1:1"}, True),  # its recording, at another port today
        ({"recording": None}, True),
        ({"recording": None, "endpoint": "tcp://127.0.0.1:1"}, False),
        ({"recording": "another"}, False),
        ({"key": None}, False),
        ({"key": "others"}, False),
        ({"host": "another"}, False),
        ({"uid": MINE.uid + 1}, False),
    ],
)
def test_a_stream_goes_where_it_belongs(changed: dict[str, Any], is_taken: bool, tmp_path: pathlib.Path) -> None:
    left = spool_directory.create(tmp_path, b"p" * 16, dataclasses.replace(MINE, **changed))
    assert not look(tmp_path), "its process lives"
    left.release()
    assert not look(tmp_path, recording=None), "nobody was heard yet"
    assert look(tmp_path) is is_taken
    assert left.path.exists()
    again = spool_directory.claim(left.path)
    assert again is not None, "an adopter that ends lets go"
    again.release()


@pytest.fixture
def older(tmp_path: pathlib.Path) -> spool_directory.Claim:
    """A stream that a process of another release left, with an event of this one's format beside it."""
    left = spool_directory.create(tmp_path, b"p" * 16, MINE)
    (left.path / "00000000.ext").write_bytes(extent_of(b"p" * 16, 1, [b"event"]))
    with pytest.MonkeyPatch.context() as release:
        release.setattr(extent, "VERSION", 1)
        (left.path / "00000001.ext").write_bytes(extent_of(b"p" * 16, 2, [b"event"]))
    return left


def test_a_stream_of_another_release_is_left_to_those_who_can_read_it(
    older: spool_directory.Claim, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    older.release()
    caplog.set_level(logging.INFO)
    adopter = Adopter(tmp_path, ENDPOINT, Opened(), zmq.Poller())
    for _ in range(5):
        adopter.step(0.0, RECORDING)
    adopter.close()
    assert "an extent of version 1, and this release reads version 2" in caplog.text
    assert not look(tmp_path, recording="another"), "nor is it taken for settled"
    assert len(list(older.path.glob("*.ext"))) == 2
    (stream,) = survey(tmp_path, math.inf)
    assert (stream.owner, stream.events) == ("dead", None), "who can't count them says so"


def test_what_can_not_be_read_is_named_where_it_is_deleted_after_a_week(
    older: spool_directory.Claim, caplog: pytest.LogCaptureFixture
) -> None:
    assert not expire(older, MINE, 1_000_000.0)
    assert expire(older, MINE, 1_000_000.0 + KEEP_S)
    assert "deleted up to 1 events, and 1 files of them that this release can't read, meant for tcp" in caplog.text


def test_a_stream_without_a_whole_event_is_deleted(tmp_path: pathlib.Path) -> None:
    spool_directory.create(tmp_path, b"p" * 16, MINE).release()
    adopter = Adopter(tmp_path, ENDPOINT, Opened(), zmq.Poller())
    for _ in range(3):
        adopter.step(0.0, RECORDING)
    adopter.close()
    assert list(tmp_path.iterdir()) == []


def test_a_look_takes_no_number_from_the_programs_random(tmp_path: pathlib.Path) -> None:
    """A seeded program draws what it would draw without tracing."""
    spool_directory.create(tmp_path, b"p" * 16, MINE).release()
    before = random.getstate()
    assert look(tmp_path)
    assert random.getstate() == before


def test_a_failure_is_said_and_ends_the_looking_only(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    spool_directory.create(tmp_path, b"p" * 16, MINE).release()

    class Refusing(Opened):
        def control(self) -> Any:
            raise RuntimeError("no sockets today")

    adopter = Adopter(tmp_path, ENDPOINT, Refusing(), zmq.Poller())
    with caplog.at_level(logging.ERROR, "embertrace"):
        for now in (0.0, 1e6):
            adopter.step(now, RECORDING)
    assert [record.getMessage().partition(" in ")[0] for record in caplog.records] == [
        "looking for the events of dead processes"
    ]
    assert adopter.wait_s(2e6) == LOOK_S
