"""Delivery over real sockets: to an aggregator that dies, is not there, is sent rubbish, or is one too many."""

from __future__ import annotations

import gc
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
import zmq

from embertrace import emit
from embertrace.client import Client
from embertrace.emit import Emitter
from embertrace.emit.waker import Waker
from embertrace.errors import AggregatorError
from embertrace.event import METRIC
from embertrace.wire.batch import BATCH, MAX_BATCH_BYTES, pack_batch
from embertrace.wire.control import Hello, Welcome, pack_control, unpack_control
from embertrace.wire.event import RawEvent, pack_event
from support.aggregators import aggregator, recorded, refused
from support.ports import free_endpoint


def event(name: object) -> bytes:
    return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, str(name), "t", "s", None, 0, 0, (), b"", b"\x80"))


def emitter_to(endpoint: str, **settings: Any) -> Emitter:
    return Emitter(endpoint, **{"spool_bytes": 64 * 1024 * 1024, "linger_s": 5.0, **settings})


def test_every_event_arrives_once_in_order_from_many_threads(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emitter_to(ready["endpoint"])
        threads = [
            threading.Thread(target=lambda n=number: [emitter.put(event(f"{n}/{i}")) for i in range(2000)])
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert emitter.close(30)
        assert emitter.stats().acknowledged == 8000
    (stream,) = recorded(tmp_path / "rec").values()
    assert [seq for seq, _ in stream] == list(range(1, 8001))
    for number in range(4):
        own = [name for _, name in stream if name.startswith(f"{number}/")]
        assert own == [f"{number}/{i}" for i in range(2000)]


def test_who_waits_for_an_answer_is_not_told_with_the_next_batch(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender hears nothing while it rests: here it rests until it is woken."""
    rest = Waker.sleep
    monkeypatch.setattr(Waker, "sleep", lambda self, seconds: rest(self, 3600.0))
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emitter_to(ready["endpoint"])
        for name in range(5):
            emitter.put(event(name))
            assert emitter.flush(30)
        emitter.put(event("last"))
        assert emitter.close(30)
    (stream,) = recorded(tmp_path / "rec").values()
    assert [seq for seq, _ in stream] == [*range(1, 7)]


def test_an_aggregator_killed_in_mid_stream_loses_nothing(tmp_path: pathlib.Path) -> None:
    endpoint = free_endpoint()
    emitter = emitter_to(endpoint)
    put = 0
    for _ in range(4):
        with aggregator(tmp_path / "rec", bind=endpoint) as (_, process):
            for _ in range(3000):
                put += 1
                emitter.put(event(put))
            emitter.flush(0.05)
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    with aggregator(tmp_path / "rec", bind=endpoint):
        assert emitter.close(30)
    (stream,) = recorded(tmp_path / "rec").values()
    assert stream == [(seq, str(seq)) for seq in range(1, put + 1)]


def test_an_absent_aggregator_delays_nothing_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    emitter = emitter_to("tcp://127.0.0.1:1", spool_bytes=1024 * 1024, linger_s=0.1)
    packed = event("x" * 1000)
    for _ in range(5000):
        emitter.put(packed)
    with caplog.at_level(logging.WARNING, "embertrace"):
        assert not emitter.close()
    stats = emitter.stats()
    assert stats.emitted == 5000
    assert stats.held_bytes <= 1024 * 1024
    assert stats.dropped == 5000 - stats.held_bytes // len(packed)
    assert [record.getMessage() for record in caplog.records] == [
        "5000 events were not delivered to tcp://127.0.0.1:1 and are lost with this process"
    ]


def test_without_a_thread_events_are_held_and_that_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    emitter = emitter_to("tcp://127.0.0.1:1", linger_s=0.1)
    with caplog.at_level(logging.WARNING, "embertrace"):
        emitter.put(event(1))
        emitter.put(event(2))
        assert not emitter.close()
    assert emitter.stats().emitted == 2
    assert [record.getMessage() for record in caplog.records] == [
        "could not start the sender of events to tcp://127.0.0.1:1, which are held: can't start new thread",
        "2 events were not delivered to tcp://127.0.0.1:1 and are lost with this process",
    ]


def test_drops_are_declared_as_gaps(tmp_path: pathlib.Path) -> None:
    endpoint = free_endpoint()
    emitter = emitter_to(endpoint, spool_bytes=1024 * 1024)
    for number in range(3000):
        emitter.put(event(f"{number:<1000}"))
    with aggregator(tmp_path / "rec", bind=endpoint):
        assert emitter.close(30)
    (stream,) = recorded(tmp_path / "rec").values()
    assert [seq for seq, _ in stream] == list(range(1, 3001))
    assert sum(name == "gap" for _, name in stream) == emitter.stats().dropped > 0


def test_a_forked_child_is_a_producer_of_its_own(tmp_path: pathlib.Path) -> None:
    program = """
import os, sys
from embertrace import emit
from embertrace.event import METRIC
from embertrace.wire.event import RawEvent, pack_event
def event(name): return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, name, "t", "s", None, 0, 0, (), b"", b""))
emitter = emit.emitter_for(sys.argv[1])
emitter.put(event("before"))
assert emitter.flush(10)
child = os.fork()
emitter.put(event("child" if child == 0 else "parent"))
assert emit.close_all(10)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    with aggregator(tmp_path / "rec") as (ready, _):
        done = subprocess.run(
            [sys.executable, "-c", program, ready["endpoint"]], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
    streams = sorted([name for _, name in stream] for stream in recorded(tmp_path / "rec").values())
    assert streams == [["before", "parent"], ["child"]]


def test_a_finaliser_may_emit(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emitter_to(ready["endpoint"])

        class Dying:
            def __init__(self) -> None:
                self.cycle = self

            def __del__(self) -> None:
                emitter.put(event("last words"))

        for _ in range(2000):
            Dying()
            emitter.put(event("x"))
        gc.collect()
        assert emitter.close(30)
    (stream,) = recorded(tmp_path / "rec").values()
    assert len(stream) == 4000


def test_rubbish_on_every_door_costs_nobody_else(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _), zmq.Context() as context:
        emitter = emitter_to(ready["endpoint"])
        emitter.put(event("before"))
        assert emitter.flush(10)
        good = pack_batch(BATCH, b"n" * 16, 1, 1, event("unwelcomed"))
        rubbish = [b"", b"\x00", b"\xc1" * 100, good[:-1], good[:20], os.urandom(1000), b"x" * (MAX_BATCH_BYTES * 2)]
        rubbish.append(good[:30] + bytes([good[30] ^ 1]) + good[31:])
        for kind, port in ((zmq.PUSH, "push_port"), (zmq.DEALER, "rpc_port"), (zmq.DEALER, None)):
            address = ready["endpoint"] if port is None else f"tcp://127.0.0.1:{ready[port]}"
            with context.socket(kind) as door:
                door.linger = 1000
                door.connect(address)
                for message in rubbish:
                    door.send(message)
                door.send_multipart([b"two", b"frames"])
        emitter.put(event("after"))
        assert emitter.close(10)
        with Client(ready["endpoint"]) as client:
            assert client.call("ping") == "pong"
    assert [("before" in str(s), "after" in str(s)) for s in recorded(tmp_path / "rec").values()] == [(True, True)]


def test_undecodable_events_are_recorded_counted_and_skipped(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emitter_to(ready["endpoint"])
        for packed in (event("a"), b"\x93\x01\x02\x03", event("b")):
            emitter.put(packed)
        assert emitter.close(10)
        with Client(ready["endpoint"]) as client:
            info = client.call("info")
            while info["events"] < 2:
                info = client.call("info")
    assert (info["events"], info["undecodable"]) == (2, 1)


def test_a_hello_of_another_version_or_recording_is_refused(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _), zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(ready["endpoint"])
        for hello, says in (
            (Hello(b"p" * 16, 1, 1, version=9), "version"),
            (Hello(b"p" * 16, 1, 1, recording="another"), "belong to another"),
        ):
            dealer.send(pack_control(hello))
            assert dealer.poll(10_000)
            assert says in unpack_control(dealer.recv()).reason
        dealer.send(pack_control(Hello(b"p" * 16, 1, 1)))
        assert dealer.poll(10_000)
        assert isinstance(unpack_control(dealer.recv()), Welcome)


def test_a_dead_analyst_is_restarted_and_recording_goes_on(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, process), Client(ready["endpoint"]) as client:
        assert client.call("ping") == "pong"
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (analyst,) = [int(child) for child in children]
        os.kill(analyst, signal.SIGKILL)
        emitter = emitter_to(ready["endpoint"])
        emitter.put(event("meanwhile"))
        assert emitter.close(30)
        info = client.call("info")
        while info["events"] < 1:
            info = client.call("info")
    assert info["events"] == 1


def test_sigterm_drains_and_ends_cleanly(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, process):
        emitter = emitter_to(ready["endpoint"])
        for number in range(1000):
            emitter.put(event(number))
        assert emitter.flush(10)
        process.terminate()
        assert process.wait(30) == 0
        emitter.close(0.1)
    (stream,) = recorded(tmp_path / "rec").values()
    assert len(stream) == 1000


def test_what_can_not_start_says_why(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        port = ready["endpoint"].rpartition(":")[2]
        assert "is being written by another aggregator" in refused(tmp_path / "rec", "--bind", "tcp://127.0.0.1:0")
        assert "Is another aggregator running?" in refused(tmp_path / "new", "--bind", f"tcp://127.0.0.1:{port}")
    assert "beyond this machine" in refused(tmp_path / "new", "--bind", "tcp://0.0.0.0:5557")
    assert "must look like" in refused(tmp_path / "new", "--bind", "nonsense")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    assert "not empty and no recording" in refused(tmp_path / "full", "--bind", "tcp://127.0.0.1:0")
    manifest = tmp_path / "rec" / "recording.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    assert "99" in refused(tmp_path / "rec", "--bind", "tcp://127.0.0.1:0")


def test_nobody_there_is_one_clear_error() -> None:
    with Client("tcp://127.0.0.1:1") as client, pytest.raises(AggregatorError, match="is it running"):
        client.call("ping")


def test_one_emitter_per_endpoint() -> None:
    first = emit.emitter_for("tcp://127.0.0.1:1")
    assert emit.emitter_for("tcp://127.0.0.1:1") is first
    assert emit.close_all(0.1)
