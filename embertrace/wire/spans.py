"""Stretches of a buffer, many at once: copied one behind the other, or told apart by what they hold. With numpy.

Rules: a buffer has PADDING bytes behind the last of its stretches, since words are read beyond their ends; `copied` and
`pieces` need none. Hashing is seeded, and what it finds alike is compared byte by byte.

    copied   the bytes of stretches, one behind the other
    pieces   of each stretch the bytes that it holds
    alike    of each stretch the place of one that holds the same
    Hash     numbers for stretches that hardly ever are the same for two that differ
    are_ascii, words_at    whether stretches are plain text; what stands at each place
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]

WORDS = 16
PADDING = 8 * WORDS
"""Stretches up to so many bytes are compared word by word; of longer ones Python makes bytes."""
LINE = 64
"""Bytes that are copied at once: one line of the processor's cache. So many of a stretch take no longer than eight."""
_FACTORS = np.array([secrets.randbits(64) | 1 for _ in range(WORDS + 1)], np.uint64)
_MASKS = (np.arange(PADDING + 1)[:, None] - 8 * np.arange(WORDS)).clip(0, 8)
_KEPT = np.array([(1 << 8 * many) - 1 for many in range(9)], np.uint64)[_MASKS]
"""By length and word: the bits of a word that are in the stretch."""
_HIGH_BITS = np.uint64(0x8080808080808080)
_AGAIN, _DOWN = np.uint64(0x9E3779B97F4A7C15), np.uint64(47)


def copied(buffer: bytes, starts: Ints, lengths: Ints) -> bytes:
    """The stretches one behind the other.

    Of short ones LINE bytes each are copied in their order, and what is beyond a stretch is covered by those behind
    it. Longer ones come last, those of 2ⁿ bytes and more, and of less than twice that, together: their first 2ⁿ bytes,
    and their last.
    """
    ends = np.cumsum(lengths)
    places = ends - lengths
    size = int(ends[-1]) if len(ends) else 0
    found = np.empty(size + LINE, np.uint8)
    is_short = (lengths <= LINE) & (starts <= len(buffer) - LINE)
    short = slice(None) if is_short.all() else np.flatnonzero(is_short)
    _blocks(found, LINE)[places[short]] = _blocks(buffer, LINE)[starts[short]]
    long = np.flatnonzero(~is_short)
    sizes = np.frexp(lengths[long])[1]
    for bits in np.flatnonzero(np.bincount(sizes)).tolist():
        if bits == 0:
            continue
        block = 1 << (bits - 1)
        rows = long[sizes == bits]
        source, target = _blocks(buffer, block), _blocks(found, block)
        target[places[rows]] = source[starts[rows]]
        target[ends[rows] - block] = source[starts[rows] + lengths[rows] - block]
    return found[:size].tobytes()


def pieces(buffer: bytes, starts: Ints, lengths: Ints) -> list[bytes]:
    """Each of the stretches as bytes of its own. Short ones of one length are made together."""
    if not len(starts) or int(lengths.max()) > PADDING:
        return [buffer[start:end] for start, end in zip(starts.tolist(), (starts + lengths).tolist(), strict=True)]
    found = np.full(len(starts), b"", object)
    for size in np.flatnonzero(np.bincount(lengths)).tolist():
        if size:
            rows = np.flatnonzero(lengths == size)
            found[rows] = _blocks(buffer, size)[starts[rows]].tolist()
    made: list[bytes] = found.tolist()
    return made


def _blocks(buffer: Any, size: int) -> Ints:
    """What stands at each place of a buffer, as so many bytes."""
    length = len(buffer) - size + 1
    return np.ndarray((max(length, 0),), f"V{size}", buffer, strides=(1,))


def alike(buffer: bytes, starts: Ints, lengths: Ints) -> Ints:
    """Of each stretch the place of one that holds the same bytes: one and the same for all that do."""
    found = np.arange(len(starts))
    short = lengths <= PADDING
    if short.all():
        return _alike(buffer, starts, lengths)
    rows = np.flatnonzero(short)
    found[rows] = rows[_alike(buffer, starts[rows], lengths[rows])]
    known: dict[bytes, int] = {}
    for row in np.flatnonzero(~short).tolist():
        found[row] = known.setdefault(buffer[starts[row] : starts[row] + lengths[row]], row)
    return found


