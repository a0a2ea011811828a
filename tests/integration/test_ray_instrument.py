"""instrument(): remote functions and actor classes that others decorated are traced, and are as before afterwards."""

from __future__ import annotations

import inspect
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace.errors import ConfigError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray


def pipeline(chooser: Any) -> str:
    from support import foreign

    with et.item("q1", truth="a"):
        answers = foreign.panel.remote("which?", "aab")
        return str(ray.get(chooser.choose.remote("which?", answers)))


@pytest.fixture
def instrumented() -> Iterator[None]:
    import embertrace.ray as eray
    from support import foreign

    eray.instrument(foreign.ROLES)
    try:
        yield
    finally:
        eray.uninstrument()


def outline(call: Any) -> Any:
    return (f"{call.operator_type}:{call.stage}", [outline(child) for child in call.children])


def test_a_foreign_pipeline_is_one_tree_with_its_roles(cluster: None, instrumented: None) -> None:
    from support import foreign

    with et.collect_events() as events:
        chooser = foreign.Chooser.remote()
        assert pipeline(chooser) == "a"
        assert [ray.get(reference) for reference in foreign.count.remote(3)] == [0, 1, 2]
        assert ray.get(chooser.fixed.remote()) == "fixed"
    analysis = et.OperatorAnalysis(events)
    assert [outline(tree) for tree in analysis.trees] == [
        ("ensemble:ensemble_1", [("member:members", [])] * 3),
        ("judge:judge_1", []),
        ("function:default", []),
    ]
    assert dict(analysis.judge_accuracy_by_agreement()) == {"2/3": 1.0}


def test_what_is_decorated_afterwards_is_traced_too(cluster: None, instrumented: None) -> None:
    @ray.remote(num_cpus=0.1)
    def later(x: int) -> int:
        return x + 1

    with et.collect_events() as events:
        assert ray.get(later.options(name="once").remote(1)) == 2
    assert [event.event_type for event in events] == ["call", "result"]


def test_uninstrument_puts_everything_back(cluster: None) -> None:
    from ray.actor import ActorClass
    from ray.remote_function import RemoteFunction

    import embertrace.ray as eray
    from support import foreign

    meta = foreign.Chooser.__ray_metadata__
    before = (RemoteFunction._remote, ActorClass._remote, foreign.ask._function, meta.modified_class)
    for _ in range(2):
        eray.instrument()
        with et.collect_events() as events:
            assert pipeline(foreign.Chooser.remote()) == "a"
        assert len([event for event in events if event.event_type == "call"]) == 5
        eray.uninstrument()
        assert (RemoteFunction._remote, ActorClass._remote, foreign.ask._function, meta.modified_class) == before
        with et.collect_events() as events:
            assert pipeline(foreign.Chooser.remote()) == "a"
            with pytest.raises(TypeError, match="missing a required argument: 'answer'"):
                foreign.ask.remote("q")
        assert len(events) == 0
    eray.uninstrument()


def test_signatures_and_names_are_unchanged(cluster: None, instrumented: None) -> None:
    import embertrace.ray as eray
    from support import foreign

    plain = inspect.signature(foreign.ask.remote)
    with et.collect_events():
        ray.get(foreign.ask.remote("q", answer="a"))
    assert inspect.signature(foreign.ask.remote) == plain

    def ask(question: str, answer: str) -> str:
        """A member."""
        return answer

    made = eray.remote(ask)
    assert inspect.signature(made.remote) == plain
    assert made.remote.__doc__ == "A member."
    assert type(made) is type(foreign.ask)


@pytest.mark.parametrize("role", [{"typo": "x"}, {"answer": len}, {"member": False}])
def test_a_role_that_can_not_be_used_is_refused(role: Any) -> None:
    import embertrace.ray as eray

    with pytest.raises(ConfigError, match="the role of 'ask' has"):
        eray.instrument({"ask": role})


