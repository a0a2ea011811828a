"""Small file systems of a test's own, where the machine lets it mount some."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

import pytest


def _mount(*arguments: object) -> str:
    """What mount complains of; empty if it worked."""
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"mount ended with {done.returncode}"


@contextlib.contextmanager
def tmpfs(place: pathlib.Path, options: str) -> Iterator[pathlib.Path]:
    """A tmpfs at `place`, which is made; skips the test where that is not permitted."""
    place.mkdir(parents=True, exist_ok=True)
    refusal = _mount("-t", "tmpfs", "-o", options, "tmpfs", place)
    if refusal:
        pytest.skip(f"no file system can be mounted here: {refusal}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, timeout=30, check=True)


def remount(place: pathlib.Path, options: str) -> None:
    """Change what is mounted at `place`."""
    refusal = _mount("-o", f"remount,{options}", place)
    assert not refusal, refusal
