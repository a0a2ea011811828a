"""Strangers poison every door of a running aggregator while honest neighbours deliver: what it costs (R11)."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random

from embertrace.client import Client
from embertrace.config import check_endpoint
from embertrace.recording import BATCH, Record, Recording, check
from embertrace.wire.event import RawEvent, iter_events
from fault.attacks import Attacker
from support.aggregators import aggregator

NEIGHBOURS = 2
CROWD = 150
FLOOD_MB = 10
"""In each of four floods: enough to show what a queue holds, and little to write."""
SETTLE_S = 30.0
"""How long the aggregator may take to close what its strangers left."""

NEIGHBOUR = """
import select, sys
from embertrace import emit
from embertrace.event import METRIC
from embertrace.wire.event import RawEvent, pack_event
emitter, put = emit.emitter_for(sys.argv[1]), 0
while not select.select([sys.stdin], [], [], 0.005)[0]:
    for _ in range(5):
        name = f"{sys.argv[2]}/{put}"
        emitter.put(pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, name, "t", "s", None, 0, 0, (), b"", b"")))
        put += 1
    if put == 5:
        print(emitter.flush(30), flush=True)
emitter.close(30)
print(put)
"""
"""Emits small batches until its standard input ends; says when the first is delivered, and at last how many it put."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What came of it. Memory in bytes, of the ingest process and of the analyst; growth is from start to end."""

    seed: int
    sent: Mapping[str, int]
    """Messages and connections by door."""
    neighbours: int
    """Events that honest neighbours put."""
    lost: int
    twice: int
    crashes: int
    """Of the aggregator, and of its analyst: each is one that is not the process it was. After one of the aggregator
    nothing more is sent, and what is measured of it is 0."""
    undecodable: int
    """Events that were recorded and can't be read: proof that poison went in."""
    memory_growth: int
    memory_peak: int
    """Above its start, of the ingest process at any time."""
    analyst_growth: int
    descriptors_growth: int
    damaged_bytes: int
    duration_s: float

    def __str__(self) -> str:
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return ", ".join(f"{name}={value}" for name, value in told.items())


def run(seed: int, count: int) -> Figures:
    """Send `count` messages of strangers, chosen by `seed`, at an aggregator in a temporary directory."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name, "rec")
        with aggregator(directory) as (where, process):
            client = Client(where["endpoint"])
            client.call("info")
            analyst = child(process.pid)
            before = Use.of(process.pid), Use.of(analyst)
            with _neighbours(where["endpoint"]) as put:
                sent = _attack(seed, count, where, process)
            after, crashes = before, 1
            if process.poll() is None:
                client.call("info")
                crashes = int(child(process.pid) != analyst)
                after = _settled(process.pid, before[0].descriptors), Use.of(child(process.pid))
            client.close()
        found = _ids(directory)
        report = check(directory)
    wanted = {f"{number}/{each}" for number, size in enumerate(put) for each in range(size)}
    return Figures(
        seed=seed,
        sent=sent,
        neighbours=len(wanted),
        lost=len(wanted - found.keys()),
        twice=sum(found[each] > 1 for each in wanted),
        crashes=crashes,
        undecodable=report.undecodable_events,
        memory_growth=after[0].memory - before[0].memory,
        memory_peak=after[0].peak - before[0].memory,
        analyst_growth=after[1].memory - before[1].memory,
        descriptors_growth=after[0].descriptors - before[0].descriptors,
        damaged_bytes=report.damaged_bytes,
        duration_s=time.monotonic() - started,
    )


def _attack(seed: int, count: int, where: Mapping[str, object], process: subprocess.Popen[bytes]) -> dict[str, int]:
    """All moves, while there is somebody to attack; how many by door."""
    _, control = check_endpoint(str(where["endpoint"]))
    attacker = Attacker(Random(seed), control, int(str(where["push_port"])), int(str(where["rpc_port"])))
    try:
        for number in range(count):
            if number % (count // 4 + 1) == 0:
                attacker.crowd(CROWD)
                attacker.flood(FLOOD_MB)
            attacker.send()
    except OSError:  # nobody listens any more: then it is about to end
        process.wait(SETTLE_S)
    finally:
        attacker.close()
    return dict(attacker.sent)


@contextlib.contextmanager
def _neighbours(endpoint: str) -> Iterator[list[int]]:
    """Honest emitters in processes of their own while the block runs; then the list says how much each put."""
    command = [sys.executable, "-c", NEIGHBOUR, endpoint]
    started = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(NEIGHBOURS)
    ]
    put: list[int] = []
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"True\n", "a neighbour can't deliver before anything was poisoned"
        yield put
    finally:
        for process in started:
            out, _ = process.communicate(timeout=120)
            put.append(int(out))


def _ids(directory: pathlib.Path) -> Counter[str]:
    """How often each operator id was recorded."""
    found: Counter[str] = Counter()
    for record in Recording.open(directory).records():
        if isinstance(record, Record) and record.kind == BATCH:
            events = iter_events(record.payload, record.count)
            found.update(event.operator_id for event in events if isinstance(event, RawEvent))
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """What a process holds at the moment."""

    memory: int
    peak: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Use:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        memory, peak = (int(status.split(name)[1].split()[0]) * 1024 for name in ("VmRSS:", "VmHWM:"))
        return cls(memory, peak, len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())))


def _settled(pid: int, descriptors: int) -> Use:
    """Once no more than so many descriptors are open, or it took too long."""
    deadline = time.monotonic() + SETTLE_S
    while (use := Use.of(pid)).descriptors > descriptors and time.monotonic() < deadline:
        time.sleep(0.02)
    return use


def child(pid: int) -> int:
    """The one child of a process, its analyst. One that died is there again in a moment."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + SETTLE_S
    while not (found := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return int(found[0])


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])))
