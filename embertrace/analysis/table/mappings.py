"""Packed maps by number: items, and tags, each distinct one once.

Rules:
- A number is given to each map when it is first met, to those of one call in no particular order; NOTHING is none. One
  that is empty or can't be read is none, as if it had not been sent.
- Maps that begin with a text under "key" and go on alike are many, and differ in that text alone: once one of them
  was read, the others need only be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import firsts, together
from embertrace.analysis.table.distinct import Distinct
from embertrace.analysis.table.numbered import TEXT_BYTES
from embertrace.lineage import unpack_mapping
from embertrace.wire.spans import PADDING, alike, are_ascii, words_at

NOTHING = 0
_KEY = b"\xa3key"
_SHORT_TEXT, _TEXT = 32, 0xD9
"""Texts are packed behind 0xA0 + their length below so many bytes; from there on behind this byte, and their length."""
_FIRST_KEY, _FOUR_BYTES = np.uint64(int.from_bytes(_KEY, "little")), np.uint64(0xFFFFFFFF)


class Mappings:
    """Numbers for packed maps; `packed` leads back."""

    def __init__(self) -> None:
        self._distinct = Distinct()

    def __len__(self) -> int:
        return len(self._distinct)

    @property
    def nbytes(self) -> int:
        """About what they take."""
        return self._distinct.nbytes

    @property
    def packed(self) -> list[bytes]:
        return self._distinct.texts

    def numbers(self, buffer: bytes, starts: Array, lengths: Array) -> Array:
        """The numbers of maps that stand in stretches of a buffer (see `wire.spans`)."""
        first = alike(buffer, starts, lengths)
        own = np.flatnonzero(first == np.arange(len(first)))
        own = own[_are_filled(buffer, starts[own], lengths[own])]
        numbers = np.full(len(first), NOTHING, np.int32)
        numbers[own] = self._distinct.numbers(buffer, starts[own], lengths[own])
        return numbers[first]

    def numbers_of(self, packed: Sequence[bytes]) -> Array:
        """The numbers of maps by themselves."""
        lengths = np.array([*map(len, packed)], np.int64)
        return self.numbers(b"".join([*packed, bytes(PADDING)]), np.cumsum(lengths) - lengths, lengths)

    def mapping(self, number: int) -> dict[str, Any]:
        """The map with a number; empty for NOTHING."""
        return unpack_mapping(self.packed[number])


class FewMappings:
    """As `Mappings`, of maps that come one by one."""

    def __init__(self) -> None:
        self._packed = [b""]
        self._numbers: dict[bytes, int] = {b"": NOTHING}
        self.nbytes = 0
        """About what they take."""

    def number(self, packed: bytes) -> int:
        """The number of one map, new or known."""
        number = self._numbers.get(packed)
        if number is None:
            number = self._numbers[packed] = len(self._packed) if unpack_mapping(packed) else NOTHING
            self.nbytes += len(packed) + TEXT_BYTES
            if number != NOTHING:
                self._packed.append(packed)
        return number

    def mapping(self, number: int) -> dict[str, Any]:
        """The map with a number; empty for NOTHING."""
        return unpack_mapping(self._packed[number])


def _are_filled(buffer: bytes, starts: Array, lengths: Array) -> Array:
    """Whether there is anything in maps. Of those that differ in their keys alone one is read."""
    _, first = apart_from_keys(buffer, starts, lengths)
    read = np.flatnonzero(first == np.arange(len(first)))
    filled = np.zeros(len(first), bool)
    filled[read] = [bool(unpack_mapping(buffer[starts[row] : starts[row] + lengths[row]])) for row in read.tolist()]
    found: Array = filled[first]
    return found


def apart_from_keys(buffer: bytes, starts: Array, lengths: Array) -> tuple[Array, Array]:
    """Where the key of each map ends, as `end_of_key` has it; and which other one differs from it in its key alone: one
    and the same for all that do, and itself for a map without such a key."""
    own = np.arange(len(starts))
    if not len(own):
        return own, own
    ends = _ends_of_keys(buffer, starts, lengths)
    headers = np.frombuffer(buffer, np.uint8)[starts]
    kinds = together(alike(buffer, starts + ends, lengths - ends), headers, (ends > 0).astype(np.uint8))
    first = np.where(ends > 0, firsts(kinds), own)
    read = np.flatnonzero((first == own) & (ends > 0)).tolist()
    twice = [row for row in read if not end_of_key(buffer[starts[row] : starts[row] + lengths[row]])]
    if twice:  # what follows has a key, too
        again = np.isin(first, twice)
        ends[again], first[again] = 0, own[again]
    return ends, first


def _ends_of_keys(buffer: bytes, starts: Array, lengths: Array) -> Array:
    """As `end_of_key`, of many; but for what follows the key, which is not looked at."""
    bytes_, words = np.frombuffer(buffer, np.uint8), words_at(buffer)
    tag, long = bytes_[starts + 5], bytes_[starts + 6]
    is_long = (tag == _TEXT) & (long >= _SHORT_TEXT) & (long <= PADDING)
    texts = starts + 6 + is_long
    ends = texts + np.where(is_long, long, tag & 0x1F) - starts
    fits = (lengths >= 6) & (ends <= lengths) & (is_long | ((tag & 0xE0) == 0xA0))
    fits &= (bytes_[starts] > 0x80) & (bytes_[starts] < 0x90)
    fits &= (words[starts + 1] & _FOUR_BYTES) == _FIRST_KEY
    at = np.flatnonzero(fits)
    fits[at] = are_ascii(buffer, texts[at], (starts + ends - texts)[at])
    return np.where(fits, ends, 0)


def end_of_key(packed: bytes) -> int:
    """Where the key ends in an item that begins with one of ASCII text of at most PADDING bytes; else 0."""
    if packed[1:5] != _KEY or len(packed) < 6 or not 0x80 < packed[0] < 0x90:
        return 0
    begin, end = text_at(packed, len(_KEY) + 1)
    plain = end <= len(packed) and end - begin <= PADDING and packed[begin:end].isascii() and _KEY not in packed[end:]
    return end if plain else 0


def text_at(packed: bytes, place: int) -> tuple[int, int]:
    """Where the text begins and ends that is packed at a place; zeros if it is none, is longer than 255 bytes, or could
    have been packed in fewer."""
    tag = packed[place]
    if 0xA0 <= tag < 0xA0 + _SHORT_TEXT:
        return place + 1, place + 1 + tag - 0xA0
    if tag == _TEXT and len(packed) > place + 1 and packed[place + 1] >= _SHORT_TEXT:
        return place + 2, place + 2 + packed[place + 1]
    return 0, 0
