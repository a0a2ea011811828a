"""R20: spools that are full, torn, mapped by forked children, or written to by finalisers.

What was whole before the damage is delivered, once and in order; nothing is invented, and nobody is stuck.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import random
import signal
from collections import Counter

from embertrace.emit import drain, spool_directory
from embertrace.emit.extent import HEAD_BYTES, HEADER_BYTES
from support.aggregators import aggregator, recorded
from support.mounts import tmpfs
from support.ports import free_endpoint
from support.spools import MIB, emitter_in, emitting, event, kill, left_behind, returned


@dataclasses.dataclass(frozen=True)
class Figures:
    """Counts of events, but for `streams` and `left`."""

    streams: int
    whole: int
    """Written, and not damaged afterwards."""
    lost: int
    invented: int
    dropped: int
    """For lack of space."""
    gaps: int
    left: int
    """Streams that nobody could adopt."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.invented or self.left) and self.gaps == self.dropped


def run(directory: pathlib.Path, rounds: int = 100, seed: int = 1) -> Figures:
    """R20 below `directory`, which must be empty; but for the full disk, which takes a file system of its own."""
    found = [
        torn(directory / "torn", rounds, random.Random(seed)),
        mapped_by_children(directory / "forked"),
        written_by_finalisers(directory / "finalisers", rounds * 20),
    ]
    names = [field.name for field in dataclasses.fields(Figures)]
    return Figures(**{name: sum(getattr(one, name) for one in found) for name in names})


def judged(directory: pathlib.Path, whole: list[list[str]], left: int, dropped: int = 0) -> Figures:
    """What each stream should have, in order, against what a recording has."""
    gaps = lost = invented = 0
    streams = [[name for _, name in stream] for stream in recorded(directory).values()]
    for expected in whole:
        at = next((place for place, names in enumerate(streams) if names[:1] == expected[:1]), None)
        names = streams.pop(at) if at is not None else []
        kept = [name for name in names if name != "gap"]
        gaps += len(names) - len(kept)
        lost += (Counter(expected) - Counter(kept)).total()
        invented += (Counter(kept) - Counter(expected)).total()
        assert kept == [name for name in expected if name in set(kept)], "in order"
    invented += sum(map(len, streams))
    return Figures(len(whole), sum(map(len, whole)), lost - dropped, invented, dropped, gaps, left)


def torn(directory: pathlib.Path, rounds: int, chance: random.Random) -> Figures:
    """Each stream's last record is damaged in another way, as a process that dies while it writes might, and worse."""
    spools, endpoint = directory / "spools", free_endpoint()
    whole = []
    for number in range(rounds):
        events = chance.randint(2, 20)
        name = f"{number}/{{}}"
        stream = left_behind(spools, endpoint, number.to_bytes(16, "big"), events, name=name)
        (path,) = stream.glob("*.ext")
        sizes = [HEAD_BYTES + len(event(name.format(place))) for place in range(events)]
        start, end = HEADER_BYTES + sum(sizes[:-1]), HEADER_BYTES + sum(sizes)
        tear(path, start, end, chance)
        whole.append([name.format(place) for place in range(events - 1)])
    with aggregator(directory / "rec", bind=endpoint):
        left = drain(spools).left
    return judged(directory / "rec", whole, left)


def tear(path: pathlib.Path, start: int, end: int, chance: random.Random) -> None:
    """Damage the record that lies there."""
    data = bytearray(path.read_bytes())
    at = chance.randrange(start, end - 1)  # the last byte is zero anyway
    way = chance.choice(("unwritten", "without its length", "flipped", "cut", "overwritten"))
    if way == "unwritten":
        data[at:end] = bytes(end - at)
    elif way == "without its length":
        data[start : start + 4] = bytes(4)
    elif way == "flipped":
        data[at] ^= 1 << chance.randrange(8)
    elif way == "cut":
        del data[at:]
    else:
        data[start : start + 4] = os.urandom(4)
    path.write_bytes(data)


def mapped_by_children(directory: pathlib.Path, children: int = 3) -> Figures:
    """The parent dies; its children live on, with its mapping, and with what they emit themselves."""
    directory.mkdir(parents=True)
    spools, oracle, endpoint = directory / "spools", directory / "oracle", free_endpoint()
    program = f"""
for number in range(1000): put(f"parent/{{number}}")
pids = []
for number in range({children}):
    pid = os.fork()
    if not pid:
        time.sleep(600)
    pids.append(pid)
for number in range(1000): put(f"parent/again/{{number}}")
Path(sys.argv[2] + ".pids").write_text(" ".join(map(str, pids)))
ready()
time.sleep(600)
"""
    pids = []
    try:
        with emitting(program, endpoint, oracle, spools) as worker:
            pids = [int(pid) for pid in pathlib.Path(f"{oracle}.pids").read_text().split()]
            kill(worker)
        with aggregator(directory / "rec", bind=endpoint):
            left = drain(spools).left
        assert all(pathlib.Path(f"/proc/{pid}").exists() for pid in pids), "they live"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    return judged(directory / "rec", [returned(oracle)], left)


def written_by_finalisers(directory: pathlib.Path, events: int) -> Figures:
    """Objects die, and emit, in the middle of any emit, in several threads: whoever is ready was never stuck."""
    directory.mkdir(parents=True)
    spools, oracle, endpoint = directory / "spools", directory / "oracle", free_endpoint()
    program = f"""
import threading

class Dying:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        emitter.put(event("last words"))

def emit_all(name):
    for number in range({events}):
        Dying()
        emitter.put(event(f"{{name}}/{{number}}"))

put("first")
gc.set_threshold(5)
threads = [threading.Thread(target=emit_all, args=(name,)) for name in "ab"]
for thread in threads: thread.start()
for thread in threads: thread.join()
gc.collect()
ready()
time.sleep(600)
"""
    with emitting(program, endpoint, oracle, spools) as worker:
        kill(worker)
    with aggregator(directory / "rec", bind=endpoint):
        left = drain(spools).left
    (stream,) = recorded(directory / "rec").values()
    names = [name for _, name in stream]
    expected = ["first", *["last words"] * 2 * events, *(f"{name}/{at}" for name in "ab" for at in range(events))]
    for name in "ab":
        assert [found for found in names if found.startswith(name)] == [f"{name}/{at}" for at in range(events)]
    lost, invented = Counter(expected) - Counter(names), Counter(names) - Counter(expected)
    return Figures(1, len(expected), lost.total(), invented.total(), 0, names.count("gap"), left)


def full(directory: pathlib.Path, disk: pathlib.Path, events: int) -> Figures:
    """The operator lives; what there was no space for is a gap of exactly that many."""
    endpoint = free_endpoint()
    emitter = emitter_in(disk / "spools", endpoint, MIB)
    names = [f"full/{number:<1000}" for number in range(events)]
    for name in names:
        emitter.put(event(name))
    dropped = emitter.stats().dropped
    with aggregator(directory / "rec", bind=endpoint):
        left = int(not emitter.close(60))
    return judged(directory / "rec", [names], left + len(spool_directory.streams(disk / "spools")), dropped)


def test_what_was_whole_is_adopted_and_nothing_is_invented(tmp_path: pathlib.Path) -> None:
    figures = run(tmp_path, rounds=30)
    assert figures.clean, figures
    assert figures.streams == 30 + 2
    assert figures.whole > 4000


def test_on_a_full_disk_too(tmp_path: pathlib.Path) -> None:
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        (disk / "filling").write_bytes(bytes(300_000))
        figures = full(tmp_path, disk, 3000)
    assert figures.clean, figures
    assert figures.dropped > 1000, figures
