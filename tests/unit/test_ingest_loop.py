"""The ingest's loop: what comes at the same time is written, synced and answered together."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import pytest
import zmq

from aggregator.collector import Collector, Identity
from aggregator.ingest import Doors, Ingest
from embertrace.recording import RecordingWriter
from embertrace.recording.files import Disk
from embertrace.wire.batch import BATCH, pack_batch
from embertrace.wire.control import Hello
from support.recordings import ticking

PRODUCERS = [bytes([number]) * 16 for number in range(3)]
INSIDE = "inproc://push"
"""A door beside the others: what is sent there has arrived."""


class Counting(Disk):
    """Counts syncs of data."""

    def __init__(self) -> None:
        self.syncs = 0

    def sync_data(self, descriptor: int) -> None:
        self.syncs += 1
        super().sync_data(descriptor)


@pytest.fixture
def disk() -> Counting:
    return Counting()


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        yield context


def test_what_comes_a_moment_after_a_lull_shares_its_sync(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, context: zmq.Context[zmq.Socket[bytes]], disk: Counting
) -> None:
    doors = Doors(context, "127.0.0.1", 0, 0)
    doors.push.bind(INSIDE)
    collector = Collector(Identity("rec", "name", 1, 2), {})
    waited, now = 0.0, 0.0

    def clock() -> float:
        nonlocal now
        now += waited
        return now

    with RecordingWriter(tmp_path, name="n", clock_ns=ticking(), disk=disk) as writer, context.socket(zmq.PUSH) as push:
        ingest = Ingest(doors, collector, writer, clock=clock)
        push.connect(INSIDE)
        for producer in PRODUCERS:
            collector.on_control(producer, Hello(producer, 1, 1), 0)
        before = disk.syncs
        naps = iter(PRODUCERS[1:2])
        monkeypatch.setattr(time, "sleep", lambda _: push.send(pack_batch(BATCH, next(naps), 1, 1, b"x")))
        waited = 1.0
        push.send(pack_batch(BATCH, PRODUCERS[0], 1, 1, b"x"))
        assert ingest.step(1000)
        assert (collector.counters.events, disk.syncs - before) == (2, 1)
        waited = 0.0
        push.send(pack_batch(BATCH, PRODUCERS[2], 1, 1, b"x"))
        assert ingest.step(1000), "there was no lull: nobody naps"
        assert (collector.counters.events, disk.syncs - before) == (3, 2)
    doors.close()
