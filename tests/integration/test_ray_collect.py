"""collect_events() around a Ray pipeline receives the workers' events: the starting document's example, unchanged."""

from __future__ import annotations

import logging
import pathlib
from typing import Any

import pytest

import embertrace as et
from embertrace import Ensemble, Operator, OperatorAnalysis, collect_events, trace

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray


@trace()
class MyEnsemble(Ensemble):
    operators: tuple[Operator, ...]

    def __call__(self, input: Any) -> Any:
        # Automatically traced
        return super().__call__(input)


class Remote(Operator):
    """A member of the ensemble that asks a Ray worker."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def __call__(self, input: Any) -> Any:
        from support.operators import leaf

        return ray.get(leaf.remote(input, self.answer))


def test_the_example_with_its_members_in_ray_workers(cluster: None) -> None:
    from support.operators import Chooser

    chooser = Chooser.remote()

    def pipeline(data: list[str]) -> list[str]:
        results = []
        for key, answers in enumerate(data):
            with et.item(key, truth="a"), et.operator("ask", type="pipeline"):
                found = MyEnsemble([Remote(answer) for answer in answers])("which?")
                results.append(ray.get(chooser.__call__.remote("which?", *found)))
        return results

    data = ["aaa", "aab", "bbc"]

    with collect_events() as events:
        # Run your pipeline
        result = pipeline(data)

    # Analyze
    analysis = OperatorAnalysis(events)
    assert result == ["a", "a", "b"]
    assert analysis.ensemble_disagreement() == pytest.approx(1 / 3)
    assert dict(analysis.judge_accuracy_by_agreement()) == {"3/3": 1.0, "2/3": 0.5}
    assert len({event.producer_id for event in events}) >= 2
    assert [event.timestamp for event in events] == sorted(event.timestamp for event in events)
    remote = next(event for event in events if event.operator_id == "leaf")
    assert [frame["type"] for frame in remote.context["operators"]] == ["pipeline", "ensemble", "member"]
    assert remote.context["item"] == {"key": 0, "truth": "a"}
    assert len(analysis.events) == len(events)


def test_a_judge_knows_its_members_by_their_refs_with_no_ensemble_at_all(cluster: None) -> None:
    from support.operators import Chooser, leaf

    chooser = Chooser.remote()
    with collect_events() as events:
        for key, answers in enumerate(["aaa", "aab", "abc"]):
            with et.item(key, truth="a"):
                ray.get(chooser.__call__.remote("q", *[leaf.remote("q", answer) for answer in answers]))
    analysis = OperatorAnalysis(events)
    assert analysis.health()["unlinked"] == 0
    assert dict(analysis.judge_accuracy_by_agreement()) == {"3/3": 1.0, "2/3": 1.0, "1/3": 1.0}
    assert analysis.judge_lift() == pytest.approx((0 + 0 + 2 / 3) / 3)


def test_two_blocks_in_turn_with_the_same_actors_do_not_mix(cluster: None) -> None:
    from support.operators import Chooser

    chooser = Chooser.remote()
    found = []
    for block in range(2):
        with collect_events() as events:
            for _ in range(block + 1):
                ray.get(chooser.__call__.remote(f"block {block}", "a", "b"))
        found.append([event.data["args"] for event in events if event.event_type == "call"])
    assert found == [[["block 0", "a", "b"]], [["block 1", "a", "b"]] * 2]


def test_nested_blocks_each_get_their_own(cluster: None) -> None:
    from support.operators import leaf

    with collect_events() as outer:
        ray.get(leaf.remote("before", "a"))
        with collect_events() as inner:
            ray.get(leaf.remote("inside", "a"))
    questions = [[e.data["args"][0] for e in events if e.event_type == "call"] for events in (outer, inner)]
    assert questions == [["before", "inside"], ["inside"]]


def test_a_configured_aggregator_is_used_and_has_the_events_too(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import leaf

    with et.session(tmp_path / "rec", quiet=True) as session:
        ray.get(leaf.remote("before", "a"))
        with et.operator("panel", type="ensemble"), collect_events() as events:
            ray.get([leaf.remote("inside", answer) for answer in "ab"])
        assert sorted(events.elsewhere) == [session.endpoint]
    assert [e.operator_id for e in events if e.event_type == "call"] == ["leaf", "leaf"]
    assert len({(event.producer_id, event.seq) for event in events}) == len(events) == 4
    assert len([call for call in session.analysis().calls if call.operator_id == "leaf"]) == 3


def test_leaving_names_the_calls_that_are_still_open(cluster: None, caplog: pytest.LogCaptureFixture) -> None:
    from support.operators import Gate

    gate = Gate.remote()
    with caplog.at_level(logging.WARNING, "embertrace"), collect_events(wait=5) as events:
        waiting = gate.wait.remote()
        ray.get(gate.entered.remote())
    assert [r.message for r in caplog.records if "still open: Gate.wait" in r.message]
    assert [call.operator_id for call in OperatorAnalysis(events).calls if call.outcome == "open"] == ["Gate.wait"]
    gate.open.remote()
    assert ray.get(waiting) == "open"


def test_a_block_that_fails_does_not_wait(cluster: None) -> None:
    from support.operators import Gate

    gate = Gate.remote()
    with pytest.raises(ZeroDivisionError), collect_events(wait=600):
        gate.wait.remote()
        ray.get(gate.entered.remote())
        raise ZeroDivisionError
    gate.open.remote()


def test_more_links_than_a_carrier_holds_are_told_beside_it(cluster: None) -> None:
    from embertrace.ray import call_id_of
    from support.operators import widest

    class Teller:
        def tell(self, number: int) -> int:
            return number

    teller = ray.remote(num_cpus=0.1)(Teller).remote()
    members = [teller.tell.remote(number) for number in range(500)]
    with collect_events(wait=30) as events, et.operator("outer"):
        assert ray.get(widest.remote(members)) == 500
    analysis = OperatorAnalysis(events)
    (call,) = analysis.operator("widest").calls
    assert set(call.links) == {call_id_of(reference) for reference in members}
    assert call.parent is not None and call.parent.operator_id == "outer"
    assert analysis.health()["unplaced"] == 0


@pytest.mark.parametrize("unpicklable", [lambda: None])
def test_a_submission_that_ray_refuses_is_rays_own_error_and_leaves_no_trace(cluster: None, unpicklable: Any) -> None:
    import threading

    from support.operators import leaf

    def submit(*args: Any, **kwargs: Any) -> str:
        with pytest.raises(TypeError) as caught:
            leaf.remote(*args, **kwargs)
        return str(caught.value)

    refusals: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        (("q",), {"nonsense": 1}),
        (("q", threading.Lock()), {}),
    ]
    untraced = [submit(*args, **kwargs) for args, kwargs in refusals]
    with collect_events(wait=30) as events, et.operator("outer"):
        assert [submit(*args, **kwargs) for args, kwargs in refusals] == untraced
        ray.get(leaf.remote("q", "a"))
    health = OperatorAnalysis(events).health()
    assert (health["open"], health["missing"]) == (0, 0)
    assert [call.operator_id for call in OperatorAnalysis(events).calls] == ["outer", "leaf"]
