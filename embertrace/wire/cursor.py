"""A place in each of many packed events, moved on field by field: msgpack read side by side with numpy.

Rules:
- A reader takes what the field may hold and nothing else; all that it can't read marks its event as bad and is
  passed over anyhow, never beyond the end. What is read of a bad event means nothing.
- While all events have come equally far since `look_ahead`, numbers are read from the line that it took of each: one
  number in eight bytes gathered from anywhere costs as much as the line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embertrace.wire.event import MAX_LINKS, MAX_NAME_BYTES
from embertrace.wire.spans import LINE, lines_at, words_at

Ints = NDArray[Any]

_SIZE = np.zeros(256, np.int64)
"""Bytes of an unsigned integer by its first; 0 where none begins like that."""
_SIZE[:0x80] = 1
_SIZE[0xCC:0xD0] = 2, 3, 5, 9
_SHIFT = np.zeros(256, np.uint64)
_SHIFT[0xCC:0xD0] = 56, 48, 32, 0
NIL, FLOAT, BINARY, UINT64 = 0xC0, 0xCB, 0xC4, 0xCF
"""First bytes of what stands for no value, of a float, of up to 255 bytes, and of an integer of eight."""
_LARGE = 0x80
"""First bytes below are integers themselves."""
_SIZE_OR_NIL = _SIZE.copy()
_SIZE_OR_NIL[[NIL, FLOAT]] = 1, 9


class Cursor:
    """A place in each of many events. What can't be read there marks the event as bad, and goes on anyhow.

    Where an event breaks off its place runs a little beyond the end, at most PADDING bytes, until the next leap.
    """

    def __init__(self, buffer: bytes, end: int, starts: Ints) -> None:
        """The buffer has at least PADDING bytes behind `end`."""
        self.bytes = np.frombuffer(buffer, np.uint8)
        self.words: Ints = words_at(buffer)
        self.end = end
        self.at = starts
        self.bad = np.zeros(len(starts), bool)
        self._ahead: Ints | None = None
        self._passed = 0

    def look_ahead(self) -> None:
        """Take a line of each event from its place on."""
        self._ahead, self._passed = lines_at(self.bytes, self.at), 0

    def tags(self) -> Ints:
        return self.bytes[self.at]

    def move(self, by: Ints | int) -> None:
        """A few bytes further."""
        self.at = self.at + by
        if isinstance(by, int):
            self._passed += by
        else:
            self._ahead = None

    def leap(self, by: Ints | int) -> None:
        """Any number of bytes further, but not beyond the end."""
        further = self.at + by
        if len(further) and further.max() > self.end:
            self.bad |= further > self.end
            further = np.minimum(further, self.end)
        self.at, self._ahead = further, None

    def unsigned(self) -> Ints:
        """The unsigned integers there."""
        tags = self.tags()
        large = np.flatnonzero(tags >= _LARGE)
        if not len(large):
            self.move(1)
            return tags
        if len(large) == len(tags) and (tags == UINT64).all():
            values = self.word()
            self.move(9)
            return values
        if self._sees(1):
            values = np.where(tags < _LARGE, tags, self.word() >> _SHIFT[tags])
            further = _SIZE[tags]
            self.bad |= further == 0
            self.move(np.maximum(further, 1))
            return values
        values = tags.astype(np.uint64)
        kinds = tags[large]
        values[large] = self.words[self.at[large] + 1].byteswap() >> _SHIFT[kinds]
        sizes = _SIZE[kinds]
        if not sizes.all():
            self.bad[large] |= sizes == 0
        further = np.ones(len(tags), np.int64)
        further[large] = sizes
        self.move(further)
        return values

    def number(self) -> tuple[Ints, Ints]:
        """What first bytes say of numbers that may be nil or a float of eight bytes; and their values, or bits."""
        tags = self.tags()
        values = tags.astype(np.uint64)
        large = np.flatnonzero(tags >= _LARGE)
        if not len(large):
            self.move(1)
            return tags, values
        values[large] = 0
        large = large[tags[large] != NIL]
        values[large] = self.words[self.at[large] + 1].byteswap() >> _SHIFT[tags[large]]
        sizes = _SIZE_OR_NIL[tags]
        self.bad |= sizes == 0
        self.move(sizes)
        return tags, values

    def word(self, beyond: int = 1) -> Ints:
        """The eight bytes so far beyond the place, as an unsigned integer."""
        if self._sees(beyond):
            assert self._ahead is not None
            first = self._passed + beyond
            seen: Ints = self._ahead[:, first : first + 8].view(">u8")[:, 0].astype(np.uint64)
            return seen
        word: Ints = self.words[self.at + beyond].byteswap()
        return word

    def _sees(self, beyond: int) -> bool:
        """Whether the eight bytes so far beyond the place are in the lines that were taken."""
        return self._ahead is not None and self._passed + beyond + 8 <= LINE

    def text(self) -> None:
        """Pass over a string."""
        tags = self.tags()
        if ((tags & 0xE0) == 0xA0).all():
            self.leap((tags & 0x1F).astype(np.int64) + 1)
            return
        word = self.word()
        length = np.select(
            [(tags & 0xE0) == 0xA0, tags == 0xD9, tags == 0xDA], [tags & 0x1F, word >> 56, word >> 48], 1 << 32
        ).astype(np.int64)
        self.bad |= length > MAX_NAME_BYTES
        self.leap(length + np.select([tags == 0xD9, tags == 0xDA], [2, 3], 1))

    def binary(self, limit: int) -> Ints:
        """Pass over binary data; how long each is."""
        tags = self.tags()
        if (tags == BINARY).all():
            short: Ints = self.bytes[self.at + 1].astype(np.int64)
            self.leap(short + 2)
            return short
        word = self.word()
        width = tags.astype(np.int64) - BINARY
        self.bad |= (width < 0) | (width > 2)
        shift = np.array([56, 48, 32], np.uint64)
        head = np.array([2, 3, 5])
        width = np.clip(width, 0, 2)
        length = (word >> shift[width]).astype(np.int64)
        self.bad |= length > limit
        self.leap(length + head[width])
        return length

    def links(self) -> Ints:
        """Pass over links: nil, or call ids; whether there are any."""
        tags = self.tags()
        if (tags == NIL).all():
            self.move(1)
            return np.zeros(len(tags), bool)
        short, long = (tags & 0xF0) == 0x90, tags == 0xDC
        count = np.select([short, long], [tags & 0x0F, self.word() >> 48], 0).astype(np.int64)
        self.bad |= ~(short | long | (tags == NIL)) | (count > MAX_LINKS)
        self.move(np.where(long, 3, 1))
        left = np.where(self.bad, 0, count)
        rows = np.flatnonzero(left)
        while len(rows):
            part = self._of(rows)
            part.bad |= part.unsigned() == 0
            part.leap(0)
            self.at[rows], self.bad[rows], self._ahead = part.at, part.bad, None
            left[rows] -= 1
            rows = rows[(left[rows] > 0) & ~part.bad]
        return count > 0

    def _of(self, rows: Ints) -> Cursor:
        part = object.__new__(Cursor)
        part.bytes, part.words, part.end = self.bytes, self.words, self.end
        part.at, part.bad, part._ahead, part._passed = self.at[rows], self.bad[rows], None, 0
        return part

    def trace(self) -> tuple[NDArray[np.bool_], Ints]:
        """Pass over a trace id or nil: whether there is one, and its halves."""
        has = self.tags() == BINARY
        self.bad |= has & (self.bytes[self.at + 1] != 16)
        halves = np.empty((len(has), 2), np.uint64)
        for half in (0, 1):
            halves[:, half] = self.word(2 + 8 * half)
        if has.all():
            self.move(18)
        else:
            halves[~has] = 0
            self.move(np.where(has, 18, 1))
        return has, halves
