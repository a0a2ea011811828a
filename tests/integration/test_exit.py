"""How processes end, and what becomes of their events: delivered within the linger, or kept where others deliver them.

Nothing hangs when nobody is there. Each end is tried with an aggregator and without one.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import embertrace as et
from embertrace.emit import drain, spool_directory
from support.aggregators import aggregator
from support.spools import free_endpoint

LINGER_S = 1.0
HANG_S = 30.0
"""Beyond the linger, an interpreter on a busy machine needs a while to end."""

PROGRAM = """
import os, signal, sys, threading
import embertrace as et
et.init(sys.argv[1], run="ending", linger_s=float(sys.argv[2]))

@et.trace(name="work")
def work(number):
    return number

{before}
for number in range(50):
    work(number)
{end}
"""

ENDS = {
    "falls off the end": ("", "", 0),
    "sys.exit": ("", "sys.exit(3)", 3),
    "an exception": ("", "raise ValueError('on purpose')", 1),
    "SIGTERM, handled": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))",
        "os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()",
        5,
    ),
    "SIGINT": ("", "os.kill(os.getpid(), signal.SIGINT)\nsignal.pause()", -signal.SIGINT),
    "a thread emits on": (
        "def on():\n    while True:\n        work(-1)\nthreading.Thread(target=on, daemon=True).start()",
        "",
        0,
    ),
}
SUDDEN = {
    "SIGTERM": ("", "os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()", -signal.SIGTERM),
    "SIGKILL": ("", "os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "os._exit": ("", "os._exit(7)", 7),
}


def run(end: tuple[str, str, int], endpoint: str, spools: pathlib.Path) -> subprocess.CompletedProcess[str]:
    before, last, code = end
    program = PROGRAM.format(before=before, end=last)
    environment = {**os.environ, "EMBERTRACE_SPOOL_DIR": str(spools)}
    done = subprocess.run(
        [sys.executable, "-c", program, endpoint, str(LINGER_S)],
        env=environment, capture_output=True, text=True, timeout=LINGER_S + HANG_S, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def works(recording: pathlib.Path) -> set[int]:
    calls = et.open(recording).operator("work").calls
    assert len(calls) == len({call.call_id for call in calls})
    return {call.args[0] for call in calls if call.args and call.args[0] >= 0}


@pytest.mark.parametrize("name", ENDS)
def test_a_process_that_ends_orderly_delivers_first(name: str, tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        done = run(ENDS[name], ready["endpoint"], tmp_path / "spools")
    assert works(tmp_path / "rec") == set(range(50))
    assert "embertrace" not in done.stderr, done.stderr
    if name != "a thread emits on":  # which may put one more when the emitter has closed; it is kept
        assert list(spool_directory.streams(tmp_path / "spools")) == []


@pytest.mark.parametrize("name", SUDDEN)
def test_what_a_process_had_no_time_to_deliver_is_kept(name: str, tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        run(SUDDEN[name], ready["endpoint"], tmp_path / "spools")
        report = drain(tmp_path / "spools")
        assert report.left == 0, report
    assert works(tmp_path / "rec") == set(range(50))


@pytest.mark.parametrize("name", [*ENDS, *SUDDEN])
def test_without_an_aggregator_nothing_hangs_and_nothing_is_lost(name: str, tmp_path: pathlib.Path) -> None:
    endpoint = free_endpoint()
    began = time.monotonic()
    done = run({**ENDS, **SUDDEN}[name], endpoint, tmp_path / "spools")
    assert time.monotonic() - began < LINGER_S + HANG_S
    if name in ENDS:
        assert "events were not delivered" in done.stderr
        assert str(tmp_path / "spools") in done.stderr, "it says where they are"
    with aggregator(tmp_path / "rec", bind=endpoint):
        report = drain(tmp_path / "spools")
        assert report.left == 0, report
    assert works(tmp_path / "rec") == set(range(50))


def test_a_session_takes_what_its_dead_processes_left(tmp_path: pathlib.Path) -> None:
    """At once: nobody would be there to deliver it later."""
    with et.session(tmp_path / "rec", quiet=True) as session:
        before, last, code = SUDDEN["os._exit"]
        program = PROGRAM.format(before=before, end=last)
        done = subprocess.run([sys.executable, "-c", program, session.endpoint, "1"], timeout=HANG_S, check=False)
        assert done.returncode == code
    assert works(tmp_path / "rec") == set(range(50))


def test_a_block_takes_what_its_dead_processes_left() -> None:
    @et.trace(name="forked")
    def forked() -> int:
        return os.getpid()

    @et.trace(name="parent")
    def parent() -> None:
        child = os.fork()
        if not child:
            forked()
            os._exit(0)  # before anything was sent
        os.waitpid(child, 0)

    with et.collect_events(wait=10) as events:
        parent()
    assert {event.operator_id for event in events} == {"parent", "forked"}
