"""Calls are rebuilt as they were meant, whatever the delivery: cut into batches anyhow, shuffled, and doubled.

A model draws what happened: calls with their attempts, each attempt in a producer of its own choosing, children under
the attempt that made them, producers that end, fall silent, or come back. Its records go into a forest in any order;
what comes out is compared with what the model meant.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace import payload
from embertrace.analysis.calls import Call
from embertrace.analysis.forest import Forest
from embertrace.event import CALL, ERROR, METRIC, RESULT
from embertrace.recording import BATCH, BEGIN, END, GAP, Record
from embertrace.recording.plant import plant
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import RawEvent, pack_event

PRODUCERS = [bytes([65 + place]) * 16 for place in range(4)]
FATES = ("lives", "ended", "silent", "back", "back and silent")
Outline = tuple[Any, ...]
"""(call id, attempt, operator, slot, outcome, item, scores, children): what a user sees of a call."""


@dataclasses.dataclass
class Attempt:
    number: int
    producer: int
    end: str | None
    score: float | None
    children: list[Happened]


@dataclasses.dataclass
class Happened:
    """A call as it happened."""

    call_id: int
    slot: int
    item: int | None
    attempts: list[Attempt]

    @property
    def counts(self) -> Attempt:
        ended = [attempt for attempt in self.attempts if attempt.end is not None]
        return (ended or self.attempts)[-1]


@st.composite
def attempts(draw: st.DrawFn, number: int, depth: int) -> Attempt:
    children = draw(st.lists(calls(depth + 1), max_size=3 - depth)) if depth < 3 else []
    return Attempt(
        number,
        draw(st.integers(0, len(PRODUCERS) - 1)),
        draw(st.sampled_from(["result", "error", None])),
        draw(st.sampled_from([None, 0.0, 0.5])),
        children,
    )


@st.composite
def calls(draw: st.DrawFn, depth: int = 0) -> Happened:
    numbers = sorted(draw(st.sets(st.integers(0, 3), min_size=1, max_size=3)))
    tried = [draw(attempts(number, depth)) for number in numbers]
    return Happened(0, 0, draw(st.sampled_from([None, 1, 2])), tried)


class World:
    """What happened, what of it each producer emitted, and what an aggregator recorded of that."""

    def __init__(self, roots: list[Happened], fates: list[str], cutter: random.Random) -> None:
        self.roots = roots
        self.fates = dict(zip(PRODUCERS, fates, strict=True))
        self.emitted: dict[bytes, list[RawEvent]] = {producer: [] for producer in PRODUCERS}
        self._clock = 0
        self._next_id = 0
        for slot, root in enumerate(roots):
            self._happen(root, slot, (0, 0))
        self.records = self._recorded(cutter)

    def _happen(self, call: Happened, slot: int, parent: tuple[int, int]) -> None:
        self._next_id += 1
        call.call_id, call.slot = self._next_id, slot
        for attempt in call.attempts:
            context = pack_context(Added(item=payload.pack({"key": call.item}) if call.item is not None else b""))
            self._emit(call, attempt, parent, CALL, {"args": [call.call_id]}, context=context)
            for place, child in enumerate(attempt.children):
                self._happen(child, place, (call.call_id, attempt.number))
            if attempt.score is not None:
                self._emit(call, attempt, parent, METRIC, {"accuracy": attempt.score})
            if attempt.end == "result":
                self._emit(call, attempt, parent, RESULT, {"result": attempt.number}, slots=len(attempt.children))
            elif attempt.end == "error":
                error = {"type": "E", "message": "", "traceback": ""}
                self._emit(call, attempt, parent, ERROR, {"error": error}, slots=len(attempt.children))

    def _emit(
        self, call: Happened, attempt: Attempt, parent: tuple[int, int], kind: int, data: Any, **fields: Any
    ) -> None:
        self._clock += 1
        event = RawEvent(
            kind, self._clock, b"t" * 16, call.call_id, parent[0], attempt.number, parent[1], call.slot,
            f"op{call.call_id}", "function", "default", None, 0, 0, (), b"", payload.pack(data),
        )  # fmt: skip
        self.emitted[PRODUCERS[attempt.producer]].append(event._replace(**fields))

    def _recorded(self, cutter: random.Random) -> list[Record]:
        """The records of all producers, interleaved; each producer's in its order."""
        streams = [self._stream(producer, events, cutter) for producer, events in self.emitted.items()]
        records: list[Record] = []
        while any(streams):
            kind, producer, first, count, packed = cutter.choice([stream for stream in streams if stream]).pop(0)
            records.append(Record(kind, len(records), producer, first, count, packed, len(records), 0))
        return records

    def _stream(self, producer: bytes, events: list[RawEvent], cutter: random.Random) -> list[tuple[Any, ...]]:
        """What is recorded of one producer, cut anyhow. Who comes back has more to say only sometimes."""
        fate, count = self.fates[producer], len(events)
        told_before = cutter.randint(0, count) if fate.startswith("back") else count
        stream: list[tuple[Any, ...]] = [(BEGIN, producer, 1, 0, b"")]
        stream += self._batches(producer, events, 0, told_before, cutter)
        if fate != "lives":
            stream.append((END, producer, told_before, 0, b""))
        if fate.startswith("back"):
            stream.append((BEGIN, producer, told_before + 1, 0, b""))
            stream += self._batches(producer, events, told_before, count, cutter)
        if fate == "back and silent":
            stream.append((END, producer, count, 0, b""))
        return stream

    def _batches(
        self, producer: bytes, events: list[RawEvent], start: int, stop: int, cutter: random.Random
    ) -> list[tuple[Any, ...]]:
        batches = []
        while start < stop:
            upto = cutter.randint(start + 1, stop)
            packed = b"".join(map(pack_event, events[start:upto]))
            batches.append((BATCH, producer, start + 1, upto - start, packed))
            start = upto
        return batches

    @property
    def gone(self) -> set[bytes]:
        return {producer for producer, fate in self.fates.items() if fate in ("ended", "silent", "back and silent")}

    def meant(self, every_attempt: bool) -> list[Outline]:
        return self._outlines(self.roots, None, every_attempt)

    def _outlines(self, happened: list[Happened], item: int | None, every_attempt: bool) -> list[Outline]:
        found = []
        for call in happened:
            about = call.item if call.item is not None else item
            for attempt in call.attempts if every_attempt else [call.counts]:
                unended = "lost" if PRODUCERS[attempt.producer] in self.gone else "open"
                scores = {} if attempt.score is None else {"accuracy": attempt.score}
                below = self._outlines(attempt.children, about, every_attempt)
                outcome = attempt.end or unended
                found.append(
                    (call.call_id, attempt.number, f"op{call.call_id}", call.slot, outcome, about, scores, below)
                )
        return found


