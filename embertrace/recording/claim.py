"""Claiming a directory for a recording: it may hold one, and no other writer has it.

Rules:
- A directory with anything else in it is refused and left alone.
- The lock is the kernel's: it ends with the process that holds it, however that dies. A stale file is no lock.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from embertrace.errors import LockedError, RecordingError
from embertrace.recording.files import LOCK, MANIFEST, SEGMENTS, TEMPORARY, sync_directory
from embertrace.recording.manifest import absence


def make_directory(directory: Path) -> None:
    """The directory, if it may hold a recording: new, empty, or a recording already (or the beginnings of one).

    Raises RecordingError or OSError.
    """
    if directory.exists() and not directory.is_dir():
        raise RecordingError(f"{directory} is a file; a recording is a directory: choose another path")
    directory.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in directory.iterdir()}
    if MANIFEST not in names and SEGMENTS in names:
        raise RecordingError(absence(directory))
    if MANIFEST not in names and names - {LOCK, MANIFEST + TEMPORARY}:
        raise RecordingError(
            f"{directory} is not empty and no recording (it has no {MANIFEST}): choose a new or an empty directory"
        )
    sync_directory(directory.parent)


def take_lock(directory: Path) -> int:
    """The descriptor that holds the lock. The kernel lets go of it when the process dies, however it dies.

    A forked child would hold it on: a writer's process starts others with exec, which closes the descriptor.
    Raises LockedError where another process has it, or OSError.
    """
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = re.match(rb"[0-9]{1,10}", os.pread(descriptor, 32, 0))
            who = f" (process {holder[0].decode()})" if holder else ""
            raise LockedError(
                f"{directory} is being written by another aggregator{who}: stop that one or choose another directory"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
