"""recording.json: what makes a directory a recording. And the names recordings may have.

    {"format": 1, "id": "<32 hexadecimal digits>", "name": "monday", "created": 1760000000.0}

A recording of another format is refused, never guessed at; keys this version does not know are ignored.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from embertrace.errors import RecordingError
from embertrace.recording.files import DISK, MANIFEST, SEGMENTS, Disk, write_durably
from embertrace.recording.layout import FORMAT

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(r"[0-9a-f]{32}")
_MAX_BYTES = 64 * 1024
"""The file is a hundred bytes; whatever is much larger is something else and is not read."""


class Manifest(NamedTuple):
    """`id` tells recordings apart for good, `name` is for people, `created` is Unix seconds."""

    id: str
    name: str
    created: float


def check_name(name: str) -> str:
    """`name` itself if a recording may be called so. Raises RecordingError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RecordingError(
            f"{name!r} can't name a recording: a name has 1 to 100 letters, digits, dots, hyphens and underscores, "
            "and begins with a letter or a digit"
        )
    return name


def write_manifest(directory: Path, manifest: Manifest, disk: Disk = DISK) -> None:
    """Make `directory` a recording, durably and at once. Raises OSError."""
    text = json.dumps({"format": FORMAT, **manifest._asdict()})
    write_durably(directory / MANIFEST, text.encode() + b"\n", disk)


def make_recording(directory: Path, name: str | None, clock_ns: Callable[[], int], disk: Disk = DISK) -> Manifest:
    """What the recording in `directory` is; where there is none yet, it is made one, called `name` or as its directory.

    Raises RecordingError where it is of another name than that, and as `read_manifest` does; OSError.
    """
    if not (directory / MANIFEST).exists():
        called = name if name is not None else directory.resolve().name
        fresh = Manifest(secrets.token_hex(16), check_name(called), clock_ns() / 1e9)
        write_manifest(directory, fresh, disk)
        return fresh
    found = read_manifest(directory)
    if name is not None and name != found.name:
        raise RecordingError(
            f"{directory} is the recording {found.name!r}, not {name!r}: use its name or another directory"
        )
    return found


def read_manifest(directory: Path) -> Manifest:
    """What `directory` says it is. Raises RecordingError for anything but a recording of a format known here."""
    path = directory / MANIFEST
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise RecordingError(absence(directory)) from None
    except NotADirectoryError:
        raise RecordingError(f"{directory} is a file; a recording is a directory with a {MANIFEST} in it") from None
    except OSError as error:
        raise RecordingError(f"{path} can't be read: {error.strerror or error}; check its permissions") from error
    return _parse(path, text)


def absence(directory: Path) -> str:
    """One sentence on a directory that has no recording.json, or is not there."""
    if not directory.exists():
        return f"there is no recording at {directory}: check the path"
    if (directory / SEGMENTS).is_dir():
        return f"{directory} has segments of a recording, but its {MANIFEST} is missing: restore it from a copy"
    return f"{directory} is no recording: it has no {MANIFEST}; check the path"


def _parse(path: Path, text: bytes) -> Manifest:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise RecordingError(f"{path} is damaged: it is not JSON; restore it from a copy") from None
    version = fields.get("format") if isinstance(fields, dict) else None
    if type(version) is int and version > FORMAT:
        raise RecordingError(
            f"{path.parent} is a recording of format {version} and this embertrace reads format {FORMAT}: "
            "update embertrace to open it"
        )
    if type(version) is int and version < FORMAT:
        raise RecordingError(
            f"{path.parent} is a recording of format {version} and this embertrace reads format {FORMAT}: "
            "open it with the version of embertrace that wrote it"
        )
    if type(version) is not int:
        raise RecordingError(f"{path} is damaged: it states no format; restore it from a copy")
    name, identity, created = fields.get("name"), fields.get("id"), fields.get("created")
    valid = isinstance(name, str) and _NAME.fullmatch(name) and isinstance(identity, str) and _ID.fullmatch(identity)
    if not valid or type(created) not in (int, float):
        raise RecordingError(f"{path} is damaged: its id, name or creation time is not valid; restore it from a copy")
    return Manifest(identity, name, created)
