"""The HTTP door closes cleanly whoever is connected, and comes back with the analyst."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

import embertrace as et
from aggregator.web.door import HttpDoor
from aggregator.web.security import Policy
from embertrace import embedded
from embertrace.client import Client
from embertrace.handshake import new_pair
from embertrace.keys import make_keys, read_token
from embertrace.recording import Recording
from support.aggregators import aggregator
from support.http_client import Http
from support.ports import free_endpoint, free_port
from support.recordings import make_small


def children(pid: int) -> list[int]:
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_open_streams_end_and_hold_nothing_up(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    with aggregator(tmp_path / "rec", log=log) as (ready, process), contextlib.ExitStack() as stack:
        http = Http(ready["http_port"])
        streams = [stack.enter_context(http.stream("/v1/events/stream?start=0")) for _ in range(5)]
        for stream in streams:
            assert next(iter(stream)).event == "position"
        idle = stack.enter_context(socket.create_connection(("127.0.0.1", ready["http_port"])))
        assert idle.fileno() >= 0
        (analyst,) = children(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        for stream in streams:
            assert list(stream) == []  # ended as a whole answer ends, not broken off
        assert process.wait(30) == 0
        assert not pathlib.Path(f"/proc/{analyst}").exists()
    assert "Traceback" not in log.read_text()


def test_too_many_streams_are_refused_and_places_become_free(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _), contextlib.ExitStack() as stack:
        http = Http(ready["http_port"])
        opened = [stack.enter_context(http.stream("/v1/events/stream")) for _ in range(32)]
        assert {stream.status for stream in opened} == {200}
        assert http.get("/v1/events/stream").code == "too_many_streams"
        assert http.get("/v1/info").status == 200
        opened[0].close()
        while True:
            with http.stream("/v1/events/stream") as stream:
                if stream.status == 200:
                    break


def test_an_analyst_that_was_killed_is_back_at_the_same_port(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec", bind=free_endpoint()) as (ready, process):
        http = Http(ready["http_port"])
        assert http.get("/v1/info").status == 200
        (analyst,) = children(process.pid)
        os.kill(analyst, signal.SIGKILL)
        while True:
            with contextlib.suppress(OSError):
                if http.get("/v1/info").status == 200 and children(process.pid) != [analyst]:
                    break
        with Client(ready["endpoint"]) as client:
            assert client.locate().http_port == ready["http_port"]


def test_a_port_that_is_taken_leaves_the_rest_at_work(tmp_path: pathlib.Path) -> None:
    with contextlib.ExitStack() as stack:
        port = free_port()
        stack.enter_context(socket.create_server(("127.0.0.1", port + 3)))
        log = tmp_path / "log"
        bound = stack.enter_context(aggregator(tmp_path / "rec", bind=f"tcp://127.0.0.1:{port}", log=log))
        assert bound[0]["http_port"] is None
        with Client(bound[0]["endpoint"]) as client:
            assert client.call("ping") == "pong"
        assert f"port {port + 3}" in log.read_text()


def test_the_next_three_ports_after_the_endpoint_are_used(tmp_path: pathlib.Path) -> None:
    port = free_port()
    with aggregator(tmp_path / "rec", bind=f"tcp://127.0.0.1:{port}") as (ready, _):
        assert (ready["push_port"], ready["rpc_port"], ready["http_port"]) == (port + 1, port + 2, port + 3)
        assert Http(port + 3).get("/healthz").status == 200


def test_a_person_is_told_where_the_page_is(tmp_path: pathlib.Path) -> None:
    command = [
        sys.executable,
        "-m",
        "aggregator",
        str(tmp_path / "rec"),
        "--bind",
        "tcp://127.0.0.1:0",
        "--with-parent",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert "embertrace aggregator at tcp://127.0.0.1:" in process.stdout.readline()
        address = process.stdout.readline().split()[-1]
        assert Http(urlsplit(address).port or 0).get("/").status == 200
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_session_says_where_to_watch_it(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with et.session(tmp_path / "rec") as session:
        assert session.page is not None
        assert f"watch it at {session.page}" in capsys.readouterr().err
        assert Http(urlsplit(session.page).port or 0).get("/healthz").status == 200


def test_the_page_of_a_session_with_a_key_brings_its_token(tmp_path: pathlib.Path) -> None:
    make_keys(tmp_path, [], new_pair)
    assert embedded.page_address("http://h:1/", str(tmp_path)) == f"http://h:1/#token={read_token(tmp_path)}"
    assert embedded.page_address("http://h:1/", None) == "http://h:1/"
    assert embedded.page_address(None, str(tmp_path)) is None


def test_who_waits_for_an_answer_is_told_that_it_stops(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_small(tmp_path / "rec")
    listener = socket.create_server(("127.0.0.1", 0))
    door = HttpDoor(listener, Policy(None, frozenset({"localhost"})))
    door.start(Recording.open(tmp_path / "rec"))
    http = Http(door.port)
    with http.stream("/v1/events/stream") as stream, ThreadPoolExecutor() as pool:
        assert next(iter(stream)).event == "position"
        question = pool.submit(http.get, "/v1/info")  # which nobody here answers
        label = pool.submit(http.post, "/v1/labels", {"item": "q", "truth": "A"})
        handed = []
        while len(handed) < 2:
            select.select([door.wanted], [], [])
            door.jobs.serve(lambda method, _: handed.append(method) or Future())
        door.close()
        assert [asked.result(30).code for asked in (question, label)] == ["busy", "busy"]
        assert list(stream) == []
    assert "cancelled" not in caplog.text
