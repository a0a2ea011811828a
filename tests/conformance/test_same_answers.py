"""The same questions, the same answers to the last digit: a list, its recording, the live aggregator, a replay, and
any order of arrival.

One stream of events goes to a list and to an aggregator at once; everything else is derived from it.
"""

from __future__ import annotations

import pathlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import Comparison, OperatorAnalysis


def numbers(found: Comparison) -> dict[str, Any]:
    """A comparison without what it says of the run itself, which goes on where it is asked live."""
    return {name: value for name, value in found.to_data().items() if name not in ("notes", "runs")}


QUESTIONS: dict[str, Callable[[OperatorAnalysis], Any]] = {
    "disagreement": lambda a: a.ensemble_disagreement(),
    "disagreement of a stage": lambda a: a.stage("ensemble_1").ensemble_disagreement(),
    "disagreement by members' stage": lambda a: a.stage("members").ensemble_disagreement(answer="casefold"),
    "not unanimous": lambda a: a.non_unanimous_rate(),
    "accuracy distribution": lambda a: a.accuracy_distribution(),
    "judge by agreement": lambda a: a.judge_accuracy_by_agreement(),
    "judge by agreement of the answered": lambda a: a.judge_accuracy_by_agreement(over="answered"),
    "judge": lambda a: a.judge_accuracy(),
    "majority": lambda a: a.majority_accuracy(),
    "majority, first of a tie": lambda a: a.majority_accuracy(ties="first"),
    "lift": lambda a: a.judge_lift(),
    "items": lambda a: a.items(),
    "items made ensembles": lambda a: a.ensemble().items(),
    "ensembles' questions": lambda a: [(*posed, posed.answers.calls) for posed in a.ensembles()],
    "labels": lambda a: a.labels(),
    "agreement of labels": lambda a: a.label_agreement(),
    "judges against labels": lambda a: a.judge_vs_labels(positive="A", by="human:"),
    "outcomes": lambda a: a.outcomes(on="majority"),
    "scores": lambda a: a.outcomes(score="confidence"),
    "with another majority": lambda a: numbers(a.compare(a.stage("members"), on="majority")),
    "cost": lambda a: a.cost(),
    "flips": lambda a: a.flips(),
    "by round": lambda a: a.by("round").judge_accuracy(),
    "one item": lambda a: a.show("q3"),
    "one tag": lambda a: a.tag("lang", "de").judge_accuracy(),
    "stages": lambda a: a.stages(),
    "operators": lambda a: a.operators(),
    "errors": lambda a: a.errors(),
    "timeline": lambda a: a.timeline(by="stage", bucket_s=1e7),
    "flow": lambda a: a.flow(),
    "majority, weighted": lambda a: a.majority_accuracy(weights={"member#0": 2, "member#1": 1}),
    "oracle": lambda a: a.oracle_accuracy(),
    "selection": lambda a: a.selection_accuracy(),
    "overrides": lambda a: a.judge_overrides(),
    "choices": lambda a: a.judge_choices(),
    "pairs": lambda a: a.pairwise_agreement(),
    "entropy": lambda a: a.vote_entropy(answer="casefold"),
    "distribution": lambda a: a.answer_distribution(),
    "Fleiss": lambda a: a.fleiss_kappa(answer="casefold"),
    "Cohen": lambda a: a.cohen_kappa("member#0", "member#1"),
    "Krippendorff": lambda a: a.krippendorff_alpha(),
    "sizes": lambda a: a.accuracy_vs_size(),
    "sizes with replacement": lambda a: a.accuracy_vs_size(sizes=[1, 7], replacement=True),
    "values of members": lambda a: a.member_value(),
    "correlation": lambda a: a.error_correlation(),
    "effective votes": lambda a: a.effective_votes(),
    "calibration": lambda a: a.agreement_calibration(),
    "calibration of the judge": lambda a: a.agreement_calibration("judge"),
    "latency": lambda a: a.latency(),
    "by stage": lambda a: a.by("stage").majority_accuracy(),
    "by tag": lambda a: a.by("tag:lang").judge_choices(),
    "empty": lambda a: a.stage("nowhere").ensemble_disagreement(),
}

TIMED: dict[str, Callable[[OperatorAnalysis], Any]] = {
    "critical path": lambda a: a.critical_path(),
    "chains": lambda a: a.critical_path(each=True),
    "stragglers": lambda a: a.stragglers(),
}
"""Questions about moments: an event in memory has them as floats of seconds, to a quarter of a microsecond."""
EVERYTHING = {**QUESTIONS, **TIMED}


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
    shuffled = list(events)
    random.Random(7).shuffle(shuffled)
    yield {
        "list": OperatorAnalysis(events),
        "live": _Answered(answers),
        "recording": et.open(directory / "one"),
        "shuffled": OperatorAnalysis(shuffled),
        "twice": OperatorAnalysis([*shuffled, *reversed(shuffled)]),
        "replay to a list": _replayed_to_a_list(directory / "one"),
        "replay to an aggregator": _replayed_to_an_aggregator(directory / "one", directory / "two"),
    }


class _Answered(OperatorAnalysis):
    """The answers an aggregator gave while it ran."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__([])
        self.answers = answers


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


@pytest.mark.parametrize("question", sorted(QUESTIONS))
@pytest.mark.parametrize(
    "source", ["live", "recording", "shuffled", "twice", "replay to a list", "replay to an aggregator"]
)
def test_every_source_gives_the_lists_answer(analyses: dict[str, OperatorAnalysis], source: str, question: str) -> None:
    asked = analyses[source]
    found = asked.answers[question] if isinstance(asked, _Answered) else QUESTIONS[question](asked)
    assert as_data(found) == as_data(QUESTIONS[question](analyses["list"]))


@pytest.mark.parametrize("question", sorted(TIMED))
@pytest.mark.parametrize("source", ["live", "recording", "replay to an aggregator"])
def test_every_source_with_nanoseconds_gives_the_lists_moments(
    analyses: dict[str, OperatorAnalysis], source: str, question: str
) -> None:
    asked = analyses[source]
    found = asked.answers[question] if isinstance(asked, _Answered) else TIMED[question](asked)
    assert as_data(found) == as_data(TIMED[question](analyses["list"]))


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
