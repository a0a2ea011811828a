"""Processes that emit into spools, keep an oracle of what their emits returned for, and are killed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

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


@contextlib.contextmanager
def emitting(
    program: str, endpoint: str, oracle: pathlib.Path, spools: pathlib.Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A running program that has said it is ready; killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + program, endpoint, str(oracle)],
        stdout=subprocess.PIPE,
        env={**os.environ, "EMBERTRACE_SPOOL_DIR": str(spools), **environment},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n", "the program died before it was ready"
        yield process
    finally:
        kill(process)
        process.stdout.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, unless it has ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(30)


def returned(oracle: pathlib.Path) -> list[str]:
    """The names of the events whose emit returned, in order."""
    return oracle.read_text().splitlines()


def free_endpoint() -> str:
    """An endpoint where nobody listens, nor at the three ports after it."""
    while True:
        with contextlib.ExitStack() as probes:
            try:
                first = probes.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
                for port in range(first + 1, first + 4):
                    probes.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
            return f"tcp://127.0.0.1:{first}"
