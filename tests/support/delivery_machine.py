"""Any sequence of what can happen to emitted events, by hypothesis: `run` plays many of them, and raises on the first
that loses an event, records one twice, invents one, or does not come to rest.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.delivery_log import WHERE, Fate
from support.delivery_net import CALM, WEATHERS
from support.delivery_replay import replay_twice
from support.delivery_world import Figures, World

MOST_STREAMS = 5
STEPS = 40
WHICH = st.integers(0, MOST_STREAMS - 1)
SIZES = st.sampled_from([1, 30, 200, 3000])
PART = st.floats(0.0, 1.0)
SECONDS = st.sampled_from([0.0, 0.01, 0.03, 0.5, 1.1, 4.0, 9.0])
FATES = st.builds(Fate, st.sampled_from(WHERE), PART, st.booleans(), st.booleans())


class Delivery(RuleBasedStateMachine):
    """One sequence. Subclasses say which world, and count in which figures."""

    world_type: type[World] = World
    figures = Figures()

    @initialize(chance=st.integers(0, 2**32 - 1), segment_bytes=st.sampled_from([300, 3000, 10**6]))
    def begin(self, chance: int, segment_bytes: int) -> None:
        self.world = self.world_type(chance, segment_bytes, self.figures)
        self.world.start(20_000)

    def _of(self, things: list[Any], which: int) -> Any:
        return things[which % len(things)]

    @precondition(lambda self: len(self.world.streams) < MOST_STREAMS)
    @rule(capacity=st.sampled_from([0, 2_000, 20_000, 1_000_000]))
    def a_process_starts(self, capacity: int) -> None:
        self.world.start(capacity)

    @precondition(lambda self: self.world.processes)
    @rule(which=WHICH, count=st.integers(1, 60), size=SIZES)
    def a_process_emits(self, which: int, count: int, size: int) -> None:
        process = self._of(self.world.processes, which)
        for _ in range(count):
            process.emit(size)

    @rule(rounds=st.integers(1, 20), seconds=SECONDS, count=st.integers(1, 10), size=SIZES)
    def all_are_busy(self, rounds: int, seconds: float, count: int, size: int) -> None:
        for _ in range(rounds):
            for process in self.world.processes:
                for _ in range(count):
                    process.emit(size)
            self.world.round(seconds)

    @rule(seconds=SECONDS)
    def all_go_on(self, seconds: float) -> None:
        self.world.round(seconds)

    @rule(rounds=st.integers(1, 40))
    def time_passes(self, rounds: int) -> None:
        for _ in range(rounds):
            self.world.round(1.0)

    @rule()
    def the_aggregator_goes_on(self) -> None:
        self.world.aggregate()

    @precondition(lambda self: self.world.processes)
    @rule(which=WHICH, seconds=SECONDS)
    def a_process_goes_on(self, which: int, seconds: float) -> None:
        self.world.now += seconds
        self._of(self.world.processes, which).step(self.world.now)

    @rule(control=st.sampled_from(WEATHERS), pushed=st.sampled_from(WEATHERS), answers=st.sampled_from(WEATHERS))
    def the_weather_changes(self, control: Any, pushed: Any, answers: Any) -> None:
        self.world.set_weather(control, pushed, answers)

    @rule()
    def the_weather_clears(self) -> None:
        self.world.set_weather(CALM, CALM, CALM)

    @precondition(lambda self: self.world.lines)
    @rule(which=WHICH, lost=PART)
    def a_connection_breaks(self, which: int, lost: float) -> None:
        self._of(self.world.lines, which).reconnect(lost)

    @precondition(lambda self: self.world.processes)
    @rule(which=WHICH)
    def a_process_dies(self, which: int) -> None:
        self._of(self.world.processes, which).die()
        self.figures.crashes += 1

    @precondition(lambda self: self.world.processes)
    @rule(which=WHICH, size=SIZES, part=PART)
    def a_process_dies_emitting(self, which: int, size: int, part: float) -> None:
        self._of(self.world.processes, which).die_emitting(size, part)
        self.figures.torn += 1

    @precondition(lambda self: self.world.processes)
    @rule(which=WHICH)
    def a_process_closes(self, which: int) -> None:
        self._of(self.world.processes, which).ending = True

    @precondition(lambda self: any(process.ending for process in self.world.processes))
    @rule()
    def closing_processes_exit(self) -> None:
        for process in self.world.processes:
            if process.ending:
                process.leave()

    @precondition(lambda self: self.world.orphans)
    @rule(which=WHICH)
    def a_stream_is_adopted(self, which: int) -> None:
        self.world.adopt(self._of(self.world.orphans, which))

    @precondition(lambda self: self.world.adopters)
    @rule(which=WHICH)
    def an_adopter_dies(self, which: int) -> None:
        self._of(self.world.adopters, which).die()
        self.figures.adopters_died += 1

    @precondition(lambda self: self.world.aggregator is not None)
    @rule(seconds=SECONDS, fate=FATES)
    def the_aggregator_dies(self, seconds: float, fate: Fate) -> None:
        self.world.round(seconds, fate)

    @precondition(lambda self: self.world.aggregator is not None and self.world.processes)
    @rule(which=WHICH, count=st.integers(1, 60), size=SIZES, part=PART, zeros=st.booleans())
    def the_aggregator_dies_writing(self, which: int, count: int, size: int, part: float, zeros: bool) -> None:
        process = self._of(self.world.processes, which)
        for _ in range(count):
            process.emit(size)
        self.world.round(0.03)
        self.world.round(0.03, Fate("writing", part, zeros))

    @precondition(lambda self: self.world.aggregator is None)
    @rule()
    def the_aggregator_restarts(self) -> None:
        self.world.restart()
        self.figures.restarts += 1

    @invariant()
    def nothing_is_twice_or_invented(self) -> None:
        self.world.check()
        self.figures.steps += 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.heal()
        world.settle()
        world.count()
        self.figures.replayed += replay_twice(world.log, world.streams)


def run(number: int, examples: int, world: type[World] = World, *, shrink: bool = True) -> Figures:
    """Play `examples` sequences of seed `number`. Raises AssertionError with the shortest one that breaks a rule."""
    figures = Figures()
    machine = type("Delivery", (Delivery,), {"world_type": world, "figures": figures})
    seed(number)(machine)
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, database=None, deadline=None, phases=phases,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
        ),
    )  # fmt: skip
    return figures
