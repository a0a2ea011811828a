"""The forest that was meant, whatever the delivery: cut into batches anyhow, shuffled, interleaved, and doubled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace import OperatorAnalysis
from embertrace.analysis import Call, Forest, LocalSource
from embertrace.recording import BATCH, END, GAP, Record
from embertrace.recording.plant import plant
from support.worlds import Attempt, Happened, World, worlds

Outline = tuple[Any, ...]
"""(id, attempt, operator, type, slot, outcome, run, item, scores, children): what a user sees of a call."""
Attempts = Literal["selected", "all"]


def grown(records: list[Record]) -> Forest:
    forest = Forest()
    for record in records:
        plant(forest, record)
    return forest


def analysis_of(forest: Forest, attempts: Attempts = "selected") -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(forest), pool=True, attempts=attempts)


def rebuilt(call: Call) -> Outline:
    below = [rebuilt(child) for child in call.children]
    return (
        call.call_id, call.attempt, call.operator_id, call.operator_type, call.slot, call.outcome, call.run,
        call.item.get("key"), call.scores, below,
    )  # fmt: skip


class Meant:
    """What should be found of a world; `gone` are the producers of which nothing more can come."""

    def __init__(self, world: World, gone: set[bytes]) -> None:
        self._roots, self._gone = world.roots, gone

    def outlines(self, attempts: Attempts) -> list[Outline]:
        return [each for root in self._roots for each in self._outlines(root, root.run, None, attempts)]

    def _outlines(self, call: Happened, run: str | None, item: int | None, attempts: Attempts) -> Iterator[Outline]:
        item = call.item if call.item is not None else item
        for attempt in call.attempts if attempts == "all" else [call.counting]:
            below = [each for child in attempt.children for each in self._outlines(child, run, item, attempts)]
            yield (
                call.call_id, attempt.number, call.operator, call.type, call.slot, self.outcome(attempt), run, item,
                {} if attempt.score is None else {"accuracy": attempt.score}, below,
            )  # fmt: skip

    def outcome(self, attempt: Attempt) -> str:
        return attempt.end or ("lost" if attempt.producer in self._gone else "open")

    def counting(self) -> Iterator[Happened]:
        """Every call that counts: those below attempts that don't are left out."""
        stack = list(self._roots)
        while stack:
            call = stack.pop()
            yield call
            stack += call.counting.children

    def votes(self, ensemble: Happened) -> dict[str, str]:
        """What each member said, by its identity."""
        members = [child for child in ensemble.counting.children if child.type != "judge" and child.votes]
        named, used, votes = Counter(child.operator for child in members), Counter[str](), {}
        for child in members:
            name = child.operator if named[child.operator] == 1 else f"{child.operator}#{used[child.operator]}"
            used[child.operator] += 1
            end = self.outcome(child.counting)
            said = {"open": "(missing)", "result": child.counting.result or "(abstained)"}
            votes[name] = said.get(end, "(failed)")
        return votes

    def readings(self) -> Counter[tuple[str, str]]:
        """How often a judge of one operator read an ensemble of another."""
        pairs: Counter[tuple[str, str]] = Counter()
        for call in self.counting():
            if call.type == "question":
                ensemble, judge = call.counting.children
                pairs[ensemble.operator, judge.operator] += 1
        return pairs


def check(forest: Forest, meant: Meant) -> None:
    """All that the public doors say of a forest is what was meant."""
    for attempts in ("selected", "all"):
        asked = analysis_of(forest, attempts)
        assert [rebuilt(root) for root in asked.trees] == meant.outlines(attempts)
        assert asked.health()["missing"] == 0
        times = [call.timestamp for call in asked.calls]
        assert times == sorted(times)
    asked = analysis_of(forest)
    for ensemble in (call for call in meant.counting() if call.type == "ensemble"):
        (row,) = asked.where(lambda call, wanted=ensemble.call_id: call.call_id == wanted).items()
        assert row["answers"] == meant.votes(ensemble)
    links = Counter[tuple[str, str]]()
    nodes = {node["id"]: node["operator"] for node in asked.flow()["nodes"]}
    for edge in asked.flow()["edges"]:
        if edge["kind"] == "link":
            links[nodes[edge["source"]], nodes[edge["target"]]] += edge["count"]
    assert links == meant.readings()
    assert len(asked.unlinked()) == 0


@settings(max_examples=100)
@given(worlds())
def test_the_forest_is_the_one_that_was_meant(world: World) -> None:
    forest = grown(world.delivered())
    check(forest, Meant(world, world.gone))
    assert forest.events == sum(map(len, world.emitted.values()))
    assert forest.ended == world.gone


@settings(max_examples=30)
@given(worlds(), st.randoms(use_true_random=False))
def test_a_list_of_events_tells_the_same_in_any_order(world: World, shuffler: random.Random) -> None:
    """Of who is gone a list says nothing: what has no end is open."""
    events = list(analysis_of(grown([record for record in world.records if record.kind == BATCH])).events)
    events += shuffler.sample(events, len(events) // 2)
    shuffler.shuffle(events)
    asked = OperatorAnalysis(events, pool=True)
    assert [rebuilt(root) for root in asked.trees] == Meant(world, set()).outlines("selected")


def test_a_gap_after_an_end_takes_nothing_back() -> None:
    producer = b"p" * 16
    end = Record(END, 1, producer, 1, 0, b"", 1, 0)
    gap = Record(GAP, 2, producer, 2, 5, b"", 2, 0)
    assert grown([gap, end]).ended == {producer}
