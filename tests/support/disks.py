"""Disks that fail, fill up, or take their process with them, for writers and aggregators under test."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embertrace.recording import Disk

KILLED = 9
"""The exit code of a process that was killed at a failpoint."""
MOMENTS = ("before", "half", "after")


class FullDisk(Disk):
    """Has `space` bytes left. A write takes what there is and then fails; a cut gives back what was written since."""

    def __init__(self, space: int) -> None:
        self.space = space
        self.failed = 0

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        content = b"".join(parts)
        super().write(descriptor, [content[: self.space]])
        if len(content) > self.space:
            self.failed += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.space -= len(content)


class FailingDisk(Disk):
    """Raises `code` from the `place`-th call of one operation on, `times` times; counted from 1."""

    def __init__(self, operation: str, place: int = 1, code: int = errno.EIO, times: int = 1 << 30) -> None:
        self._operation = operation
        self._failing = range(place, place + times)
        self._code = code
        self.calls = 0

    def _note(self, operation: str) -> None:
        if operation == self._operation:
            self.calls += 1
            if self.calls in self._failing:
                raise OSError(self._code, os.strerror(self._code))

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        self._note("write")
        super().write(descriptor, parts)

    def cut(self, descriptor: int, size: int) -> None:
        self._note("cut")
        super().cut(descriptor, size)

    def sync_data(self, descriptor: int) -> None:
        self._note("sync_data")
        super().sync_data(descriptor)

    def sync(self, descriptor: int) -> None:
        self._note("sync")
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename")
        super().rename(source, target)

    def sync_directory(self, directory: Path) -> None:
        self._note("sync_directory")
        super().sync_directory(directory)


class KillingDisk(Disk):
    """Kills its process at the `place`-th operation of any kind, counted from 1: before it, after it, or half-way.

    Half-way means something for a write only; of the other operations it is before.
    """

    def __init__(self, place: int, moment: str) -> None:
        assert moment in MOMENTS
        self._left = place
        self._moment = moment

    def _do(self, operation: Any, *arguments: Any) -> None:
        self._left -= 1
        if self._left == 0 and self._moment != "after":
            os._exit(KILLED)
        operation(*arguments)
        if self._left == 0:
            os._exit(KILLED)

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        if self._left == 1 and self._moment == "half":
            content = b"".join(parts)
            super().write(descriptor, [content[: len(content) // 2]])
        self._do(super().write, descriptor, parts)

    def cut(self, descriptor: int, size: int) -> None:
        self._do(super().cut, descriptor, size)

    def sync_data(self, descriptor: int) -> None:
        self._do(super().sync_data, descriptor)

    def sync(self, descriptor: int) -> None:
        self._do(super().sync, descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._do(super().rename, source, target)

    def sync_directory(self, directory: Path) -> None:
        self._do(super().sync_directory, directory)
