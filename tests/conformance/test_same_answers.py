"""The same questions, the same answers to the last digit: a list, its recording, the live aggregator, a replay, merged
shards, and any order of arrival.

One stream of events goes to a list and to an aggregator at once; everything else is derived from it. Every question
that an analysis has is asked, of all and of each group: there is no list of them here that could leave one out.
"""

from __future__ import annotations

import inspect
import pathlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import embertrace as et
from aggregator.parts import Parts
from embertrace.analysis import Comparison, OperatorAnalysis
from embertrace.analysis.groups import questions_of
from embertrace.analysis.source import LocalSource
from embertrace.analysis.verbs import VERBS
from embertrace.recording import BATCH, Record, Recording, RecordingWriter
from embertrace.wire.event import split_events

Question = Callable[[OperatorAnalysis], Any]

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "show": ("q3",),
    "cohen_kappa": ("member#0", "member#1"),
    "explain": ("judge_lift",),
    "unknown_items": ([["q1", None, None], ["nowhere", None, None], ["q1", 7, None]],),
}
"""Of the questions that can't be asked without."""


def asked_by_name(name: str) -> Question:
    """One of the public questions, with nothing said that need not be."""
    if name == "compare":
        return lambda a: numbers(a.compare(a.stage("members"), on="majority"))
    if name == "runs":
        return lambda a: [(row["id"], row["calls"]) for row in a.runs()]  # in a list it was never described
    if name == "health":
        return lambda a: {key: value for key, value in a.health().items() if key != "events"}  # a run's end is one, too
    if name == "ensembles":
        return lambda a: [(*posed, posed.answers.calls) for posed in a.ensembles()]
    return lambda a: getattr(a, name)(*ARGUMENTS.get(name, ()))


def asked_by_groups(name: str) -> Question:
    """The same of each language."""
    if name == "compare":
        return lambda a: {group: numbers(found) for group, found in a.by("tag:lang").compare(a, on="majority").items()}
    if name in ("runs", "health", "ensembles"):
        return lambda a: {group: asked_by_name(name)(a.tag("lang", group)) for group in ("de", "en")}
    return lambda a: getattr(a.by("tag:lang"), name)(*ARGUMENTS.get(name, ()))


def numbers(found: Comparison) -> dict[str, Any]:
    """A comparison without what it says of the run itself, which goes on where it is asked live."""
    return {name: value for name, value in found.to_data().items() if name not in ("notes", "runs")}


OTHERWISE: dict[str, Question] = {
    "disagreement of a stage": lambda a: a.stage("ensemble_1").ensemble_disagreement(),
    "disagreement by members' stage": lambda a: a.stage("members").ensemble_disagreement(answer="casefold"),
    "judge by agreement of the answered": lambda a: a.judge_accuracy_by_agreement(over="answered"),
    "majority, first of a tie": lambda a: a.majority_accuracy(ties="first"),
    "majority, weighted": lambda a: a.majority_accuracy(weights={"member#0": 2, "member#1": 1}),
    "items made ensembles": lambda a: a.ensemble().items(),
    "judges against labels": lambda a: a.judge_vs_labels(positive="A", by="human:"),
    "outcomes of majorities": lambda a: a.outcomes(on="majority"),
    "scores": lambda a: a.outcomes(score="confidence"),
    "by round": lambda a: a.by("round").judge_accuracy(),
    "by stage": lambda a: a.by("stage").majority_accuracy(),
    "by item": lambda a: a.by("item").ensemble_disagreement(),
    "one tag": lambda a: a.tag("lang", "de").judge_accuracy(),
    "one item": lambda a: a.item("q4").judge_lift(),
    "timeline by stage": lambda a: a.timeline(by="stage", bucket_s=1e7),
    "entropy": lambda a: a.vote_entropy(answer="casefold"),
    "Fleiss": lambda a: a.fleiss_kappa(answer="casefold"),
    "sizes with replacement": lambda a: a.accuracy_vs_size(sizes=[1, 7], replacement=True),
    "calibration of the judge": lambda a: a.agreement_calibration("judge"),
    "a majority explained": lambda a: a.explain("majority_accuracy", ties="abstain"),
    "nobody": lambda a: a.stage("nowhere").ensemble_disagreement(),
}
"""With options, filters and groups that change what is computed."""
OTHERWISE_TIMED: dict[str, Question] = {"chains": lambda a: a.critical_path(each=True)}

MOMENTS = ("critical_path", "stragglers", "slowest", "timeline")
"""Questions about moments: an event in memory has them as floats of seconds, to a quarter of a microsecond."""
BY_NAME = {name: asked_by_name(name) for name in sorted(questions_of(OperatorAnalysis))}
BY_GROUPS = {f"by language: {name}": asked_by_groups(name) for name in BY_NAME}
EVERYTHING = {**BY_NAME, **BY_GROUPS, **OTHERWISE, **OTHERWISE_TIMED}
TIMED = {name: asked for name, asked in EVERYTHING.items() if name.endswith(MOMENTS) or name in OTHERWISE_TIMED}
QUESTIONS = {name: asked for name, asked in EVERYTHING.items() if name not in TIMED}


