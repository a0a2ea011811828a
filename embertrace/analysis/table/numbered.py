"""Texts by number, each the next one when it is first looked up; and what they take of memory."""

from __future__ import annotations

TEXT_BYTES = 110
"""What a text takes beside its own bytes (CPython 3.11): the object, its number, its places in a mapping and a list."""


class Numbered(dict[bytes, int]):
    """`nbytes` is about what it holds, with a list of the texts beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = 0

    def __missing__(self, text: bytes) -> int:
        self.nbytes += len(text) + TEXT_BYTES
        number = self[text] = len(self)
        return number
