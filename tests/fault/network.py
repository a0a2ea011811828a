"""What the network may do to workers and their aggregator, each as one experiment with its figures.

Every scenario is a function (seed, duration_s) -> Figures: an aggregator with keys on one host, workers that emit all
the while on another, and for `duration_s` seconds one fault between them. Then the workers end, and what they wrote
down is compared with the recording. On one host alone, the `relay` scenarios do the same through a TCP relay.

python network.py [SCENARIO [SEED [SECONDS]]] prints the figures, one scenario per line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from embertrace.handshake import new_pair
from embertrace.keys import make_keys
from fault import worker
from fault.hosts import TwoHosts, two_hosts
from fault.relay import Relay, relay
from fault.verdict import Verdict, judge, read_oracle, read_recording
from support.aggregators import aggregator

WORKERS = 2
RATE = 1000.0
"""Events per second and worker: enough for batches to be on their way whenever a fault comes."""
POLL_S = 0.02
DEADLINE_S = 120.0
"""For anything to happen at all: TCP itself may wait this long after a partition before it tries again."""
PORT = 5557

DELAY_S = 0.1
LOSS = 0.05
BETWEEN_RESETS_S = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What one experiment showed."""

    scenario: str
    seed: int
    duration_s: float
    verdict: Verdict
    delivered: bool
    """Whether every worker ended with everything acknowledged."""
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


class Experiment:
    """Workers that emit. Made by `_experiment`."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
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

        Raises TimeoutError.
        """
        deadline = time.monotonic() + DEADLINE_S
        took = 0.0
        for name in self.processes:
            while (at := acknowledged_at(self.samples(name), moment)) is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{name}: nothing emitted after the fault was acknowledged in {DEADLINE_S} s")
                time.sleep(POLL_S)
            took = max(took, at - moment)
        return took

    def fault_ended(self) -> None:
        """Note it, and wait until the workers are through to their aggregator again."""
        self.ends.append(time.monotonic())
        self.await_acknowledged_after(self.ends[-1])

    def finish(self) -> bool:
        """Tell the workers to end; whether each had everything acknowledged."""
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.close()
        return all([process.wait(worker.CLOSE_S * 3) == 0 for process in self.processes.values()])

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
    return max(sample.resident_bytes for sample in samples) - before[-1]


@contextlib.contextmanager
def _workers(
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
        yield experiment
    finally:
        experiment.kill()


def _figures(
    scenario: str, seed: int, duration_s: float, experiment: Experiment, began: float, faults: int, delivered: bool
) -> Figures:
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
        delivered,
        max(took),
        max(growth(samples[name], began) for name in names),
        faults,
    )


@contextlib.contextmanager
def _directory() -> Iterator[pathlib.Path]:
    """One with keys in it."""
    with tempfile.TemporaryDirectory(prefix="fault-") as name:
        directory = pathlib.Path(name)
        make_keys(directory / "keys", ["workers"], new_pair)
        yield directory


def _on_two_hosts(
    scenario: str, seed: int, duration_s: float, strike: Callable[[TwoHosts, Experiment, float], int]
) -> Figures:
    """`strike` does it, for so long, and returns how often."""
    with _directory() as directory, two_hosts(seed) as hosts:
        bind = f"tcp://{hosts.a.address}:{PORT}"
        keys = ("--keys", str(directory / "keys"))
        with aggregator(directory / "recording", *keys, bind=bind, placed=hosts.a.command) as (ready, _):
            with _workers(directory, ready["endpoint"], seed, hosts.b.command) as experiment:
                began = time.monotonic()
                faults = strike(hosts, experiment, duration_s)
                delivered = experiment.finish()
        return _figures(scenario, seed, duration_s, experiment, began, faults, delivered)


def _through_relay(
    scenario: str, seed: int, duration_s: float, strike: Callable[[Relay, Experiment, float], int]
) -> Figures:
    with _directory() as directory:
        keys = ("--keys", str(directory / "keys"))
        with aggregator(directory / "recording", *keys) as (ready, _):
            port = int(ready["endpoint"].rpartition(":")[2])
            with relay("127.0.0.1", [port, ready["push_port"], ready["rpc_port"]]) as through:
                with _workers(directory, through.endpoint, seed, list) as experiment:
                    began = time.monotonic()
                    faults = strike(through, experiment, duration_s)
                    delivered = experiment.finish()
        return _figures(scenario, seed, duration_s, experiment, began, faults, delivered)


def partition(seed: int, duration_s: float = 1.5) -> Figures:
    """Both hosts are cut off from each other, silently: every connection is half-open at both ends."""

    def strike(hosts: TwoHosts, experiment: Experiment, seconds: float) -> int:
        hosts.partition()
        time.sleep(seconds)  # it is how long the fault lasts, and nothing is waited for
        lost = hosts.counters()["lost"]
        hosts.heal()
        experiment.fault_ended()
        return lost

    return _on_two_hosts("partition", seed, duration_s, strike)


def delay(seed: int, duration_s: float = 1.5) -> Figures:
    """Every packet takes DELAY_S, each way."""

    def strike(hosts: TwoHosts, experiment: Experiment, seconds: float) -> int:
        before = hosts.counters()["carried"]
        hosts.delay(DELAY_S)
        time.sleep(seconds)
        late = hosts.counters()["carried"] - before
        hosts.delay(0)
        experiment.fault_ended()
        return late

    return _on_two_hosts("delay", seed, duration_s, strike)


def loss(seed: int, duration_s: float = 1.5) -> Figures:
    """One packet in 1 / LOSS is lost, chosen by the seed."""

    def strike(hosts: TwoHosts, experiment: Experiment, seconds: float) -> int:
        hosts.loss(LOSS)
        time.sleep(seconds)
        lost = hosts.counters()["lost"]
        hosts.loss(0)
        experiment.fault_ended()
        return lost

    return _on_two_hosts("loss", seed, duration_s, strike)


def reset(seed: int, duration_s: float = 1.5) -> Figures:
    """All connections are reset, again and again, each time after the workers have come back."""
    return _on_two_hosts("reset", seed, duration_s, _reset_repeatedly)


def relay_hold(seed: int, duration_s: float = 1.5) -> Figures:
    """The relay accepts everything and passes on nothing."""

    def strike(through: Relay, experiment: Experiment, seconds: float) -> int:
        through.hold()
        time.sleep(seconds)
        through.resume()
        experiment.fault_ended()
        return 1

    return _through_relay("relay_hold", seed, duration_s, strike)


def relay_reset(seed: int, duration_s: float = 1.5) -> Figures:
    """As `reset`, by the relay."""
    return _through_relay("relay_reset", seed, duration_s, _reset_repeatedly)


def _reset_repeatedly(network: TwoHosts | Relay, experiment: Experiment, seconds: float) -> int:
    began = time.monotonic()
    connections = 0
    for number in itertools.count():
        if number and time.monotonic() - began >= seconds:
            break
        connections += network.reset()
        experiment.fault_ended()
        time.sleep(BETWEEN_RESETS_S)
    return connections


ON_TWO_HOSTS: dict[str, Callable[[int, float], Figures]] = {
    "partition": partition, "delay": delay, "loss": loss, "reset": reset
}  # fmt: skip
ON_ONE_HOST: dict[str, Callable[[int, float], Figures]] = {"relay_hold": relay_hold, "relay_reset": relay_reset}


def main(scenario: str = "", seed: str = "0", seconds: str = "1.5") -> None:
    for name, run in {**ON_TWO_HOSTS, **ON_ONE_HOST}.items():
        if scenario in ("", name):
            print(run(int(seed), float(seconds)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
