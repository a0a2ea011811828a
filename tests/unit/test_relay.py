"""The relay: every byte passes, in order; and what it does to connections, both ends feel."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from embertrace.testing import Relay

WAIT_S = 30.0


class Ends:
    """A server, a relay to it, and connections through it."""

    def __init__(self, server: socket.socket, through: Relay) -> None:
        self.server = server
        self.relay = through

    def connect(self) -> tuple[socket.socket, socket.socket]:
        host, port = self.relay.endpoint.removeprefix("tcp://").split(":")
        near = socket.create_connection((host, int(port)), WAIT_S)
        far, _ = self.server.accept()
        far.settimeout(WAIT_S)
        return near, far


@pytest.fixture
def ends() -> Iterator[Ends]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_S)
        with Relay("127.0.0.1", [server.getsockname()[1]]) as through:
            yield Ends(server, through)


def read(end: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (more := end.recv(1 << 20)):
        found += more
    return found


def test_bytes_pass_both_ways_and_so_does_the_end(ends: Ends) -> None:
    data = bytes(range(256)) * 40_000
    near, far = ends.connect()
    with near, far:
        sender = threading.Thread(target=near.sendall, args=(data,))
        sender.start()
        assert read(far, len(data)) == data
        sender.join()
        far.sendall(b"back")
        far.close()
        assert read(near, 5) == b"back"


def test_a_reset_is_felt_at_both_ends_and_new_connections_pass(ends: Ends) -> None:
    near, far = ends.connect()
    with near, far:
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        assert ends.relay.reset() == 1
        for end in (near, far):
            with pytest.raises(ConnectionResetError):
                end.recv(1)
    near, far = ends.connect()
    with near, far:
        near.sendall(b"y")
        assert far.recv(1) == b"y"
    assert ends.relay.reset() in (0, 1)


def test_held_connections_are_quiet_and_lose_nothing(ends: Ends) -> None:
    near, far = ends.connect()
    with near, far:
        ends.relay.hold()
        near.sendall(b"held")
        host, port = near.getpeername()
        with socket.create_connection((host, port), WAIT_S) as late:  # accepted, and nothing comes of it
            far.settimeout(0.1)
            with pytest.raises(TimeoutError):
                far.recv(1)
            ends.relay.resume()
            far.settimeout(WAIT_S)
            assert read(far, 4) == b"held"
            ends.server.accept()[0].close()
            assert late.recv(1) == b""


def test_a_delay_is_at_least_that_long_each_way(ends: Ends) -> None:
    near, far = ends.connect()
    with near, far:
        ends.relay.delay(0.1)
        started = time.monotonic()
        near.sendall(b"x")
        far.sendall(far.recv(1))
        assert near.recv(1) == b"x"
        assert time.monotonic() - started >= 0.2


def test_a_half_closed_connection_still_brings_the_answer(ends: Ends) -> None:
    near, far = ends.connect()
    with near, far:
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        assert read(far, 9) == b"question"
        far.sendall(b"answer")
        assert read(near, 6) == b"answer"


def test_a_connection_that_nobody_takes_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Relay("127.0.0.1", [port]), socket.create_connection(("127.0.0.2", port), WAIT_S) as end:
        assert end.recv(1) == b""


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        made = Relay("127.0.0.1", [taken.getsockname()[1]])
        with pytest.raises(OSError, match="address already in use"):
            made.__enter__()
