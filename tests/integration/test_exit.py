"""How processes end: whatever way that is, their events arrive once, and nobody waits longer than the linger."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import embertrace as et
from embertrace import collect
from embertrace.emit import spool_directory
from support.aggregators import aggregator, recorded
from support.ports import free_endpoint
from support.spools import adopt_by_another, kill

DEADLINE_S = 60.0
"""For a process to end once it is ready: its linger, and what a busy machine takes."""
CALLS = 100
HEAD = f"""
import atexit, os, signal, sys, threading, time
later = []
waited = 0.0
atexit.register(lambda: print("waited", waited, flush=True))  # the first one registered is the last one called
atexit.register(lambda: [function() for function in later])
waiting = threading.Condition.wait_for

def counting(self, predicate, timeout=None):
    global waited
    done = waiting(self, predicate, timeout)
    waited += 0.0 if done else timeout
    return done

threading.Condition.wait_for = counting
import embertrace as et

@et.trace()
def call(number):
    return number

def calls():
    for number in range({CALLS}):
        call(number)

if __name__ == "__main__":
    calls()
    print("ready", flush=True)
"""
"""Counts the time that is waited for in vain. With an endpoint in its environment it is traced."""

FLUSHED = {
    "to its end": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an exception": ("raise LookupError('the program failed')", 1),
    "ctrl-c": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -2),
    "a SIGTERM handler that exits": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        7,
    ),
    "a SIGTERM handler that returns": (
        "signal.signal(signal.SIGTERM, lambda *_: None); os.kill(os.getpid(), signal.SIGTERM)",
        0,
    ),
    "an exception in a thread": (
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()",
        0,
    ),
    "a handler at exit that raises": ("atexit.register(lambda: 1 / 0)", 0),
    "the run closed before": ("from embertrace import run; run._active.close()", 0),
}
CUT_OFF = {
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -15),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)", -9),
    "os._exit": ("os._exit(5)", 5),
    "os.abort": ("os.abort()", -6),
}


@contextlib.contextmanager
def started(program: str, endpoint: str, place: pathlib.Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program that has made its calls and is about to end. It is a file: what is spawned wants to import it."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "program.py").write_text(HEAD + program)
    process = subprocess.Popen(
        [sys.executable, str(place / "program.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env={
            **os.environ,
            "EMBERTRACE_ENDPOINT": endpoint,
            "EMBERTRACE_SPOOL_DIR": str(place / "spools"),
            "EMBERTRACE_LINGER_S": "20",
            **environment,
        },
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        yield process
    finally:
        kill(process)  # type: ignore[arg-type]
        process.stdout.close()
        process.stderr.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, and what it said."""
    said, complained = process.communicate(timeout=DEADLINE_S)
    assert "ready" in said, complained
    return process.returncode, said, complained


def recorded_calls(directory: pathlib.Path) -> list[int]:
    """How many events each producer's calls have; each stream is whole, and has nothing twice."""
    found = []
    for stream in recorded(directory).values():
        assert [seq for seq, _ in stream] == list(range(1, len(stream) + 1))
        assert "gap" not in [name for _, name in stream]
        found.append([name for _, name in stream].count("call"))
    return sorted(count for count in found if count)


@pytest.mark.parametrize("how", [*FLUSHED, *CUT_OFF])
def test_everything_arrives_once_however_a_process_ends(how: str, tmp_path: pathlib.Path) -> None:
    program, code = {**FLUSHED, **CUT_OFF}[how]
    spools = tmp_path / "spools"
    with aggregator(tmp_path / "rec") as (ready, _):
        with started(program, ready["endpoint"], tmp_path) as process:
            found, said, complained = ended(process)
        assert found == code, complained
        assert "embertrace" not in complained
        if how in FLUSHED:
            assert spool_directory.streams(spools) == []
            assert "waited 0.0" in said
        assert adopt_by_another(spools, ready["endpoint"])
    assert recorded_calls(tmp_path / "rec") == [2 * CALLS]
    assert spool_directory.streams(spools) == []


