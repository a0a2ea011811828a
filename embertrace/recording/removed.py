"""removed.json: what was removed of a recording on purpose. Its absence says that nothing was.

    {"before": <position>, "segments": <how many>, "crc": "<CRC-32 of what stands before `, "crc"`, in 8 hex digits>"}

What lies before that position was removed by retention: that it is not there is no damage, and readers pass over what
may still be left of it. A statement that can't be read, or does not match its checksum, counts for nothing, so that the
same absence is damage again. The first versions stated none.

It is written into space that was kept for it: of all times, segments must go when the disk is full.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from embertrace.recording.files import REMOVED, TEMPORARY, give_name, write_all

_MAX_BYTES = 4096
"""Also what is kept: a block."""
_CRC = b', "crc": "'


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
        is_whole = "crc" not in fields or fields["crc"] == _checksum(text.partition(_CRC)[0])
    except (FileNotFoundError, ValueError, RecursionError, TypeError, KeyError):
        return Removed()
    if type(before) is not int or type(segments) is not int or before < 0 or segments < 0 or not is_whole:
        return Removed()
    return Removed(before, segments)


def write_removed(directory: Path, removed: Removed) -> None:
    """State it, durably and at once. Raises OSError; for lack of space only where none could be kept."""
    stated = json.dumps(removed._asdict()).encode()[:-1]
    _write_beside(directory, stated + _CRC + _checksum(stated).encode() + b'"}\n')
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


def _checksum(stated: bytes) -> str:
    return f"{zlib.crc32(stated):08x}"
