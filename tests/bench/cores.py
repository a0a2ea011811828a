"""Which process may use which core, and what a process has used: Linux, by /proc."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def apart(pid: int) -> Iterator[set[int]]:
    """The process gets a core of its own and its children the others, which are given; on one core all share it.

    A process that is started meanwhile by this one can be told to keep to the others (see children.step).
    """
    there = sorted(os.sched_getaffinity(0))
    own, others = {there[0]}, set(there[1:]) or set(there)
    for thread in threads(pid):
        os.sched_setaffinity(thread, own)
    for child in children_of(pid):
        for thread in threads(child):
            os.sched_setaffinity(thread, others)
    yield others


def threads(pid: int) -> list[int]:
    return [int(entry.name) for entry in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def children_of(pid: int) -> list[int]:
    """Of all its threads."""
    listed = [
        pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii") for thread in threads(pid)
    ]
    return [int(child) for child in " ".join(listed).split()]


def cpu_s(pid: int) -> float:
    """Seconds of CPU that the process has used, in hundredths."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int) -> int:
    """Bytes of the process in memory, without what it shares with others that read the same files."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} does not say how much memory it has")
