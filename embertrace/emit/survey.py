"""What lies in a spool directory, and whether spools work there: looked at, and left as it is.

Rules:
- Nothing is delivered, deleted or marked. A stream's lock is tried and let go of at once: whoever adopts at that very
  moment does so at its next look.
- Events are counted for the dead only, and only until `deadline`: a living process is about to deliver its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import time
from pathlib import Path
from typing import Literal

from embertrace.emit import spool_directory
from embertrace.emit.extent import scan
from embertrace.emit.files import map_ahead
from embertrace.emit.spool_directory import EXTENT, LOCK, ORPHANED, Meta
from embertrace.emit.storage import EXTENT_BYTES
from embertrace.errors import VersionError

Owner = Literal["alive", "dead", "unknown"]
"""Whether the process that emitted a stream, or one that adopted it, holds it; unknown where we may not look."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stream:
    """One stream. `meta` is None where it can't be read; `bytes` are those of its files."""

    producer: str
    owner: Owner
    meta: Meta | None
    bytes: int
    events: int | None = None
    """Events in a dead process's stream, acknowledged before or not; None where they were not counted."""
    orphaned: float | None = None
    """Since when nobody could deliver it, Unix seconds; None while nobody tried."""


def survey(directory: Path, deadline: float) -> list[Stream]:
    """The streams in a directory, in order of their names; none where there is none. `deadline` is monotonic."""
    return [_look(path, deadline) for path in sorted(spool_directory.streams(directory))]


def rehearse(directory: Path) -> None:
    """Do there what the first event of a process does, and undo it. Raises OSError where spools can't work."""
    claim = spool_directory.prepare(directory, secrets.token_bytes(16), Meta("tcp://localhost:1"))
    try:
        map_ahead(claim.path / f"0{EXTENT}", EXTENT_BYTES).close()
    finally:
        claim.delete()


def _look(path: Path, deadline: float) -> Stream:
    owner = _owner(path)
    files = _extents(path)
    orphaned = None
    with contextlib.suppress(OSError):
        orphaned = (path / ORPHANED).stat().st_mtime
    events = _count(list(files), deadline) if owner == "dead" else None
    return Stream(path.name, owner, Meta.read(path), sum(files.values()), events, orphaned)


def _owner(path: Path) -> Owner:
    if not os.access(path / LOCK, os.R_OK | os.W_OK):
        return "unknown"
    claim = spool_directory.claim(path)
    if claim is None:
        return "alive"
    claim.release()
    return "dead"


def _extents(path: Path) -> dict[Path, int]:
    """The files of a stream's extents, and their bytes."""
    found = {}
    for file in spool_directory.extents(path):
        with contextlib.suppress(OSError):  # it was delivered meanwhile
            found[file] = file.stat().st_size
    return found


def _count(files: list[Path], deadline: float) -> int | None:
    """Whole events in extents; None where the time did not suffice, or a file can't be read."""
    events = 0
    for file in files:
        if time.monotonic() >= deadline:
            return None
        try:
            found = scan(file.read_bytes())
        except (OSError, VersionError):
            return None
        events += found.events if found is not None else 0
    return events
