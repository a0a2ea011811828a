"""The analyst's loop: a question waits for what was durable when it came, and not for what never stops coming."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from aggregator import analyst
from aggregator.handing import Handing
from aggregator.ingest import bind
from aggregator.rpc import Door
from embertrace.recording import Follower, Record, Recording, RecordingWriter
from embertrace.wire.rpc import Request, pack_request, unpack_answer
from support.recordings import ONE, append_batch, ticking

DEADLINE_MS = 30_000


@contextlib.contextmanager
def analyst_of(directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, Any]]]:
    """A loop that follows a recording; what is given asks it for `info`."""
    stdin, parent = os.pipe()
    monkeypatch.setattr(analyst, "STDIN", stdin)
    with zmq.Context() as context:
        door = Door(context)
        port = bind(door.socket, "127.0.0.1", 0)
        loop = threading.Thread(target=analyst.Loop(str(directory), door, None, Handing(None)).run)
        with context.socket(zmq.DEALER) as asker:
            asker.linger = 0
            asker.connect(f"tcp://127.0.0.1:{port}")

            def ask() -> dict[str, Any]:
                asker.send(pack_request(Request(1, "info", {})))
                assert asker.poll(DEADLINE_MS), "no answer"
                answer = unpack_answer(asker.recv())
                assert answer.error is None
                return dict(answer.result)

            loop.start()
            try:
                yield ask
            finally:
                os.close(parent)
                loop.join()
                door.socket.close()
                os.close(stdin)


def test_a_question_has_it_look_at_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However seldom it looks while nobody asks."""
    monkeypatch.setattr(analyst, "LOOK_MS", 10 * DEADLINE_MS)
    monkeypatch.setattr(analyst, "SOON_MS", 10 * DEADLINE_MS)
    with (
        RecordingWriter(tmp_path, name="n", clock_ns=ticking()) as writer,
        analyst_of(tmp_path, monkeypatch) as ask,
    ):
        for events in (1, 2, 3):
            append_batch(writer, ONE, events, 1)
            writer.sync()
            assert ask()["events"] == events


def test_a_question_is_answered_while_there_is_always_more(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RecordingWriter(tmp_path, name="n", clock_ns=ticking())
    append_batch(writer, ONE, 1, 10)
    writer.sync()

    class Endless(Follower):
        """Whenever it looks, one more batch has come."""

        def __init__(self, recording: Recording) -> None:
            super().__init__(recording)
            self.next = 11

        def poll(self, limit_bytes: int = 1) -> list[Record]:
            append_batch(writer, ONE, self.next, 1)
            writer.sync()
            self.next += 1
            return super().poll(limit_bytes)

    monkeypatch.setattr(analyst, "Follower", Endless)
    with writer, analyst_of(tmp_path, monkeypatch) as ask:
        assert ask()["events"] >= 10
