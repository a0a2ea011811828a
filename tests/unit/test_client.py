"""A question is asked once for each connection: a slow answer is waited for, a lost one asked for again."""

from __future__ import annotations

import errno
import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import zmq

import embertrace as et
from embertrace.client import Client
from embertrace.errors import AggregatorError, QueryError
from embertrace.wire.control import Welcome, pack_control
from embertrace.wire.rpc import Answer, Request, pack_answer, unpack_request
from support.aggregators import aggregator
from support.ports import free_port


class Doors:
    """A control door that sends to an RPC door, both served by hand."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.control, self.rpc = self.context.socket(zmq.ROUTER), self.context.socket(zmq.ROUTER)
        self.port = self.control.bind_to_random_port("tcp://127.0.0.1")
        self.rpc_port = free_port()
        self.rpc.bind(f"tcp://127.0.0.1:{self.rpc_port}")

    def welcome(self) -> None:
        address, _ = self.control.recv_multipart()
        self.control.send_multipart([address, pack_control(Welcome("id", "rec", 0, 1, self.rpc_port))])

    def question(self) -> tuple[bytes, Request]:
        assert self.rpc.poll(30_000), "no question came"
        address, packed = self.rpc.recv_multipart()
        return address, unpack_request(packed)

    def answer(self, address: bytes, request: Request, result: object) -> None:
        self.rpc.send_multipart([address, pack_answer(Answer(request.id, result))])

    def break_connections(self) -> None:
        """As an analyst that dies and is back at its port."""
        self.rpc.close(linger=0)
        self.rpc = self.context.socket(zmq.ROUTER)
        while True:
            try:
                self.rpc.bind(f"tcp://127.0.0.1:{self.rpc_port}")
                return
            except zmq.ZMQError as error:  # ZeroMQ closes in a thread of its own
                if error.errno != errno.EADDRINUSE:
                    raise


@pytest.fixture
def doors() -> Iterator[Doors]:
    doors = Doors()
    yield doors
    doors.context.destroy(linger=0)


def test_an_answer_that_is_long_in_coming_is_not_asked_for_again(doors: Doors) -> None:
    with Client(f"tcp://127.0.0.1:{doors.port}", timeout_s=0.5) as client, ThreadPoolExecutor() as threads:
        asking = threads.submit(client.call, "slow")
        doors.welcome()
        slow = doors.question()
        with pytest.raises(AggregatorError, match=r"did not answer slow in 0\.5 s"):
            asking.result()
        asking = threads.submit(client.call, "quick")
        doors.answer(*slow, "late")
        quick = doors.question()
        assert quick[1].method == "quick", "the slow one was asked twice"
        doors.answer(*quick, "at once")
        assert asking.result() == "at once"


def test_a_question_whose_connection_is_lost_is_asked_again(doors: Doors) -> None:
    with Client(f"tcp://127.0.0.1:{doors.port}") as client, ThreadPoolExecutor() as threads:
        asking = threads.submit(client.call, "ping")
        doors.welcome()
        assert doors.question()[1].method == "ping"
        doors.break_connections()
        doors.answer(*doors.question(), "pong")
        assert asking.result() == "pong"


def test_a_connection_that_was_lost_between_two_questions(doors: Doors) -> None:
    with Client(f"tcp://127.0.0.1:{doors.port}") as client, ThreadPoolExecutor() as threads:
        for number in range(2):
            asking = threads.submit(client.call, "ping")
            if not number:
                doors.welcome()
            doors.answer(*doors.question(), number)
            assert asking.result() == number
            doors.break_connections()


def test_a_pattern_that_tries_for_ever_leaves_the_aggregator_answering(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        with (
            et.init(ready["endpoint"]),
            et.item("q1", truth="a"),
            et.operator("panel", type="ensemble") as panel,
        ):
            panel.result(["a" * 40 + "!", "a"])
        analysis = et.connect(ready["endpoint"])
        with pytest.raises(QueryError, match="searched for more than 5 s"):
            analysis.majority_accuracy(answer="regex:(a+)+$")
        assert analysis.majority_accuracy().n == 1


def test_a_connection_that_is_refused_before_anything_is_sent_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by an aggregator that wants a key: ZeroMQ then has nobody to send to, and a send that waits waits for ever."""

    def refused(self: zmq.Socket[bytes], data: bytes, flags: int = 0, **_: object) -> None:
        assert flags & zmq.NOBLOCK, "this would wait for ever"
        raise zmq.Again

    monkeypatch.setattr(zmq.Socket, "send", refused)
    client = Client(f"tcp://127.0.0.1:{free_port()}", timeout_s=0.2)
    with pytest.raises(AggregatorError, match="no aggregator answered"):
        client.locate()
    with pytest.raises(AggregatorError, match="no aggregator answered"):
        client.call("ping")


def test_a_question_that_finds_no_connection_is_asked_again(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    send, refusals = zmq.Socket.send, [zmq.Again()]

    def refused_once(self: zmq.Socket[bytes], data: bytes, flags: int = 0, **options: object) -> object:
        if b"ping" in data and refusals:
            raise refusals.pop()
        return send(self, data, flags, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(zmq.Socket, "send", refused_once)
    with Client(f"tcp://127.0.0.1:{doors.port}") as client, ThreadPoolExecutor() as threads:
        asking = threads.submit(client.call, "ping")
        doors.welcome()
        doors.answer(*doors.question(), "pong")
        assert asking.result() == "pong"
