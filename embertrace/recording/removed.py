"""removed.json: what was removed of a recording on purpose. Its absence says that nothing was.

    {"before": <position>, "segments": <how many>, "crc": …}

What lies before that position was removed by retention: that it is not there is no damage, and readers pass over what
may still be left of it. A statement that can't be read, or does not match its checksum, counts for nothing, so that the
same absence is damage again.

It is written into space that was kept for it: of all times, segments must go when the disk is full.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from embertrace.recording.files import REMOVED, TEMPORARY, give_name, write_all
from embertrace.recording.stated import is_whole, stated

_MAX_BYTES = 4096
"""Also what is kept: a block."""


class Removed(NamedTuple):
    """`segments` segments, up to position `before`, were removed on purpose."""

    before: int = 0
    segments: int = 0


def read_removed(directory: Path) -> Removed:
    """What a recording says of itself; nothing removed where it says nothing that can be read. Raises OSError."""
    try:
        with (directory / REMOVED).open("rb") as file:
            text = file.read(_MAX_BYTES)
        fields = json.loads(text)
        before, segments = fields["before"], fields["segments"]
        valid = is_whole(text, fields) and type(before) is int and type(segments) is int
    except (FileNotFoundError, ValueError, RecursionError, TypeError, KeyError):
        return Removed()
    return Removed(before, segments) if valid and before >= 0 and segments >= 0 else Removed()


def write_removed(directory: Path, removed: Removed) -> None:
    """State it, durably and at once. Raises OSError; for lack of space only where none could be kept."""
    _write_beside(directory, stated(removed._asdict()))
    give_name(directory / REMOVED)


def keep_space(directory: Path) -> None:
    """Make sure of the space for the next statement. Costs a look where it is kept already. Raises OSError."""
    beside = _beside(directory)
    if not beside.exists() or beside.stat().st_size < _MAX_BYTES:
        _write_beside(directory, bytes(_MAX_BYTES))


def _write_beside(directory: Path, content: bytes) -> None:
    """Over what is there, so that no other space is needed; synced."""
    descriptor = os.open(_beside(directory), os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        write_all(descriptor, [content])
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(directory: Path) -> Path:
    return directory / (REMOVED + TEMPORARY)
