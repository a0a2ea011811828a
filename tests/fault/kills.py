"""What kills processes (R1–R3, R8), each as one experiment with its figures; and bare PUSH/PULL killed the same way.

Every scenario is a function (seed, kills) -> Figures: an aggregator, workers that emit all the while, and a bystander
that lives throughout, as some embertrace process does on a node. Between kills the seed chooses how long they run.
Afterwards what the workers wrote down is compared with the recording.

python kills.py [SCENARIO [SEED [KILLS]]] prints the figures, one scenario per line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from embertrace.client import Client
from embertrace.emit import adopter, spool_directory
from embertrace.emit.spool_directory import Meta
from fault import bare, worker
from fault.experiment import DEADLINE_S, POLL_S, Experiment
from fault.verdict import Verdict, judge, read_oracle, read_recording
from support.ports import free_endpoint

RATE = 500.0
"""Events per second and worker."""
LOADED = 5000.0
FLAT_OUT = 0.0
"""As fast as they go: so that there is always something on its way."""
BYSTANDER_RATE = 20.0
LEAST_S, MOST_S = 0.1, 0.6
"""How long everything runs between two kills."""
look_s = adopter.LOOK_S
"""How often workers look for orphans. Tests that only want to see them adopted set less."""
STOPPED_SPOOL_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What one experiment showed."""

    scenario: str
    seed: int
    kills: int
    verdict: Verdict
    caught_up_s: float
    """The longest time from an aggregator's return until every worker had something new acknowledged."""
    adopted_s: float
    """The longest time from a worker's death until what it left was delivered by another process."""
    left_behind: int
    """Streams of dead workers that nobody had delivered at the end."""

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.left_behind

    def __str__(self) -> str:
        found = self.verdict
        return (
            f"{self.scenario} seed={self.seed}: {self.kills} kills, {found.returned} emitted, {found.lost} lost, "
            f"{len(found.twice)} twice, {len(found.disordered)} disordered; caught up in {self.caught_up_s:.2f} s, "
            f"adopted in {self.adopted_s:.2f} s; {self.left_behind} streams left behind"
        )


class Farm:
    """An aggregator and workers, each of which can be killed and is then replaced. Made by `farm`."""

    def __init__(self, directory: pathlib.Path, seed: int) -> None:
        self.directory = directory
        self.chance = random.Random(seed)
        self.experiment = Experiment(directory)
        self.spools = directory / "spools"
        self.bound = self.dialled = free_endpoint()
        """Where workers look for the aggregator."""
        self.caught_up_s = self.adopted_s = 0.0
        self.aggregator: subprocess.Popen[bytes] | None = None
        self._workers = 0

    def start_aggregator(self) -> None:
        command = [
            sys.executable,
            "-m",
            "aggregator",
            str(self.directory / "recording"),
            "--bind",
            self.bound,
        ]
        command += ["--ready-json", "--with-parent"]
        self.aggregator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.aggregator.stdout is not None
        assert self.aggregator.stdout.readline(), "the aggregator did not start"

    def kill_aggregator(self) -> None:
        assert self.aggregator is not None
        self.aggregator.kill()
        self._forget_aggregator()

    def stop_aggregator(self) -> None:
        assert self.aggregator is not None
        assert self.aggregator.stdin is not None
        self.aggregator.stdin.close()
        self._forget_aggregator()

    def restart_aggregator(self) -> None:
        """Start it again, and wait until every worker is through to it."""
        self.start_aggregator()
        moment = time.monotonic()
        self.caught_up_s = max(self.caught_up_s, self.experiment.await_acknowledged_after(moment))

    def start_worker(self, name: str | None = None, rate: float = RATE, *options: str) -> str:
        name = name or f"worker{self._workers}"
        self._workers += 1
        command = ["env", f"EMBERTRACE_SPOOL_DIR={self.spools}", sys.executable, worker.__file__, self.dialled]
        command += [str(self.directory), name, "--rate", str(rate), "--seed", str(self.chance.randrange(1 << 30))]
        self.experiment.start([*command, "--look-s", str(look_s), *options], name)
        return name

    def kill_worker(self, name: str) -> None:
        """By SIGKILL. What it had emitted is in its oracle and its spool."""
        process = self.experiment.processes.pop(name)
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def await_adoption(self, processes: set[int]) -> None:
        """Wait until nothing is left of these dead processes' streams."""
        died = time.monotonic()
        while self.streams_of(processes):
            if time.monotonic() - died > DEADLINE_S:
                raise TimeoutError(f"streams of {processes} were not adopted in {DEADLINE_S} s")
            time.sleep(POLL_S)
        self.adopted_s = max(self.adopted_s, time.monotonic() - died)

    def await_all_adopted(self) -> None:
        """Wait until nothing is left but the streams of those who live."""
        alive = {process.pid for process in self.experiment.processes.values()}
        metas = [Meta.read(stream) for stream in spool_directory.streams(self.spools)]
        self.await_adoption({meta.pid for meta in metas if meta is not None} - alive)

    def await_recorded(self, run: str) -> None:
        """Wait until the aggregator knows of a run by that name."""
        deadline = time.monotonic() + DEADLINE_S
        with Client(self.dialled) as client:
            while run not in [row["name"] for row in client.call("runs")["rows"]]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nothing of {run} was recorded in {DEADLINE_S} s")
                time.sleep(POLL_S)

    def streams_of(self, processes: set[int]) -> int:
        metas = [Meta.read(stream) for stream in spool_directory.streams(self.spools)]
        return sum(meta is not None and meta.pid in processes for meta in metas)

    def let_run(self) -> None:
        time.sleep(self.chance.uniform(LEAST_S, MOST_S))

    def verdict(self) -> Verdict:
        oracles = {path.stem: read_oracle(path) for path in self.directory.glob("*.oracle")}
        return judge(oracles, read_recording(self.directory / "recording"))

    def kill(self) -> None:
        self.experiment.kill()
        if self.aggregator is not None:
            self.kill_aggregator()

    def _forget_aggregator(self) -> None:
        assert self.aggregator is not None
        assert self.aggregator.stdout is not None
        assert self.aggregator.stdin is not None
        self.aggregator.wait(DEADLINE_S)
        self.aggregator.stdout.close()
        self.aggregator.stdin.close()
        self.aggregator = None


