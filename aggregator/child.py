"""The analyst's process, from outside: started, told how the ingest fares, restarted, stopped.

Between the two there are three pipes. What the analyst prints is one line, when it listens (`Listening`). What it reads
are lines of JSON, each the counters of the ingest, for whoever asks how the aggregator fares; their end tells it to
stop. Through the third it hands over what readers say, to be recorded (see handing). `Child` is what it has in common
with the exporter's process.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from embertrace.errors import AggregatorError
from embertrace.wire.control import State

log = logging.getLogger("aggregator")

START_S = 15.0
"""Seconds for the analyst to listen: it imports numpy, on a busy machine slowly."""
RESTART_S = 1.0
"""Between restarts of an analyst that keeps dying."""
STOP_S = 5.0
TELL_S = 1.0
"""How often it is told of the ingest: a scrape every few seconds sees each count."""
MAX_LINE = 4096
"""Bytes that a pipe takes whole or not at all (PIPE_BUF)."""


MEMORY = 2 << 30
"""Bytes that events may take in memory, unless somebody says otherwise: some ten million of them."""


ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
"""Arrays of a MiB go back to the system once they are freed. Left alone, glibc raises that size with each one it frees,
and what a cut lets go of stays with the process: nearly twice the bound was resident."""


@dataclasses.dataclass(frozen=True, slots=True)
class Orders:
    """What an analyst is to do, as one argument of its command line. Port 0 takes any; `http_port` None opens none.

    `memory` is how many bytes the events may take that are not read from disk for each question anew.
    """

    directory: str
    host: str
    rpc_port: int = 0
    http_port: int | None = None
    keys: str | None = None
    advertise: str | None = None
    labels: int | None = None
    """The descriptor through which labels are handed over; None where nobody records."""
    memory: int = MEMORY

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, slots=True)
class Listening:
    """Where it listens; `http_port` is None where HTTP could not open, or was not to."""

    rpc_port: int
    http_port: int | None = None

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


class Child:
    """A process of this aggregator: started with one argument, restarted if it dies, stopped by the end of its input.

    Recording goes on whatever becomes of it.
    """

    module: ClassVar[str]
    name: ClassVar[str]
    variables: ClassVar[Mapping[str, str]] = {}
    """Of its environment, where nothing else is set there."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._restart_at = 0.0

    @property
    def argument(self) -> str:
        """What it is told, as its command line has it."""
        raise NotImplementedError

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What it inherits beside its input and output."""
        return ()

    def restart_if_dead(self, now: float) -> bool:
        """Start it again if it died, without waiting for it; whether that was done. No more than once in RESTART_S."""
        process = self._process
        if process is None or process.poll() is None or now < self._restart_at:
            return False
        self._restart_at = now + RESTART_S
        log.warning("the %s ended with %s and is restarted; recording goes on", self.name, process.returncode)
        self._close_pipes(process)
        self._spawn()
        return True

    def stop(self) -> None:
        """The end of its standard input tells it to stop."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:  # in the middle of something heavy
            process.kill()
            process.wait()
        self._close_pipes(process)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C is this process's to handle."""
        command = [sys.executable, "-m", self.module, self.argument]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, pass_fds=self.descriptors,
            env={**self.variables, **os.environ},
        )  # fmt: skip
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        self._process = process
        return process

    @staticmethod
    def _close_pipes(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


class Analyst(Child):
    """The query process. `rpc_port` and `http_port` are known once it was started."""

    module, name = "aggregator.analyst", "query process"
    variables = ALLOCATION

    def __init__(self, orders: Orders) -> None:
        super().__init__()
        self._orders = orders
        self._tell_at = 0.0

    @property
    def argument(self) -> str:
        return self._orders.to_json()

    @property
    def descriptors(self) -> tuple[int, ...]:
        return () if self._orders.labels is None else (self._orders.labels,)

    @property
    def rpc_port(self) -> int:
        return self._orders.rpc_port

    @property
    def http_port(self) -> int | None:
        return self._orders.http_port

    def start(self) -> None:
        """Start it and wait until it listens. Raises AggregatorError."""
        stdout = self._spawn().stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], START_S)
        line = stdout.readline() if ready else b""
        if not line:
            self.stop()
            where = f"{self._orders.host}:{self._orders.rpc_port or 'any port'}"
            raise AggregatorError(f"the query process did not start at {where}")
        told = Listening(**json.loads(line))
        self._orders = dataclasses.replace(self._orders, rpc_port=told.rpc_port, http_port=told.http_port)

    def supervise(self, state: Callable[[], State]) -> bool:
        """Restart it at its ports if it died. Now and then, tell it `state`. False: no reason to stop."""
        now = time.monotonic()
        if not self.restart_if_dead(now) and now >= self._tell_at:
            self._tell_at = now + TELL_S
            self._tell(state())
        return False

    def _tell(self, state: State) -> None:
        """Best effort: an analyst that is busy hears of it next time."""
        assert self._process is not None and self._process.stdin is not None
        known = {name: getattr(state, name) for name in ("started_ns", "received_ns", "durable", "free_bytes")}
        line = json.dumps({**known, "counters": dict(state.counters)}).encode() + b"\n"
        try:
            if len(line) <= MAX_LINE:
                os.write(self._process.stdin.fileno(), line)
        except (BlockingIOError, BrokenPipeError):
            pass
