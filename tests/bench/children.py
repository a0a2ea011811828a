"""Processes that benchmarks start: a step of a measurement in a process of its own, an aggregator, an OTLP receiver.

Each lives inside a `with` block and has ended when that is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STOP_S = 60.0


def environment() -> dict[str, str]:
    """This process's own, in which children find this clone and the benchmarks."""
    paths = [str(ROOT), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("EMBERTRACE_", "OTEL_"))}
    return {**mine, "PYTHONPATH": os.pathsep.join(paths)}


def _keeping(cores: set[int] | None) -> Callable[[], None] | None:
    return None if cores is None else lambda: os.sched_setaffinity(0, cores)


def step(script: str, *arguments: object, timeout_s: float = 600.0, cores: set[int] | None = None) -> Any:
    """Run `script` (a file beside this one) in a process of its own; what it prints last is its answer, in JSON.

    It keeps to `cores` where they are given.
    """
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        preexec_fn=_keeping(cores),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def started(*command: str, cores: set[int] | None = None) -> Iterator[tuple[Any, subprocess.Popen[bytes]]]:
    """A process that says in its first line, in JSON, where it is, and ends with its standard input.

    It keeps to `cores` where they are given.
    """
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        bufsize=0,
        preexec_fn=_keeping(cores),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield said(process), process
    finally:
        process.stdin.close()
        process.wait(STOP_S)
        process.stdout.close()


def said(process: subprocess.Popen[bytes]) -> Any:
    """The next line that a process says, which is JSON."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args} said nothing, and ended with {process.wait(STOP_S)}")
    return json.loads(line)


def finish(process: subprocess.Popen[bytes]) -> Any:
    """End a process's standard input; the line that it then says."""
    assert process.stdin is not None
    process.stdin.close()
    return said(process)


@contextlib.contextmanager
def aggregator(directory: pathlib.Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A fresh aggregator that records below `directory`: (endpoint, process)."""
    command = ("-m", "aggregator", str(directory), "--bind", "tcp://127.0.0.1:0", "--ready-json", "--with-parent")
    with started(*command) as (ready, process):
        yield ready["endpoint"], process


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """A receiver of OTLP over HTTP, which reads requests and answers; its address."""
    with started(str(HERE / "otlp_receiver.py")) as (ready, _):
        yield ready["url"]
