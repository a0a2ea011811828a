"""Start, supervise, drain, stop: the aggregator as one process to its user.

This process is the ingest; the analyst is its child (see child), restarted at the same ports if it dies. SIGTERM and
SIGINT, and for an embedded aggregator the end of standard input, stop it: what has arrived is drained and synced first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import ipaddress
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import zmq

from aggregator.child import MEMORY, Analyst, Orders
from aggregator.collector import Collector, Identity
from aggregator.export_child import Exporter, ExportOrders
from aggregator.gate import Gate
from aggregator.handing import Handed
from aggregator.ingest import Doors, Ingest
from embertrace.config import check_endpoint
from embertrace.errors import AggregatorError, ConfigError, MissingExtraError, SecurityError
from embertrace.interop.otlp_http import traces_url
from embertrace.keys import ServerKey, read_token
from embertrace.recording import Limits, RecordingWriter, Retention

log = logging.getLogger("aggregator")

WEB_LIBRARIES = ("fastapi", "uvicorn")
EVERYWHERE = ("0.0.0.0", "[::]", "*")
"""Hosts that mean all addresses of this machine."""


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
    memory: int = MEMORY
    otlp: str | None = None
    """The receiver that gets spans as they come about."""
    phoenix: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """Where a started aggregator is."""

    endpoint: str
    push_port: int
    rpc_port: int
    recording: str
    directory: str
    pid: int
    http_port: int | None = None
    page: str | None = None
    """The address of the page; None where there is no HTTP."""

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
        handed = Handed(writer.id)
        stack.callback(handed.close)
        analyst = Analyst(_orders(options, host, port, handed.given))
        stack.callback(analyst.stop)
        analyst.start()
        exporter = _start_exporter(options, writer.synced, stack)
        identity = Identity(
            writer.id, writer.name, doors.push_port, analyst.rpc_port, options.advertise,
            sys.modules["embertrace"].__version__, os.getpid(), time.time_ns(), analyst.http_port,
        )  # fmt: skip
        stack.enter_context(_signals(stopping))
        if options.with_parent:
            threading.Thread(target=_await_end_of_input, args=(stopping,), daemon=True).start()
        announce(_ready(options, host, identity, doors.control_port))
        collector = Collector(identity, writer.marks, writer.begun)
        retention = Retention(options.directory, options.limits or Limits(), clock_ns=time.time_ns)
        ingest = Ingest(
            doors, collector, writer, retention, handed=handed,
            beside=lambda: exporter.counters if exporter is not None else {},
        )  # fmt: skip

        def is_over() -> bool:
            if exporter is not None:
                exporter.supervise()
            return stopping.is_set() or analyst.supervise(ingest.state)

        ingest.run(is_over)


def _start_exporter(options: Options, start: int, stack: contextlib.ExitStack) -> Exporter | None:
    """The exporter, where there is to be one; a first one begins at position `start`. Raises ConfigError."""
    if options.otlp is None:
        return None
    url = traces_url(options.otlp)
    if not _is_installed("opentelemetry.proto"):
        raise MissingExtraError("OTLP export", "otlp")
    exporter = Exporter(ExportOrders(str(options.directory), url, options.phoenix, start))
    stack.callback(exporter.stop)
    exporter.start()
    return exporter


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is in
        return False


def _ready(options: Options, host: str, who: Identity, control_port: int) -> Ready:
    page = _page(options, host, who.http_port)
    where = f"tcp://{host}:{control_port}", who.push_port, who.rpc_port, who.recording, str(options.directory)
    return Ready(*where, who.pid, who.http_port, page)


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


def _orders(options: Options, host: str, port: int, labels: int) -> Orders:
    """What the analyst is to do. That there will be no HTTP, and why, is said here, once."""
    closed = _why_no_http(options, host)
    if closed is not None:
        log.info("no page and no HTTP: %s", closed)
    keys = str(options.keys) if options.keys is not None else None
    http_port = None if closed is not None else port + 3 if port else 0
    rpc_port = port + 2 if port else 0
    return Orders(str(options.directory), host, rpc_port, http_port, keys, options.advertise, labels, options.memory)


def _why_no_http(options: Options, host: str) -> str | None:
    """Why HTTP stays closed, in a sentence; None where it may open."""
    if not all(importlib.util.find_spec(library) for library in WEB_LIBRARIES):
        return str(MissingExtraError("HTTP", "web"))
    if options.keys is not None:
        try:
            read_token(options.keys)
        except SecurityError as error:
            return str(error)
    elif not _is_loopback(host):
        return "beyond this machine it needs a token: make one (`embertrace keys DIR`), and say --keys DIR"
    return None


def _page(options: Options, host: str, port: int | None) -> str | None:
    """The page's address, for a person on this machine or, where it is advertised, elsewhere."""
    if port is None:
        return None
    shown = options.advertise or ("127.0.0.1" if host in EVERYWHERE else host)
    return f"http://{shown}:{port}/"


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
