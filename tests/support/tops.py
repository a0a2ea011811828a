"""Readings of an aggregator that nobody asked, with known numbers; and a feed that gives them."""

from __future__ import annotations

import dataclasses
from typing import Any

from embertrace.analysis.window import Rates, overview
from embertrace.top.model import Reading, Snapshot
from embertrace.wire.control import State
from support.forests import Story

NOW_NS = 1_700_000_000_000_000_000
HOSTILE = "[red]\x1b[31m\u202e\nevil[/]"
"""Markup, an escape code, a mark that turns the direction of text around, a line break."""


def state(**changes: Any) -> State:
    known = State(
        recording="0123abcd",
        name="monday",
        library="0.1.0",
        pid=77,
        started_ns=NOW_NS - 3_600 * 10**9,
        now_ns=NOW_NS,
        received_ns=NOW_NS - 10**9,
        durable=5_000,
        counters={"connected": 2, "gaps": 0},
        free_bytes=1 << 40,
    )
    return dataclasses.replace(known, **changes)


def story() -> Story:
    """Four items: three agree, one has 2/3; the judge is right three times. One call failed, one is open."""
    told = Story()
    for place, (answers, truth) in enumerate((("aaa", "a"), ("aaa", "a"), ("aaa", "b"), ("aab", "a"))):
        told.question(f"q{place}", answers, "a", truth)
    told.end(told.begin("Retriever", "retriever", "search", item={"key": "q9"}), error="TimeoutError")
    told.begin("Retriever", "retriever", "search", item={"key": "q10"})
    return told


def reading(told: Story | None = None, **changes: Any) -> Reading:
    """A reading of `told`; `changes` are of the snapshot's fields."""
    known = story() if told is None else told
    snapshot = Snapshot(
        state=state(),
        info={"events": len(known.events), "producers": 3, "gaps": 0, "position": 5_000, "undecodable": 0},
        losses=[],
        window={"size": 2_000, "events": len(known.events)},
        rates=Rates(12.5, 1250.0, 10.0),
        overview=overview(known.forest()),
    )
    return Reading("tcp://host:5557", NOW_NS / 1e9, dataclasses.replace(snapshot, **changes))


def hostile() -> Story:
    """Every text that comes from others is HOSTILE, or very long."""
    told = Story()
    told.end(told.begin(HOSTILE, HOSTILE, HOSTILE, item={"key": HOSTILE}), error=HOSTILE)
    told.end(told.begin("long", stage="long", item={"key": "x" * 1_000_000}), error="y" * 100_000)
    return told


class FakeFeed:
    """Gives its readings one after the other, then the last for ever; one that is an error is raised."""

    def __init__(self, *readings: Reading | Exception) -> None:
        self._readings = list(readings)
        self.asked = 0

    def read(self) -> Reading:
        self.asked += 1
        found = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        pass


def busy(stages: int = 6) -> Story:
    """Enough of everything to fill a screen."""
    told = story()
    for place in range(stages):
        told.question(f"item-{place}", ["Paris", "Paris", "Lyon"], "Paris", "Paris")
        told.end(told.begin(f"Verifier{place}", "verifier", f"verify_{place}"), error="ValueError")
    return told
