"""Operators that Ray workers import: an ensemble over tasks, nested tasks and an actor."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import ray

import embertrace as et
import embertrace.ray as eray


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
        await self._inside.wait()

    async def open(self) -> None:
        self._open.set()
