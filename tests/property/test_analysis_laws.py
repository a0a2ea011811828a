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
from support.forests import Placed, Story, grown

OPTIONS: dict[str, dict[str, Any]] = {"item": {"key": 0}, "failures": {"outcome": "error"}}
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
            story.begin("retried", attempt=draw(st.integers(0, 2)), call_id=5000 + place)
            story.label(draw(st.integers(0, 4)), draw(st.sampled_from("ab")), by=draw(st.sampled_from(["ann", "bob"])))
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


@given(stories(), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_parts_merge_to_the_whole(events: list[Placed], parts: int) -> None:
    """Traces are never split, as shards don't; labels are small and go everywhere."""
    forests = [Forest() for _ in range(parts)]
    for producer, seq, event in events:
        everywhere = event.type == METRIC and event.trace_id is None
        for place, forest in enumerate(forests):
            if everywhere or place == int.from_bytes(event.trace_id or b"", "big") % parts:
                forest.add(producer, seq, event)
    whole = Selection(grown(events))
    for name in VERBS.keys() - {"health"}:  # it counts events, and labels are in every part
        verb, options = VERBS[name], OPTIONS.get(name, {})
        state = verb.partial(Selection(forests[0]), **options)
        for forest in forests[1:]:
            state = state.merge(verb.partial(Selection(forest), **options))
        assert verb.finish(state).to_data() == verb(whole, **options).to_data(), name


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
