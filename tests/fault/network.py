"""What the network may do to workers and their aggregator, each as one experiment with its figures.

Every scenario is a function (seed, duration_s) -> Figures: an aggregator with keys on one host, workers that emit all
the while on another, and for `duration_s` seconds one fault between them. Then the workers end, and what they wrote
down is compared with the recording. On one host alone, the `relay` scenarios do the same through a TCP relay.

python network.py [SCENARIO [SEED [SECONDS]]] prints the figures, one scenario per line.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from embertrace.testing import Relay
from fault.experiment import Experiment, Figures, figures, prepared_directory, workers
from fault.hosts import TwoHosts, two_hosts
from support.aggregators import aggregator

PORT = 5557
DELAY_S = 0.1
LOSS = 0.05
BETWEEN_RESETS_S = 0.2
RESET_DELAY_S = 0.03
"""So that batches are on their way whenever a connection is reset: what it carried is gone."""


def _on_two_hosts(
    scenario: str, seed: int, duration_s: float, strike: Callable[[TwoHosts, Experiment, float], int]
) -> Figures:
    """`strike` does it, for so long, and returns how often."""
    with prepared_directory() as directory:
        with (
            two_hosts(seed) as hosts,
            _aggregator(directory, f"tcp://{hosts.a.address}:{PORT}", hosts.a.command) as (ready, _),
            workers(directory, ready["endpoint"], seed, hosts.b.command) as experiment,
        ):
            faults = strike(hosts, experiment, duration_s)
            experiment.finish()
        return figures(scenario, seed, duration_s, experiment, faults)


def _through_relay(
    scenario: str, seed: int, duration_s: float, strike: Callable[[Relay, Experiment, float], int]
) -> Figures:
    with prepared_directory() as directory:
        with (
            _aggregator(directory, "tcp://127.0.0.1:0", list) as (ready, _),
            Relay("127.0.0.1", _ports(ready)) as through,
            workers(directory, through.endpoint, seed, list) as experiment,
        ):
            faults = strike(through, experiment, duration_s)
            experiment.finish()
        return figures(scenario, seed, duration_s, experiment, faults)


def _aggregator(
    directory: pathlib.Path, bind: str, placed: Callable[[Sequence[str]], list[str]]
) -> contextlib.AbstractContextManager[Any]:
    return aggregator(directory / "recording", "--keys", str(directory / "keys"), bind=bind, placed=placed)


def _ports(ready: Mapping[str, Any]) -> list[int]:
    return [int(ready["endpoint"].rpartition(":")[2]), ready["push_port"], ready["rpc_port"]]


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


def relay_reset_events(seed: int, duration_s: float = 1.5) -> Figures:
    """Only the connections that carry events are reset: those by which workers hear of it live on."""

    def strike(through: Relay, experiment: Experiment, seconds: float) -> int:
        _, events, _ = through.ports
        through.delay(RESET_DELAY_S)
        return _repeatedly(lambda: through.reset(events), experiment, seconds)

    return _through_relay("relay_reset_events", seed, duration_s, strike)


def _reset_repeatedly(network: TwoHosts | Relay, experiment: Experiment, seconds: float) -> int:
    network.delay(RESET_DELAY_S)
    return _repeatedly(network.reset, experiment, seconds)


def _repeatedly(reset: Callable[[], int], experiment: Experiment, seconds: float) -> int:
    """Reset until the time is over, once at least, each time after the workers have come back; how many."""
    over = time.monotonic() + seconds
    connections = 0
    for number in itertools.count():
        if number and time.monotonic() >= over:
            break
        connections += reset()
        experiment.fault_ended()
        time.sleep(BETWEEN_RESETS_S)
    return connections


ON_TWO_HOSTS: dict[str, Callable[[int, float], Figures]] = {
    "partition": partition,
    "delay": delay,
    "loss": loss,
    "reset": reset,
}
ON_ONE_HOST: dict[str, Callable[[int, float], Figures]] = {
    "relay_hold": relay_hold,
    "relay_reset": relay_reset,
    "relay_reset_events": relay_reset_events,
}


def main(scenario: str = "", seed: str = "0", seconds: str = "1.5") -> None:
    for name, run in {**ON_TWO_HOSTS, **ON_ONE_HOST}.items():
        if scenario in ("", name):
            print(run(int(seed), float(seconds)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
