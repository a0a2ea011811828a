"""However little memory the analyst has, it answers as one large forest does."""

from __future__ import annotations

import pathlib
import random
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from support.forests import Placed
from support.laws import questions, recordings, stories
from support.parts import alike, batched, both, record

ASKED = 8
"""Questions for each example: parts are read again for each of them."""


@given(st.one_of(stories(), recordings()), st.randoms(use_true_random=False), st.data())
@settings(max_examples=25, deadline=None)
def test_parts_answer_as_one_forest(events: list[Placed], chance: random.Random, data: st.DataObject) -> None:
    batches = batched(events, data.draw(st.sampled_from([1, 3, 20])))
    for _ in range(data.draw(st.integers(0, 6)) if batches else 0):  # some come late, some much too early
        moved = batches.pop(chance.randrange(len(batches)))
        batches.insert(chance.randint(0, len(batches)), moved)
    filters = data.draw(st.sampled_from([[], [["type", "judge"]], [["run", "nightly"]], [["item", 1]]]))
    memory, known = data.draw(st.sampled_from([0, 20_000])), questions(events)
    with tempfile.TemporaryDirectory() as directory:
        whole, parts = both(record(pathlib.Path(directory) / "rec", batches), memory)
        alike(whole, parts, chance.sample(known, ASKED), filters)
