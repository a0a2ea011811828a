"""removed.json: what was removed of a recording on purpose. Its absence says that nothing was.

    {"before": <position>, "segments": <how many>}

What lies before that position was removed by retention: that it is not there is no damage, and readers pass over what
may still be left of it. A statement that can't be read counts for nothing, so that the same absence is damage again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from embertrace.recording.files import REMOVED, write_durably

_MAX_BYTES = 4096


class Removed(NamedTuple):
    """`segments` segments, up to position `before`, were removed on purpose."""

    before: int = 0
    segments: int = 0


def read_removed(directory: Path) -> Removed:
    """What a recording says of itself; nothing removed where it says nothing that can be read. Raises OSError."""
    try:
        with (directory / REMOVED).open("rb") as file:
            fields = json.loads(file.read(_MAX_BYTES))
        before, segments = fields["before"], fields["segments"]
    except (FileNotFoundError, ValueError, RecursionError, TypeError, KeyError):
        return Removed()
    if type(before) is not int or type(segments) is not int or before < 0 or segments < 0:
        return Removed()
    return Removed(before, segments)


def write_removed(directory: Path, removed: Removed) -> None:
    """State it, durably and at once. Raises OSError."""
    write_durably(directory / REMOVED, json.dumps(removed._asdict()).encode() + b"\n")
