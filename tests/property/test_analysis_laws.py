"""Laws of the analysis: arrival order and repetition change nothing; merged parts answer to the last digit."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace.analysis.forest import Forest
from embertrace.analysis.query import Selection
from embertrace.analysis.verbs import VERBS, answer
from embertrace.event import METRIC
from embertrace.wire.event import to_nanoseconds
from support.forests import Placed, Story, grown

OPTIONS: dict[str, dict[str, Any]] = {
    "item": {"key": 0},
    "failures": {"outcome": "error"},
    "unknown_items": {"targets": [[0, None, None], [1, None, "r"], [9, None, None], [2, 0, None]]},
    "cohen_kappa": {"a": "m0", "b": "m1"},
    "groups": {"by": "stage"},
    "explain": {"question": "judge_lift"},
}
OTHERWISE: list[tuple[str, dict[str, Any]]] = [
    ("outcomes", {"on": "majority"}),
    ("explain", {"question": "majority_accuracy", "options": {"ties": "abstain"}}),
    ("explain", {"question": "accuracy_distribution"}),
    ("failures", {"outcome": "open"}),
    ("majority_accuracy", {"weights": {"m0": 0.3, "m1": 0.1, "m2": 0.2}}),
    ("majority_accuracy", {"weights": "accuracy", "ties": "first"}),
    ("agreement_calibration", {"of": "judge"}),
    ("accuracy_vs_size", {"sizes": [2, 9], "replacement": True}),
    ("answer_distribution", {"top": 1}),
    ("krippendorff_alpha", {"level": "interval"}),
    ("critical_path", {"each": True}),
    ("groups", {"by": "item"}),
    ("groups", {"by": "round"}),
    ("outcomes", {"on": "calls"}),
    ("outcomes", {"score": "accuracy"}),
    ("judge_vs_labels", {"by": "ann", "positive": "a"}),
    ("labels", {"by": "bob"}),
]
"""Options that change what is computed."""
ANSWERS = st.lists(st.sampled_from(["a", "b", "c", 1, None, ValueError]), min_size=1, max_size=5)


@st.composite
def stories(draw: st.DrawFn) -> list[Placed]:
    """Two producers, with labels, scores, repeated items, retries, and calls that never end."""
    told = []
    for place, producer in enumerate(("one", "two")):
        story = Story(producer, run="r", first_id=1 + 10_000 * place)
        for key in draw(st.lists(st.integers(0, 4), max_size=5)):
            truth = draw(st.sampled_from(["a", "b", None]))
            story.question(key, draw(ANSWERS), draw(st.sampled_from(["a", "b", None])), truth)
        for _ in range(draw(st.integers(0, 2))):
            call = story.ensemble(draw(ANSWERS), missing=draw(st.integers(0, 1)))
            story.score(call, accuracy=draw(st.floats(0, 1)), correct=draw(st.booleans()))
            story.score(call, usd=draw(st.floats(0, 1)), tokens_in=draw(st.sampled_from([1, 0.5, "many"])))
            story.begin("retried", attempt=draw(st.integers(0, 2)), call_id=5000 + place)
            about = draw(st.sampled_from([{}, {"run": "r"}, {"run": "nightly"}, {"epoch": 0}]))
            by, truth = draw(st.sampled_from(["ann", "bob"])), draw(st.sampled_from(["a", "b", None]))
            story.label(draw(st.integers(0, 6)), truth, by=by, **about)
        told += story.events
    return told


def answers(forest: Forest) -> dict[str, Any]:
    return {verb: answer(forest, {"verb": verb, "options": OPTIONS.get(verb, {})}) for verb in VERBS}


@given(stories(), st.randoms(use_true_random=False), st.data())
@settings(max_examples=40, deadline=None)
def test_order_and_repetition_change_nothing(
    events: list[Placed], shuffler: random.Random, data: st.DataObject
) -> None:
    twice = [*events, *data.draw(st.lists(st.sampled_from(events), max_size=9) if events else st.just([]))]
    shuffler.shuffle(twice)
    one, other = grown(events), grown(twice)
    assert answers(one) == answers(other)
    assert one.progress() == other.progress()
    assert one.runs() == other.runs()


@st.composite
def recordings(draw: st.DrawFn) -> list[Placed]:
    """Several runs, described or only named by their calls; roots without an item, many with equal arguments."""
    told = []
    for place, run in enumerate(draw(st.permutations(["r1", "r2", "r3", None]))):
        story = Story(f"of {run}", run=run, first_id=1 + 10_000 * place)
        if run is not None and draw(st.booleans()):
            story.describe_run(run, name=draw(st.sampled_from(["nightly", "weekly"])))
        for _ in range(draw(st.integers(0, 4))):
            at, args = 1e9 + draw(st.integers(0, 3)), [draw(st.sampled_from("xy"))]
            call_id = story._take_id()
            for attempt in draw(st.sampled_from([[0], [0, 1]])):
                root = story.begin("pipeline", args=args, at=at + attempt, attempt=attempt, call_id=call_id, follows=0)
                for _ in range(draw(st.integers(1, 2))):
                    story.ensemble(draw(ANSWERS), parent=root)
                story.judge(draw(st.sampled_from(["a", "b"])), parent=root)
                if draw(st.booleans()):
                    story.end(root, error=draw(st.sampled_from([None, "ValueError"])))
        told += story.events
    return told


def split(events: list[Placed], places: dict[bytes | None, int]) -> list[Forest]:
    """Forests of the parts into which traces are put; labels and what describes a run are small, and go everywhere."""
    forests = [Forest() for _ in range(max(places.values(), default=0) + 1)]
    for producer, seq, event in events:
        everywhere = event.type == METRIC and event.trace_id is None
        for place, forest in enumerate(forests):
            if everywhere or place == places[event.trace_id]:
                forest.add(producer, seq, event)
    return forests


def questions(events: list[Placed]) -> list[tuple[str, dict[str, Any]]]:
    """Every verb that merges, with options: also each name of an item that was derived, under which it can be shown."""
    left = {"health"}  # it counts what is in every part
    if steps_back(events):  # then a producer's whole stream decides when its calls began: see `clocks`
        left |= {"critical_path", "stragglers", "slowest"}
    asked = [(name, OPTIONS.get(name, {})) for name in VERBS.keys() - left]
    otherwise = [(name, options) for name, options in OTHERWISE if name not in left]
    rows = answer(grown(events), {"verb": "items", "options": {"pool": True}})["rows"]
    named = [("item", {"key": row["item"]}) for row in rows if isinstance(row["item"], str)]
    return [*asked, *otherwise, *named]


def steps_back(events: list[Placed]) -> bool:
    """Whether a producer's clock was set back."""
    latest: dict[bytes, int] = {}
    for producer, _, event in sorted(events, key=lambda placed: placed[:2]):
        now = to_nanoseconds(event.timestamp)
        if now < latest.get(producer, 0):
            return True
        latest[producer] = now
    return False


