"""Whatever parameters a stranger sends, every method answers with plain data or a sentence."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.api import State, call
from embertrace.errors import QueryError
from embertrace.recording import Recording
from support.forests import Story
from support.recordings import make_small

LIKELY = st.sampled_from(
    [
        "q0",
        "items",
        "runs",
        "timeline",
        "monday",
        "item",
        "correct",
        "1",
        1,
        0,
        "0000000000000001",
        "all",
        "judge",
        True,
    ]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | LIKELY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SENSIBLE: list[tuple[str, dict[str, Any]]] = [
    ("query", {"verb": "items", "filters": [["run", "monday"]], "options": {"answer": "casefold"}}),
    ("items", {"filters": [["run", "monday"]], "options": {}, "sort": "correct", "search": "q", "limit": 2}),
    ("items", {"only": "wrong", "descending": True, "cursor": 0}),
    ("trace", {"item": "q0", "filters": [["stage", "members"]], "attempts": "all", "limit": 3}),
    ("trace", {"call": "0000000000000001", "payloads": True}),
    ("call", {"call": "0000000000000001", "attempt": 0}),
    ("compare", {"before": "monday", "after": "monday", "on": "majority", "abstain": ["b"]}),
    ("producers", {"limit": 1}),
    ("events", {"start": 0}),
    ("progress", {"run": "monday"}),
]
FILTERS = st.lists(
    st.lists(st.sampled_from(["run", "item", "stage", "tag", "between"]) | PLAIN, max_size=3), max_size=2
)
VALUES = LIKELY | PLAIN | FILTERS


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    directory: pathlib.Path = tmp_path_factory.mktemp("api") / "rec"
    make_small(directory)
    found = State(Recording.open(directory))
    story = Story(run="monday")
    for place in range(3):
        story.question(f"q{place}", ["A", "B", None], verdict="A", truth="A")
    for producer, seq, event in story.events:
        found.forest.add(producer, seq, event)
    found.position = Recording.open(directory).end()
    return found


def test_what_is_sensible_is_answered(state: State) -> None:
    for method, params in SENSIBLE:
        assert call(state, method, params)


@given(data=st.data())
@settings(max_examples=600)
def test_every_method_answers_or_says_why_not(state: State, data: st.DataObject) -> None:
    method, sensible = data.draw(st.sampled_from(SENSIBLE))
    spoiled = data.draw(st.dictionaries(st.sampled_from(sorted(sensible)), VALUES, min_size=1, max_size=2))
    try:
        found = call(state, method, {**sensible, **spoiled})
    except QueryError as error:
        assert str(error)
    else:
        json.dumps(found, allow_nan=False, default=lambda raw: raw.hex()).encode()
