"""Start, supervise, drain, stop: the aggregator as one process to its user.

This process is the ingest; the analyst is its child, restarted at the same port if it dies. SIGTERM and SIGINT, and for
an embedded aggregator the end of standard input, stop it: what has arrived is drained and synced first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import zmq

from aggregator.collector import Collector, Identity
from aggregator.gate import Gate
from aggregator.ingest import Doors, Ingest
from embertrace.config import check_endpoint
from embertrace.errors import AggregatorError, ConfigError
from embertrace.keys import ServerKey
from embertrace.recording import Limits, RecordingWriter, Retention

log = logging.getLogger("aggregator")

START_S = 15.0
"""Seconds for the analyst to listen: it imports numpy, on a busy machine slowly."""
RESTART_S = 1.0
"""Between restarts of an analyst that keeps dying."""
STOP_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    directory: Path
    bind: str = "tcp://127.0.0.1:5557"
    name: str | None = None
    advertise: str | None = None
    insecure_bind: bool = False
    with_parent: bool = False
    keys: Path | None = None
    limits: Limits | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """Where a started aggregator is."""

    endpoint: str
    push_port: int
    rpc_port: int
    recording: str
    directory: str
    pid: int

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def open_writer(options: Options) -> RecordingWriter:
    """The writer of the recording that the options name. Raises RecordingError."""
    return RecordingWriter(options.directory, name=options.name, clock_ns=time.time_ns)


def serve(
    options: Options,
    announce: Callable[[Ready], None],
    open_writer: Callable[[Options], RecordingWriter] = open_writer,
) -> None:
    """Run until told to stop. `announce` is called once it listens.

    Raises AggregatorError for a port in use or an address that is refused, RecordingError for the recording.
    """
    host, port = _address(options)
    stopping = threading.Event()
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(open_writer(options))
        if writer.missing:
            log.warning("%d bytes of %s that were durable are gone", writer.missing, options.directory)
        context = zmq.Context()
        stack.callback(context.destroy, linger=0)
        key = ServerKey.read(options.keys) if options.keys is not None else None
        gate = Gate(context, options.keys)
        stack.callback(gate.close)
        doors = _open_doors(context, host, port, key)
        stack.callback(doors.close)
        analyst = Analyst(options.directory, host, port + 2 if port else 0, options.keys)
        stack.callback(analyst.stop)
        rpc_port = analyst.start()
        identity = Identity(
            writer.id, writer.name, doors.push_port, rpc_port, options.advertise,
            sys.modules["embertrace"].__version__, os.getpid(), time.time_ns(),
        )  # fmt: skip
        stack.enter_context(_signals(stopping))
        if options.with_parent:
            threading.Thread(target=_await_end_of_input, args=(stopping,), daemon=True).start()
        announce(
            Ready(f"tcp://{host}:{doors.control_port}", doors.push_port, rpc_port, writer.id,
                  str(options.directory), os.getpid())
        )  # fmt: skip
        collector = Collector(identity, writer.marks, writer.begun)
        retention = Retention(options.directory, options.limits or Limits(), clock_ns=time.time_ns)
        Ingest(doors, collector, writer, retention).run(lambda: stopping.is_set() or analyst.supervise())


def _address(options: Options) -> tuple[str, int]:
    """Host and port to bind, checked. Port 0 takes any."""
    any_port = options.bind.endswith(":0")
    try:
        host, port = check_endpoint(options.bind[:-2] + ":1" if any_port else options.bind)
    except ConfigError as error:
        raise AggregatorError(str(error).replace("endpoint", "--bind", 1)) from None
    if options.keys is None and not options.insecure_bind and not _is_loopback(host):
        raise AggregatorError(
            f"--bind {options.bind} would listen beyond this machine without keys: bind to 127.0.0.1, or make "
            "keys (`embertrace keys DIR --client NAME`) and say --keys DIR, or say --insecure-bind if all are trusted"
        )
    if options.keys is None and options.insecure_bind and not _is_loopback(host):
        log.warning("listening on %s without keys or encryption: anybody who reaches it can send and read", host)
    return host, 0 if any_port else port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _open_doors(context: zmq.Context[zmq.Socket[bytes]], host: str, port: int, key: ServerKey | None) -> Doors:
    try:
        return Doors(context, host, port, port + 1 if port else 0, key)
    except zmq.ZMQError as error:
        wanted = f"{host}:{port} or {host}:{port + 1}"
        raise AggregatorError(
            f"can't listen on {wanted}: {error.strerror}. Is another aggregator running? Choose another --bind"
        ) from None


class Analyst:
    """The analyst's process, from outside."""

    def __init__(self, directory: Path, host: str, port: int, keys: Path | None = None) -> None:
        self._directory = directory
        self._host = host
        self._port = port
        self._keys = keys
        self._process: subprocess.Popen[bytes] | None = None
        self._restart_at = 0.0

    def start(self) -> int:
        """Start it and wait until it listens; its port. Raises AggregatorError."""
        stdout = self._spawn().stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], START_S)
        line = stdout.readline() if ready else b""
        if not line:
            self.stop()
            raise AggregatorError(f"the query process did not start at {self._host}:{self._port or 'any port'}")
        self._port = int(json.loads(line)["rpc_port"])
        return self._port

    def supervise(self) -> bool:
        """Restart it at its port if it died, without waiting for it: recording goes on. False: no reason to stop."""
        process, now = self._process, time.monotonic()
        if process is not None and process.poll() is not None and now >= self._restart_at:
            self._restart_at = now + RESTART_S
            log.warning("the query process ended with %s and is restarted; recording goes on", process.returncode)
            self._close_pipes(process)
            self._spawn()
        return False

    def _spawn(self) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C is this process's to handle."""
        command = [sys.executable, "-m", "aggregator.analyst", str(self._directory), self._host, str(self._port)]
        command += [str(self._keys)] if self._keys is not None else []
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        return self._process

    def stop(self) -> None:
        """The end of its standard input tells it to stop."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:  # in the middle of a heavy question
            process.kill()
            process.wait()
        self._close_pipes(process)

    @staticmethod
    def _close_pipes(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stopping` while the block runs."""
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_end_of_input(stopping: threading.Event) -> None:
    """The parent holds the other end of standard input: its end is the parent's."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stopping.set()