@given(st.one_of(stories(), recordings()), st.randoms(use_true_random=False), st.data())
@settings(max_examples=60)
def test_parts_merge_to_the_whole_in_any_order(
    events: list[Placed], shuffler: random.Random, data: st.DataObject
) -> None:
    traces = sorted({event.trace_id for _, _, event in events if event.trace_id is not None})
    forests = split(events, {trace: data.draw(st.integers(0, 3)) for trace in traces})
    filters = data.draw(st.sampled_from([[], [["stage", "members"]], [["type", "judge"]], [["run", "r2"]],
                                         [["run", "nightly"]], [["operator", "m0"]], [["item", 1]]]))  # fmt: skip
    for every_attempt in (False, True):
        whole = Selection(grown(events), filters, every_attempt=every_attempt)
        for name, options in questions(events):
            verb = VERBS[name]
            if every_attempt and not verb.attempts:
                continue
            parts = [Selection(forest, filters, every_attempt=every_attempt) for forest in forests]
            states = [verb.partial(part, **options) for part in parts]
            while len(states) > 1:
                one = states.pop(shuffler.randrange(len(states)))
                other = states.pop(shuffler.randrange(len(states)))
                states.append(one.merge(other))
            assert verb.finish(states[0]).to_data() == verb(whole, **options).to_data(), (name, options)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2), st.integers(0, 2)), max_size=20))
@settings(deadline=None)
def test_no_tangle_of_parents_hangs_or_loses_a_call_twice(tangle: list[tuple[int, int, int, int]]) -> None:
    story = Story()
    for call_id, parent, attempt, follows in tangle:
        story.call(
            "m",
            "a",
            call_id=call_id + 1,
            attempt=attempt,
            type=("ensemble", "judge", "m")[call_id % 3],
            follows=follows + 1,
        )
        for place in (-1, -2):
            producer, seq, event = story.events[place]
            story.events[place] = (producer, seq, event._replace(parent_call_id=parent, parent_attempt=attempt))
    forest = story.forest()
    calls = forest.trees.calls
    assert len({call.call_id for call in calls}) == len(calls)
    assert sum(len(call.children) for call in calls) + len(forest.trees.roots) == len(calls)
    answers(forest)
