"""Poison at every door: the aggregator lives, its neighbours lose nothing, and it forgets what it was sent (R11)."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from aggregator.collector import Collector, Identity
from aggregator.ingest import Doors, Ingest
from embertrace import payload
from embertrace.client import Client
from embertrace.config import check_endpoint
from embertrace.recording import RecordingWriter
from embertrace.wire.batch import BATCH, MAX_BATCH_BYTES, MAX_SEQ, pack_batch, pack_gap
from embertrace.wire.control import Ack, Alive, End, Hello, Welcome, pack_control, unpack_control
from embertrace.wire.event import RawEvent, pack_event
from embertrace.wire.rpc import Request, pack_request, unpack_answer
from fault.poison import Use, child, run
from support.aggregators import aggregator
from support.mutations import encode, nested_ext

ID = b"p" * 16
DEEP = b"\x91" * 1000 + b"\xc0"
MEMORY = 64 * 1024 * 1024


def test_strangers_at_every_door_cost_neighbours_nothing() -> None:
    found = run(seed=11, count=3000)
    assert (found.crashes, found.lost, found.twice, found.damaged_bytes) == (0, 0, 0, 0), found
    assert found.memory_growth <= MEMORY, found
    assert found.analyst_growth <= MEMORY, found
    assert found.descriptors_growth <= 0, found
    assert found.neighbours > 10, found
    assert found.undecodable > 500, found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Any]]:
    """One aggregator for all the poisons below: each must leave it as it was."""
    with aggregator(tmp_path_factory.mktemp("poison") / "rec") as started:
        yield started


def lives(where: dict[str, Any], process: Any) -> bool:
    """Both its processes answer."""
    with Client(where["endpoint"], timeout_s=10) as client:
        return client.call("ping") == "pong" and process.poll() is None


def say(where: dict[str, Any], *messages: bytes) -> list[bytes]:
    """Control messages of one client, and the answers up to that of a locate after them."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvtimeo = 10_000
        dealer.connect(where["endpoint"])
        for message in [*messages, b"\x82\xa4kind\xa6locate\xa7version\x01"]:
            dealer.send(message)
        answers = []
        while not answers or not isinstance(unpack_control(answers[-1]), Welcome) or _of_hello(answers[-1]):
            answers.append(dealer.recv())
        return answers


def _of_hello(packed: bytes) -> bool:
    return getattr(unpack_control(packed), "producer", None) is not None


def greet(where: dict[str, Any], producer: bytes) -> None:
    """Say hello for a producer; what is sent of it from then on is recorded."""
    assert _of_hello(say(where, hello(producer=producer))[0])


def hello(**fields: Any) -> bytes:
    about = {"kind": "hello", "version": 1, "producer": ID, "oldest": 1, "next": 1, **fields}
    return encode(about)


@pytest.mark.parametrize(
    "messages",
    [
        [hello(oldest=2**64 - 1, next=2**64 - 1)],
        [hello(oldest=MAX_SEQ, next=MAX_SEQ), pack_control(End(ID, MAX_SEQ - 1)), hello()],
        [hello(heartbeat_s=2**64 - 1), pack_control(Alive(ID))],
        [b"\x82\xa7version\x01\xa4kind" + DEEP],
        [b"\xdd\x00\x00\x0f\x00" * 815],
        [pack_control(End(b"never seen, ever", 0))] * 2,
    ],
    ids=["seqs beyond the end", "the last seq", "a heartbeat of ages", "nested kind", "untrue lengths", "unknown end"],
)
def test_a_control_message_leaves_it_running(running: tuple[dict[str, Any], Any], messages: list[bytes]) -> None:
    assert say(running[0], *messages)
    assert lives(*running)


EVENT = RawEvent(1, 1, b"t" * 16, 5, 0, 0, 0, 0, "op", "judge", "stage", 1, 0, 0, (), b"", b"")


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        pack_event(EVENT._replace(data=nested_ext(5, 1000))),
        pack_event(EVENT._replace(data=DEEP)),
        pack_event(EVENT._replace(data=b"\x81\xa6result" + nested_ext(3, 900))),
        pack_event(EVENT._replace(data=payload.pack({"result": "\ud800"}))),
        pack_event(EVENT._replace(timestamp=2**64 - 1, slots=2**64 - 1, duration=float("nan"))),
        (b"\xdc\x04\x00" + (b"\xdc\x04\x00" + b"\x90" * 1021) * 1024)[:MAX_BATCH_BYTES],
    ],
    ids=["deep", "extensions", "deep data", "summaries", "surrogates", "numbers", "a million arrays"],
)
def test_an_event_leaves_it_running(running: tuple[dict[str, Any], Any], body: bytes) -> None:
    """Recorded, followed, and asked about: the analyst decodes it when questions come."""
    where, _ = running
    producer = body[:8].rjust(16, b"\0")[-16:-4] + len(body).to_bytes(4, "big")
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, Client(where["endpoint"]) as client:
        before = client.call("info")["position"]
        greet(where, producer)
        begun = _beyond(client, before)
        push.connect(f"tcp://{check_endpoint(where['endpoint'])[0]}:{where['push_port']}")
        push.send(pack_batch(BATCH, producer, 1, 1, body))
        _beyond(client, begun)
        for verb in ("judge_accuracy", "items", "runs", "flow", "health"):
            client.call("query", verb=verb, options={"pool": True})
        assert client.call("events")["events"] is not None
        client.call("progress")
    assert lives(*running)