def outline(call: Call) -> Outline:
    below = [outline(child) for child in call.children]
    item = call.item.get("key")
    return call.call_id, call.attempt, call.operator_id, call.slot, call.outcome, item, call.scores, below


def grown(records: list[Record]) -> Forest:
    forest = Forest()
    for record in records:
        plant(forest, record)
    return forest


WORLDS = st.tuples(
    st.lists(calls(), min_size=1, max_size=3),
    st.lists(st.sampled_from(FATES), min_size=len(PRODUCERS), max_size=len(PRODUCERS)),
    st.randoms(use_true_random=False),
)


@settings(max_examples=150, deadline=None)
@given(WORLDS, st.data())
def test_the_forest_is_the_one_that_was_meant(drawn: Any, data: st.DataObject) -> None:
    roots, fates, randomness = drawn
    world = World(roots, fates, randomness)
    again = data.draw(st.lists(st.sampled_from(world.records), max_size=6))
    delivered = [*world.records, *again]
    randomness.shuffle(delivered)
    forest = grown(delivered)
    for every_attempt in (False, True):
        trees = forest.trees_of(every_attempt=every_attempt)
        assert [outline(root) for root in trees.roots] == world.meant(every_attempt)
        assert len(trees.calls) == len({call.key for call in trees.calls})
        assert all(trees.by_id[call.call_id].attempt == call.attempt for call in forest.trees.calls)
    assert forest.ended == world.gone
    assert forest.events == sum(map(len, world.emitted.values()))
    assert all(call.missing == 0 for call in forest.trees.calls)


@settings(max_examples=50, deadline=None)
@given(WORLDS)
def test_an_end_is_taken_back_by_events_alone(drawn: Any) -> None:
    """A foreign producer may say nothing of its life: its later events say enough."""
    roots, fates, randomness = drawn
    world = World(roots, fates, randomness)
    silent_begins = [record for record in world.records if record.kind != BEGIN]
    randomness.shuffle(silent_begins)
    ended = {record.producer: record.first_seq for record in world.records if record.kind == END}
    highest = {producer: len(events) for producer, events in world.emitted.items()}
    expected = {producer for producer, last in ended.items() if highest[producer] <= last}
    assert grown(silent_begins).ended == expected


def test_a_gap_after_an_end_takes_nothing_back() -> None:
    gap = Record(GAP, 2, PRODUCERS[0], 2, 5, b"", 2, 0)
    forest = grown([gap, Record(END, 1, PRODUCERS[0], 1, 0, b"", 1, 0)])
    assert forest.ended == {PRODUCERS[0]}