@contextlib.contextmanager
def farm(seed: int) -> Iterator[Farm]:
    """An aggregator and a bystander that has had events acknowledged."""
    with tempfile.TemporaryDirectory(prefix="fault-") as directory:
        made = Farm(pathlib.Path(directory), seed)
        try:
            made.start_aggregator()
            made.start_worker("bystander", BYSTANDER_RATE)
            made.experiment.await_acknowledged_after(0.0)
            yield made
        finally:
            made.kill()


def _figures(scenario: str, seed: int, kills: int, made: Farm) -> Figures:
    """Let everybody finish, and look."""
    assert made.experiment.finish(), "a worker ended without its events being acknowledged"
    left = len(list(spool_directory.streams(made.spools)))
    made.stop_aggregator()
    return Figures(scenario, seed, kills, made.verdict(), made.caught_up_s, made.adopted_s, left)


def aggregator_kills(seed: int, kills: int) -> Figures:
    """R1: the aggregator is killed, again and again, in the middle of everything."""
    with farm(seed) as made:
        for rate in (RATE, LOADED):
            made.start_worker(None, rate)
        made.experiment.await_acknowledged_after(0.0)
        for _ in range(kills):
            made.let_run()
            made.kill_aggregator()
            made.let_run()
            made.restart_aggregator()
        return _figures("aggregator_kills", seed, kills, made)


def worker_kills(seed: int, kills: int) -> Figures:
    """R2: workers are killed, or end by os._exit, every time at another point of their work."""
    with farm(seed) as made:
        for number in range(kills):
            by_itself = number % 2
            options = ("--die-at", str(made.chance.randrange(20, 400))) if by_itself else ()
            name = made.start_worker(None, RATE if number % 4 < 2 else FLAT_OUT, *options)
            process = made.experiment.processes[name]
            if by_itself:
                process.wait(DEADLINE_S)
            else:
                while not read_oracle(made.directory / f"{name}.oracle"):
                    time.sleep(POLL_S)
                made.let_run()
            made.kill_worker(name)
            made.await_adoption({process.pid})
        return _figures("worker_kills", seed, kills, made)


def both_killed(seed: int, kills: int) -> Figures:
    """R3: a worker and the aggregator are killed at once; what the worker left is delivered to the next aggregator."""
    with farm(seed) as made:
        for _ in range(kills):
            name = made.start_worker()
            process = made.experiment.processes[name]
            while not read_oracle(made.directory / f"{name}.oracle"):
                time.sleep(POLL_S)
            made.let_run()
            made.kill_aggregator()
            if made.chance.random() < 0.5:
                made.let_run()  # so that there is something that nobody has received
            made.kill_worker(name)
            made.restart_aggregator()
            made.await_adoption({process.pid})
        return _figures("both_killed", seed, kills, made)


@dataclasses.dataclass(frozen=True, slots=True)
class Stopped:
    """What came of an aggregator that did not answer (R8)."""

    seed: int
    stopped_s: float
    verdict: Verdict
    p99_before_us: float
    p99_while_us: float
    memory_growth_bytes: int
    held_bytes: int
    """The most that a worker held."""

    @property
    def drops_are_exact(self) -> bool:
        return len(self.verdict.missing) == self.verdict.declared and not self.verdict.twice

    def __str__(self) -> str:
        found = self.verdict
        return (
            f"aggregator_stopped seed={self.seed} {self.stopped_s:g} s: {found.returned} emitted, "
            f"{len(found.missing)} dropped, {found.declared} declared in gaps; emit p99 {self.p99_before_us:.0f} µs "
            f"before, {self.p99_while_us:.0f} µs while; memory +{self.memory_growth_bytes / 1e6:.1f} MB, "
            f"held {self.held_bytes / 1e6:.2f} MB"
        )


