"""The shell of the doctor: looks around, and decides nothing.

Rules:
- It changes nothing: what it tries in the spool directory it undoes, and Ray is asked only if it runs here already.
- Each look has a thread of its own and LIMIT_S; one that takes longer is left behind and said to be unknown. A file
  system that hangs, or a resolver that does, holds up nothing else.
- It never raises for what it finds: that is an Unknown.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import queue
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from embertrace import __version__, config, emit, keys
from embertrace.client import Client
from embertrace.config import Settings, check_endpoint
from embertrace.doctor.facts import Aggregator, Facts, Installed, Origin, Spools, Unknown
from embertrace.emit.survey import rehearse, survey
from embertrace.errors import EmbertraceError, SecurityError
from embertrace.keys import ClientKey
from embertrace.wire.control import Welcome

LIMIT_S = 5.0
"""For each look: what is well answers in milliseconds, also across a continent."""
USUAL_ENDPOINT = "tcp://127.0.0.1:5557"
"""Where `embertrace aggregate` listens if not told otherwise."""
PACKAGES = ("pyzmq", "msgpack", "numpy", "ray")
NOT_ASKED = Unknown("not asked, as it can't be reached")

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([<>=!~][^;]*)?")

T = TypeVar("T")


def look_around(endpoint: str | None, environment: Mapping[str, str]) -> Facts:
    """All facts; `endpoint` is the aggregator to look at, None for the one that is set in `environment`."""
    settings = bounded(lambda: config.from_environment(environment))
    known = settings if isinstance(settings, Settings) else Settings()
    key = bounded(lambda: keys.load(known.key))
    origin: Origin = "given" if endpoint is not None else "configured" if known.endpoint is not None else "usual"
    chosen = endpoint or known.endpoint or USUAL_ENDPOINT
    return Facts(
        now=time.time(),
        uid=os.geteuid(),
        host=platform.node(),
        installed=look_at_installed(),
        settings=settings,
        key=key.name if isinstance(key, ClientKey) else key,
        strangers=tuple(config.unknown_variables(environment)),
        spools=bounded(lambda: look_at_spools(emit.spool_path(known))),
        aggregator=look_at_aggregator(chosen, origin, key if isinstance(key, ClientKey) else None),
    )


def bounded(look: Callable[[], T]) -> T | Unknown:
    """What a look gives, or why it gave nothing within LIMIT_S."""
    outcome: queue.SimpleQueue[T | Unknown] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(look())
        except SecurityError as error:
            outcome.put(Unknown(str(error), refused=True))
        except EmbertraceError as error:
            outcome.put(Unknown(str(error)))
        except Exception as error:  # a doctor that falls ill over a finding helps nobody
            outcome.put(Unknown(f"{type(error).__name__}: {error}"))

    threading.Thread(target=run, name="embertrace-doctor", daemon=True).start()
    try:
        return outcome.get(timeout=LIMIT_S)
    except queue.Empty:
        return Unknown(f"nothing came back within {LIMIT_S:g} s")


def look_at_installed() -> Installed:
    """Versions by the metadata of what is installed."""
    versions = {"embertrace": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Installed(versions, _ranges(), _ray())


def _ranges() -> dict[str, str]:
    try:
        about = importlib.metadata.metadata("embertrace")
    except importlib.metadata.PackageNotFoundError:
        return {}
    ranges = {"python": about["Requires-Python"] or ""}
    for requirement in about.get_all("Requires-Dist") or ():
        match = _REQUIREMENT.match(requirement)
        if match is not None and match[1].lower() in PACKAGES and match[2]:
            ranges.setdefault(match[1].lower(), match[2].strip())
    return ranges


def _ray() -> str | None:
    """Of the Ray that this process runs already, if any."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    resources = bounded(ray.cluster_resources)
    if isinstance(resources, Unknown):
        return f"running, but does not answer: {resources.why}"
    return f"running, with {resources.get('CPU', 0):g} CPUs"


def look_at_spools(directory: Path | None) -> Spools | None:
    """The directory of spools; None without one. A second is kept for what comes after the counting of events."""
    if directory is None:
        return None
    deadline = time.monotonic() + LIMIT_S - 1.0
    exists = directory.is_dir()
    place = directory if exists else next(parent for parent in (directory, *directory.parents) if parent.exists())
    fault, free_bytes = None, None
    try:
        if exists:
            rehearse(directory)
        elif not place.is_dir():
            fault = f"{place} is a file"
        elif not os.access(place, os.W_OK | os.X_OK):
            fault = f"{place} can't be written to"
        free_bytes = shutil.disk_usage(place).free
    except OSError as error:
        fault = error.strerror or str(error)
    return Spools(directory, exists, fault, free_bytes, tuple(survey(directory, deadline)))


def look_at_aggregator(endpoint: str, origin: Origin, key: ClientKey | None) -> Aggregator | Unknown:
    """Knock at its doors, the first of them first, and ask those that open."""
    address = bounded(lambda: check_endpoint(endpoint))
    if isinstance(address, Unknown):
        return address
    host, port = address
    door = _knock(host, port)
    if door is not None:
        return Aggregator(endpoint, origin, door, NOT_ASKED, NOT_ASKED, NOT_ASKED)
    client = Client(endpoint, timeout_s=LIMIT_S - 1.0, key=key)
    welcome = bounded(client.locate)
    if not isinstance(welcome, Welcome):
        return Aggregator(endpoint, origin, None, welcome, NOT_ASKED, NOT_ASKED)
    push, rpc = _knock(welcome.host or host, welcome.push_port), _knock(welcome.host or host, welcome.rpc_port)
    http = _knock(welcome.host or host, welcome.http_port) if welcome.http_port is not None else None
    state = bounded(client.inspect)
    info = rpc if rpc is not None else bounded(lambda: _info(endpoint, key))
    return Aggregator(endpoint, origin, None, welcome, state, info, push, rpc, http)


def _info(endpoint: str, key: ClientKey | None) -> Mapping[str, Any]:
    with Client(endpoint, timeout_s=LIMIT_S / 2 - 0.5, key=key) as client:  # it waits as long for each of two answers
        return dict(client.call("info"))


def _knock(host: str, port: int) -> Unknown | None:
    """Why no connection comes about; None if one does."""

    def connect() -> None:
        try:
            socket.create_connection((host.strip("[]"), port), timeout=LIMIT_S).close()
        except ConnectionRefusedError:
            raise EmbertraceError("nothing listens there") from None
        except socket.gaierror:
            raise EmbertraceError(f"no host has the name {host}") from None

    return bounded(connect)
