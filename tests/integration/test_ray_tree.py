"""The hierarchy across Ray: driver ensemble → tasks → nested tasks → actor, one tree."""

from __future__ import annotations

import inspect
import pathlib
from typing import Any

import pytest

import embertrace as et

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray


def outline(call: Any) -> Any:
    return (call.operator_id, [outline(child) for child in call.children])


def test_one_tree_whatever_ran_where(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import Chooser, ask

    with et.session(tmp_path / "rec", run="tree", quiet=True) as session:
        chooser = Chooser.remote()
        for number, answers in enumerate(["aaa", "aab", "abc"]):
            ask(chooser, f"q{number}", answers)
        live = session.analysis()
        numbers = [live.stage("ensemble_1").ensemble_disagreement(), live.judge_accuracy_by_agreement()]
    analysis = session.analysis()

    assert [outline(tree) for tree in analysis.trees] == [
        (
            "pipeline",
            [("panel", [("nested", [("leaf", [])]), ("leaf", []), ("leaf", [])]), ("chooser", [])],
        )
    ] * 3
    assert len({call.begin.origin.producer for call in analysis.calls if call.begin}) >= 3
    assert {call.item["key"] for call in analysis.calls} == {"q0", "q1", "q2"}
    assert analysis.stage("ensemble_1").ensemble_disagreement() == 0.5
    assert dict(analysis.judge_accuracy_by_agreement()) == {"3/3": 1.0, "2/3": 1.0, "1/3": 1.0}
    assert [analysis.stage("ensemble_1").ensemble_disagreement(), analysis.judge_accuracy_by_agreement()] == numbers
    health = analysis.health()
    assert (health["open"], health["missing"], health["gaps"], health["unlinked"]) == (0, 0, 0, 0)


def test_links_are_found_from_object_refs(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import Chooser, leaf

    with et.session(tmp_path / "rec", quiet=True) as session:
        chooser = Chooser.remote()
        references = [leaf.remote("q", answer) for answer in "ab"]
        ray.get(chooser.__call__.remote("q", *references))
    calls = session.analysis().calls
    judge = next(call for call in calls if call.operator_type == "judge")
    members = {call.call_id for call in calls if call.operator_type == "member"}
    assert set(judge.links) == members


def test_what_is_submitted_behind_a_call_stands_beside_it(cluster: None, tmp_path: pathlib.Path) -> None:
    """The call is gone by then, and nothing of it may be taken for what stands above."""
    from support.operators import Chooser, leaf

    with et.session(tmp_path / "rec", quiet=True) as session:
        chooser = Chooser.remote()
        with et.item("q"):
            with et.operator("panel", type="ensemble") as panel:
                references = [leaf.remote("q", answer) for answer in "aab"]
                panel.result(ray.get(references))
            ray.get(chooser.__call__.remote("q", *references))
    analysis = session.analysis()
    assert sorted(outline(tree) for tree in analysis.trees) == [("chooser", []), ("panel", [("leaf", [])] * 3)]
    assert next(iter(analysis.explain("judge_accuracy_by_agreement")))["judged"] == [
        f"{analysis.type('ensemble').calls[0].call_id:016x}"
    ]


def test_return_kinds_errors_and_options_are_rays_own(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import Asynchronous, failing, leaf, streaming

    with et.session(tmp_path / "rec", quiet=True) as session:
        generator = streaming.remote(3)
        assert type(generator).__name__ == "ObjectRefGenerator"
        assert [ray.get(reference) for reference in generator] == [0, 1, 2]
        with pytest.raises(ValueError, match="no answer to q"):
            ray.get(failing.remote("q"))
        with pytest.raises(TypeError, match="missing a required argument: 'answer'"):
            leaf.remote("q")
        assert ray.get(leaf.options(name="other").remote("q", answer="b")) == "b"
        assert ray.get(Asynchronous.remote().ask.remote("q")) == "async"
    outcomes = {call.operator_id: call.outcome for call in session.analysis().calls}
    assert outcomes == {"streaming": "result", "failing": "error", "leaf": "result", "Asynchronous.ask": "result"}
    asynchronous = next(call for call in session.analysis().calls if call.operator_id == "Asynchronous.ask")
    assert [child.operator_id for child in asynchronous.children] == ["leaf"]


def test_untraced_programs_run_as_before(cluster: None) -> None:
    from support.operators import Chooser, leaf

    assert ray.get(leaf.remote("q", "a")) == "a"
    chooser = Chooser.remote()
    assert ray.get(chooser.__call__.remote("q", "a", "b", "b")) == "b"
    assert isinstance(ray.get(chooser.pid.remote()), int)


@pytest.mark.parametrize("carrier", [b"", b"\xc1" * 50, b"\x89ETC\x09" + bytes(40), "text", 7])
def test_a_malformed_carrier_makes_a_root(cluster: None, carrier: Any) -> None:
    from embertrace.ray import CARRIER
    from support.operators import leaf

    assert ray.get(leaf.remote("q", "a", **{CARRIER: carrier})) == "a"


def test_redaction_holds_in_the_workers_too(cluster: None, tmp_path: pathlib.Path) -> None:
    from embertrace import collect
    from support.aggregators import aggregator
    from support.operators import leaf

    before = collect.settings
    with aggregator(tmp_path / "rec") as (ready, _):
        try:
            with et.init(ready["endpoint"], redact_patterns=(r"sk-\d+",)) as run:
                assert ray.get(leaf.remote("my key is sk-12345", "sk-67890")) == "sk-67890"
            run.emitter.close(10)
        finally:
            collect.configure(before)
        analysis = et.connect(ready["endpoint"])
        while not [call for call in analysis.calls if call.ended]:
            pass
    (call,) = et.open(tmp_path / "rec").calls
    assert call.args == ["my key is [redacted]", "[redacted]"]
    assert call.result == "[redacted]"


def test_operators_of_a_notebook_survive_pickling_by_value(cluster: None, tmp_path: pathlib.Path) -> None:
    import embertrace.ray as eray

    namespace: dict[str, Any] = {"et": et, "eray": eray, "__name__": "__main__"}
    source = inspect.cleandoc("""
        @eray.remote(num_cpus=0.1)
        @et.trace(type="member", stage="cells")
        def cell(value):
            return inner(value)
        @et.trace(stage="cells")
        def inner(value):
            return value * 2
    """)
    exec(source, namespace)
    with et.session(tmp_path / "rec", quiet=True) as session:
        assert ray.get(namespace["cell"].remote(21)) == 42
    assert [outline(tree) for tree in session.analysis().trees] == [("cell", [("inner", [])])]