@pytest.mark.parametrize("how", [*FLUSHED, *CUT_OFF])
def test_with_nobody_there_a_process_ends_in_time_and_says_what_stays(how: str, tmp_path: pathlib.Path) -> None:
    program, code = {**FLUSHED, **CUT_OFF}[how]
    endpoint, spools, linger_s = free_endpoint(), tmp_path / "spools", 0.3
    with started(program, endpoint, tmp_path, EMBERTRACE_LINGER_S=str(linger_s)) as process:
        found, said, complained = ended(process)
    assert found == code, complained
    (stream,) = spool_directory.streams(spools)
    if how in FLUSHED:
        waits = 2 if "run closed" in how else 1  # who closes a run waits for it
        assert float(said.split("waited ")[1]) <= waits * linger_s
        (warning,) = re.findall(rf"(\d+) events were not delivered to {endpoint} and stay in {stream}", complained)
    with aggregator(tmp_path / "rec", bind=endpoint):
        assert adopt_by_another(spools, endpoint)
    assert recorded_calls(tmp_path / "rec") == [2 * CALLS]
    if how in FLUSHED:
        assert int(warning) == sum(map(len, recorded(tmp_path / "rec").values())) - 1


OWN, CHILD = 2 * CALLS, 2 * CALLS
CHILDREN = {
    "fork": "import multiprocessing as m; p = m.get_context('fork').Process(target=calls); p.start(); p.join()",
    "spawn": "import multiprocessing as m; p = m.get_context('spawn').Process(target=calls); p.start(); p.join()",
    "forkserver": "import multiprocessing as m; p = m.get_context('forkserver').Process(target=calls)\n"
    "    p.start(); p.join()",
    "a pool that is terminated": "import multiprocessing as m\n"
    "    with m.get_context('fork').Pool(1) as pool: pool.apply(calls)",
    "a process pool": "from concurrent.futures import ProcessPoolExecutor\n"
    "    with ProcessPoolExecutor(1) as pool: pool.submit(calls).result()",
    "os.fork, to its end": "if child := os.fork(): os.waitpid(child, 0)\n    else: calls()",
    "os.fork, sys.exit": "if child := os.fork(): os.waitpid(child, 0)\n    else: calls(); sys.exit(0)",
    "os.fork, os._exit": "if child := os.fork(): os.waitpid(child, 0)\n    else: calls(); os._exit(0)",
    "a killed child": "child = os.fork()\n"
    "    if not child: calls(); os.kill(os.getpid(), signal.SIGKILL)\n    os.waitpid(child, 0)",
    "a child that outlives it": "if not os.fork():\n"
    "        while os.getppid() == OWN: time.sleep(0.01)\n        calls()",
    "a child without tracing of its own": "import subprocess; subprocess.run([sys.executable, '-c', ''], check=True)",
}


@pytest.mark.parametrize("how", CHILDREN)
def test_children_deliver_or_their_parent_does(how: str, tmp_path: pathlib.Path) -> None:
    program = f'OWN = os.getpid()\nif __name__ == "__main__":\n    {CHILDREN[how]}\n'
    with aggregator(tmp_path / "rec") as (ready, _):
        with started(program, ready["endpoint"], tmp_path) as process:
            code, _, complained = ended(process)  # also of a child that outlives it: they share the pipe
        assert (code, complained) == (0, "")
        assert spool_directory.streams(tmp_path / "spools") == []
    expected = [OWN] if how == "a child without tracing of its own" else [OWN, CHILD]
    assert recorded_calls(tmp_path / "rec") == expected


