"""R18: where tracing is off, no thread, socket or file exists; not even for a moment.

A hook sees every thread, socket and file as it is made; what is left at the end is read from the
system. A control run, traced for real, shows that both would notice.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

from support.ports import free_endpoint

HEAD = """
import json, os, pathlib, sys, threading

made = {"threads": 0, "sockets": 0, "files": 0, "processes": 0}
KINDS = {
    "os.mkdir": "files", "os.fork": "processes", "os.posix_spawn": "processes", "subprocess.Popen": "processes",
}
start = threading.Thread.start
watching = True

def hook(event, arguments):
    if not watching:
        return
    if event in KINDS:
        made[KINDS[event]] += 1
    elif event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        made["files"] += 1
    elif event.startswith("socket.") and event != "socket.gethostname":
        made["sockets"] += 1

def counted(thread):
    made["threads"] += 1  # not every Python tells its hooks
    start(thread)

def sockets():
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith(("socket:", "anon_inode:"))
        except OSError:
            pass
    return found

sys.dont_write_bytecode = True
before = sockets()
sys.addaudithook(hook)
threading.Thread.start = counted
import embertrace as et

calls = 0
"""

WORK = """
@et.trace(type="member")
def member(question):
    global calls
    calls += 1
    return question[::-1]

@et.trace(type="member")
def failing(question):
    global calls
    calls += 1
    raise ValueError(question)

@et.trace()
async def waiting(question):
    global calls
    calls += 1
    return question

@et.trace()
def giving(question):
    global calls
    calls += 1
    yield from question

@et.trace(type="judge")
class Chooser(et.Judge):
    def __call__(self, question, *answers):
        global calls
        calls += 1
        return answers[0]

def work():
    with et.item(1, truth="a"), et.operator("whole", type="pipeline"):
        answers = et.Ensemble([member, member])("question")
        Chooser()("question", *answers)
        try:
            failing("x")
        except ValueError:
            pass
        list(giving("abc"))
        try:
            waiting("x").send(None)  # an event loop would have sockets of its own
        except StopIteration:
            pass
        et.score(quality=0.5)
        et.label(1, truth="a")
        et.traceparent()
        et.call_id()

for _ in range(int(sys.argv[1])):
    work()
"""

END = """
watching = False
left = pathlib.Path(os.environ["HOME"])
print(json.dumps({
    "calls": calls,
    **made,
    "left_threads": threading.active_count() - 1,
    "left_sockets": sockets() - before,
    "left_files": sum(1 for _ in left.rglob("*")),
    "zmq": "zmq" in sys.modules,
}))
"""

PROGRAMS = {
    "imported": "",
    "called": WORK,
    "collected": "with et.collect_events() as events:\n    pass\n" + WORK,
    "instrumented": "et.instrument_threads()\n" + WORK + "et.uninstrument_threads()\n",
    "delivery imported": "import embertrace.emit, embertrace.run, embertrace.embedded\n" + WORK,
}


@dataclasses.dataclass(frozen=True)
class Figures:
    """Sums over all programs: what was made at any moment, and what was there at the end beyond the beginning."""

    programs: int
    calls: int
    threads: int
    sockets: int
    files: int
    processes: int
    left_threads: int
    left_sockets: int
    left_files: int

    @property
    def none_exists(self) -> bool:
        return not any(value for name, value in dataclasses.asdict(self).items() if name not in ("programs", "calls"))


def run(home: pathlib.Path, rounds: int = 50, programs: dict[str, str] = PROGRAMS, **environment: str) -> Figures:
    """Each program in a fresh interpreter with an empty `home`, nothing configured but `environment`."""
    sums = dict.fromkeys((field.name for field in dataclasses.fields(Figures)), 0)
    for number, program in enumerate(programs.values()):
        place = home / str(number)
        place.mkdir(parents=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMBERTRACE_", "XDG_"))}
        done = subprocess.run(
            [sys.executable, "-c", HEAD + program + END, str(rounds)],
            env={**kept, "HOME": str(place), **environment},
            cwd=place,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        for name in sums:
            sums[name] += int(found.get(name, 0))
    return Figures(**{**sums, "programs": len(programs)})


def test_off_means_that_nothing_exists(tmp_path: pathlib.Path) -> None:
    figures = run(tmp_path, rounds=20)
    assert figures.none_exists, figures
    assert figures.calls >= 20 * 5 * (figures.programs - 1)


def test_the_control_notices(tmp_path: pathlib.Path) -> None:
    """The same programs with an endpoint: they have a thread, sockets and a spool."""
    figures = run(
        tmp_path, rounds=1, programs={"called": WORK}, EMBERTRACE_ENDPOINT=free_endpoint(), EMBERTRACE_LINGER_S="0"
    )
    assert figures.threads and figures.sockets and figures.files and figures.left_threads and figures.left_sockets
    assert figures.left_files