def aggregator_stopped(seed: int, stopped_s: float) -> Stopped:
    """R8: the aggregator is stopped (SIGSTOP) for so long, while a worker with a small spool emits on."""
    with farm(seed) as made:
        name = made.start_worker(None, 4 * RATE, "--spool-bytes", str(STOPPED_SPOOL_BYTES))
        made.experiment.await_acknowledged_after(0.0)
        time.sleep(stopped_s / 2)
        assert made.aggregator is not None
        began = time.monotonic()
        made.aggregator.send_signal(signal.SIGSTOP)
        time.sleep(stopped_s)
        ended = time.monotonic()
        made.aggregator.send_signal(signal.SIGCONT)
        made.experiment.await_acknowledged_after(ended)
        samples = made.experiment.samples(name)
        _figures("aggregator_stopped", seed, 0, made)
        took = array("q", (made.directory / f"{name}.latencies").read_bytes())
        emits = list(zip(took[::2], took[1::2], strict=True))
        resident = [sample.resident_bytes for sample in samples if sample.at <= began][-1]
        return Stopped(
            seed,
            stopped_s,
            made.verdict(),
            _p99_us([spent for at, spent in emits if began - stopped_s / 2 <= at / 1e9 < began]),
            _p99_us([spent for at, spent in emits if began <= at / 1e9 < ended]),
            max(sample.resident_bytes for sample in samples) - resident,
            max(sample.held_bytes for sample in samples),
        )


def _p99_us(nanoseconds: list[int]) -> float:
    return sorted(nanoseconds)[len(nanoseconds) * 99 // 100] / 1e3 if nanoseconds else float("nan")


@dataclasses.dataclass(frozen=True, slots=True)
class Bare:
    """What bare PUSH/PULL makes of the same kills: the control that must see loss."""

    scenario: str
    seed: int
    kills: int
    sent: int
    lost: int

    def __str__(self) -> str:
        head = f"{self.scenario} with bare PUSH/PULL, seed={self.seed}"
        return f"{head}: {self.kills} kills, {self.sent} sent, {self.lost} lost"


def bare_receiver_kills(seed: int, kills: int) -> Bare:
    """The receiver is killed and started again, as in R1."""
    return _bare("receiver_kills", seed, kills, receiver_dies=True, sender_dies=False)


def bare_sender_kills(seed: int, kills: int) -> Bare:
    """The sender is killed, as in R2."""
    return _bare("sender_kills", seed, kills, receiver_dies=False, sender_dies=True)


def bare_both_killed(seed: int, kills: int) -> Bare:
    """Both are killed at once, as in R3."""
    return _bare("both_killed", seed, kills, receiver_dies=True, sender_dies=True)


def _bare(scenario: str, seed: int, kills: int, *, receiver_dies: bool, sender_dies: bool) -> Bare:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fault-") as name, contextlib.ExitStack() as running:
        directory = pathlib.Path(name)
        endpoint = free_endpoint()

        def start(role: str, number: int) -> subprocess.Popen[bytes]:
            command = [sys.executable, bare.__file__, role, endpoint, str(directory / f"{role}{number}")]
            rate = RATE if sender_dies and receiver_dies else FLAT_OUT  # else nothing would wait in their queues
            process = subprocess.Popen([*command, str(rate)], stdin=subprocess.PIPE)
            running.callback(bare.end, process)
            return process

        receiver, sender = start("pull", 0), start("push", 0)
        for number in range(1, kills + 1):
            bare.await_lines(directory / f"push{number - 1 if sender_dies else 0}", DEADLINE_S)
            if not sender_dies or number % 2:  # half of the senders die young, as half of the workers do
                time.sleep(chance.uniform(LEAST_S, MOST_S))
            if receiver_dies:
                bare.end(receiver)
            if sender_dies:
                bare.end(sender)
            time.sleep(chance.uniform(LEAST_S, MOST_S))
            if receiver_dies:
                receiver = start("pull", number)
            if sender_dies:
                sender = start("push", number)
        bare.finish(sender, receiver)
        sent, received = bare.lines(directory, "push"), bare.lines(directory, "pull")
        return Bare(scenario, seed, kills, len(sent), len(set(sent) - set(received)))


SCENARIOS: dict[str, Callable[[int, int], Figures | Bare]] = {
    "aggregator_kills": aggregator_kills,
    "worker_kills": worker_kills,
    "both_killed": both_killed,
    "bare_receiver_kills": bare_receiver_kills,
    "bare_sender_kills": bare_sender_kills,
    "bare_both_killed": bare_both_killed,
}


def main(scenario: str = "", seed: str = "0", kills: str = "3") -> None:
    for name, run in SCENARIOS.items():
        if scenario in ("", name):
            print(run(int(seed), int(kills)), flush=True)
    if scenario in ("", "aggregator_stopped"):
        print(aggregator_stopped(int(seed), float(kills)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
