"""Retries, restarts and rebuilds are attempts of one call; what was killed in mid-call is lost, once that is known."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

import embertrace as et

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray


def attempts(events: Any, operator: str) -> list[tuple[int, str, list[str]]]:
    """(attempt, outcome, its children) of every execution of one call."""
    calls = et.OperatorAnalysis(events, attempts="all").calls
    found = [call for call in calls if call.operator_id == operator]
    assert len({call.call_id for call in found}) == 1
    return sorted((call.attempt, call.outcome, [child.operator_id for child in call.children]) for call in found)


def test_a_task_that_raises_is_retried_as_attempts_of_one_call(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import flaky

    with et.collect_events() as events:
        assert ray.get(flaky.remote(str(tmp_path / "tries"), 2, "raise")) == "third time"
    assert attempts(events, "flaky") == [(0, "error", ["inner"]), (1, "error", ["inner"]), (2, "result", ["inner"])]
    (call,) = [call for call in et.OperatorAnalysis(events).calls if call.operator_id == "flaky"]
    assert (call.attempt, call.result, [child.parent_key[1] for child in call.children]) == (2, "third time", [2])


def test_a_worker_that_dies_is_retried(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import flaky

    with et.collect_events() as events:
        assert ray.get(flaky.remote(str(tmp_path / "tries"), 1, "die")) == "third time"
    found = attempts(events, "flaky")
    assert found[-1] == (1, "result", ["inner"])
    (call,) = [call for call in et.OperatorAnalysis(events).calls if call.operator_id == "flaky"]
    assert call.attempt == 1


def test_an_actor_that_restarts_goes_on_with_the_same_call(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import Fragile

    with et.collect_events() as events:
        fragile = Fragile.remote()
        assert ray.get(fragile.ask.remote(str(tmp_path / "tries"))) == "restarted"
    assert attempts(events, "Fragile.ask")[-1][:2] == (1, "result")


def test_members_of_a_failed_attempt_do_not_vote(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import flaky_panel

    with et.collect_events() as events, et.item("q", truth="a"):
        assert ray.get(flaky_panel.remote(str(tmp_path / "tries"))) == ["a", "a"]
    analysis = et.OperatorAnalysis(events)
    assert analysis.ensemble_disagreement() == 0.0
    every = et.OperatorAnalysis(events, attempts="all")
    assert len([call for call in every.calls if call.operator_id == "flaky_panel"]) == 2
    assert every.ensemble_disagreement() == 0.0


def test_a_cancelled_call_ends_with_an_error(cluster: None) -> None:
    from support.operators import Gate, cancellable

    with et.collect_events() as events:
        gate = Gate.remote()
        reference = cancellable.remote(gate)
        ray.get(gate.entered.remote())
        ray.cancel(reference)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(reference)
    (call,) = [call for call in et.OperatorAnalysis(events).calls if call.operator_id == "cancellable"]
    assert call.outcome == "error"


def test_killed_calls_are_lost_once_their_producers_are_known_dead(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.aggregators import aggregator
    from support.operators import Gate, Stuck, stuck
    from support.spools import until

    with aggregator(tmp_path / "rec") as (ready, _):
        with et.init(ready["endpoint"]) as run:
            gates = [Gate.remote(), Gate.remote()]
            victim = Stuck.remote()
            killed, cancelled = victim.stuck.remote(gates[0]), stuck.remote(gates[1])
            ray.get([gate.entered.remote() for gate in gates])
            ray.kill(victim)
            ray.cancel(cancelled, force=True)
            for reference in (killed, cancelled):
                with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.RayError)):
                    ray.get(reference)
            analysis = et.connect(ready["endpoint"])
            assert {call.outcome for call in analysis.calls if "stuck" in call.operator_id} == {"open"}
            until(lambda: len(analysis.lost()) == 2, "both calls to be lost, after three heartbeats")
            assert {row["operator"] for row in analysis.lost()} == {"Stuck.stuck", "stuck"}
            assert {call.outcome for call in analysis.calls if "stuck" in call.operator_id} == {"lost"}
            ray.get([gate.open.remote() for gate in gates])
        run.emitter.close(10)
    assert {call.operator_id for call in et.open(tmp_path / "rec").calls if call.outcome == "lost"} == {
        "Stuck.stuck",
        "stuck",
    }


def test_a_result_that_is_rebuilt_is_another_attempt(tmp_path: pathlib.Path) -> None:
    """Lineage: the node that held the result goes, and Ray runs the task again."""
    script = pathlib.Path(__file__).parents[1] / "support" / "lineage.py"
    from test_ray_instrument import run_python

    done = run_python(script, {"PYTHONPATH": f"{script.parents[1]}:{script.parents[2]}"})
    assert done.stdout.strip().splitlines()[-1] == "[(0, 'result'), (1, 'result')] 1"
