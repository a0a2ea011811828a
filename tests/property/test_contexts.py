"""The contexts of many events say side by side what each says by itself, whatever their bytes are."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace import payload
from embertrace.analysis.table.intake import Intake
from embertrace.analysis.table.items import NONE, unit_of_item
from embertrace.event import Frame
from embertrace.lineage import unpack_mapping
from embertrace.wire.context import Added, pack_context, unpack_context
from embertrace.wire.event import RawEvent

LONG = [size * "x" for size in (31, 32, 40, 127, 128, 129, 255, 256)]
KEYS = st.one_of(
    st.integers(0, 3),
    st.sampled_from(["q1", "q2", "ä", "", 16 * "ä", *LONG]),
    st.text(max_size=33),
    st.uuids().map(str),
)
ITEMS = st.fixed_dictionaries(
    {"key": KEYS}, optional={"truth": st.sampled_from(["a", b"\xa3key", {"key": 1}]), "epoch": st.integers(0, 2)}
).map(payload.pack)
CONTEXTS = st.builds(
    Added,
    frames=st.sampled_from([(), (Frame("a", "b", "c", 1, 0, 0),)]),
    run=st.sampled_from([None, "monday", "tuesday"]),
    item=st.one_of(
        ITEMS, ITEMS, st.sampled_from([b"", b"\x80", b"\x81\xa3key", b"\xa4item\xc4\x01", b"\x81\xa3key\xa5ab"])
    ),
    tags=st.sampled_from([b"", payload.pack({"a": 1}), payload.pack({"item": b"x"})]),
    member=st.booleans(),
    share=st.sampled_from([1.0, 0.5]),
    withheld=st.integers(0, 1),
).map(pack_context)


def damaged(packed: bytes, chance: random.Random) -> bytes:
    changed = bytearray(packed)
    if changed and chance.random() < 0.3:
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    if changed and chance.random() < 0.2:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


@settings(max_examples=300, deadline=None)
@given(st.lists(CONTEXTS, min_size=1, max_size=25), st.randoms(use_true_random=False), st.integers(1, 4))
def test_contexts_say_side_by_side_what_each_says(given: list[bytes], chance: random.Random, every: int) -> None:
    packed = [damaged(each, chance) for each in given]
    intake = Intake()
    for seq, context in enumerate(packed, 1):
        intake.add(
            b"p" * 16, seq, RawEvent(0, seq, None, seq, 0, 0, 0, 0, "a", "b", "c", None, 0, 0, (), context, b"\xc0")
        )
        if seq % every == 0:
            intake.flush()
            intake.contexts.catch_up()
    intake.flush()
    intake.contexts.catch_up()
    contexts = intake.contexts
    runs, items, tags, members = contexts.of_rows(np.arange(len(packed)))
    for row, each in enumerate(packed):
        said = unpack_context(each)
        found = contexts.runs[runs[row]], contexts.items.mapping(items[row]), contexts.tags.mapping(tags[row])
        assert found == (said.run, unpack_mapping(said.item), unpack_mapping(said.tags))
        assert bool(members[row]) == said.member
        assert contexts.shares.of_rows(np.array([row]))[0] == said.share
        assert contexts.shares.withheld(np.array([row]))[0] == said.withheld
    assert len(set(contexts.items.packed)) == len(contexts.items.packed)


def test_a_context_that_breaks_off_in_its_item_says_nothing() -> None:
    whole = pack_context(Added(run="monday", item=payload.pack({"key": "question"})))
    intake = Intake()
    for seq, context in enumerate((whole, whole[:-3]), 1):
        intake.add(
            b"p" * 16, seq, RawEvent(0, seq, None, seq, 0, 0, 0, 0, "a", "b", "c", None, 0, 0, (), context, b"\xc0")
        )
    intake.flush()
    intake.contexts.catch_up()
    runs, items, _, _ = intake.contexts.of_rows(np.arange(2))
    assert (runs > 0).tolist() == (items > 0).tolist() == [True, False]


GROUPED = st.fixed_dictionaries(
    {"key": KEYS},
    optional={"truth": st.sampled_from(["a", ["a", 1], {"key": 1}]), "epoch": st.integers(0, 2), "group": KEYS},
).map(payload.pack)


WIDE = st.sampled_from([b"\x81\xa3key\xd9\x02q1", b"\x81\xa3key\xda\x00\x28" + 40 * b"x", b"\x81\xa3key\xd9"])
"""Packed in more bytes than there need be, and broken off."""


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(GROUPED, ITEMS, ITEMS, WIDE, st.just(payload.pack({"truth": "a"}))), max_size=25),
    st.integers(1, 9),
)
def test_items_say_side_by_side_what_each_says(given: list[bytes], every: int) -> None:
    """Of each item its unit, its truth, and its key and epoch; however many of them are looked at together."""
    intake = Intake()
    items = intake.items
    for place, packed in enumerate(given):
        intake.contexts.items.numbers_of([packed])
        if place % every == 0:
            items.unit(), items.identity()
    units, truths, identities = items.unit(), items.truth(), items.identity()
    for number, packed in enumerate(intake.contexts.items.packed):
        item = unpack_mapping(packed)
        unit, keyed = unit_of_item(item), "key" in item
        assert (items.codes[units[number]] if units[number] != NONE else None) == (unit[1] if unit else None)
        truth = items.truths[truths[number]] if truths[number] != NONE else None
        assert payload.canonical(truth) == payload.canonical(item.get("truth"))
        assert (identities[number] != NONE) == keyed
        if keyed:
            code = payload.canonical(item["key"]) + payload.canonical(item.get("epoch"))
            assert items.identities[identities[number]] == code
            assert items.having(payload.canonical(item["key"]))[number]
            assert items.key_and_epoch(int(identities[number])) == (item["key"], item.get("epoch"))
    for wanted in ("x", "-", "ä", "1"):
        assert items.saying(wanted).tolist() == [
            any(wanted in str(unpack_mapping(packed).get(name, "")).casefold() for name in ("key", "truth"))
            for packed in intake.contexts.items.packed
        ]
    assert len(set(items.codes)) == len(items.codes) and len(set(items.identities)) == len(items.identities)
