"""Real aggregators as subprocesses of a test."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from embertrace.recording import BATCH, GAP, Record, Recording
from embertrace.wire.event import RawEvent, iter_events


@contextlib.contextmanager
def aggregator(
    directory: pathlib.Path,
    *arguments: str,
    bind: str = "tcp://127.0.0.1:0",
    log: pathlib.Path | None = None,
    placed: Callable[[Sequence[str]], list[str]] = list,
) -> Iterator[Any]:
    """A running aggregator: (ready line as a dict, process). Stopped by the end of its input.

    `log` gets its stderr. `placed` makes a command line one that runs somewhere else, such as on another host.
    """
    command = [sys.executable, "-m", "aggregator", str(directory), "--bind", bind, "--ready-json", "--with-parent"]
    with contextlib.ExitStack() as stack:
        stderr = stack.enter_context(log.open("ab")) if log is not None else None
        process = subprocess.Popen(
            placed([*command, *arguments]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the aggregator did not start, but ended with {process.wait(30)}"
        yield json.loads(line), process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def refused(directory: pathlib.Path, *arguments: str) -> str:
    """What an aggregator that can't start says; its exit code is 2."""
    command = [sys.executable, "-m", "aggregator", str(directory), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def recorded(directory: pathlib.Path) -> dict[bytes, list[tuple[int, str]]]:
    """Per producer, (seq, operator id) of each recorded event in order; a seq in a gap has "gap"."""
    found: dict[bytes, list[tuple[int, str]]] = {}
    for record in Recording.open(directory).records():
        assert isinstance(record, Record), record
        stream = found.setdefault(record.producer, [])
        if record.kind == GAP:
            stream += [(seq, "gap") for seq in range(record.first_seq, record.first_seq + record.count)]
        elif record.kind == BATCH:
            for place, event in enumerate(iter_events(record.payload, record.count)):
                assert isinstance(event, RawEvent)
                stream.append((record.first_seq + place, event.operator_id))
    return found
