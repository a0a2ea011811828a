"""Nothing lost, nothing twice: producers × network × log × crashes, played by hypothesis.

After every step and after a healing at the end: every event whose take returned is recorded once, in order, or still
held; what was dropped, and nothing else, is in gaps; nothing is acknowledged that is not durable; the living and the
gone are told apart; and it all comes to rest. Each recording is replayed twice, and says the same.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.collector import Collector, Entry, Identity
from embertrace.wire.batch import HEADER_BYTES, Batch
from support.delivery_log import Fate, Log
from support.delivery_machine import run
from support.delivery_net import CALM, Weather
from support.delivery_world import Figures, World

EXAMPLES = 300
MORE = 4
"""Times that many, until everything that can happen has: of so few examples, one in some hundred runs lacks a kind."""
WEATHER = st.builds(Weather, st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0, 0.5), st.booleans())


def test_any_sequence_of_what_can_happen() -> None:
    happened: Counter[str] = Counter()
    for _ in range(MORE):
        figures = run(random.getrandbits(32), EXAMPLES)
        assert figures.sequences >= EXAMPLES
        happened.update({name: getattr(figures, name) for name in Figures.__dataclass_fields__})
        if min(happened.values()) > 0:
            return
    raise AssertionError(f"something never happened: {happened}")


def test_any_sequence_with_an_aggregator_that_is_killed_again_and_again() -> None:
    run(random.getrandbits(32), EXAMPLES // 3, OftenKilled)


class AcceptsAnything(Collector):
    """Takes the first seq of whatever comes for the one it waits for."""

    def on_batch(self, batch: Batch) -> list[Entry]:
        self._marks[batch.producer] = batch.first_seq - 1
        return super().on_batch(batch)


class Forgets(Collector):
    """Does not know after a restart what is recorded."""

    def __init__(self, identity: Identity, marks: dict[bytes, int], begun: dict[bytes, bytes]) -> None:
        super().__init__(identity, {}, begun)


class ForgetsWhoLives(Collector):
    """Does not know after a restart who was alive."""

    def __init__(self, identity: Identity, marks: dict[bytes, int], begun: dict[bytes, bytes]) -> None:
        super().__init__(identity, marks)


class WithAcceptsAnything(World):
    collector = AcceptsAnything


class WithForgets(World):
    collector = Forgets


class WithForgetsWhoLives(World):
    collector = ForgetsWhoLives


class OftenKilled(World):
    """One round in ten ends before its sync."""

    is_healing = False

    def aggregate(self, fate: Fate | None = None) -> None:
        is_killed = not self.is_healing and self.chance.random() < 0.1
        super().aggregate(Fate("received") if is_killed else fate)

    def heal(self) -> None:
        self.is_healing = True
        super().heal()


class Hasty(OftenKilled):
    hasty = True


class NeverSyncs(World):
    """Answers although a crash loses what it answers for."""

    def __init__(self, seed: int, segment_bytes: int, figures: Figures) -> None:
        super().__init__(seed, segment_bytes, figures)
        self.log.open = self._open_after_loss  # type: ignore[method-assign]

    def _open_after_loss(self):  # type: ignore[no-untyped-def]
        last = max(self.log.segments)
        del self.log.segments[last][200:]
        self.log.published = 0
        return Log.open(self.log)


@pytest.mark.parametrize("world", [WithAcceptsAnything, WithForgets, WithForgetsWhoLives, Hasty, NeverSyncs])
def test_the_machine_sees_what_is_wrong(world: type[World]) -> None:
    """The negative control: each of these breaks one rule, and must not pass."""
    with pytest.raises(AssertionError):
        run(random.getrandbits(32), 10 * EXAMPLES, world, shrink=False)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    WEATHER,
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 200, 3000]), st.sampled_from([0.0, 0.02, 0.3, 1.1]))),
)
def test_disturbed_answers_cost_no_more_than_a_second_sending(
    seed: int, weather: Weather, steps: list[tuple[int, int, float]]
) -> None:
    """Acks and welcomes dropped, delayed, doubled and reordered: nothing twice, no livelock, at most 2 × the bytes."""
    world = World(seed, 10**6, Figures())
    process = world.start(10**6)
    world.set_weather(CALM, CALM, weather)
    for count, size, seconds in steps:
        for _ in range(count):
            process.emit(size)
        world.round(seconds)
        world.check()
    world.heal()
    world.settle()
    recorded = sum(HEADER_BYTES + len(record.payload) for record in world.log.records() if record.count)
    assert process.line.pushed_bytes <= 2 * recorded
