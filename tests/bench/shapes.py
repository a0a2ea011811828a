"""What calls cost in trees of one shape. A step of `scaling`, in a process of its own.

python shapes.py deep|wide SIZE CALLS RUNS

`deep` is a chain of SIZE calls, `wide` an ensemble of SIZE members; as many of them one after the other as make CALLS
calls. Prints {"events": …, "calling": [seconds of each run], "asking": [seconds of each run]}: of the calls
themselves, whose events are collected in memory, less what the same calls take untraced; and of reading those events
and answering a first question about them.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import embertrace as et

FRAMES = 20
"""Python frames per call of a chain, and some to spare."""


def deep(size: int, decorate: Callable[[Any], Any]) -> Callable[[], Any]:
    """A chain: each call makes one further call, until none is left."""

    @decorate
    def link(left: int) -> str:
        return link(left - 1) if left > 1 else "a"

    return lambda: link(size)


def wide(size: int, decorate: Callable[[Any], Any]) -> Callable[[], Any]:
    """An ensemble, whose members are asked one after the other."""

    @decorate
    def member(question: int) -> str:
        return "ab"[question & 1]

    class Panel(et.Ensemble):
        def __call__(self, question: str) -> list[str]:
            return [member(number) for number in range(size)]

    panel = decorate(Panel)([member] * size)
    return lambda: panel("q")


SHAPES = {"deep": deep, "wide": wide}


def seconds(work: Callable[[], Any], times: int) -> float:
    gc.collect()
    start = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - start


def main(shape: str, size_: str, calls: str, runs: str) -> None:
    size = int(size_)
    times = max(1, int(calls) // (size + (shape == "wide")))
    sys.setrecursionlimit(max(sys.getrecursionlimit(), FRAMES * size))
    bare, traced = SHAPES[shape](size, lambda target: target), SHAPES[shape](size, et.trace)
    calling, asking, events = [], [], 0
    for turn in range(int(runs) + 1):
        plain = seconds(bare, times)
        with et.collect_events() as collected:
            taken = seconds(traced, times) - plain
        start = time.perf_counter()
        et.OperatorAnalysis(collected).ensemble_disagreement()
        asked = time.perf_counter() - start
        if turn:  # the first one warms up
            calling.append(taken)
            asking.append(asked)
        events = len(collected)
    print(json.dumps({"events": events, "calling": calling, "asking": asking}))


if __name__ == "__main__":
    main(*sys.argv[1:])
