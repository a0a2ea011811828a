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
from collections.abc import Iterator
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STOP_S = 60.0


def environment() -> dict[str, str]:
    """This process's own, in which children find this clone and the benchmarks."""
    paths = [str(ROOT), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("EMBERTRACE_", "OTEL_"))}
    return {**mine, "PYTHONPATH": os.pathsep.join(paths)}


def step(script: str, *arguments: object, timeout_s: float = 600.0) -> Any:
    """Run `script` (a file beside this one) in a process of its own; what it prints last is its answer, in JSON."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def started(*command: str) -> Iterator[tuple[Any, subprocess.Popen[bytes]]]:
    """A process that says in its first line, in JSON, where it is, and ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} did not start")
        yield json.loads(line), process
    finally:
        process.stdin.close()
        process.wait(STOP_S)
        process.stdout.close()


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