TRACING = """
import opentelemetry.trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

EXPORTER = InMemorySpanExporter()

def setup():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    opentelemetry.trace.set_tracer_provider(provider)
"""

BESIDE = """
import ray
import embertrace as et, embertrace.ray as eray
import hook
ray.init(num_cpus=2, object_store_memory=80_000_000, include_dashboard=False, logging_level="ERROR",
         _tracing_startup_hook="hook:setup")
from support.operators import Chooser, leaf, streaming, Asynchronous
from support import foreign
eray.instrument(foreign.ROLES)
with et.collect_events(wait=30) as events:
    chooser = Chooser.remote()
    assert ray.get(chooser.__call__.remote("q", *[leaf.remote("q", a) for a in "aab"])) == "a"
    assert [ray.get(r) for r in streaming.remote(2)] == [0, 1]
    assert ray.get(Asynchronous.remote().ask.remote("q")) == "async"
    assert ray.get(foreign.panel.remote("q", "ab")) == ["a", "b"]
    assert ray.get(foreign.Chooser.remote().choose.remote("q", ["a"])) == "a"
calls = et.OperatorAnalysis(events).calls
print(sorted((c.operator_id, c.parent.operator_id if c.parent else "") for c in calls))
print(len(hook.EXPORTER.get_finished_spans()) > 5)
"""


def test_it_gets_along_with_rays_own_tracing(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    (tmp_path / "hook.py").write_text(TRACING)
    (tmp_path / "beside.py").write_text(BESIDE)
    environment = {"PYTHONPATH": f"{tmp_path}:{pathlib.Path(__file__).parents[1]}:{pathlib.Path(__file__).parents[2]}"}
    done = run_python(tmp_path / "beside.py", environment)
    calls, spans = done.stdout.strip().splitlines()[-2:]
    assert eval(calls) == [
        ("Asynchronous.ask", ""), ("Chooser.choose", ""), ("ask", "panel"), ("ask", "panel"), ("chooser", ""),
        ("leaf", ""), ("leaf", ""), ("leaf", ""), ("leaf", "Asynchronous.ask"), ("panel", ""),
        ("streaming", ""),
    ]  # fmt: skip
    assert spans == "True"


def run_python(script: pathlib.Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, to its end."""
    import os

    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray Data's own
def test_operators_in_map_batches_are_traced_and_ray_data_is_left_alone(cluster: None, instrumented: None) -> None:
    data = pytest.importorskip("ray.data")
    from support.operators import add_answer

    with et.collect_events(wait=30) as events, et.operator("prepare", type="pipeline"):
        rows = data.range(20).map_batches(lambda batch: {"x": batch["id"]})
        found = rows.map_batches(et.bind(add_answer), batch_size=5).take_all()
    assert sorted(row["x"] for row in found) == list(range(1, 21))
    calls = et.OperatorAnalysis(events).calls
    assert {call.operator_id for call in calls} == {"prepare", "add_answer"}
    assert {call.parent.operator_id for call in calls if call.parent} == {"prepare"}
    assert len(calls) >= 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray Serve's own
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_operators_in_a_serve_deployment_are_traced_and_ray_serve_is_left_alone(
    cluster: None, instrumented: None
) -> None:
    serve = pytest.importorskip("ray.serve")
    from support.operators import add_answer

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Service:
        def __init__(self, operator: Any) -> None:
            self.operator = operator

        def __call__(self, x: int) -> int:
            return int(self.operator({"x": x})["x"])

    serve.start(proxy_location="Disabled")
    try:
        with et.collect_events(wait=30) as events, et.operator("serving", type="pipeline"):
            handle = serve.run(Service.bind(et.bind(add_answer)), route_prefix=None)
            assert [handle.remote(x).result() for x in range(3)] == [1, 2, 3]
    finally:
        serve.shutdown()
    (tree,) = et.OperatorAnalysis(events).trees
    assert outline(tree) == ("pipeline:default", [("member:rows", [])] * 3)
