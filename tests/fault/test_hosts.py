"""Two hosts and the wire between them: what it decides, and that real sockets feel it."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fault.hosts import NotPermitted, TwoHosts, permitted, two_hosts
from fault.packets import ACK, RST, SYN, read_segment, reset_packet
from fault.wire import Wire

LEFT, RIGHT = ("10.0.0.1", 1000), ("10.0.0.2", 2000)


def segment(source: tuple[str, int], target: tuple[str, int], flags: int, seq: int = 0, ack: int = 0) -> bytes:
    """A RST, made into another segment."""
    packet = bytearray(reset_packet(source, target, seq))
    packet[28:32] = ack.to_bytes(4, "big")
    packet[33] = flags
    return bytes(packet)


def given(wire: Wire, now: float) -> list[tuple[int, bytes]]:
    return [(due.to, due.packet) for due in wire.give(now)]


def test_packets_come_out_at_the_other_end_in_order() -> None:
    wire = Wire(0)
    wire.take(0, b"one", 0.0)
    wire.take(1, b"two", 0.0)
    assert given(wire, 0.0) == [(1, b"one"), (0, b"two")]
    assert wire.wait_s(0.0) is None


def test_a_delay_holds_packets_for_its_time() -> None:
    wire = Wire(0)
    wire.delay_s = 0.5
    wire.take(0, b"one", 1.0)
    assert wire.wait_s(1.2) == pytest.approx(0.3)
    assert given(wire, 1.49) == []
    assert given(wire, 1.5) == [(1, b"one")]


def test_a_cut_wire_swallows_what_comes_and_what_is_on_its_way() -> None:
    wire = Wire(0)
    wire.take(0, b"one", 0.0)
    wire.partition()
    wire.take(0, b"two", 0.0)
    wire.cut = False
    wire.take(0, b"three", 0.0)
    assert given(wire, 0.0) == [(1, b"three")]
    assert wire.counters.lost == 2


def test_losses_are_those_of_the_seed() -> None:
    def through(seed: int) -> list[bytes]:
        wire = Wire(seed)
        wire.loss = 0.3
        for number in range(1000):
            wire.take(0, bytes([number % 256]), 0.0)
        return [packet for _, packet in given(wire, 0.0)]

    assert through(7) == through(7) != through(8)
    assert 600 < len(through(7)) < 800


def test_a_reset_goes_to_both_ends_with_what_they_expect_and_again_to_who_goes_on() -> None:
    wire = Wire(0)
    wire.take(0, segment(LEFT, RIGHT, SYN), 0.0)
    wire.take(1, segment(RIGHT, LEFT, SYN | ACK, ack=11), 0.0)
    wire.take(0, segment(LEFT, RIGHT, ACK, ack=22), 0.0)
    given(wire, 0.0)
    wire.delay_s = 1.0
    wire.take(0, segment(LEFT, RIGHT, ACK, ack=22), 0.0)
    assert wire.reset(0.0) == 1
    wire.delay_s = 0.0
    resets = [(to, read_segment(packet)) for to, packet in given(wire, 0.0)]
    assert {(to, made.source, made.seq, made.flags) for to, made in resets if made} == {
        (0, RIGHT, 22, RST),
        (1, LEFT, 11, RST),
    }
    wire.take(0, segment(LEFT, RIGHT, ACK, ack=33), 0.0)
    ((to, packet),) = given(wire, 0.0)
    assert (to, read_segment(packet)) == (0, (RIGHT, LEFT, 33, 0, RST))
    wire.take(0, segment(LEFT, RIGHT, SYN), 0.0)
    assert [to for to, _ in given(wire, 0.0)] == [1]


@pytest.mark.parametrize("packet", [b"", b"\x45" * 19, b"\x60" + bytes(60), reset_packet(LEFT, RIGHT, 1)[:30]])
def test_what_is_no_segment_is_carried_like_anything(packet: bytes) -> None:
    assert read_segment(packet) is None
    wire = Wire(0)
    wire.take(0, packet, 0.0)
    assert given(wire, 0.0) == [(1, packet)]


ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    while data := connection.recv(4096):
        connection.sendall(data)
"""
TALK = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    try:
        connection.sendall(line.encode())
        print(connection.recv(4096).decode(), end="", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    if reason := permitted():
        pytest.skip(reason)
    with two_hosts(1) as hosts:
        yield hosts


def test_sockets_feel_the_wire(hosts: TwoHosts) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    echo = subprocess.Popen(hosts.a.command([sys.executable, "-c", ECHO, hosts.a.address]), **pipes)  # type: ignore
    port = echo.stdout.readline().strip()
    talk = subprocess.Popen(hosts.b.command([sys.executable, "-c", TALK, hosts.a.address, port]), **pipes)  # type: ignore
    try:

        def say(word: str) -> str:
            print(word, file=talk.stdin, flush=True)
            return str(talk.stdout.readline().strip())

        assert say("hello") == "hello"
        hosts.partition()
        print("lost?", file=talk.stdin, flush=True)
        assert not select.select([talk.stdout], [], [], 0.3)[0]
        hosts.heal()
        assert talk.stdout.readline() == "lost?\n"
        assert hosts.reset() == 1
        assert say("over") in ("ConnectionResetError", "BrokenPipeError")
        assert hosts.counters()["lost"] > 0
    finally:
        for process in (talk, echo):
            process.kill()
            process.communicate()


def test_where_they_can_not_be_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotPermitted, match="iproute2"), two_hosts(0):
        pass


def test_the_hosts_reach_nothing_else(hosts: TwoHosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"
        command = hosts.b.command([sys.executable, "-c", connect, str(server.getsockname()[1])])
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert "ConnectionRefusedError" in done.stderr
