"""A recording made under faults, replayed twice (R16): the analysis is the same to the last digit.

`replays(seed, kills)` runs traced pipelines while they and their aggregator are killed, replays the recording into
another aggregator, twice, and compares the digests of all answers.

python replays.py [SEED [KILLS]] prints the figures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import embertrace as et
from fault import pipelines
from fault.kills import Farm, farm
from support.aggregators import aggregator

QUESTIONS = (
    "ensemble_disagreement", "non_unanimous_rate", "majority_accuracy", "accuracy_distribution", "judge_accuracy",
    "judge_accuracy_by_agreement", "judge_lift", "items", "stages", "operators", "errors", "lost", "open_calls",
    "unlinked", "health", "losses", "flow",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """Digests of all answers, and what they were about."""

    seed: int
    kills: int
    calls: int
    lost: int
    original: str
    once: str
    twice: str
    already_there: int
    """Events of the second replay that the aggregator had."""

    @property
    def equal(self) -> bool:
        return self.original == self.once == self.twice

    def __str__(self) -> str:
        return (
            f"replays seed={self.seed}: {self.kills} kills, {self.calls} calls of which {self.lost} lost; digests "
            f"{self.original[:12]} (original), {self.once[:12]} (replayed), {self.twice[:12]} (replayed twice); "
            f"{self.already_there} events were there already"
        )


def replays(seed: int, kills: int) -> Figures:
    """R16."""
    with farm(seed) as made:
        for number in range(kills):
            _run_and_kill(made, f"run{number}")
        made.await_all_adopted()
        assert made.experiment.finish()
        made.stop_aggregator()
        recording = made.directory / "recording"
        with aggregator(made.directory / "copy") as (ready, _):
            et.replay(recording, to=ready["endpoint"], speed="max")
            once = digest(made.directory / "copy")
            again = et.replay(recording, to=ready["endpoint"], speed="max")
        health = _analysis(recording).health()
        return Figures(
            seed,
            kills,
            health["calls"],
            health["lost"],
            digest(recording),
            once,
            digest(made.directory / "copy"),
            again.already_there,
        )


def _run_and_kill(made: Farm, name: str) -> None:
    """Pipelines that are killed halfway, and the aggregator with them."""
    command = ["env", f"EMBERTRACE_SPOOL_DIR={made.spools}", sys.executable, pipelines.__file__, made.dialled, name]
    program = subprocess.Popen([*command, "--items", "100000", "--pause", "0.002"])
    try:
        made.await_recorded(name)
        made.let_run()
        made.kill_aggregator()
        made.let_run()
    finally:
        program.kill()
        program.wait()
    made.restart_aggregator()


def _analysis(recording: pathlib.Path) -> et.OperatorAnalysis:
    return et.OperatorAnalysis(et.open(recording)._source, pool=True)


def digest(recording: pathlib.Path) -> str:
    """Of every answer, and of when each call began."""
    analysis = _analysis(recording)
    answers: Mapping[str, object] = {name: getattr(analysis, name)().to_data() for name in QUESTIONS}
    starts = [(call.call_id, call.attempt, call.start_ns, call.outcome) for call in analysis.calls]
    return hashlib.sha256(json.dumps([answers, starts], sort_keys=True, default=repr).encode()).hexdigest()


if __name__ == "__main__":
    print(replays(*(int(each) for each in sys.argv[1:3] or ["0", "2"])))
