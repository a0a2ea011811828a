"""Everything at once, at random, for as long as one likes (R17): kills, stops, resets, held connections.

`soak(seed, seconds)` runs workers against an aggregator behind a relay; every moment or two the seed chooses what goes
wrong. At the end nothing may be lost or twice, and the process that lived throughout must not have grown.

python soak.py [SEED [SECONDS]] prints the figures.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import signal
import statistics
import sys
import time
from collections.abc import Sequence

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from embertrace.emit import spool_directory
from embertrace.testing import relay
from fault.experiment import Sample
from fault.kills import Farm, farm
from fault.verdict import Verdict

WORKERS = 2
RATE = 300.0
LEAST_S, MOST_S = 0.5, 2.5
"""Between two faults."""
FAULT_S = 2.0
"""The longest that an aggregator is stopped, or connections are held."""
WARM = 0.1
"""The first part of a life: until then caches fill."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What came of it."""

    seed: int
    seconds: float
    faults: dict[str, int]
    verdict: Verdict
    left_behind: int
    memory_slope_mb_per_min: float
    """Of the process that lived throughout, by least squares."""
    descriptors: tuple[int, int]
    """What it had open in the first half, and in the second: medians, since a leak raises all samples."""
    most_descriptors: int
    """At any moment: how many connections are being made anew at once is chance."""

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.left_behind

    def __str__(self) -> str:
        found = self.verdict
        return (
            f"soak seed={self.seed} {self.seconds:g} s: {sum(self.faults.values())} faults ("
            + ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
            + f"), {found.returned} emitted, {found.lost} lost, {len(found.twice)} twice, {len(found.disordered)} "
            f"disordered, {self.left_behind} streams left behind; memory {self.memory_slope_mb_per_min:+.2f} MB/min, "
            f"descriptors {self.descriptors[0]} then {self.descriptors[1]}, {self.most_descriptors} at most"
        )


def soak(seed: int, seconds: float) -> Figures:
    """R17, for `seconds`."""
    faults: collections.Counter[str] = collections.Counter()
    with farm(seed) as made, relay(made.bound) as through:
        made.dialled = through.endpoint
        names = [made.start_worker(None, RATE) for _ in range(WORKERS)]
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            time.sleep(made.chance.uniform(LEAST_S, MOST_S))
            fault = made.chance.choice(("kill aggregator", "kill worker", "stop aggregator", "reset", "hold"))
            faults[fault] += 1
            if fault == "kill aggregator":
                made.kill_aggregator()
                made.let_run()
                made.start_aggregator()
            elif fault == "kill worker":
                place = made.chance.randrange(WORKERS)
                made.kill_worker(names[place])
                names[place] = made.start_worker(None, RATE)
            elif fault == "stop aggregator":
                _stop_for(made, made.chance.uniform(0, FAULT_S))
            elif fault == "reset":
                through.reset()
            else:
                through.hold()
                time.sleep(made.chance.uniform(0, FAULT_S))
                through.resume()
        made.experiment.await_acknowledged_after(time.monotonic())
        made.await_all_adopted()
        assert made.experiment.finish(), "a worker ended without its events being acknowledged"
        left = len(list(spool_directory.streams(made.spools)))
        made.stop_aggregator()
        samples = made.experiment.samples("bystander")
        first, second = _halves(samples)
        return Figures(
            seed,
            seconds,
            dict(faults),
            made.verdict(),
            left,
            slope_mb_per_min(samples),
            (_median(first), _median(second)),
            max(sample.descriptors for sample in samples),
        )


def _stop_for(made: Farm, seconds: float) -> None:
    assert made.aggregator is not None
    made.aggregator.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    made.aggregator.send_signal(signal.SIGCONT)


def _median(samples: Sequence[Sample]) -> int:
    return statistics.median_low(sample.descriptors for sample in samples)


def _halves(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    return samples[: len(samples) // 2], samples[len(samples) // 2 :]


def slope_mb_per_min(samples: Sequence[Sample]) -> float:
    """How resident memory grew per minute once warm, by least squares; 0 of less than two samples."""
    warm = samples[int(len(samples) * WARM) :]
    n = len(warm)
    if n < 2:
        return 0.0
    minutes = [sample.at / 60 for sample in warm]
    megabytes = [sample.resident_bytes / 1e6 for sample in warm]
    middle, mean = sum(minutes) / n, sum(megabytes) / n
    spread = sum((x - middle) ** 2 for x in minutes)
    return sum((x - middle) * (y - mean) for x, y in zip(minutes, megabytes, strict=True)) / spread


if __name__ == "__main__":
    print(soak(*(int(each) for each in sys.argv[1:2] or ["0"]), *(float(each) for each in sys.argv[2:3] or ["30"])))
