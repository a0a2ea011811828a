"""What is recorded: items by their keys, calls by stage and type, and of the rest what raised."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace import collect, config, context
from embertrace.config import Settings
from embertrace.errors import ConfigError
from embertrace.sampling import Sampling
from embertrace.wire.traceparent import unpack_traceparent

KEYS = [f"q{number}" for number in range(10_000)]


@contextlib.contextmanager
def recording(**settings: Any) -> Iterator[Any]:
    """Events of the block, with other settings."""
    before = collect.settings
    collect.configure(config.with_values(before, settings))
    try:
        with et.collect_events() as events:
            yield events
    finally:
        collect.configure(before)


def items(events: Any) -> list[Any]:
    return [event.context["item"]["key"] for event in events if event.event_type == "call"]


def names(events: Any, kind: str = "call") -> list[str]:
    return [event.operator_id for event in events if event.event_type == kind]


@et.trace
def leaf(number: int = 0) -> int:
    if number < 0:
        raise ValueError(number)
    return number


@et.trace
def root(number: int = 0) -> int:
    leaf(0)
    return leaf(number)


def chosen(share: float, seed: int = 0, keys: Any = KEYS) -> set[Any]:
    sampling = Sampling(Settings(sample=share, sample_seed=seed))
    return {key for key in keys if sampling.chooses(key)}


# By item.


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
def test_the_share_of_items_that_are_chosen_is_the_one_that_was_asked_for(share: float) -> None:
    deviation = math.sqrt(share * (1 - share) / len(KEYS))
    assert abs(len(chosen(share)) / len(KEYS) - share) < 4 * deviation


def test_share_0_chooses_nothing_and_share_1_everything() -> None:
    assert chosen(0) == set()
    assert chosen(1) == set(KEYS)


def test_a_larger_share_keeps_what_a_smaller_one_keeps_and_another_seed_something_else() -> None:
    assert chosen(0.1) < chosen(0.3) < chosen(0.31) < chosen(0.9)
    overlap = len(chosen(0.3) & chosen(0.3, seed=1)) / len(KEYS)
    assert 0.06 < overlap < 0.12


@pytest.mark.parametrize(
    ("seed", "key", "epoch", "position"),
    [(0, "q-17", None, 0x6FB6E8EA8B4A8A0C), (7, "q-17", 2, 0xB936531A336280E2), (0, 17, None, 0x3BE58DD7A3791EFC)],
)
def test_the_position_of_an_item_is_the_documented_one(seed: int, key: Any, epoch: Any, position: int) -> None:
    """As docs/wire-format.md has it: other languages, and later versions, keep the same items."""
    for share, is_chosen in ((position / 2**64 - 1e-9, False), (position / 2**64 + 1e-9, True)):
        assert Sampling(Settings(sample=share, sample_seed=seed)).chooses(key, epoch) is is_chosen


def test_epochs_of_a_key_are_chosen_each_for_itself() -> None:
    sampling = Sampling(Settings(sample=0.5))
    assert {sampling.chooses("q", epoch) for epoch in range(30)} == {True, False}


def test_two_runs_of_one_seed_keep_the_same_items_in_any_order() -> None:
    keys = [f"q{number}" for number in range(60)]
    kept = []
    for order in (keys, random.Random(1).sample(keys, len(keys))):
        with recording(sample=0.3, sample_seed=7) as events:
            for key in order:
                with et.item(key, truth="x"):
                    root()
        kept.append(sorted(items(events)))
    assert kept[0] == kept[1]
    assert {*kept[0]} == chosen(0.3, 7, keys)
    assert len(kept[0]) == 3 * len({*kept[0]})  # all calls of an item, or none


def test_a_root_without_an_item_is_chosen_by_its_arguments() -> None:
    kept = []
    for _ in range(2):
        with recording(sample=0.3) as events:
            for number in range(60):
                root(number)
        kept.append([event.data["args"] for event in events if event.operator_id == "root" and event.data.get("args")])
    assert kept[0] == kept[1]
    assert 5 < len(kept[0]) < 35


def test_an_argument_that_is_the_key_decides() -> None:
    @et.trace(item="key")
    def keyed(key: str, noise: float) -> int:
        return leaf()

    with recording(sample=0.3) as events:
        for key in KEYS[:40]:
            keyed(key, random.random())
    assert {*items(events)} == chosen(0.3, keys=KEYS[:40])


def test_events_carry_the_share_and_say_nothing_of_it_where_all_is_recorded() -> None:
    for share in (0.5, 1.0):
        with recording(sample=share) as events:
            for key in KEYS[:10]:
                with et.item(key):
                    root()
                    et.score(usd=1)
        assert {event.context.get("share") for event in events} == ({0.5} if share == 0.5 else {None})
    assert len(events) == 70


def test_an_item_inside_an_item_is_decided_for_itself() -> None:
    inside, outside = _one_of_each(0.5)
    with recording(sample=0.5) as events, et.item(outside):
        root()
        with et.item(inside):
            root()
        root()
    assert items(events) == [inside] * 3


def _one_of_each(share: float) -> tuple[str, str]:
    """A key that is chosen, and one that is not."""
    kept = chosen(share, keys=KEYS[:50])
    return next(key for key in KEYS if key in kept), next(key for key in KEYS if key not in kept)


@pytest.mark.parametrize("key", ["x" * 5000, 2**70, "\ud800", -1, 0.5, (1, 2), object, None, {"a": [1]}, float("nan")])
def test_any_key_is_decided_about_and_alike_each_time(key: Any) -> None:
    counts = set()
    for _ in range(2):
        with recording(sample=0.5) as events, et.item(key):
            root()
        counts.add(len(events))
    assert counts in ({0}, {6})
    with recording(sample=1e-300) as events, et.item(key):
        root()
    assert not events


# One decision, carried.


def test_the_decision_goes_along_into_threads_tasks_and_bound_functions() -> None:
    inside, outside = _one_of_each(0.5)

    async def many() -> None:
        await asyncio.gather(*(asyncio.to_thread(root, number) for number in range(3)))

    with recording(sample=0.5) as events, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for key in (inside, outside):
            with et.item(key):
                asyncio.run(many())
                pool.submit(et.bind(root), 1).result()
                list(et.Executor(pool).map(root, range(2)))
    assert items(events) == [inside] * 18


def test_generators_and_coroutines_below_an_item_outside_the_sample_leave_nothing() -> None:
    @et.trace
    def stream() -> Iterator[int]:
        yield leaf()

    @et.trace
    async def slow() -> int:
        return leaf()

    for keeps in (False, True):
        with recording(sample=0, keep_errors=keeps) as events, et.item("q"):
            assert [*stream()] == [0]
            assert asyncio.run(slow()) == 0
            with et.operator("panel", type="ensemble") as panel:
                panel.result([leaf()])
        assert not events
    assert context.current.get() == context.NOWHERE


def test_traceparent_says_whether_the_item_is_recorded_and_a_header_decides_for_its_receiver() -> None:
    inside, outside = _one_of_each(0.5)
    headers = {}

    @et.trace
    def asking(key: str) -> None:
        headers[key] = et.traceparent()

    with recording(sample=0.5) as events:
        for key in (inside, outside):
            with et.item(key):
                asking(key)
        for header in headers.values():
            with et.continue_trace(header):
                root()
    flags = [unpack_traceparent(headers[key] or "").sampled for key in (inside, outside)]
    assert flags == [True, False]
    assert names(events) == ["asking", "root", "leaf", "leaf"]
    assert {event.trace_id for event in events} == {(headers[inside] or "").split("-")[1]}


def test_labels_of_items_outside_the_sample_are_kept() -> None:
    with recording(sample=0) as events, et.item("q"):
        root()
        et.label("q", truth="Paris")
        et.score(usd=1)
    assert [event.data for event in events] == [{"label": {"key": "q", "truth": "Paris"}}]


# Errors of the rest.


def test_of_an_item_outside_the_sample_the_path_of_the_call_that_raised_is_kept() -> None:
    @et.trace
    def trying(number: int) -> int:
        with contextlib.suppress(ValueError):
            root(number)
        return leaf(1)

    with recording(sample=0, keep_errors=True) as events:
        with et.item("good"):
            trying(1)
        with et.item("bad"):
            trying(-1)
    assert names(events) == ["trying", "root", "leaf"]
    assert names(events, "error") == ["leaf", "root"]
    assert names(events, "result") == ["trying"]
    assert {event.context["share"] for event in events} == {0.0}
    assert {event.context["item"]["key"] for event in events} == {"bad"}
    assert events[2].data["args"] == [-1]
    assert [frame["id"] for frame in events[2].context["operators"]] == ["trying", "root", "leaf"]


def test_held_calls_begin_when_they_began() -> None:
    with recording(sample=0, keep_errors=True) as events, contextlib.suppress(ValueError):
        root(-1)
    begins = [event.timestamp for event in events if event.event_type == "call"]
    ends = [event.timestamp for event in events if event.event_type == "error"]
    assert begins == sorted(begins)
    assert max(begins) <= min(ends)
    lasted = events[-1].timestamp - events[0].timestamp
    assert lasted == pytest.approx(events[-1].duration_s, abs=0.05)


# By stage and type.


@et.trace(type="ensemble", stage="panel_1")
def panel() -> list[str]:
    return [member("a"), member("b"), tool()]


@et.trace(type="member", stage="members")
def member(answer: str) -> str:
    et.score(usd=1)
    return answer


@et.trace(type="tool", stage="tools")
def tool() -> str:
    return member("c")


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, ["panel", "member", "member", "tool", "member"]),
        ({"stages": ["members"]}, ["member"] * 3),
        ({"stages": ["panel_*", "tools"]}, ["panel", "tool"]),
        ({"stages": ["!members"]}, ["panel", "tool"]),
        ({"stages": ["!panel_?", "!tools"]}, ["member"] * 3),
        ({"types": ["tool"]}, ["tool"]),
        ({"types": ["*", "!tool"]}, ["panel", "member", "member", "member"]),
        ({"types": ["!tool"], "stages": ["!members"]}, ["panel"]),
        ({"stages": ["nowhere"]}, []),
    ],
)
def test_calls_are_kept_by_stage_and_type(settings: dict[str, list[str]], kept: list[str]) -> None:
    with recording(**settings) as events:
        assert panel() == ["a", "b", "c"]
    assert names(events) == kept
    assert sorted(names(events, "result")) == sorted(kept)
    assert len(names(events, "metric")) == kept.count("member")


def test_what_runs_below_a_call_that_is_filtered_out_stands_below_it() -> None:
    with recording(stages=["members", "panel_1"]) as events, et.item("q", lang="de"):
        panel()
    deep = events[-3]
    assert [frame["stage"] for frame in deep.context["operators"]] == ["panel_1", "tools", "members"]
    assert (deep.context["item"], deep.context["tags"]) == ({"key": "q"}, {"lang": "de"})


def test_filters_and_samples_go_together() -> None:
    inside, outside = _one_of_each(0.5)
    with recording(sample=0.5, keep_errors=True, types=["!tool"]) as events:
        for key in (inside, outside):
            with et.item(key):
                panel()
    assert items(events) == [inside] * 4


# Settings.


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample": 2}, "sample is 2; it must be a share"),
        ({"sample": -0.1}, "sample is -0.1; it must be a share"),
        ({"sample": math.nan}, "sample is nan; it must be a share"),
        ({"sample": "x"}, "sample is 'x'; it must be a share"),
        ({"sample": True}, "sample is True; it must be a share"),
        ({"sample_seed": -1}, "sample_seed is -1; it must be an integer"),
        ({"sample_seed": 0.5}, "sample_seed is 0.5; it must be an integer"),
        ({"keep_errors": "yes"}, "keep_errors is 'yes'; it must be True or False"),
        ({"stages": "a"}, "stages is 'a'; it must be a list"),
        ({"stages": None}, "stages is None; it must be a list"),
        ({"types": ["a", 1]}, r"types is \['a', 1\]; it must be a list"),
    ],
)
def test_settings_that_can_not_be_used_are_refused_in_one_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**values)


def test_settings_come_from_the_environment_and_travel() -> None:
    given = {
        "EMBERTRACE_SAMPLE": "0.25",
        "EMBERTRACE_SAMPLE_SEED": "3",
        "EMBERTRACE_KEEP_ERRORS": "1",
        "EMBERTRACE_STAGES": "members, !judge_*",
        "EMBERTRACE_TYPES": "!tool",
    }
    found = config.from_environment(given)
    assert (found.sample, found.sample_seed, found.keep_errors) == (0.25, 3, True)
    assert (found.stages, found.types) == (("members", "!judge_*"), ("!tool",))
    assert Settings().adopting(found.travelling()) == Settings(
        **{name: getattr(found, name) for name in ("sample", "sample_seed", "keep_errors", "stages", "types")}
    )


def test_whoever_wants_no_files_gets_none_where_the_work_is_done() -> None:
    told = Settings(delivery="memory", spool_dir="/here").travelling()
    assert told == {"delivery": "memory"}  # a directory is of one machine
    assert Settings(spool_dir="/there").adopting(told) == Settings(delivery="memory", spool_dir="/there")
    assert Settings(delivery="memory").adopting({"sample": 0.5}) == Settings(delivery="memory", sample=0.5)
    with pytest.raises(ConfigError, match="delivery is 'paper'"):
        Settings().adopting({"delivery": "paper"})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SAMPLE", "2", "sample is 2.0"),
        ("SAMPLE", "nan", "sample is nan"),
        ("SAMPLE", "x", "EMBERTRACE_SAMPLE is 'x'; it must be a number"),
        ("SAMPLE_SEED", "0.5", "EMBERTRACE_SAMPLE_SEED is '0.5'; it must be a number"),
        ("KEEP_ERRORS", "?", "EMBERTRACE_KEEP_ERRORS is '\\?'; it must be 1 or 0"),
    ],
)
def test_variables_that_can_not_be_used_are_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.from_environment({f"EMBERTRACE_{name}": text})


def test_nothing_that_is_not_recorded_is_logged_or_changes_what_operators_do(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="embertrace"):
        for settings in ({"sample": 0}, {"sample": 0, "keep_errors": True}, {"stages": ["nowhere"]}):
            with recording(**settings) as events:  # type: ignore[arg-type]
                assert panel() == ["a", "b", "c"]
                with pytest.raises(ValueError, match="-1"):
                    leaf(-1)
            assert names(events) == (["leaf"] if settings.get("keep_errors") else [])
    assert not caplog.records
