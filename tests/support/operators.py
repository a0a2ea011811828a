"""Operators that Ray workers import: an ensemble over tasks, nested tasks and an actor."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import ray

import embertrace as et
import embertrace.ray as eray
from embertrace import emit


@eray.remote(num_cpus=0.1)
@et.trace(type="member", stage="members")
def leaf(question: str, answer: str) -> str:
    return answer


@eray.remote(num_cpus=0.1)
@et.trace(type="member", stage="members")
def nested(question: str, answer: str) -> str:
    """A member that asks another task, in its own worker."""
    return str(ray.get(leaf.remote(question, answer)))


@eray.remote(num_cpus=0.1)
@et.trace(stage="judge_1", type="judge", name="chooser")
class Chooser:
    def __call__(self, question: str, *answers: str) -> str:
        return max(sorted(answers), key=answers.count)

    def pid(self) -> int:
        return os.getpid()


@eray.remote(num_cpus=0.1)
def widest(answers: list[Any]) -> int:
    """Consumes any number of answers, unread."""
    return len(answers)


@eray.remote(num_cpus=0.1, max_retries=0)
def failing(question: str) -> None:
    raise ValueError(f"no answer to {question}")


@eray.remote(num_cpus=0.1)
def streaming(count: int) -> Any:
    number = 0
    while number < count:  # not `yield from range(…)`: Ray sends statistics into generators, traced or not
        yield number
        number += 1


@eray.remote(num_cpus=0.1)
class Asynchronous:
    async def ask(self, question: str) -> str:
        return str(await leaf.remote(question, "async"))


def ask(chooser: Any, question: str, answers: str) -> str:
    """One item through the whole pipeline: local ensemble, remote members (one nested), remote judge."""
    with et.item(question, truth="a"), et.operator("pipeline", type="pipeline"):
        with et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
            members = [nested, *[leaf] * (len(answers) - 1)]
            found = ray.get([member.remote(question, a) for member, a in zip(members, answers, strict=True)])
            panel.result(found)
        return str(ray.get(chooser.__call__.remote(question, *found)))


@eray.remote(num_cpus=0.1)
class Gate:
    """A call that stays open until somebody opens it."""

    def __init__(self) -> None:
        self._inside = asyncio.Event()
        self._open = asyncio.Event()

    async def wait(self) -> str:
        self._inside.set()
        await self._open.wait()
        return "open"

    async def entered(self) -> None:
        """Somebody waits inside, and the event that says so is recorded."""
        await self._inside.wait()
        assert emit.flush_all(60), "no aggregator took the event that a call began"

    async def open(self) -> None:
        self._open.set()


@et.trace(type="member", stage="rows")
def add_answer(batch: dict[str, Any]) -> dict[str, Any]:
    """An operator inside a Ray Data pipeline, and inside a Serve deployment."""
    return {"x": batch["x"] + 1}


def tries(path: str) -> int:
    """How often this was asked with the same path, across processes; 1 at first."""
    with open(path, "a+b") as file:
        file.write(b".")
        return file.tell()


@et.trace(name="inner")
def inner() -> str:
    return "inner"


@eray.remote(num_cpus=0.1, max_retries=3, retry_exceptions=True)
@et.trace(name="flaky")
def flaky(path: str, failures: int, how: str) -> str:
    """Fails so many times before it answers."""
    inner()
    if tries(path) <= failures:
        if how == "die":
            os._exit(1)
        raise ValueError("not yet")
    return "third time"


@eray.remote(num_cpus=0.1, max_retries=3, retry_exceptions=True)
@et.trace(name="flaky_panel", type="ensemble", stage="ensemble_1")
def flaky_panel(path: str) -> list[str]:
    """An ensemble whose first attempt fails after one member answered otherwise."""
    if tries(path) == 1:
        ray.get(leaf.remote("q", "z"))
        raise ValueError("not yet")
    return list(ray.get([leaf.remote("q", "a"), leaf.remote("q", "a")]))


@eray.remote(num_cpus=0.1, max_restarts=1, max_task_retries=1)
class Fragile:
    def ask(self, path: str) -> str:
        if tries(path) == 1:
            os._exit(1)
        return "restarted"


@eray.remote(num_cpus=0.1, max_retries=0)
@et.trace(name="cancellable")
def cancellable(gate: Any) -> Any:
    return ray.get(gate.wait.remote())


@eray.remote(num_cpus=0.1, max_retries=0)
@et.trace(name="stuck")
def stuck(gate: Any) -> Any:
    return ray.get(gate.wait.remote())


@eray.remote(num_cpus=0.1)
class Stuck:
    def stuck(self, gate: Any) -> Any:
        return ray.get(gate.wait.remote())
