"""Workers and an aggregator on two hosts, and a network that fails them (R7): nothing is lost, nothing comes twice.

The same through a TCP relay where there can be only one host. How long reconnecting took is printed with -rA, and
held only to a deadline.
"""

from __future__ import annotations

import pytest

from fault.experiment import Figures, Sample, acknowledged_at, growth
from fault.hosts import permitted
from fault.network import ON_ONE_HOST, ON_TWO_HOSTS

SEED = 20_240_607
MEMORY_BYTES = 32 * 1024 * 1024
"""What a worker may grow: events held during a fault of seconds are a few megabytes."""


def examine(figures: Figures) -> None:
    print(figures)
    assert figures.faults > 0
    assert figures.verdict.returned > 0
    assert set(figures.exits) == {0}, figures
    assert figures.verdict.clean, figures
    assert figures.memory_growth_bytes < MEMORY_BYTES


@pytest.mark.parametrize("scenario", ON_TWO_HOSTS)
def test_between_two_hosts_nothing_is_lost(scenario: str) -> None:
    if reason := permitted():
        pytest.skip(reason)
    examine(ON_TWO_HOSTS[scenario](SEED, 1.0))


@pytest.mark.parametrize("scenario", ON_ONE_HOST)
def test_through_a_relay_nothing_is_lost(scenario: str) -> None:
    examine(ON_ONE_HOST[scenario](SEED, 1.0))


def test_what_counts_is_the_acknowledgement_of_an_event_emitted_after_the_fault() -> None:
    seen = [(1, 9, 5), (2, 10, 5), (3, 12, 10), (4, 15, 11)]
    samples = [Sample(at, emitted, acknowledged, 0, 0) for at, emitted, acknowledged in seen]
    assert acknowledged_at(samples, 1.5) == 4.0
    assert acknowledged_at(samples, 2.5) is None
    assert acknowledged_at([], 0.0) is None


def test_memory_grows_from_the_beginning_of_the_fault() -> None:
    samples = [Sample(at, 0, 0, 0, resident) for at, resident in enumerate((50, 10, 30, 20))]
    assert growth(samples, 1.5) == 20
    assert growth(samples, 3.5) == 0