def test_a_child_that_imports_it_first_delivers_too(tmp_path: pathlib.Path) -> None:
    """Nothing told embertrace of the fork, and multiprocessing ends such a child without atexit."""
    (tmp_path / "late.py").write_text(
        "def target():\n"
        "    import embertrace as et\n"
        "    with et.operator('call'):\n        pass\n"
        "if __name__ == '__main__':\n"
        "    import multiprocessing, sys\n"
        "    process = multiprocessing.get_context(sys.argv[1]).Process(target=target)\n"
        "    process.start()\n"
        "    process.join()\n"
        "    sys.exit(process.exitcode)\n"
    )
    with aggregator(tmp_path / "rec") as (ready, _):
        for method in ("fork", "forkserver", "spawn"):
            environment = {"EMBERTRACE_ENDPOINT": ready["endpoint"], "EMBERTRACE_SPOOL_DIR": str(tmp_path / "spools")}
            done = subprocess.run(
                [sys.executable, "late.py", method],
                env={**os.environ, **environment},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert spool_directory.streams(tmp_path / "spools") == []
    assert recorded_calls(tmp_path / "rec") == [2, 2, 2]
    assert [row["status"] for row in et.open(tmp_path / "rec").runs()] == ["finished"] * 3


def test_a_child_forked_while_another_thread_registers_a_sink_is_not_stuck() -> None:
    with collect._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            with et.collect_events() as events, et.operator("call"):
                pass
            os._exit(len(events))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


THREADS = {
    "a thread pool": "from multiprocessing.pool import ThreadPool\n"
    "with ThreadPool(2) as pool: pool.map(call, range(50))",
    "daemon threads that go on": "for _ in range(3): threading.Thread(target=lambda: [calls() for _ in iter(int, 1)],"
    " daemon=True).start()\ntime.sleep(0.1)",
    "a thread that is waited for": "threading.Thread(target=lambda: (time.sleep(0.2), calls())).start()",
    "calls in handlers at exit": "atexit.register(calls)",
    "calls in handlers after it": "later.append(calls)",
    "calls in finalisers": "class Last:\n    def __del__(self): calls()\n"
    "kept = Last()\nkept.cycle = kept\nother = Last()",
    "daemon threads of a child": "if not (child := os.fork()):\n"
    "    for _ in range(3): threading.Thread(target=lambda: [calls() for _ in iter(int, 1)], daemon=True).start()\n"
    "    time.sleep(0.1)\n"
    "else: os.waitpid(child, 0)",
}


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("how", THREADS)
def test_who_emits_while_the_interpreter_ends_neither_crashes_nor_hangs(
    how: str, is_there: bool, tmp_path: pathlib.Path
) -> None:
    program = THREADS[how]
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(aggregator(tmp_path / "rec"))[0]["endpoint"] if is_there else free_endpoint()
        linger = "20" if is_there else "0.3"
        process = stack.enter_context(started(program, endpoint, tmp_path, EMBERTRACE_LINGER_S=linger))
        code, _, complained = ended(process)
        assert code == 0, complained
        lines = complained.splitlines()
        assert "Traceback" not in complained
        assert all("were not delivered" in line or "were emitted after" in line for line in lines), complained
        if is_there:
            assert adopt_by_another(tmp_path / "spools", endpoint)
    if is_there:
        assert recorded_calls(tmp_path / "rec")
        assert spool_directory.streams(tmp_path / "spools") == []


RAY = """
    import pathlib
    import ray
    from embertrace.ray import instrument

    instrument()
    ray.init("local", num_cpus=3, object_store_memory=100_000_000, include_dashboard=False, logging_level="ERROR")

    @ray.remote
    def task(number):
        call(number)
        return number

    @ray.remote(max_calls=1)
    def once(number):
        call(number)

    @ray.remote
    class Actor:
        def work(self, number):
            call(number)
            return number

    with et.session(sys.argv[1], quiet=True) as session:
        ray.get([once.remote(number) for number in range(4)])
        short = Actor.remote()
        ray.get(short.work.remote(0))
        del short
        killed = Actor.remote()
        ray.get([killed.work.remote(number) for number in range(50)])
        ray.kill(killed)
        kept = Actor.remote()
        ray.get([kept.work.remote(number) for number in range(50)])
        ray.get([task.remote(number) for number in range(4)])
        ray.shutdown()
    left = [path.name for path in pathlib.Path(os.environ["EMBERTRACE_SPOOL_DIR"]).iterdir()]
    print("left", len(left))
"""
"""A session whose workers end in every way before it does."""


@pytest.mark.ray
def test_a_session_delivers_what_its_dead_ray_workers_left(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("ray")
    program = HEAD.replace("    calls()\n    print", "    print") + RAY
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "rec")],
        env={**os.environ, "EMBERTRACE_SPOOL_DIR": str(tmp_path / "spools")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "left 0" in done.stdout, done.stdout + done.stderr
    assert sum(recorded_calls(tmp_path / "rec")) == 2 * (4 + 1 + 50 + 50 + 4)


BLOCK = """
if __name__ == "__main__":
    with et.collect_events() as events, et.operator("outer"):
        child = os.fork()
        if not child:
            calls()
            os._exit(0)
        os.waitpid(child, 0)
    print("call events", sum(event.operator_id == "call" for event in events))
    print("left", os.listdir(os.environ["EMBERTRACE_SPOOL_DIR"]))
"""


def test_a_block_gets_what_its_dead_children_left(tmp_path: pathlib.Path) -> None:
    with started(BLOCK, "", tmp_path) as process:
        code, said, complained = ended(process)
    assert (code, complained) == (0, "")
    assert f"call events {2 * CALLS}" in said
    assert "left []" in said
