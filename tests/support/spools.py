"""Processes that emit into spools, keep an oracle of what their emits returned for, and are killed."""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from embertrace.emit import Emitter, extent
from embertrace.emit.files import Files
from embertrace.emit.spool import Spool
from embertrace.emit.spool_directory import Meta
from embertrace.event import METRIC
from embertrace.wire.event import RawEvent, pack_event

DEADLINE_S = 60.0
MIB = 1024 * 1024

HEAD = """
import os, sys, time, gc
from pathlib import Path
from embertrace import emit
from embertrace.event import METRIC
from embertrace.wire.event import RawEvent, pack_event

def event(name):
    return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, str(name), "t", "s", None, 0, 0, (), b"", b""))

endpoint, oracle = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
emitter = emit.emitter_for(endpoint)

def put(name):
    emitter.put(event(name))
    os.write(oracle, f"{name}\\n".encode())

def ready():
    print("ready", flush=True)
"""
"""What each program begins with: `put` emits and then writes the oracle's line."""

FOREVER = """
for number in range(10**9):
    put(f"{os.getpid()}-{number}")
    if number == 500:
        ready()
"""
"""Emits until it is killed; ready after the first five hundred."""


def extent_of(producer: bytes, first_seq: int, events: Iterable[bytes], dropped: int = 0, size: int = 8192) -> bytes:
    """The bytes of an extent with these events, and so many drops behind them."""
    buffer = mmap.mmap(-1, size)
    extent.begin(buffer, producer, first_seq)
    for packed in events:
        buffer.write(extent.record(packed))
    for count in range(1, dropped + 1):
        extent.write_dropped(buffer, count)
    return buffer[:]


@contextlib.contextmanager
def emitting(
    program: str, endpoint: str, oracle: pathlib.Path, spools: pathlib.Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A running program that has said it is ready; killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + program, endpoint, str(oracle)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "EMBERTRACE_SPOOL_DIR": str(spools), **environment},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n", "the program died before it was ready"
        yield process
    finally:
        kill(process)
        process.stdin.close()
        process.stdout.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, unless it has ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(30)


def returned(oracle: pathlib.Path) -> list[str]:
    """The names of the events whose emit returned, in order."""
    return oracle.read_text().splitlines()


def event(name: object) -> bytes:
    """A packed event that its name tells from others."""
    return pack_event(RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, str(name), "t", "s", None, 0, 0, (), b"", b""))


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def emitter_in(directory: pathlib.Path, endpoint: str, spool_bytes: int = 8 * MIB) -> Emitter:
    """An emitter of this process with its spool in `directory`; it lingers long."""
    return Emitter(endpoint, spool_bytes=spool_bytes, linger_s=20.0, directory=directory)


def adopt_by_another(directory: pathlib.Path, endpoint: str) -> bool:
    """What any process does at its end: it emits one event, and delivers what dead ones left. Whether that arrived."""
    other = emitter_in(directory, endpoint)
    other.put(event("other"))
    return other.close(DEADLINE_S)


def left_behind(
    directory: pathlib.Path, endpoint: str, producer: bytes, events: int = 10, *, first: int = 1, name: str = "{}"
) -> pathlib.Path:
    """A stream whose process is gone, as far as anybody can see. Its events are named by their places, from 0.

    What was before seq `first` is trimmed.
    """
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    store = Files(directory, producer, Meta(endpoint, pid=gone.pid), 8 * MIB, 1 << 30)
    spool = Spool(store, producer)
    for _ in range(1, first):
        spool.drop()
    for number in range(events):
        assert spool.take(event(name.format(number)))
    path = store.close(delivered=False)
    assert path is not None
    return path
