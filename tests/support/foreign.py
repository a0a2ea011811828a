"""A pipeline that somebody else wrote: plain ray.remote, nothing of embertrace in it."""

from __future__ import annotations

from typing import Any

import ray


@ray.remote(num_cpus=0.1)
def ask(question: str, answer: str) -> str:
    """A member."""
    return answer


@ray.remote(num_cpus=0.1)
def panel(question: str, answers: str) -> list[str]:
    """An ensemble that submits its members from a worker."""
    return ray.get([ask.remote(question, answer) for answer in answers])


@ray.remote(num_cpus=0.1)
class Chooser:
    def __init__(self, first: str = "a") -> None:
        self.first = first

    def choose(self, question: str, answers: list[str]) -> str:
        return max(sorted(answers), key=answers.count)

    @staticmethod
    def fixed() -> str:
        return "fixed"


@ray.remote(num_cpus=0.1)
def count(upto: int) -> Any:
    number = 0
    while number < upto:
        yield number
        number += 1


ROLES = {
    "ask": {"type": "member", "stage": "members"},
    "support.foreign.panel": {"type": "ensemble", "stage": "ensemble_1"},
    "Chooser": {"type": "judge", "stage": "judge_1"},
}
