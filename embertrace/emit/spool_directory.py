"""The directory of spools: one for all processes of a user on a machine, in it a directory for each stream.

    <producer>/              32 hex digits
        meta.json            where the events are to go, and who emitted them (see Meta)
        lock                 held with flock by whoever owns the stream; free when that process has died
        NNNNNNNN.ext         extents; their order is that of their seqs, not of their names
        acknowledged         the last seq that was known to be durable whenever all was: 8 bytes, and their CRC-32
        orphaned             there since the owner was first found dead and nobody could deliver (its time of change)
    .<producer>/             a stream that is being made, or deleted

Rules:
- A stream appears under its name when it is locked and described, and loses the name before it loses its files.
- The lock has a file of its own: a lock on a mapped file would be held by every forked child that inherits the mapping.
  A forked child closes its copies of the descriptors, which leaves the locks to its parent.
- What is no directory or file of its own (a link, a pipe) is not opened: it was put there by somebody else.
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
import stat
import struct
import time
import zlib
from pathlib import Path
from typing import Any

VERSION = 1
META, LOCK, ACKNOWLEDGED, ORPHANED, EXTENT = "meta.json", "lock", "acknowledged", "orphaned", ".ext"
MAX_META_BYTES = 16 * 1024
RESERVED_BYTES = 4096
"""A block: the meta is written again when the recording is known, and the disk may be full then."""
LEFTOVER_S = 3600.0
"""A directory without a name that is older is what somebody died over; making one takes milliseconds."""
_SEQ = struct.Struct("<Q")
_CRC = struct.Struct("<I")
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
            values: Any = json.loads(read_file(stream / META, MAX_META_BYTES))
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
        packed = json.dumps(dataclasses.asdict(meta)).encode()
        beside = self._beside
        _write(beside, packed)
        os.truncate(beside, len(packed))
        beside.rename(self.path / META)

    def reserve(self) -> None:
        """Make sure of the space for `describe` and `acknowledge`. Raises OSError."""
        _write(self.path / ACKNOWLEDGED, bytes(_SEQ.size + _CRC.size))
        _write(self._beside, bytes(RESERVED_BYTES))

    def acknowledge(self, mark: int) -> None:
        """Everything in the stream, which is everything up to `mark`, is durable elsewhere. Raises OSError."""
        packed = _SEQ.pack(mark)
        _write(self.path / ACKNOWLEDGED, packed + _CRC.pack(zlib.crc32(packed)))

    def acknowledged(self) -> int:
        """The last mark of which its owner wrote that; 0 where there is none that can be read."""
        with contextlib.suppress(OSError, struct.error):
            packed = read_file(self.path / ACKNOWLEDGED, _SEQ.size + _CRC.size)
            if _CRC.unpack(packed[_SEQ.size :])[0] == zlib.crc32(packed[: _SEQ.size]):
                return int(_SEQ.unpack(packed[: _SEQ.size])[0])
        return 0

    @property
    def _beside(self) -> Path:
        return self.path / (META + ".tmp")

    def rename(self, path: Path) -> None:
        self.path.rename(path)
        self.path = path

    def extents(self) -> list[Path]:
        """The files of its extents. None where there is no directory any more."""
        return extents(self.path)

    def orphaned_s(self, now: float) -> float:
        """Seconds since this was first asked, by whoever could not deliver the stream. `now` in Unix seconds.

        Where a clock was set back meanwhile, they are counted from now.
        """
        path = self.path / ORPHANED
        with contextlib.suppress(OSError):
            since = path.lstat().st_mtime if path.is_file() else None
            if since is None or since > now:
                _write(path, b"")
                os.utime(path, (now, now), follow_symlinks=False)
                return 0.0
            return now - since
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
                with contextlib.suppress(OSError):  # a directory, which somebody else put there
                    path.unlink(missing_ok=True)
            self.path.rmdir()
        self.release()


def create(directory: Path, producer: bytes, meta: Meta) -> Claim:
    """A new stream, locked and described. Raises OSError, also where locks don't hold anybody off."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = prepare(directory, producer, meta)
    try:
        made.rename(directory / producer.hex())
    except BaseException:
        made.delete()
        raise
    return made


def prepare(directory: Path, producer: bytes, meta: Meta) -> Claim:
    """A stream without a name, locked and described: nobody else sees it. Raises OSError as `create`."""
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
        made.reserve()
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
    return _directories(directory, "")


def extents(stream: Path) -> list[Path]:
    """The files of a stream's extents, links and pipes excluded. None where there is no directory any more."""
    with contextlib.suppress(OSError), os.scandir(stream) as entries:
        found = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        return sorted(stream / name for name in found if name.endswith(EXTENT))
    return []


def held_bytes(directory: Path) -> int:
    """Bytes of all extents in the directory."""
    total = 0
    for stream in streams(directory):
        with contextlib.suppress(OSError), os.scandir(stream) as entries:  # it may be deleted meanwhile
            found = (entry.stat(follow_symlinks=False) for entry in entries if entry.name.endswith(EXTENT))
            total += sum(status.st_size for status in found)
    return total


def sweep(directory: Path, now: float) -> None:
    """Remove what is left of streams that somebody died over while making or deleting them. `now` in Unix seconds."""
    for path in _directories(directory, "."):
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > LEFTOVER_S:
                os.close(_open_lock(path))
                left = claim(path)
                if left is not None:
                    left.delete()


def read_file(path: Path, most_bytes: int) -> bytes:
    """The first bytes of a file. Raises OSError, also for what is no file: a pipe would wait, a link lead elsewhere."""
    descriptor = _open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return file.read(most_bytes)


def _directories(directory: Path, prefix: str) -> list[Path]:
    """Directories named by a producer after `prefix`, links excluded."""
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            is_named = entry.name.startswith(prefix) and _NAME.fullmatch(entry.name[len(prefix) :])
            if is_named and entry.is_dir(follow_symlinks=False):
                found.append(directory / entry.name)
    return found


def _write(path: Path, data: bytes) -> None:
    """Over what is there. Raises OSError."""
    with os.fdopen(_open(path, os.O_WRONLY | os.O_CREAT), "wb") as file:
        file.write(data)


def _open_lock(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Raises OSError."""
    return _open(path / LOCK, flags)


def _open(path: Path, flags: int) -> int:
    """Raises OSError."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def _close_in_child() -> None:
    for lock in _held:
        with contextlib.suppress(OSError):
            os.close(lock)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