def _alike(buffer: bytes, starts: Ints, lengths: Ints) -> Ints:
    rows = _words_in(buffer, starts, lengths)
    count = rows.shape[1]
    hashes = rows @ _FACTORS[:count] + lengths.astype(np.uint64) * _FACTORS[WORDS]
    hashes ^= hashes >> np.uint64(32)
    whole = rows.view(f"V{8 * count}")[:, 0]
    bits = (2 * len(starts)).bit_length()
    table = np.empty(1 << bits, np.int32)
    found = np.arange(len(starts))
    looking, held, long = found.copy(), rows, lengths
    while len(looking):
        hashes = hashes * _AGAIN
        slots = (hashes >> np.uint64(64 - bits)).astype(np.int64)
        table[slots] = looking  # of several the last one counts, and is compared with
        other = table[slots]
        found[looking] = other
        differs: Ints = lengths[other] != long
        unequal = whole[other].view(np.uint64).reshape(-1, count) != held
        if unequal.any():
            differs = differs | unequal.any(1)
        on = np.flatnonzero(differs)
        looking, hashes, held, long = looking[on], hashes[on], held[on], long[on]
    return found


class Hash:
    """Numbers of 64 bits for stretches, never 0; which ones, nobody can foresee."""

    def __init__(self) -> None:
        self._factors = np.array([secrets.randbits(64) | 1 for _ in range(2 * WORDS + 1)], np.uint64)
        self._key = secrets.token_bytes(16)

    def of(self, buffer: bytes, starts: Ints, lengths: Ints) -> Ints:
        """Those of some stretches. Longer ones than PADDING are hashed one by one, under a key of our own: two that are
        alike for Python's `hash` would be so for each Hash."""
        hashes = lengths.astype(np.uint64) * self._factors[-1]
        short = np.flatnonzero(lengths <= PADDING)
        words = _words_in(buffer, starts[short], lengths[short])
        for place in range(words.shape[1]):
            word = words[:, place] * self._factors[2 * place]
            word ^= word >> _DOWN  # high bits alone would stay what they are
            hashes[short] += word * self._factors[2 * place + 1]
        long = np.flatnonzero(lengths > PADDING)
        ends = (starts + lengths)[long].tolist()
        texts = (buffer[start:end] for start, end in zip(starts[long].tolist(), ends, strict=True))
        digests = b"".join(blake2b(text, digest_size=8, key=self._key).digest() for text in texts)
        hashes[long] ^= np.frombuffer(digests, np.uint64)
        hashes ^= hashes >> np.uint64(32)
        found: Ints = np.maximum(hashes, np.uint64(1))
        return found


def are_ascii(buffer: bytes, starts: Ints, lengths: Ints) -> NDArray[np.bool_]:
    """Whether stretches of at most PADDING bytes each are ASCII text."""
    high: Ints = _words_in(buffer, starts, lengths) & _HIGH_BITS
    return np.logical_not(high.any(1))


def words_at(buffer: bytes) -> Ints:
    """The eight bytes at each place of a buffer, as little-endian integers."""
    return np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))


def lines_at(bytes_: Ints, places: Ints) -> Ints:
    """A line from each place of a buffer on, a row each."""
    rows: Ints = _blocks(bytes_, LINE)[places].view(np.uint8).reshape(-1, LINE)
    return rows


def _words_in(buffer: bytes, starts: Ints, lengths: Ints) -> Ints:
    """The words of stretches, a row each; zero behind their ends."""
    count = max(1, -(-int(lengths.max()) // 8)) if len(starts) else 1
    words = _blocks(buffer, 8 * count)[starts].view(np.uint64).reshape(-1, count)
    kept = np.ascontiguousarray(_KEPT[:, :count]).view(f"V{8 * count}")[:, 0]
    words &= kept[lengths].view(np.uint64).reshape(-1, count)
    return words
