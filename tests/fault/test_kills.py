"""Kills in the middle of everything (R1–R3, R8) and all faults at random (R17), in short; and that loss would be seen.

The full forms are run by `python3 dev.py faults --full`.
"""

from __future__ import annotations

import pytest

from fault import kills, soak
from fault.experiment import Sample

SEED = 20_241_123
ATTEMPTS = 6
MEMORY_BYTES = 32 * 1024 * 1024


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """How soon orphans are adopted is a figure of the full forms."""
    monkeypatch.setattr(kills, "look_s", 0.5)


@pytest.mark.parametrize("scenario", ["aggregator_kills", "worker_kills", "both_killed"])
def test_kills_lose_nothing(scenario: str) -> None:
    figures = kills.SCENARIOS[scenario](SEED, 2)
    print(figures)
    assert isinstance(figures, kills.Figures)
    assert figures.verdict.returned > 0
    assert figures.clean, figures


@pytest.mark.parametrize("scenario", ["bare_receiver_kills", "bare_sender_kills", "bare_both_killed"])
def test_without_the_protocol_they_do(scenario: str) -> None:
    """The negative control: a harness that can't see loss proves nothing.

    What is on its way at a kill is chance: a receiver on a quiet machine may have taken all, four times in a row.
    """
    lost = 0
    for attempt in range(ATTEMPTS):
        figures = kills.SCENARIOS[scenario](SEED + attempt, 4)
        print(figures)
        assert isinstance(figures, kills.Bare)
        lost += figures.lost
        if lost:
            break
    assert lost > 0


def test_an_aggregator_that_stands_still_costs_drops_that_are_counted_exactly() -> None:
    figures = kills.aggregator_stopped(SEED, 4.0)
    print(figures)
    assert figures.drops_are_exact, figures
    assert figures.verdict.declared > 0, "the spool was meant to overflow"
    assert figures.held_bytes <= kills.STOPPED_SPOOL_BYTES
    assert figures.memory_growth_bytes < MEMORY_BYTES


def test_everything_at_random() -> None:
    figures = soak.soak(SEED, 10.0)
    print(figures)
    assert sum(figures.faults.values()) > 3
    assert figures.clean, figures


def test_the_slope_is_per_minute_once_warm() -> None:
    samples = [Sample(60.0 * minute, 0, 0, 0, 2_000_000 * minute) for minute in range(20)]
    assert soak.slope_mb_per_min(samples) == pytest.approx(2.0)
    assert soak.slope_mb_per_min(samples[:1]) == 0.0
