"""The long way: one walk over a value that normalises it, within a limit.

Rules:
- `pack` never raises, never pickles, never calls `__eq__` or `__len__` of user objects, and survives whatever
  `__repr__` or `__getattr__` do. Its output is bounded by `limit` (plus a small constant), whatever the input.
- Sizes are checked before anything is packed: a long string or container keeps its head and its tail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from itertools import islice
from typing import Any

import msgpack

from embertrace.payload.digests import WHOLE_HASH_BYTES, canonical, digest, digest_of_edges, digest_of_text
from embertrace.payload.forms import EXT_CUT, EXT_SUMMARY, EXT_SURROGATES, EXT_TUPLE, Cut, Summary, bigint, cut, summary
from embertrace.payload.plain import pack_plain
from embertrace.payload.recognition import RECOGNISERS, About, Plain, short_repr, type_name
from embertrace.payload.redaction import REDACTED, Redaction

DEFAULT_LIMIT = 64 * 1024
"""Bytes kept of one field (arguments, a result): a long prompt fits, a data set does not."""
OVERHEAD_BYTES = 4096
"""What a bounded walk may add to its limit: the ends of what was cut, the frames of summaries."""
MAX_DEPTH = 32
"""Nesting that is followed; deeper values are summarised. Ends cycles, and stays far below msgpack's own limit."""
FIELD_DEPTH, FIELDS = 1, 8
"""Down to this depth (an event's fields, a call's arguments) so many values are kept, each cut on its own: one that is
too large costs no other."""


def pack(value: Any, limit: int = DEFAULT_LIMIT, redaction: Redaction | None = None) -> bytes:
    """`value` as msgpack of about `limit` bytes at most. Never raises. Thread-safe."""
    packed = pack_plain(value, limit) if redaction is None else None
    if packed is not None:
        return packed
    try:
        packed = msgpack.packb(_Normaliser(limit, redaction).any(value, 0), unicode_errors="strict")
        if len(packed) <= 2 * limit + OVERHEAD_BYTES:
            return packed
        return msgpack.packb(summary(type_name(value), {"packed_bytes": len(packed)}))
    except Exception as error:  # a value that defeats every rule must not reach the operator
        return msgpack.packb(summary(type_name(value), {"unreadable": type(error).__name__}))


