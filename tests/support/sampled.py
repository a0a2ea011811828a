"""Operators of which a sample is taken, also in children: importable where a child starts from nothing."""

from __future__ import annotations

import embertrace as et


@et.trace(type="member", stage="members")
def member(answer: str) -> str:
    return answer


@et.trace(type="tool", stage="tools")
def failing(message: str) -> None:
    raise ValueError(message)
