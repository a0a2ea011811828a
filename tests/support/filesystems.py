"""Real file systems that are small or read-only, for tests that are allowed to mount."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def mounted(size_bytes: int) -> Iterator[pathlib.Path]:
    """A tmpfs of that size at a new directory; skips the test where mounting is not permitted.

    Not below pytest's own directories: it could not clean them up if this process were killed before it unmounts.
    """
    at = pathlib.Path(tempfile.mkdtemp(prefix="embertrace-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(at)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)
        at.rmdir()


def resize(at: pathlib.Path, size_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(at)], check=True)


def make_read_only(at: pathlib.Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(at)], check=True)