@et.trace(type="member", stage="members")
def member(question: int, number: int) -> str | None:
    roll = random.Random(f"{question}/{number}").random()
    if roll < 0.05:
        raise ValueError("no idea")
    return None if roll < 0.1 else "ABab"[int(roll * 40) % 4]


@et.trace(type="judge", stage="judge_1")
def judge(question: int, answers: list[str | None]) -> str:
    given = [answer for answer in answers if answer is not None]
    et.score(accuracy=len(set(given)) / 3, confidence=0.1)
    et.score(usd=0.1 * len(given), tokens_in=question)
    if question in (7, 8):  # of each the sum is beyond a float; of both together it is not
        for _ in range(2):
            et.score(usd=1e308 if question == 7 else -1e308, tokens_out=1e308)
    return max(sorted(given), key=given.count, default="A")


@et.trace(type="pipeline")
def pipeline(question: int) -> str:
    with et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
        answers: list[str | None] = []
        for number in range(question % 3 + 2):
            try:
                answers.append(member(question, number))
            except ValueError:
                answers.append(None)
        panel.result(answers)
    return judge(question, answers)


KEPT: dict[str, dict[str, Any]] = {
    "everything": {},
    "a sample": {"sample": 0.6, "sample_seed": 1, "keep_errors": True},
    "without a member": {"types": ("!member", "*"), "stages": ("!members_2", "*")},
}
"""What is recorded, as settings."""


@pytest.fixture(scope="module", params=KEPT)
def analyses(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, OperatorAnalysis]]:
    directory = tmp_path_factory.mktemp("conformance")
    settings = KEPT[request.param]
    with et.session(directory / "one", quiet=True, **settings) as session, et.collect_events() as events:
        for question in range(40):
            with et.item(f"q{question}", truth="A", lang="de" if question % 2 else "en"):
                pipeline(question)
        labelled = sorted({event.context["item"]["key"] for event in events})[:6]  # a run has no labels of other items
        et.label(labelled[5], truth="B")
        for question, ann, bob in zip(labelled, "AABABA", "ABBAAA", strict=True):
            et.label(question, ann, by="human:ann")
            et.label(question, truth=bob, by="human:bob")
        session.settle(10)
        live = et.connect(session.endpoint)
        answers = {name: question(live) for name, question in EVERYTHING.items()}
        verbs = live._source._client.call("verbs")  # type: ignore[attr-defined]
    shuffled = list(events)
    random.Random(7).shuffle(shuffled)
    yield {
        "list": OperatorAnalysis(events),
        "live": _Answered(answers, verbs),
        "merged shards": OperatorAnalysis(_Shards(directory / "one", directory / "shards")),
        "recording": et.open(directory / "one"),
        "shuffled": OperatorAnalysis(shuffled),
        "twice": OperatorAnalysis([*shuffled, *reversed(shuffled)]),
        "replay to a list": _replayed_to_a_list(directory / "one"),
        "replay to an aggregator": _replayed_to_an_aggregator(directory / "one", directory / "two"),
    }


class _Answered(OperatorAnalysis):
    """The answers an aggregator gave while it ran, and the questions that it knows."""

    def __init__(self, answers: dict[str, Any], verbs: dict[str, Any]) -> None:
        super().__init__([])
        self.answers, self.verbs = answers, verbs


