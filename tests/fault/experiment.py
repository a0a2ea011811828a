"""An experiment: workers that emit to an aggregator while something is done to them, and the figures it gives.

Time passes in experiments: a fault lasts as long as it is said to, and how long workers take to come back is measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from embertrace.handshake import new_pair
from embertrace.keys import make_keys
from fault import worker
from fault.verdict import Verdict, judge, read_oracle, read_recording

WORKERS = 2
RATE = 1000.0
"""Events per second and worker: enough for batches to be on their way whenever a fault comes."""
POLL_S = 0.02
DEADLINE_S = 120.0
"""For anything to happen at all: TCP itself may wait this long after a partition before it tries again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What one experiment showed."""

    scenario: str
    seed: int
    duration_s: float
    verdict: Verdict
    exits: tuple[int, ...]
    """How the workers ended: 0 with everything acknowledged, 1 without, below 0 by a signal."""
    reconnected_s: float
    """The longest time from the end of a fault until an event that was emitted after it was acknowledged."""
    memory_growth_bytes: int
    """The most that any worker's resident memory grew after the fault began."""
    faults: int
    """How often the fault really struck: packets lost, connections reset or held, packets carried late."""

    def __str__(self) -> str:
        found = self.verdict
        return (
            f"{self.scenario} seed={self.seed} {self.duration_s:g} s: {found.returned} emitted, {found.lost} lost, "
            f"{len(found.twice)} twice, {len(found.disordered)} disordered, {found.declared} declared; faults "
            f"{self.faults}; reconnected in {self.reconnected_s:.2f} s; memory +{self.memory_growth_bytes / 1e6:.1f} MB"
        )


class Sample(NamedTuple):
    """What a worker knew of itself at one moment."""

    at: float
    emitted: int
    acknowledged: int
    held_bytes: int
    resident_bytes: int
    descriptors: int = 0


class Experiment:
    """Workers that emit. Made by `workers`."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.began = 0.0
        """When all workers were through for the first time: then faults may come."""
        self.ends: list[float] = []
        """Moments at which a fault was over."""

    def start(self, command: Sequence[str], name: str) -> None:
        self.processes[name] = subprocess.Popen(command, stdin=subprocess.PIPE)

    def samples(self, name: str) -> list[Sample]:
        path = self.directory / f"{name}.samples"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [Sample(float(at), *map(int, rest)) for at, *rest in map(str.split, lines)]

    def await_acknowledged_after(self, moment: float) -> float:
        """Wait until each worker has an acknowledgement for an event that it emitted after `moment`; how long it took.

        Raises TimeoutError, and RuntimeError for a worker that ended.
        """
        deadline = time.monotonic() + DEADLINE_S
        took = 0.0
        for name, process in self.processes.items():
            while (at := acknowledged_at(self.samples(name), moment)) is None:
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended with {process.returncode}")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{name}: nothing emitted after the fault was acknowledged in {DEADLINE_S} s")
                time.sleep(POLL_S)
            took = max(took, at - moment)
        return took

    def fault_ended(self) -> None:
        """Note it, and wait until the workers are through to their aggregator again."""
        self.ends.append(time.monotonic())
        self.await_acknowledged_after(self.ends[-1])

    @property
    def exits(self) -> tuple[int, ...]:
        """The exit codes of the workers that have ended."""
        return tuple(process.returncode for process in self.processes.values() if process.returncode is not None)

    def finish(self) -> bool:
        """Tell the workers to end; whether each had everything acknowledged."""
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.close()
        return {process.wait(worker.CLOSE_S * 3) for process in self.processes.values()} == {0}

    def kill(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def acknowledged_at(samples: Sequence[Sample], moment: float) -> float | None:
    """When it was first seen that an event emitted after `moment` is acknowledged. None if it was not."""
    after = [sample for sample in samples if sample.at >= moment]
    wanted = after[0].emitted + 1 if after else 0
    return next((sample.at for sample in after if sample.acknowledged >= wanted), None)


def growth(samples: Sequence[Sample], moment: float) -> int:
    """How many bytes of resident memory came on top of those at `moment`, at the most."""
    before = [sample.resident_bytes for sample in samples if sample.at <= moment]
    after = [sample.resident_bytes for sample in samples if sample.at > moment]
    return max([*before[-1:], *after]) - before[-1]


@contextlib.contextmanager
def workers(
    directory: pathlib.Path, endpoint: str, seed: int, placed: Callable[[Sequence[str]], list[str]]
) -> Iterator[Experiment]:
    """Workers that have had events acknowledged."""
    experiment = Experiment(directory)
    try:
        for number in range(WORKERS):
            name = f"worker{number}"
            command = [sys.executable, worker.__file__, endpoint, str(directory), name]
            command += ["--rate", str(RATE), "--seed", str(seed * WORKERS + number)]
            command += ["--key", str(directory / "keys" / "clients" / "workers.key")]
            experiment.start(placed(command), name)
        experiment.await_acknowledged_after(0.0)
        experiment.began = time.monotonic()
        yield experiment
    finally:
        experiment.kill()


def figures(scenario: str, seed: int, duration_s: float, experiment: Experiment, faults: int) -> Figures:
    """After everything has ended."""
    names = list(experiment.processes)
    samples = {name: experiment.samples(name) for name in names}
    took = [
        (acknowledged_at(samples[name], moment) or float("inf")) - moment
        for name in names
        for moment in experiment.ends
    ]
    return Figures(
        scenario,
        seed,
        duration_s,
        judge(
            {name: read_oracle(experiment.directory / f"{name}.oracle") for name in names},
            read_recording(experiment.directory / "recording"),
        ),
        experiment.exits,
        max(took),
        max(growth(samples[name], experiment.began) for name in names),
        faults,
    )


@contextlib.contextmanager
def prepared_directory() -> Iterator[pathlib.Path]:
    """One with keys in it."""
    with tempfile.TemporaryDirectory(prefix="fault-") as name:
        directory = pathlib.Path(name)
        make_keys(directory / "keys", ["workers"], new_pair)
        yield directory
