"""The directory of spools: one for all processes of a user on a machine, in it a directory for each stream.

    <producer>/              32 hex digits
        meta.json            where the events are to go, and who emitted them (see Meta)
        lock                 held with flock by whoever owns the stream; free when that process has died
        NNNNNNNN.ext         extents; their order is that of their seqs, not of their names
        orphaned             there since the owner was first found dead and nobody could deliver (its time of change)
    .<producer>/             a stream that is being made, or deleted

Rules:
- A stream appears under its name when it is locked and described, and loses the name before it loses its files.
- The lock has a file of its own: a lock on a mapped file would be held by every forked child that inherits the mapping.
  A forked child closes its copies of the descriptors, which leaves the locks to its parent.
- Nothing is synced: what is written survives the death of a process, not that of its host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

VERSION = 1
META, LOCK, ORPHANED, EXTENT = "meta.json", "lock", "orphaned", ".ext"
MAX_META_BYTES = 16 * 1024
LEFTOVER_S = 3600.0
"""A directory without a name that is older is what somebody died over; making one takes milliseconds."""
_NAME = re.compile(r"[0-9a-f]{32}")
_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


def default_directory() -> Path:
    """$XDG_STATE_HOME/embertrace/spool, or ~/.local/state/embertrace/spool. Raises OSError where there is no home."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        home = Path(state) if state else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise FileNotFoundError(str(error)) from None
    return home / "embertrace" / "spool"


@dataclasses.dataclass(frozen=True, slots=True)
class Meta:
    """Where a stream's events go, and only there; and who emitted them. `created` is in Unix seconds."""

    endpoint: str
    key: str | None = None
    """The name of the security material that the endpoint wants."""
    recording: str | None = None
    """The id of the recording, once known."""
    uid: int = dataclasses.field(default_factory=os.geteuid)
    pid: int = dataclasses.field(default_factory=os.getpid)
    host: str = dataclasses.field(default_factory=platform.node)
    created: float = dataclasses.field(default_factory=time.time)
    version: int = VERSION

    @classmethod
    def read(cls, stream: Path) -> Meta | None:
        """A stream's meta; None where it can't be read, or is of another version."""
        try:
            with (stream / META).open("rb") as file:
                values: Any = json.loads(file.read(MAX_META_BYTES))
            meta = cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return meta if meta.version == VERSION and meta._is_sound() else None

    def is_ours(self) -> bool:
        """Whether it was left by a process of this user on this machine."""
        return (self.host, self.uid) == (platform.node(), os.geteuid())

    def suits(self, endpoint: str, recording: str, key: str | None) -> bool:
        """Whether this process may deliver it to the aggregator at `endpoint`, which writes `recording`."""
        is_meant = self.recording == recording or (self.recording is None and self.endpoint == endpoint)
        return is_meant and self.key == key and self.is_ours()

    def _is_sound(self) -> bool:
        texts = (self.endpoint, self.host, self.key or "", self.recording or "")
        return all(type(text) is str for text in texts) and type(self.uid) is int and type(self.pid) is int


class Claim:
    """A stream that this process owns: it holds the lock. `path` is the stream's directory."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock
        _held.add(lock)

    @property
    def producer(self) -> bytes:
        return bytes.fromhex(self.path.name.lstrip("."))

    def describe(self, meta: Meta) -> None:
        """Write the meta, whole at any moment. Raises OSError."""
        beside = self.path / (META + ".tmp")
        beside.write_text(json.dumps(dataclasses.asdict(meta)), encoding="utf-8")
        beside.rename(self.path / META)

    def rename(self, path: Path) -> None:
        self.path.rename(path)
        self.path = path

    def extents(self) -> list[Path]:
        """The files of its extents. None where there is no directory any more."""
        with contextlib.suppress(OSError):
            return sorted(path for path in self.path.iterdir() if path.suffix == EXTENT)
        return []

    def orphaned_s(self, now: float) -> float:
        """Seconds since this was first asked, by whoever could not deliver the stream. `now` in Unix seconds."""
        path = self.path / ORPHANED
        with contextlib.suppress(OSError):
            if not path.exists():
                path.touch()
                os.utime(path, (now, now))
            return now - path.stat().st_mtime
        return 0.0

    def release(self) -> None:
        """Leave the stream to others."""
        if self._lock is not None:
            _held.discard(self._lock)
            os.close(self._lock)
            self._lock = None

    def delete(self) -> None:
        """Remove the stream with all its files, and let go of it. What can't be removed stays."""
        with contextlib.suppress(OSError):
            self.rename(self.path.with_name("." + self.path.name.lstrip(".")))
        with contextlib.suppress(OSError):
            for path in list(self.path.iterdir()):
                path.unlink(missing_ok=True)
            self.path.rmdir()
        self.release()


def create(directory: Path, producer: bytes, meta: Meta) -> Claim:
    """A new stream, locked and described. Raises OSError, also where locks don't hold anybody off."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f".{producer.hex()}"
    path.mkdir(mode=0o700)
    lock = _open_lock(path)
    made = Claim(path, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second = claim(path)
        if second is not None:
            second.release()
            raise OSError(errno.ENOLCK, "locks hold nobody off", str(directory))
        made.describe(meta)
        made.rename(directory / producer.hex())
    except BaseException:
        made.delete()
        raise
    return made


def claim(path: Path) -> Claim | None:
    """Own a stream whose owner has died; None where it lives, or another was faster."""
    with contextlib.suppress(OSError):
        lock = _open_lock(path, os.O_RDWR)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (path / LOCK).stat()):  # else it was deleted by who had it
                return Claim(path, lock)
        os.close(lock)
    return None


def streams(directory: Path) -> list[Path]:
    """The streams there are, in any order. No directory has none."""
    with contextlib.suppress(OSError):
        return [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    return []


def held_bytes(directory: Path) -> int:
    """Bytes of all extents in the directory."""
    total = 0
    for stream in streams(directory):
        with contextlib.suppress(OSError), os.scandir(stream) as entries:  # it may be deleted meanwhile
            total += sum(entry.stat().st_size for entry in entries if entry.name.endswith(EXTENT))
    return total


def sweep(directory: Path, now: float) -> None:
    """Remove what is left of streams that somebody died over while making or deleting them. `now` in Unix seconds."""
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            is_leftover = path.name.startswith(".") and _NAME.fullmatch(path.name[1:])
            if is_leftover and now - path.stat().st_mtime > LEFTOVER_S:
                (path / LOCK).touch()
                left = claim(path)
                if left is not None:
                    left.delete()


def _open_lock(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Raises OSError."""
    return os.open(path / LOCK, flags | os.O_CLOEXEC, 0o600)


def _close_in_child() -> None:
    for lock in _held:
        with contextlib.suppress(OSError):
            os.close(lock)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