class _Shards(LocalSource):
    """A recording in shards of little memory: each says its part of an answer, and what they say is merged."""

    MEMORY = 20_000
    """Bytes: a few questions with their members and judges."""

    def __init__(self, directory: pathlib.Path, copy: pathlib.Path) -> None:
        _copy_in_small_batches(Recording.open(directory), copy)
        recording = Recording.open(copy)
        self.parts = Parts(recording, self.MEMORY)
        for record in recording.records():
            self.parts.take(record)
        super().__init__(et.open(directory)._forest)

    def answer(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.parts.ask(query).to_data()


def _copy_in_small_batches(recording: Recording, copy: pathlib.Path) -> None:
    """A shard is cut between two records: so the same, with few events in each."""
    times: list[int] = []
    with RecordingWriter(copy, name="copy", clock_ns=lambda: times[-1] if times else 0) as writer:
        for record in recording.records():
            assert isinstance(record, Record)
            times.append(record.received_ns)
            kind, _, producer, first, count, packed, *_ = record
            events = split_events(packed, count) if kind == BATCH else []
            for start in range(0, len(events), 10):
                few = events[start : start + 10]
                writer.append(kind, producer, first + start, len(few), b"".join(few))
            if kind != BATCH:
                writer.append(kind, producer, first, count, packed)
            writer.sync()


def _replayed_to_a_list(recording: pathlib.Path) -> OperatorAnalysis:
    events: list[et.OperatorEvent] = []
    et.replay(recording, to=events.append, speed="max")
    return OperatorAnalysis(events)


def _replayed_to_an_aggregator(recording: pathlib.Path, target: pathlib.Path) -> OperatorAnalysis:
    with et.session(target, quiet=True) as session:
        et.replay(recording, to=session.endpoint, speed="max")
    runs = {run["id"] for run in et.open(recording).runs()}
    analysis = et.open(target)
    return analysis.run(next(run["id"] for run in analysis.runs() if run["id"] in runs))


def as_data(result: Any) -> Any:
    return result.to_data() if hasattr(result, "to_data") else result


def asked_of(analyses: dict[str, OperatorAnalysis], source: str, question: str) -> Any:
    asked = analyses[source]
    return as_data(asked.answers[question] if isinstance(asked, _Answered) else EVERYTHING[question](asked))


@pytest.mark.parametrize("question", sorted(QUESTIONS))
@pytest.mark.parametrize(
    "source",
    ["live", "recording", "merged shards", "shuffled", "twice", "replay to a list", "replay to an aggregator"],
)
def test_every_source_gives_the_lists_answer(analyses: dict[str, OperatorAnalysis], source: str, question: str) -> None:
    assert asked_of(analyses, source, question) == asked_of(analyses, "list", question)


@pytest.mark.parametrize("question", sorted(TIMED))
@pytest.mark.parametrize("source", ["live", "recording", "merged shards", "replay to an aggregator"])
def test_every_source_with_nanoseconds_gives_the_lists_moments(
    analyses: dict[str, OperatorAnalysis], source: str, question: str
) -> None:
    assert asked_of(analyses, source, question) == asked_of(analyses, "list", question)


def test_the_scenario_is_worth_asking_about(
    analyses: dict[str, OperatorAnalysis], request: pytest.FixtureRequest
) -> None:
    """Guards the suite against comparing nothing with nothing."""
    analysis, kept = analyses["list"], request.node.callspec.params["analyses"]
    disagreement = analysis.ensemble_disagreement()
    if kept == "without a member":
        assert (disagreement.n, disagreement.left_out) == (0, {"incomplete": 40})
        assert any("filtered out" in note for note in disagreement.notes)
        assert analysis.health()["missing"] == 0 < analysis.health()["withheld"]
        return
    assert 0 < disagreement < 1
    assert len(analysis.judge_accuracy_by_agreement()) >= 4
    assert len(analysis.errors()) > 0
    assert analysis.judge_accuracy().n == (40 if kept == "everything" else len(analysis.items()))
    if kept == "a sample":
        assert {call.share for call in analysis.calls} == {0.6}
        assert any("outside the sample" in note for note in analysis.errors().notes)


def test_a_recording_holds_the_events_of_the_list(analyses: dict[str, OperatorAnalysis]) -> None:
    def essence(analysis: OperatorAnalysis) -> list[Any]:
        return sorted(
            (e.timestamp, e.event_type, str(e.call_id), str(e.context), repr(e.data))
            for e in analysis.events
            if e.operator_type != "run"
        )

    assert essence(analyses["recording"]) == [
        (t, kind, call, context.replace("'operators': []}", "'operators': []}"), data)
        for t, kind, call, context, data in essence(analyses["list"])
    ]


def test_an_aggregator_knows_the_same_questions_with_the_same_options(analyses: dict[str, OperatorAnalysis]) -> None:
    live, shards = analyses["live"], analyses["merged shards"]
    assert isinstance(live, _Answered) and isinstance(shards._source, _Shards)
    assert {name: known["options"] for name, known in live.verbs.items()} == {
        name: verb.options for name, verb in VERBS.items()
    }
    assert len(shards._source.parts) > 3


NOT_VERBS = {"show": "item", "errors": "failures", "lost": "failures", "open_calls": "failures", "gaps": "health"}


@pytest.mark.parametrize("name", sorted(questions_of(OperatorAnalysis) - {"compare", *NOT_VERBS}))
def test_a_question_has_the_options_of_its_verb(name: str) -> None:
    """Locally and over RPC: a method that lacked one, or had one too many, could ask only one of both."""
    method = inspect.signature(getattr(OperatorAnalysis, name)).parameters
    verb = inspect.signature(VERBS[name].partial).parameters
    if name == "explain":
        assert [*method] == ["self", "question", "options"] and VERBS[name].options == ["question", "options"]
        return
    assert {*method} - {"self"} == {*VERBS[name].options}
    for option in VERBS[name].options:
        assert method[option].default == verb[option].default


def test_every_verb_is_asked() -> None:
    assert set(VERBS) - set(BY_NAME) == {"item", "failures", "groups"}  # as show(), errors() and others, and by(…)
