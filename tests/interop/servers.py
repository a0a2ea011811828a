"""Foreign servers in environments of their own, under build/, started and stopped by this process."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build" / "interop"
START_S = 180.0
"""The first start of a server that makes its tables, on a busy machine."""
READ_S = 60.0


class NotToBeHad(Exception):
    """A package that could not be installed; the message has pip's last line."""


def environment(package: str) -> pathlib.Path:
    """The bin directory of an environment with a package, made if need be. Raises NotToBeHad."""
    directory = BUILD / package
    if not (directory / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        print(f"installing {package} into {directory}", flush=True)
        command = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotToBeHad((done.stderr.strip() or "pip said nothing").splitlines()[-1])
        (directory / "installed").touch()
    return directory / "bin"


def version_of(bin_directory: pathlib.Path, package: str) -> str:
    program = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([str(bin_directory / "python"), "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def running(
    command: list[str], settings: Mapping[str, str], directory: pathlib.Path, health: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at `health`. Its output goes to `directory`/log."""
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, cwd=directory, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        wait_for(lambda: process.poll() is not None or answers(health), START_S, f"nothing answers at {health}")
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}:\n{(directory / 'log').read_text()[-2000:]}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def wait_for(what: Callable[[], bool], seconds: float, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(why)
        time.sleep(0.2)


def asked(url: str, body: Mapping[str, Any] | None = None) -> Any:
    """What a server answers, as JSON; with a body by POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())
