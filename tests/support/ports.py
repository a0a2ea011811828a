"""Ports that stay free until a test listens there.

A port that the kernel gave out and that was closed again may be given to anybody the next moment: to a connection of
another test, while an aggregator that was killed is away. These lie below the kernel's range (from 32768) and above
Ray's (to 19999), and each process that runs tests has its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

FIRST, LAST = 20_000, 32_000
TOGETHER = 4
"""Ports of an aggregator: the endpoint's and the three after it."""
PROCESSES = 16
"""Processes of pytest that have ports of their own."""

_span = (LAST - FIRST) // PROCESSES
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
_turns = itertools.count(os.getpid() * TOGETHER, TOGETHER)  # not where another run of the tests begins


def free_port() -> int:
    """The first of four ports where nobody listens."""
    for turn in itertools.islice(_turns, _span):
        first = FIRST + _process * _span + turn % (_span - TOGETHER)
        with contextlib.ExitStack() as probes:
            try:
                for port in range(first, first + TOGETHER):
                    probes.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise OSError(f"no four free ports between {FIRST} and {LAST}")


def free_endpoint() -> str:
    """An endpoint where nobody listens, nor at the three ports after it."""
    return f"tcp://127.0.0.1:{free_port()}"
