"""Texts by number, each the next one when it is first looked up, one by one or many at once; and what they take."""

from __future__ import annotations

import numpy as np

from embertrace.analysis.table.column import Array

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


class Numbers:
    """Numbers 0, 1, 2, … for bytes; `codes` leads back."""

    def __init__(self) -> None:
        self.codes: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        """Of the codes that were there when one was last looked up."""
        self.nbytes = 0
        """About what they take."""

    @property
    def _known(self) -> dict[bytes, int]:
        since = len(self._numbers)
        if since < len(self.codes):
            self._numbers.update(zip(self.codes[since:], range(since, len(self.codes)), strict=True))
        return self._numbers

    def get(self, code: bytes) -> int | None:
        return self._known.get(code)

    def numbers(self, codes: list[bytes]) -> Array:
        """The numbers of several, no two of which are equal."""
        known = self._known
        new = [code for code in codes if code not in known] if known else codes
        first = len(self.codes)
        self.codes += new
        self.nbytes += sum(map(len, new)) + len(new) * TEXT_BYTES
        if len(new) == len(codes):
            return np.arange(first, len(self.codes))
        return np.fromiter(map(self._known.__getitem__, codes), np.int64, len(codes))

    def of_each(self, codes: list[bytes]) -> Array:
        """The numbers of several, some of which may be equal."""
        distinct = list(dict.fromkeys(codes))
        if len(distinct) == len(codes):
            return self.numbers(codes)
        numbers = dict(zip(distinct, self.numbers(distinct).tolist(), strict=True))
        return np.fromiter(map(numbers.__getitem__, codes), np.int64, len(codes))
