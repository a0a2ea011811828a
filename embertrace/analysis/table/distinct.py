"""Texts that differ, numbered: 1, 2, 3, … as they are first met, many at once. 0 is none.

Rules:
- They are told apart by a seeded hash of 64 bits, whose numbers `DenseIds` gives out. A text whose hash is known is
  compared byte by byte. Where two differ that have one hash, which hardly ever happens, all get another one.
- They stay one behind the other; a bytes object is made of each once somebody asks for `texts`, or two had one hash.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

import numpy as np

from embertrace.analysis.table.column import Array
from embertrace.analysis.table.ids import DenseIds
from embertrace.wire.spans import PADDING, Hash, copied, pieces

OBJECT_BYTES = 41
"""What a bytes object takes beside its own bytes, and its place in a list (CPython 3.11)."""


class Distinct:
    """Numbers for texts; `texts` leads back."""

    def __init__(self) -> None:
        self._ids, self._hash = DenseIds(), Hash()
        self._texts = [b""]
        self._pieces: list[tuple[int, bytes, Array]] = []
        """Texts of which no objects were made yet: the number of the first; the texts; 0, and where each ends."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def nbytes(self) -> int:
        """About what they take."""
        ends = sum(ends.nbytes for *_, ends in self._pieces)
        return self._ids.nbytes + self._bytes + ends + len(self._texts) * OBJECT_BYTES

    @property
    def texts(self) -> list[bytes]:
        for _, piece, ends in self._pieces:
            self._texts += pieces(piece, ends[:-1], np.diff(ends))
        self._pieces.clear()
        return self._texts

    def numbers(self, buffer: bytes, starts: Array, lengths: Array) -> Array:
        """Those of stretches that differ from each other (see `wire.spans`), new or known."""
        before = len(self._ids)
        while True:
            numbers = self._ids.add(self._hash.of(buffer, starts, lengths))
            new = numbers >= before
            if len(self._ids) - before == np.count_nonzero(new) and self._are(numbers, buffer, starts, lengths, ~new):
                break
            self._hash_anew(before)
        if new.any():
            piece = copied(buffer, starts[new], lengths[new])
            self._pieces.append((before, piece, np.concatenate([[0], np.cumsum(lengths[new])])))
            self._bytes += len(piece)
        return numbers

    def _are(self, numbers: Array, buffer: bytes, starts: Array, lengths: Array, which: Array) -> bool:
        """Whether some of the stretches are the texts with these numbers."""
        some = np.flatnonzero(which)
        if not len(some):
            return True
        ends = starts + lengths
        places = zip(numbers[some].tolist(), starts[some].tolist(), ends[some].tolist(), strict=True)
        return all(self._text(number) == buffer[start:end] for number, start, end in places)

    def _text(self, number: int) -> bytes:
        """One of them, without an object being made of each."""
        if number < len(self._texts):
            return self._texts[number]
        first, piece, ends = self._pieces[bisect_right(self._pieces, number, key=itemgetter(0)) - 1]
        return piece[ends[number - first] : ends[number - first + 1]]

    def _hash_anew(self, length: int) -> None:
        """Give so many texts, which keep their numbers, hashes that differ."""
        texts = self.texts[1:length]
        lengths = np.array([len(text) for text in texts], np.int64)
        buffer, starts = b"".join([*texts, bytes(PADDING)]), np.cumsum(lengths) - lengths
        while True:
            self._ids, self._hash = DenseIds(), Hash()
            self._ids.add(self._hash.of(buffer, starts, lengths))
            if len(self._ids) == length:
                return
