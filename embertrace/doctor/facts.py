"""What a doctor observed: facts and nothing else. What could not be found out is an Unknown that says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from embertrace.config import Settings
from embertrace.emit.survey import Stream
from embertrace.wire.control import State, Welcome

Origin = Literal["given", "configured", "usual"]
"""How the endpoint that was examined came about: named to the doctor, set, or the one aggregators listen at if not
told otherwise."""


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown:
    """Why something is not known, in one sentence. `refused` says that a key was the reason."""

    why: str
    refused: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """Versions found, and the ranges wanted ("<4,>=3.1"), by the names of packages; "python" is among both.

    A package that is not installed has no version; without metadata there are no ranges.
    """

    versions: Mapping[str, str]
    ranges: Mapping[str, str]
    ray: str | None = None
    """What is known of a Ray that this process is connected to; None where there is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Spools:
    """The directory of spools on this machine. `fault` says why spools can't work there; None where they do."""

    directory: Path
    exists: bool
    fault: str | None
    free_bytes: int | None
    streams: tuple[Stream, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Aggregator:
    """An aggregator as it shows itself from here. What was not asked, as nothing was to be expected, is Unknown too.

    `door`, `push`, `rpc` and `http` are None where the port takes connections, `http` also where there is none.
    """

    endpoint: str
    origin: Origin
    door: Unknown | None
    welcome: Welcome | Unknown
    state: State | Unknown
    info: Mapping[str, Any] | Unknown
    """The analyst's answer to `info`."""
    push: Unknown | None = None
    rpc: Unknown | None = None
    http: Unknown | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """All that was observed. `now` is in Unix seconds; `uid` and `host` are the doctor's own."""

    now: float
    uid: int
    host: str
    installed: Installed
    settings: Settings | Unknown
    key: str | Unknown | None
    """The name of the key that is set; None without one."""
    strangers: tuple[str, ...] = ()
    """EMBERTRACE_* variables that are no setting."""
    spools: Spools | Unknown | None = None
    """None where undelivered events are to be held in memory."""
    aggregator: Aggregator | Unknown = Unknown("none was asked")
