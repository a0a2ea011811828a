"""Durations, the chain that bounds a trace, and stragglers; stories with times of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.durations import quantile_interval
from embertrace.analysis.source import LocalSource
from support.forests import Begun, Story

ZERO = 1_000


def ask(story: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()))


def fan_out(story: Story, *spans: tuple[float, float], stage: str = "s", key: int = 0) -> Begun:
    """An ensemble whose members begin and end at these seconds; they are begun first, then ended in order."""
    panel = story.begin("panel", "ensemble", stage, item={"key": key}, at=float(ZERO))
    members = [
        (end, start, story.begin(f"m{n}", "member", "members", panel, at=float(ZERO + start)))
        for n, (start, end) in sorted(enumerate(spans), key=lambda one: one[1])
    ]
    for end, start, member in sorted(members, key=lambda one: one[0]):
        story.end(member, "a", took=float(end - start))
    return story.end(panel, "a", took=float(max(end for _, end in spans) + 1))


def test_latency_quantiles_are_in_seconds_and_have_intervals() -> None:
    story = Story()
    for millisecond in range(1, 101):
        story.end(story.begin("m", "member", "s"), took=millisecond / 1000)
    story.begin("m", "member", "s")
    (row,) = ask(story).latency()
    assert (row["stage"], row["type"], row["operator"], row["n"], row["items"]) == ("s", "member", "m", 100, 100)
    assert row["mean_s"] == pytest.approx(0.0505)
    assert [row[f"p{q}_s"] for q in (50, 90, 95, 99)] == pytest.approx([0.0505, 0.0901, 0.09505, 0.09901])
    assert row["max_s"] == 0.1
    assert row["p50_low_s"] < row["p50_s"] < row["p50_high_s"]
    assert row["p50_low_s"] == pytest.approx(0.0410, abs=0.001)  # order statistics at 50 ± 1.96·5
    assert ask(story).latency().left_out == {"without a duration": 1}


def test_calls_of_one_item_are_no_independent_durations() -> None:
    units = np.arange(40)
    together = quantile_interval(np.repeat(units, 10), np.repeat(units, 10), 0.5)
    assert together == pytest.approx(quantile_interval(units, units, 0.5), abs=0.6)
    assert all(map(math.isnan, quantile_interval(np.full(10, 5), np.zeros(10, np.int64), 0.5)))


def test_the_chain_that_bounds_a_trace() -> None:
    """root 0–10: a 1–4, b 2–8 (in it c 3–7), d 8.5–9.5."""
    story = Story()
    root = story.begin("root", at=float(ZERO))
    a = story.begin("a", parent=root, at=ZERO + 1.0)
    b = story.begin("b", parent=root, at=ZERO + 2.0)
    c = story.begin("c", parent=b, at=ZERO + 3.0)
    story.end(a, took=3.0)
    story.end(c, took=4.0)
    story.end(b, took=6.0)
    story.end(story.begin("d", parent=root, at=ZERO + 8.5), took=1.0)
    story.end(root, took=10.0)
    rows = ask(story).critical_path()
    assert {row["operator"]: row["own_s"] for row in rows} == {"c": 4.0, "b": 2.0, "root": 2.0, "d": 1.0, "a": 1.0}
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    chain = ask(story).critical_path(each=True)
    assert [(row["operator"], row["depth"]) for row in chain] == [("root", 0), ("a", 1), ("b", 1), ("c", 2), ("d", 1)]
    assert repr(chain).startswith("root ")
    assert [row["operator"] for row in ask(story).operator("c").critical_path()] == ["c"]


def test_a_child_that_outlives_its_parent_was_not_waited_for() -> None:
    story = Story()
    root = story.begin("root", at=float(ZERO))
    background = story.begin("background", parent=root, at=float(ZERO))
    story.end(root, took=1.0)
    story.end(background, took=50.0)
    assert {row["operator"]: row["own_s"] for row in ask(story).critical_path()} == {"root": 1.0}


def test_stragglers_owe_what_is_waited_for_them_alone() -> None:
    story = Story()
    fan_out(story, (0, 2), (0, 4), (0, 10), key=1)
    fan_out(story, (0, 10), (1, 5), (0, 2), key=2)
    rows = {row["member"]: row for row in ask(story).stragglers()}
    assert {name: row["slowest"] for name, row in rows.items()} == {"m0": 0.5, "m1": 0.0, "m2": 0.5}
    assert {name: row["owed"] for name, row in rows.items()} == pytest.approx({"m0": 0.25, "m1": 0.0, "m2": 0.3})
    assert {row["n"] for row in rows.values()} == {2}


def test_members_one_after_the_other_are_no_fan_out() -> None:
    story = Story()
    fan_out(story, (0, 2), (2, 4))
    fan_out(story, (0, 2))
    found = ask(story).stragglers()
    assert (found, found.left_out) == ([], {"one after the other": 1, "with fewer than two durations": 1})