def _beyond(client: Client, position: int) -> int:
    """Wait until the analyst has read on; how far. The timeout of the test ends it."""
    while (reached := client.call("info")["position"]) == position:
        pass
    return int(reached)


def test_a_client_that_never_reads_fills_no_memory(tmp_path: pathlib.Path) -> None:
    """It asks a hundred times for a page of 4 MB; a few of its questions and answers are held, and no more."""
    events = pack_event(EVENT._replace(data=bytes(250_000))) * 4
    with (
        aggregator(tmp_path / "rec") as (where, process),
        zmq.Context() as context,
        Client(where["endpoint"]) as client,
    ):
        with context.socket(zmq.PUSH) as push:
            greet(where, ID)
            push.connect(f"tcp://127.0.0.1:{where['push_port']}")
            for seq in range(1, 17, 4):
                push.send(pack_batch(BATCH, ID, seq, 4, events))
            while client.call("info")["events"] < 16:  # the timeout of the test ends it
                pass
        before = Use.of(child(process.pid))
        with context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.rcvhwm, dealer.rcvbuf = 1, 64 * 1024
            dealer.connect(f"tcp://127.0.0.1:{where['rpc_port']}")
            for number in range(100):
                if dealer.poll(200, zmq.POLLOUT):
                    dealer.send(pack_request(Request(number, "events", {})))
            for _ in range(100):  # each is answered in turn with one of the hundred
                client.call("ping")
            assert Use.of(child(process.pid)).memory - before.memory <= MEMORY


def test_a_client_that_asks_fast_gets_every_answer(running: tuple[dict[str, Any], Any]) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvtimeo = 10_000
        dealer.connect(f"tcp://127.0.0.1:{running[0]['rpc_port']}")
        for number in range(3000):
            dealer.send(pack_request(Request(number, "ping", {})))
            assert unpack_answer(dealer.recv()).id == number


def test_an_event_over_the_limits_does_not_hide_those_behind_it(running: tuple[dict[str, Any], Any]) -> None:
    where, _ = running
    body = b"".join(
        [
            pack_event(EVENT._replace(operator_id="first", call_id=1)),
            b"\x81\x01\x02",
            b"\xd9\xff" + b"\xff" * 255,
            pack_event(EVENT._replace(operator_id="last", call_id=2)),
        ]
    )
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, Client(where["endpoint"]) as client:
        greet(where, b"behind the limit")
        push.connect(f"tcp://127.0.0.1:{where['push_port']}")
        push.send(pack_batch(BATCH, b"behind the limit", 1, 4, body))
        found: list[int] = []
        while len(found) < 2:  # the timeout of the test ends it
            found = [seq for producer, seq, _ in client.call("events")["events"] if producer == b"behind the limit"]
        assert found == [1, 4]


def test_a_producer_that_has_no_seq_left_may_still_begin(tmp_path: pathlib.Path) -> None:
    """All seqs were declared lost; a hello after that begins at the last there is, which can be recorded."""
    with zmq.Context() as context, RecordingWriter(tmp_path / "rec", clock_ns=lambda: 1) as writer:
        doors = Doors(context, "127.0.0.1", 0, 0)
        try:
            ingest = Ingest(doors, Collector(Identity("rec", "name", 1, 2), {}), writer)
            with context.socket(zmq.PUSH) as push, context.socket(zmq.DEALER) as dealer:
                push.connect(f"tcp://127.0.0.1:{doors.push_port}")
                dealer.connect(f"tcp://127.0.0.1:{doors.control_port}")
                dealer.send(pack_control(Hello(ID, 1, 1)))
                assert ingest.step(10_000)
                push.send(pack_gap(ID, 1, MAX_SEQ, "all of them"))
                assert ingest.step(10_000)
                for message in (End(ID, MAX_SEQ), Hello(ID, 1, 1)):
                    dealer.send(pack_control(message))
                    assert ingest.step(10_000)
                answers = [unpack_control(dealer.recv()) for _ in range(4)]
                assert [type(answer) for answer in answers] == [Welcome, Ack, End, Welcome]
                assert answers[-1].mark == MAX_SEQ  # type: ignore[union-attr]
        finally:
            doors.close()
        assert writer.marks == {ID: MAX_SEQ}
