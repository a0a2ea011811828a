"""Laws of the analysis: arrival order and repetition change nothing; merged parts answer to the last digit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace.analysis.forest import Forest
from embertrace.analysis.query import Selection
from embertrace.analysis.verbs import VERBS, answer
from embertrace.event import METRIC
from embertrace.wire.columns import Columns
from support.forests import Placed, Story, grown
from support.laws import OPTIONS, questions, recordings, stories


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


def everything(columns: Columns) -> Any:
    return np.ones(len(columns.kind), bool)


def split(events: list[Placed], places: dict[bytes | None, int]) -> list[Forest]:
    """Forests of the parts into which traces are put; labels and what describes a run are small, and go everywhere.

    Each knows how many events there are in all.
    """
    whole = grown(events)
    forests = [whole.part(everything) for _ in range(max(places.values(), default=0) + 1)]
    for producer, seq, event in events:
        everywhere = event.type == METRIC and event.trace_id is None
        for place, forest in enumerate(forests):
            if everywhere or place == places[event.trace_id]:
                forest.add(producer, seq, event)
    return forests


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
