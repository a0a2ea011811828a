"""Ember's operators, traced as they are: seen once each, and otherwise as if nobody looked."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import embertrace as et
from embertrace import EventList, OperatorAnalysis, collect, collect_events
from embertrace.config import Settings
from embertrace.errors import ConfigError
from embertrace.event import OperatorEvent
from embertrace.interop.ember import FRAMEWORK_ROOTS, instrument, uninstrument
from support import ember_like
from support.ember_like import (
    EnsembleOperator,
    ListEnsemble,
    Module,
    MostCommonOperator,
    Operator,
    Verdict,
    VerifierOperator,
    op,
    says,
)

CLASSES = [cls for cls in vars(ember_like).values() if isinstance(cls, type) and cls.__module__ == ember_like.__name__]


@pytest.fixture(autouse=True)
def always_undone() -> Iterator[None]:
    yield
    uninstrument()


def attributes() -> dict[tuple[str, str], Any]:
    return {(cls.__qualname__, name): value for cls in CLASSES for name, value in vars(cls).items()}


def calls(events: EventList) -> list[OperatorEvent]:
    return [event for event in events if event.event_type == "call"]


def named(events: EventList) -> list[str]:
    return [event.operator_id for event in calls(events)]


def result_of(events: EventList, name: str) -> dict[str, Any]:
    (event,) = (event for event in events if event.event_type == "result" and event.operator_id == name)
    return event.data


class Shout(Operator):
    def forward(self, *, inputs: str) -> str:
        if not inputs:
            raise ValueError("nothing to shout")
        return inputs.upper()


class Polite(Shout):
    """Passes two `__call__` on its way to `forward`."""

    def __call__(self, *, inputs: str) -> str:
        return f"please, {super().__call__(inputs=inputs)}"


# What is seen.


def test_a_pipeline_is_one_tree() -> None:
    instrument(Operator)
    panel = EnsembleOperator((says("Paris"), says("Paris"), says("Lyon")))
    with collect_events() as events, et.item("q-1", truth="Paris"), et.operator("pipeline"):
        answers = panel(inputs="capital of France?").responses
        chosen = MostCommonOperator()(inputs=answers).final_answer
        assert VerifierOperator()(inputs=chosen)
    root, ensemble, *members, judge, verifier = calls(events)
    assert [event.operator_type for event in calls(events)] == [
        "operator", "ensemble", "member", "member", "member", "judge", "verifier",
    ]  # fmt: skip
    assert {event.parent_call_id for event in (ensemble, judge, verifier)} == {root.call_id}
    assert {event.parent_call_id for event in members} == {ensemble.call_id}
    assert result_of(events, "MostCommonOperator")["answer"] == "Paris"
    asked = OperatorAnalysis(events)
    assert asked.ensemble_disagreement() == 0.5
    assert asked.majority_accuracy() == asked.judge_accuracy() == 1.0
    assert asked.judge_accuracy_by_agreement() == {"2/3": 1.0}


@pytest.mark.parametrize("kind", [EnsembleOperator, ListEnsemble])
def test_members_that_are_no_operators_are_read_from_the_result(kind: type[EnsembleOperator]) -> None:
    instrument(Operator, roles={"EnsembleOperator": {"stage": "ensemble_1"}})
    with collect_events() as events:
        kind((says("a"), says("b"), says("a")))(inputs="?")
    ensemble, *members = calls(events)
    ends = [event for event in events if event.event_type == "result" and event.operator_type == "member"]
    assert [(event.operator_id, event.operator_type, event.stage) for event in members] == [
        ("#0", "member", "ensemble_1"), ("#1", "member", "ensemble_1"), ("#2", "member", "ensemble_1"),
    ]  # fmt: skip
    assert [event.slot for event in members] == [0, 1, 2]
    assert [event.data for event in members] == [None] * 3
    assert [event.duration_s for event in ends] == [None] * 3
    assert {event.follows for event in members} == {None}
    assert [event.data for event in ends] == [{"answer": "a"}, {"answer": "b"}, {"answer": "a"}]
    assert result_of(events, ensemble.operator_id)["result"]
    assert events[-1].slots == 3
    asked = OperatorAnalysis(events)
    assert asked.stage("ensemble_1").ensemble_disagreement() == 0.5
    rows = {row["operator"]: row for row in asked.operators()}
    assert rows["#0"]["calls"] == 1 and rows["#0"]["p50_s"] is None


def test_members_that_are_operators_are_traced_where_they_run_and_not_read_again() -> None:
    instrument(Operator)
    with collect_events() as events:
        found = ListEnsemble((Shout(), Shout(), Polite()))(inputs="a")
    assert found == ["A", "A", "please, A"]
    assert named(events) == ["ListEnsemble", "Shout", "Shout", "Polite"]
    assert [event.slot for event in calls(events)[1:]] == [0, 1, 2]
    assert len({event.trace_id for event in events}) == 1
    assert OperatorAnalysis(events).ensemble_disagreement() == 0.5


def test_an_ensemble_below_another_is_one_of_its_members() -> None:
    instrument(Operator)
    inner = ListEnsemble((says("a"), says("b")))
    with collect_events() as events:
        ListEnsemble((inner, inner))(inputs="?")
    outer, *below = calls(events)
    inners = [event for event in below if event.operator_type == "ensemble"]
    assert [event.parent_call_id for event in inners] == [outer.call_id] * 2
    for ensemble in inners:
        assert [event.operator_id for event in below if event.parent_call_id == ensemble.call_id] == ["#0", "#1"]


def test_an_ensemble_that_shows_no_list_has_no_members() -> None:
    class Secret:
        @property
        def responses(self) -> list[str]:
            raise RuntimeError("not for you")

    class QuietEnsemble(Operator):
        def forward(self, *, inputs: Any) -> Any:
            return inputs

    instrument(Operator)
    with collect_events() as events:
        for result in ("a string", None, [], Secret(), {"responses": 3}):
            assert QuietEnsemble()(inputs=result) is result
    assert named(events) == ["QuietEnsemble"] * 5
    assert {event.event_type for event in events} == {"call", "result"}


def test_one_execution_is_one_call_through_super() -> None:
    instrument(Operator)
    with collect_events() as events:
        assert Polite()(inputs="hey") == "please, HEY"
    assert named(events) == ["Polite"]
    assert result_of(events, "Polite")["result"] == "please, HEY"


@pytest.mark.parametrize("again", ["countdown", "polite countdown"])
def test_an_operator_that_calls_itself_is_called_again(again: str) -> None:
    class Countdown(Operator):
        def forward(self, *, inputs: int) -> int:
            return self(inputs=inputs - 1) if inputs else 0

    class PoliteCountdown(Countdown):
        def __call__(self, *, inputs: int) -> int:
            return super().__call__(inputs=inputs)

    operator = Countdown() if again == "countdown" else PoliteCountdown()
    instrument(Operator)
    with collect_events() as events:
        operator(inputs=2)
    assert len(calls(events)) == 3
    assert [event.parent_call_id for event in calls(events)[1:]] == [event.call_id for event in calls(events)[:2]]


def test_equal_operators_are_told_apart() -> None:
    class Outer(Operator):
        inner: Any = None

        def forward(self, *, inputs: Any) -> Any:
            return self.inner(inputs=inputs) if inputs else type(self)()(inputs=self)

    assert Outer() == Outer() and hash(Outer()) == hash(Outer())
    instrument(Operator)
    with collect_events() as events:
        Outer(inner=Shout())(inputs="a")
        Outer(inner=Shout())(inputs="b")
    assert named(events) == ["Outer", "Shout", "Outer", "Shout"]


def test_proxies_of_functions_are_named_by_their_function() -> None:
    @op
    def whisper(text: str) -> str:
        return text.lower()

    @op
    def mumble(text: str) -> str:
        return text[:1]

    with pytest.raises((TypeError, AttributeError)):
        pickle.dumps(whisper)
    instrument(Operator)
    with collect_events() as events:
        assert ListEnsemble((whisper, mumble, whisper))(inputs="HEY") == ["hey", "H", "hey"]
    assert named(events)[1:] == ["whisper", "mumble", "whisper"]
    uninstrument()
    instrument(ember_like.Proxy)
    with collect_events() as events:
        ListEnsemble((whisper, mumble))(inputs="HEY")
    assert named(events) == ["whisper", "mumble"]


def test_a_judge_without_a_final_answer_answers_with_its_result() -> None:
    class StrictJudge(Operator):
        def forward(self, *, inputs: Any) -> Any:
            return inputs

    class KindJudge(StrictJudge):
        pass

    class MappingJudge(StrictJudge):
        pass

    instrument(Operator)
    with collect_events() as events:
        StrictJudge()(inputs="a")
        KindJudge()(inputs=Verdict("b"))
        MappingJudge()(inputs={"final_answer": "c"})
    answers = [result_of(events, name)["answer"] for name in ("StrictJudge", "KindJudge", "MappingJudge")]
    assert answers == ["a", "b", "c"]


def test_roles_say_more_and_reach_derived_classes() -> None:
    instrument(
        Operator,
        roles={
            "Shout": {"type": "judge", "stage": "loud", "name": "shouter", "answer": "missing"},
            "MostCommonOperator": {"type": "reducer"},
        },
    )
    with collect_events() as events:
        Polite()(inputs="a")
        MostCommonOperator()(inputs=["a"])
    shout, common = calls(events)
    assert (shout.operator_id, shout.operator_type, shout.stage) == ("shouter", "judge", "loud")
    assert "answer_error" in result_of(events, "shouter")
    assert (common.operator_type, common.stage) == ("reducer", "default")
    assert "answer" not in result_of(events, "MostCommonOperator")


@pytest.mark.parametrize(
    ("name", "found"),
    [("JudgeEnsemble", "ensemble"), ("EnsembleJudge", "judge"), ("MyVerifierV2", "verifier"), ("Router", "Router")],
)
def test_the_type_follows_from_the_name_of_the_class(name: str, found: str) -> None:
    instrument(Operator)
    made: Any = types.new_class(name, (Operator,), exec_body=lambda body: body.update(forward=Shout.forward))
    with collect_events() as events:
        made()(inputs="a")
    assert [event.operator_type for event in calls(events)] == [found]


def test_what_an_operator_states_of_itself_goes_before_its_name_and_a_role_before_both() -> None:
    class WeatherJudge(Shout):
        metadata = et.OperatorMetadata(id="weather", type_hint="router")  # type: ignore[misc]

    instrument(Operator)
    with collect_events() as events:
        WeatherJudge()(inputs="a")
        instrument(Operator, roles={"WeatherJudge": {"type": "tool"}})
        WeatherJudge()(inputs="a")
    assert [(event.operator_id, event.operator_type) for event in calls(events)] == [
        ("weather", "router"), ("weather", "tool"),
    ]  # fmt: skip
    assert "answer" not in result_of(events[:3], "weather")


def test_an_operator_that_cannot_be_looked_at_works_untraced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Unhashable(type):
        def __eq__(cls, other: object) -> bool:
            return cls is other

        __hash__ = None  # type: ignore[assignment]

    class Strange(metaclass=Unhashable):
        def __call__(self, *, inputs: Any) -> Any:
            return inputs

    class Secretive:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    monkeypatch.setattr(collect, "_reported", set())
    instrument(Strange, Operator)
    shout = Shout()
    object.__setattr__(shout, "__wrapped__", Secretive())
    with collect_events() as events, caplog.at_level(logging.ERROR):
        assert [Strange()(inputs=1), shout(inputs="a")] == [1, "A"]
    assert not events
    assert len(caplog.records) == 1 and "the call itself is not affected" in caplog.text


def test_classes_defined_later_are_traced() -> None:
    class Silent(Operator):
        """Its own hook asks nobody above."""

        def __init_subclass__(cls, **kwargs: Any) -> None:
            cls.heard = kwargs  # type: ignore[attr-defined]

    instrument(Operator)

    class Later(Operator):
        def __call__(self, *, inputs: Any) -> Any:
            return inputs

    class BelowSilent(Silent, extra=1):
        def __call__(self, *, inputs: Any) -> Any:
            return inputs

    class AsyncLater(Operator):
        async def __call__(self, *, inputs: Any) -> Any:  # type: ignore[override]
            await asyncio.sleep(0)
            return inputs

    assert BelowSilent.heard == {"extra": 1}  # type: ignore[attr-defined]
    with collect_events() as events:
        assert Later()(inputs=1) == 1
        assert BelowSilent()(inputs=2) == 2
        assert asyncio.run(AsyncLater()(inputs=3)) == 3
    assert named(events) == ["Later", "BelowSilent", "AsyncLater"]
    assert result_of(events, "AsyncLater")["result"] == 3


def test_a_root_without_a_call_of_its_own_stays_in_the_order_of_its_bases() -> None:
    class Other(Operator):
        def __call__(self, *, inputs: Any) -> Any:
            return "other"

    class Both(Shout, Other):
        pass

    instrument(Shout)
    with collect_events() as events:
        assert Both()(inputs="a") == "other"
        assert Shout()(inputs="a") == "A"
        assert Other()(inputs="a") == "other"
    assert named(events) == ["Both", "Shout"]
    assert inspect.signature(Shout.__call__) == inspect.signature(Operator.__call__)
    uninstrument()
    assert "__call__" not in vars(Shout)


def test_a_decorated_class_stays_as_it_is_decorated() -> None:
    @et.trace("before", name="early")
    class Early(Operator):
        def forward(self, *, inputs: Any) -> Any:
            return inputs

    class BelowEarly(Early):
        def __call__(self, *, inputs: Any) -> Any:
            return super().__call__(inputs=inputs)

    instrument(Operator)

    @et.trace("after", name="late")
    class Late(Operator):
        def forward(self, *, inputs: Any) -> Any:
            return inputs

    with collect_events() as events:
        Early()(inputs=1)
        BelowEarly()(inputs=2)
        Late()(inputs=3)
    assert [(event.operator_id, event.stage) for event in calls(events)] == [
        ("early", "before"), ("BelowEarly", "default"), ("late", "after"),
    ]  # fmt: skip


def test_nothing_is_kept_where_nothing_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "settings", Settings(capture="none"))
    instrument(Operator)
    with collect_events() as events:
        ListEnsemble((says("secret"), says("secret")))(inputs="secret")
    assert len(calls(events)) == 3
    assert all("secret" not in repr(event.data) for event in events)


# What does not change.


def test_operators_are_as_before() -> None:
    signatures = {cls: inspect.signature(cls.__call__) for cls in (Operator, Polite, EnsembleOperator)}
    before, was_hash = Shout(), hash(Shout())
    instrument(Operator)
    assert {cls: inspect.signature(cls.__call__) for cls in signatures} == signatures
    assert str(inspect.signature(Shout())) == "(*, inputs: 'Any') -> 'Any'"
    assert Operator.__call__.__doc__ == "Calls `forward`."
    assert before == Shout() and hash(before) == hash(Shout()) == was_hash
    assert vars(before) == {}
    assert pickle.loads(pickle.dumps(before)) == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.anything = 1  # type: ignore[attr-defined]
    with collect_events():
        before(inputs="a")
    assert vars(before) == {}


@pytest.mark.parametrize("inputs", [{"inputs": ""}, {}, {"inputs": "a", "more": 1}])
def test_exceptions_are_the_operators_own(inputs: dict[str, Any]) -> None:
    def raised() -> tuple[type[BaseException], str]:
        with pytest.raises((ValueError, TypeError)) as caught:
            Shout()(**inputs)
        return caught.type, str(caught.value)

    expected = raised()
    instrument(Operator)
    with collect_events() as events:
        assert raised() == expected
    assert [event.event_type for event in events] == ["call", "error"]


def test_off_nothing_is_recorded_and_everything_works() -> None:
    instrument(Operator)
    assert ListEnsemble((Polite(), says("b")))(inputs="a") == ["please, A", "b"]
    with collect_events() as events:
        pass
    assert not events


def test_uninstrument_gives_every_attribute_back() -> None:
    patched: list[Callable[[], Any]] = [lambda: threading.Thread.start, lambda: ThreadPoolExecutor.submit]
    before, around = attributes(), [get() for get in patched]
    instrument(Operator, EnsembleOperator)
    instrument(VerifierOperator, roles={"VerifierOperator": {"stage": "last"}})
    assert attributes() != before

    class Plain:
        def __call__(self, *, inputs: Any) -> Any:
            return inputs

    instrument(Plain)

    @dataclasses.dataclass(frozen=True, slots=True)
    class Slotted(Plain):
        """Becomes a second class, with what the first one was given."""

        word: str = ""

        def __call__(self, *, inputs: Any) -> Any:
            return self.word

    with collect_events() as events:
        Slotted("a")(inputs=1)
    assert named(events) == ["Slotted"]
    uninstrument()
    uninstrument()
    after = attributes()
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)
    assert [get() for get in patched] == around
    assert not hasattr(Slotted.__call__, "__embertrace__")
    with collect_events() as events:
        Slotted("a")(inputs=1)
        Polite()(inputs="a")
    assert not events


def test_what_others_changed_meanwhile_stays_theirs() -> None:
    class Changed(Polite):
        def __call__(self, *, inputs: Any) -> Any:
            return "ours"

    def theirs(self: Any, *, inputs: Any) -> Any:
        return "theirs"

    instrument(Operator)
    Changed.__call__ = theirs  # type: ignore[method-assign]
    uninstrument()
    assert vars(Changed)["__call__"] is theirs


def test_threads_that_were_instrumented_before_stay_so() -> None:
    et.instrument_threads()
    try:
        ours = threading.Thread.start
        instrument(Operator)
        uninstrument()
        assert threading.Thread.start is ours
    finally:
        et.uninstrument_threads()


# Where the roots come from.


def test_importing_the_module_imports_no_framework() -> None:
    program = "import sys, embertrace.interop.ember; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.split() if name.partition(".")[0] == "ember"]


def test_without_roots_those_of_the_framework_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    path = FRAMEWORK_ROOTS[0][0]
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        module: Any = types.ModuleType(".".join(parts[:end]))
        module.__path__ = []
        monkeypatch.setitem(sys.modules, module.__name__, module)
    module.Operator = Operator
    instrument()
    with collect_events() as events:
        Shout()(inputs="a")
    assert named(events) == ["Shout"]


def test_without_roots_and_framework_it_says_what_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ember", None)
    with pytest.raises(
        ConfigError, match=r"no installed Ember framework .*pass the base class .*instrument\(Operator\)"
    ):
        instrument()


@pytest.mark.parametrize(
    ("roots", "roles", "said"),
    [
        ((Operator, Module), {}, "classes whose instances can be called, not <class"),
        ((Shout(),), {}, r"not Shout\(\)"),
        ((Operator,), {"Shout": {"stag": "x"}}, "'Shout'.*unknown field 'stag'; a role has type, stage, name, answer"),
        ((Operator,), {"Shout": "judge"}, r"roles\['Shout'\] is 'judge'; it must be a mapping"),
        ((Operator,), {"Shout": {"type": 3}}, "type=3; it must be a text"),
        ((Operator,), {"Shout": {"answer": 3}}, "answer=3; it must be a field's name or a callable"),
    ],
)
def test_what_cannot_be_used_is_refused_whole(roots: tuple[Any, ...], roles: dict[str, Any], said: str) -> None:
    before = attributes()
    with pytest.raises(ConfigError, match=said):
        instrument(*roots, roles=roles)
    assert attributes() == before
