"""Operators of which a sample is taken, also in children: importable where a child starts from nothing."""

from __future__ import annotations

import pathlib

import embertrace as et


@et.trace(type="member", stage="members")
def member(answer: str) -> str:
    return answer


@et.trace(type="tool", stage="tools")
def failing(message: str) -> None:
    raise ValueError(message)


@et.trace
def files_beside(directory: str) -> list[str]:
    """What lies in a directory while this process emits."""
    return [str(path) for path in pathlib.Path(directory).rglob("*") if path.is_file()]
