"""What stands for values that msgpack has no type for: extension types with plain msgpack bodies.

1  big integer       decimal text
2  lone surrogates   UTF-8 with surrogatepass
3  summary           map: `type`, and what is known of it (`repr`, `dtype`, `shape`, `digest`, `values`, `fields`)
4  cut               map: `type`, `length`, `head`, `tail`, `digest` (nil where the whole was never hashed)
5  tuple as a key    array
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgpack

EXT_BIGINT, EXT_SURROGATES, EXT_SUMMARY, EXT_CUT, EXT_TUPLE = 1, 2, 3, 4, 5


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What is kept of a value that msgpack can't carry: its type's name, and what is known of it."""

    type: str
    about: Mapping[str, Any]

    def __str__(self) -> str:
        if "fields" in self.about:
            return f"{self.type}({', '.join(f'{k}={v!r}' for k, v in self.about['fields'].items())})"
        if "repr" in self.about:
            return str(self.about["repr"])
        return f"<{self.type} {' '.join(f'{key}={value}' for key, value in self.about.items() if key != 'digest')}>"


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A value over its limit: `length` characters, bytes or elements, of which `head` and `tail` are kept."""

    type: str
    length: int
    head: Any
    tail: Any
    digest: bytes | None

    def __str__(self) -> str:
        return f"{self.head} … {self.tail} ({self.type} of {self.length})"


def bigint(value: int) -> msgpack.ExtType:
    """An integer beyond 64 bits."""
    if value.bit_length() > 8192:  # Python refuses to print very long ones, and nobody reads them
        return summary("int", {"bits": value.bit_length()})
    return msgpack.ExtType(EXT_BIGINT, str(value).encode())


def summary(type_name: str, about: dict[str, Any]) -> msgpack.ExtType:
    """A `Summary`, of what is already normal."""
    return msgpack.ExtType(EXT_SUMMARY, msgpack.packb({"type": type_name, **about}))


def cut(kind: str, length: int, head: Any, tail: Any, code: bytes | None) -> msgpack.ExtType:
    """A `Cut`, of what is already normal."""
    body = {"type": kind, "length": length, "head": head, "tail": tail, "digest": code}
    return msgpack.ExtType(EXT_CUT, msgpack.packb(body))