class _Normaliser:
    """One walk over one value, with the bytes that are left for it."""

    __slots__ = ("left", "limit", "redaction")

    def __init__(self, limit: int, redaction: Redaction | None) -> None:
        self.limit = limit
        self.left = limit
        self.redaction = redaction

    def any(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if value is None or kind is bool or kind is float:
            self.left -= 9
            return value
        if kind is int:
            self.left -= 9
            return value if -(1 << 63) <= value < 1 << 64 else self._charged(bigint(value))
        if kind is Summary or kind is Cut:  # read from a recording, and packed again as it was
            return self._charged(_again(value))
        if depth >= MAX_DEPTH or (self.left <= 0 and depth > FIELD_DEPTH):
            return self._summarise(value)
        if kind is list or kind is tuple:
            return self._sequence(value, kind.__name__, depth)
        if kind is dict:
            return self._mapping(value, depth)
        if kind is bytes or kind is bytearray:
            return self._bytes(bytes(value) if len(value) <= self.left else value)
        if kind is set or kind is frozenset:
            return self._set(value, kind.__name__, depth)
        return self._other(value, depth)

    def _may_cut(self, depth: int, kept: Sized) -> bool:
        return depth > FIELD_DEPTH or len(kept) >= FIELDS

    def _charged(self, extension: msgpack.ExtType) -> msgpack.ExtType:
        self.left -= len(extension.data)
        return extension

    def _text(self, text: str) -> Any:
        if self.redaction is not None:
            text = self.redaction.clean(text)
        self.left -= len(text) + 5
        if self.left < 0 and len(text) > 64:
            return self._cut_text(text)
        if not text.isascii():
            try:
                self.left -= len(text.encode()) - len(text)
            except UnicodeEncodeError:
                return msgpack.ExtType(EXT_SURROGATES, text.encode("utf-8", "surrogatepass"))
            if self.left < 0 and len(text) > 64:
                return self._cut_text(text)
        return text

    def _cut_text(self, text: str) -> Any:
        keep = max(32, (self.left + len(text)) // 10)  # of characters, up to four bytes each, head and tail
        head, tail = (part.encode("utf-8", "replace").decode() for part in (text[:keep], text[-keep:]))
        self.left = 0
        return cut("str", len(text), head, tail, digest_of_text(text))

    def _bytes(self, data: bytes | bytearray) -> Any:
        self.left -= len(data) + 5
        if self.left >= 0 or len(data) <= 64:
            return bytes(data)
        keep = max(32, (self.left + len(data)) // 3)
        self.left = 0
        edges = data if len(data) <= WHOLE_HASH_BYTES else b""
        code = digest(bytes(edges)) if edges else digest_of_edges(data)
        return cut("bytes", len(data), bytes(data[:keep]), bytes(data[-keep:]), code)

    def _sequence(self, values: Any, kind: str, depth: int) -> Any:
        self.left -= 5
        kept: list[Any] = []
        for value in values:
            if self.left <= 0 and self._may_cut(depth, kept):
                return cut(kind, len(values), kept, [], None)
            kept.append(self.any(value, depth + 1))
        return kept

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> Any:
        self.left -= 5
        kept: dict[Any, Any] = {}
        for key, value in islice(mapping.items(), len(mapping)):
            if self.left <= 0 and self._may_cut(depth, kept):
                return cut("dict", len(mapping), kept, {}, None)
            if self.redaction is not None and self.redaction.hides_key(key):
                value = REDACTED
            kept[self._key(key, depth)] = self.any(value, depth + 1)
        return kept

    def _key(self, key: Any, depth: int) -> Any:
        if type(key) in (tuple, frozenset):
            parts = [self._key(part, depth + 1) for part in (key if type(key) is tuple else sorted(key, key=repr))]
            return msgpack.ExtType(EXT_TUPLE, msgpack.packb(parts)) if depth < MAX_DEPTH else repr(type(key))
        normal = self.any(key, depth + 1)
        # Whoever reads it makes dictionaries of these: a key must be hashable there too.
        is_hashable = not isinstance(normal, list | dict) and getattr(normal, "code", None) not in (
            EXT_SUMMARY,
            EXT_CUT,
        )
        return normal if is_hashable else short_repr(key)

    def _set(self, values: Any, kind: str, depth: int) -> Any:
        if len(values) > self.left:
            return cut(kind, len(values), [], [], None)
        kept = self._sequence(values, kind, depth)
        return sorted(kept, key=canonical) if isinstance(kept, list) else kept

    def _other(self, value: Any, depth: int) -> Any:
        for recognise in RECOGNISERS:
            try:
                found = recognise(value)
            except Exception:  # whatever it does when looked at: the next rule may get along with it
                continue
            if found is not None:
                return self._found(found, value, depth)
        return self._summarise(value)

    def _found(self, found: Plain | About, value: Any, depth: int) -> Any:
        if isinstance(found, Plain):
            return self.any(found.value, depth + 1)
        about = {key: self.any(part, depth + 1) for key, part in found.about.items()}
        return summary(type_name(value), about)

    def _summarise(self, value: Any) -> Any:
        self.left -= 64
        if self.left < -self.limit:  # many small leftovers: keep even those bounded
            return summary(type_name(value), {})
        text = short_repr(value)
        if self.redaction is not None:
            text = self.redaction.clean(text)
        return summary(type_name(value), {"repr": text})


def _again(value: Summary | Cut) -> msgpack.ExtType:
    again = _Normaliser(2 * DEFAULT_LIMIT, None)
    if isinstance(value, Cut):
        head, tail = again.any(value.head, 0), again.any(value.tail, 0)
        return cut(value.type, value.length, head, tail, value.digest)
    return summary(value.type, {key: again.any(part, 0) for key, part in value.about.items()})
