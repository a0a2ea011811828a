"""Valid messages made invalid, or strange: by their bytes, and by what their msgpack holds. A Random decides all."""

from __future__ import annotations

import struct
from random import Random
from typing import Any, NamedTuple

import msgpack


class Raw(NamedTuple):
    """Packed bytes in the place of a value."""

    packed: bytes


def packed_ext(code: int, body: bytes) -> bytes:
    """An extension value."""
    return bytes(msgpack.packb(msgpack.ExtType(code, body)))


def nested_ext(code: int, depth: int) -> bytes:
    """Extensions in extensions: arrays of one, down to nil."""
    packed = b"\xc0"
    for _ in range(depth):
        packed = packed_ext(code, b"\x91" + packed)
    return packed


NUMBERS = (-1, 0, 1, 255, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
FLOATS = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324, -0.0)
LENGTHS = tuple(
    prefix + struct.pack(form, size)
    for form, prefixes, sizes in (
        (">I", (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"), (2**32 - 1, 2**31, 2**20, 2000)),
        (">H", (b"\xdc", b"\xde", b"\xda", b"\xc5", b"\xc8"), (2**16 - 1, 1024)),
    )
    for prefix in prefixes
    for size in sizes
)
"""Headers that promise far more than there is."""

STRANGE: tuple[bytes, ...] = (
    b"\xc0",
    b"\xc1",
    b"\xc2",
    b"\xc3",
    *(msgpack.packb(number) for number in (*NUMBERS, *FLOATS)),
    *(msgpack.packb(text) for text in ("", "\x00", "x" * 5000, "é" * 40, "../../etc/passwd", "00-" + "0" * 32)),
    b"\xa3\xed\xa0\x80",  # a lone surrogate
    b"\xa2\xff\xfe",  # no UTF-8
    *(msgpack.packb(data) for data in (b"", b"\x00" * 16, b"\x80" * 300, bytes(70_000))),
    b"\x90",
    b"\x80",
    b"\x91" * 90 + b"\xc0",
    b"\x91" * 1000 + b"\xc0",
    b"\x81\xa1k" * 90 + b"\xc0",
    b"\x81\xa1k" * 900 + b"\xc0",
    b"\x81\x90\xc0",  # a key that can't be hashed
    b"\x82\xa1k\x01\xa1k\xc0",  # the same key twice
    b"\x81\x01\x02",
    b"\xdc\x03\xe8" + b"\x80" * 1000,
    b"\xdd\x00\x00\x0f\x00" * 800,
    *LENGTHS,
    *(packed_ext(code, body) for code in (*range(7), 127) for body in (b"", b"7" * 5000, b"\x80", b"\x91\xc0")),
    packed_ext(3, msgpack.packb({"type": 1, "fields": []})),
    packed_ext(3, msgpack.packb({"type": "T", "fields": [1]})),
    packed_ext(4, msgpack.packb({"type": "str", "length": -1, "head": [], "tail": {}, "digest": b""})),
    b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
    b"\xc7\x0c\xff" + b"\xff" * 12,  # and one out of range
    nested_ext(5, 30),
    nested_ext(5, 300),
    nested_ext(3, 900),
)  # fmt: skip
"""What may stand where something else is expected."""


def mutate(random: Random, message: bytes) -> bytes:
    """One valid message changed, in one to four steps: by its msgpack if it is msgpack, by its bytes in any case."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        message = twist(random, message) if random.random() < 0.6 else spoil(random, message)
    return message


def spoil(random: Random, message: bytes) -> bytes:
    """One change of the bytes: a bit, a cut, an insertion, a splice of the message with itself."""
    first, second = sorted(random.randrange(len(message) + 1) for _ in range(2))
    how = random.randrange(6)
    if how == 0 and message:
        place, bit = random.randrange(len(message)), 1 << random.randrange(8)
        return message[:place] + bytes([message[place] ^ bit]) + message[place + 1 :]
    if how == 1:
        return message[:first]
    if how == 2:
        return message[:first] + message[second:]
    if how == 3:
        return message[:first] + random.choice(STRANGE) + message[first:]
    if how == 4:
        return message[:second] + message[first:]
    return message[:first] + random.randbytes(random.randrange(1, 9)) + message[second:]


def twist(random: Random, message: bytes) -> bytes:
    """Something strange at one position of what the message holds, or a key twice; `spoil` if it is no msgpack."""
    try:
        value = msgpack.unpackb(message, raw=False, strict_map_key=False)
        return encode(_twisted(random, value))
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return spoil(random, message)


def _twisted(random: Random, value: Any) -> Any:
    """`value` with one part of it, or all of it, replaced."""
    places = range(len(value)) if isinstance(value, list | dict) else ()
    if not places or random.random() < 0.1:
        return Raw(random.choice(STRANGE))
    pairs = list(value.items()) if isinstance(value, dict) else [(None, part) for part in value]
    place = random.choice(places)
    key, part = pairs[place]
    how = random.random()
    if how < 0.1:
        del pairs[place]
    elif how < 0.2:
        pairs.insert(random.randrange(len(pairs) + 1), (key, Raw(random.choice(STRANGE))))
    elif how < 0.25 and isinstance(value, dict):
        pairs[place] = (Raw(random.choice(STRANGE)), part)
    elif how < 0.5 and isinstance(part, bytes) and part:
        pairs[place] = (key, twist(random, part))
    else:
        pairs[place] = (key, _twisted(random, part))
    return Pairs(pairs) if isinstance(value, dict) else [part for _, part in pairs]


class Pairs(NamedTuple):
    """A map whose keys may be anything, and there twice."""

    pairs: list[tuple[Any, Any]]


def encode(value: Any) -> bytes:
    """Msgpack of plain values, with Raw and Pairs among them."""
    if isinstance(value, Raw):
        return value.packed
    if isinstance(value, Pairs | dict):
        pairs = value.pairs if isinstance(value, Pairs) else list(value.items())
        head = bytes(msgpack.Packer().pack_map_header(len(pairs)))
        return head + b"".join(encode(key) + encode(part) for key, part in pairs)
    if isinstance(value, list):
        return bytes(msgpack.Packer().pack_array_header(len(value))) + b"".join(map(encode, value))
    return bytes(msgpack.packb(value))
