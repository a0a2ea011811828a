"""Clocks that are wrong (R14): two processes whose clocks differ, and one whose clock is set back.

`skews(seed, skew_s, step_s)` traces ensembles across both, and compares what the recording says with the truth, which
each call's result holds: the monotonic clock of this machine.

python skews.py [SKEW [STEP]] prints the figures.
"""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import embertrace as et
from embertrace.analysis.calls import Call
from fault import pipelines
from fault.kills import farm

ITEMS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What the analysis made of it."""

    skew_s: float
    step_s: float
    calls: int
    negative_durations: int
    inversions: int
    """Calls that start before their parent, or before a call of the same parent and process that came earlier."""
    raw_inversions: int
    """The same by the times that were stamped: what there was to mend."""
    worst_error_ms: float
    """The largest difference of (child's start − parent's start) to the truth, where no clock was being set back."""

    def __str__(self) -> str:
        return (
            f"skews of ±{self.skew_s:g} s, set back by {self.step_s:g} s: {self.calls} calls, "
            f"{self.negative_durations} negative durations, {self.inversions} inversions (stamped: "
            f"{self.raw_inversions}), largest error {self.worst_error_ms:.2f} ms"
        )


def skews(seed: int, skew_s: float, step_s: float) -> Figures:
    """R14. A clock is set back once, in the middle."""
    with farm(seed) as made:
        command = [sys.executable, pipelines.__file__, made.dialled, "skewed", "--items", str(ITEMS)]
        command += ["--skew", str(skew_s), "--step", str(step_s)]
        subprocess.run(command, check=True, timeout=120)
        assert made.experiment.finish()
        made.stop_aggregator()
        return _figures(skew_s, step_s, et.open(made.directory / "recording").run("skewed").calls)


def _figures(skew_s: float, step_s: float, calls: tuple[Call, ...]) -> Figures:
    children = [call for call in calls if call.parent is not None]
    durations = [call.duration_s for call in calls if call.duration_s is not None]
    errors = [error for call in children if not step_s and (error := _error_ms(call)) is not None]
    return Figures(
        skew_s,
        step_s,
        len(calls),
        sum(duration < 0 for duration in durations),
        _inversions(children, "start"),
        _inversions(children, "timestamp"),
        max(errors, default=float("nan")),
    )


def _inversions(children: list[Call], when: str) -> int:
    def time_of(call: Call) -> float:
        return float(getattr(call, when))

    early = sum(time_of(call) < time_of(call.parent) for call in children if call.parent is not None)
    last: dict[Any, Call] = {}
    turned = 0
    for call in sorted(children, key=lambda call: call.origin.seq):
        place = (call.parent_key, call.origin.producer)
        turned += place in last and time_of(call) < time_of(last[place])
        last[place] = call
    return early + turned


def _error_ms(child: Call) -> float | None:
    parent = child.parent
    if parent is None or child.outcome != "result" or parent.outcome != "result":
        return None
    true = child.result["began"] - parent.result["began"]
    return float(abs((child.start - parent.start) - true) * 1e3)


if __name__ == "__main__":
    print(skews(0, *(float(each) for each in sys.argv[1:3] or ["5", "0"])))
