"""Values as canonical msgpack snapshots: normalising, limits, digests, summaries, redaction.

Rules:
- `pack` never raises, never pickles, never calls `__eq__` or `__len__` of user objects, and survives whatever
  `__repr__` or `__getattr__` do. Its output is bounded by `limit` (plus a small constant), whatever the input.
- Sizes are checked before anything is packed: a long string or container keeps its head and its tail.
- A round trip is stable: packing what `unpack` returned gives the same bytes.

What msgpack has no type for becomes an extension type with a plain msgpack body:

     1  big integer       decimal text
     2  lone surrogates   UTF-8 with surrogatepass
     3  summary           map: `type`, and what is known of it (`repr`, `dtype`, `shape`, `digest`, `values`, `fields`)
     4  cut               map: `type`, `length`, `head`, `tail`, `digest` (nil where the whole was never hashed)
     5  tuple as a key    array

Tuples become lists, sets sorted lists, numpy scalars Python's; dictionary keys stay what they were.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import hashlib
import pathlib
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sized
from itertools import islice
from typing import Any

import msgpack

from embertrace.errors import WireError
from embertrace.wire.bounds import plain_parts, unpack_bounded

EXT_BIGINT, EXT_SURROGATES, EXT_SUMMARY, EXT_CUT, EXT_TUPLE = 1, 2, 3, 4, 5

DEFAULT_LIMIT = 64 * 1024
"""Bytes kept of one field (arguments, a result): a long prompt fits, a data set does not."""
OVERHEAD_BYTES = 4096
"""What a bounded walk may add to its limit: the ends of what was cut, the frames of summaries."""
MAX_DEPTH = 32
"""Nesting that is followed; deeper values are summarised. Ends cycles, and stays far below msgpack's own limit."""
FIELD_DEPTH, FIELDS = 1, 8
"""Down to this depth (an event's fields, a call's arguments) so many values are kept, each cut on its own: one that is
too large costs no other."""
MAX_EXTENSIONS = MAX_DEPTH + 8
"""Extensions inside extensions that are read: more than `pack` makes. Each takes 40 KB of the thread's C stack."""
WHOLE_HASH_BYTES = 1024 * 1024
EDGE_HASH_BYTES = 64 * 1024
"""Above 1 MiB a digest covers both edges and the length: hashing 1 GiB would take the caller 0.3–1.6 s."""
SMALL_ARRAY = 64
"""Arrays of at most this many elements are kept whole beside their digest."""
REPR_CHARS = 200
REDACTED = "[redacted]"


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


class Redaction:
    """What must not leave the operator's process: values under matching key names, and matching text."""

    def __init__(self, keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        names = [re.escape(key) for key in keys]
        self._key = re.compile("|".join(names), re.IGNORECASE) if names else None
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def hides_key(self, key: object) -> bool:
        return self._key is not None and type(key) is str and self._key.search(key) is not None

    def clean(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text


def pack(value: Any, limit: int = DEFAULT_LIMIT, redaction: Redaction | None = None) -> bytes:
    """`value` as msgpack of about `limit` bytes at most. Never raises. Thread-safe."""
    packed = pack_plain(value, limit) if redaction is None else None
    if packed is not None:
        return packed
    try:
        packed = msgpack.packb(_Normaliser(limit, redaction).any(value, 0), unicode_errors="strict")
        if len(packed) <= 2 * limit + OVERHEAD_BYTES:
            return packed
        return msgpack.packb(_summary(_type_name(value), {"packed_bytes": len(packed)}))
    except Exception as error:  # a value that defeats every rule must not reach the operator
        return msgpack.packb(_summary(_type_name(value), {"unreadable": type(error).__name__}))


PLAIN_PARTS, PLAIN_CHARS = 64, 1024
"""Up to so many elements, and characters in each, a value of plain types is packed as it is, without being walked and
copied. It is what most operators take and return, and half the time."""
_SCALARS = frozenset((int, float, bool, type(None)))
_spare_packers: list[msgpack.Packer] = []
"""Making a packer costs more than packing. One is taken out while it is used: a finaliser may pack amid that."""


def pack_plain(value: Any, limit: int) -> bytes | None:
    """What `pack` gives, the short way; None for values that need the long one, and for large ones. Never raises."""
    try:
        kind = type(value)
        if kind is str:
            if len(value) > PLAIN_CHARS:
                return None
        elif kind not in _SCALARS and not _is_plain((value,) if kind is dict else value, PLAIN_PARTS, kind):
            return None
        packer = _spare_packers.pop() if _spare_packers else msgpack.Packer()
        packed: bytes = packer.pack(value)
    except Exception:  # integers and surrogates that need an extension; what another thread changes meanwhile
        return None
    _spare_packers.append(packer)
    return packed if 2 * len(packed) <= limit else None


def _is_plain(parts: Any, left: int, kind: type = list) -> int:
    """How many elements may follow if all of `parts` are plain, 0 for none; of `left`, which counts down.

    `kind` is that of the container they are in.
    """
    if kind is not list and kind is not tuple and kind is not dict:
        return 0
    for part in parts:
        left -= 1
        kind = type(part)
        if kind is str:
            if len(part) > PLAIN_CHARS:
                return 0
        elif kind is dict and len(part) < left:
            for key in part:
                if type(key) is not str or len(key) > PLAIN_CHARS:
                    return 0
            left = _is_plain(part.values(), left)
        elif kind is list or kind is tuple:
            left = _is_plain(part, left) if len(part) < left else 0
        elif kind not in _SCALARS:
            return 0
        if left <= 0:
            return 0
    return left


def unpack(packed: bytes) -> Any:
    """The value in `packed`, with Summary and Cut where it was summarised or cut. Raises WireError."""
    if not packed:
        return None
    try:
        return unpack_bounded(packed, any_keys=True, ext_hook=_EXT_HOOKS[0], parts=_parts)
    except WireError as error:
        raise WireError(f"a payload of {len(packed)} bytes can't be read: {error}") from None


def canonical(value: Any) -> bytes:
    """Bytes that are equal exactly where values are: map pairs by packed key, one NaN, list = tuple; 1 ≠ 1.0 ≠ "1".

    Takes what `unpack` returns (or any plain data). Summaries count by type and content.
    """
    return msgpack.packb(_canonical(value), unicode_errors="surrogatepass")


def digest(data: bytes) -> bytes:
    """16 bytes that stand for `data`; over 1 MiB, for its first and last 64 KiB and its length."""
    if len(data) > WHOLE_HASH_BYTES:
        data = data[:EDGE_HASH_BYTES] + data[-EDGE_HASH_BYTES:] + len(data).to_bytes(8, "little")
    return hashlib.blake2b(data, digest_size=16).digest()


def digest_of_text(text: str) -> bytes:
    """The digest of a cut text, which stands for all of it; of a very long one, for its edges and its length."""
    if len(text) <= WHOLE_HASH_BYTES:
        return digest(text.encode("utf-8", "surrogatepass"))
    edges = (text[:EDGE_HASH_BYTES] + text[-EDGE_HASH_BYTES:]).encode("utf-8", "surrogatepass")
    return digest(edges + len(text).to_bytes(8, "little"))


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
            return value if -(1 << 63) <= value < 1 << 64 else self._charged(_bigint(value))
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
        return _cut("str", len(text), head, tail, digest_of_text(text))

    def _bytes(self, data: bytes | bytearray) -> Any:
        self.left -= len(data) + 5
        if self.left >= 0 or len(data) <= 64:
            return bytes(data)
        keep = max(32, (self.left + len(data)) // 3)
        self.left = 0
        edges = data if len(data) <= WHOLE_HASH_BYTES else b""
        code = digest(bytes(edges)) if edges else _digest_of_edges(data)
        return _cut("bytes", len(data), bytes(data[:keep]), bytes(data[-keep:]), code)

    def _sequence(self, values: Any, kind: str, depth: int) -> Any:
        self.left -= 5
        kept: list[Any] = []
        for value in values:
            if self.left <= 0 and self._may_cut(depth, kept):
                return _cut(kind, len(values), kept, [], None)
            kept.append(self.any(value, depth + 1))
        return kept

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> Any:
        self.left -= 5
        kept: dict[Any, Any] = {}
        for key, value in islice(mapping.items(), len(mapping)):
            if self.left <= 0 and self._may_cut(depth, kept):
                return _cut("dict", len(mapping), kept, {}, None)
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
        return normal if is_hashable else _short_repr(key)

    def _set(self, values: Any, kind: str, depth: int) -> Any:
        if len(values) > self.left:
            return _cut(kind, len(values), [], [], None)
        kept = self._sequence(values, kind, depth)
        return sorted(kept, key=lambda part: msgpack.packb(_canonical(part))) if isinstance(kept, list) else kept

    def _other(self, value: Any, depth: int) -> Any:
        for recognise in _RECOGNISERS:
            try:
                found = recognise(value)
            except Exception:  # whatever it does when looked at: the next rule may get along with it
                continue
            if found is not None:
                return self._found(found, value, depth)
        return self._summarise(value)

    def _found(self, found: _Plain | _About, value: Any, depth: int) -> Any:
        if isinstance(found, _Plain):
            return self.any(found.value, depth + 1)
        about = {key: self.any(part, depth + 1) for key, part in found.about.items()}
        return _summary(_type_name(value), about)

    def _summarise(self, value: Any) -> Any:
        self.left -= 64
        if self.left < -self.limit:  # many small leftovers: keep even those bounded
            return _summary(_type_name(value), {})
        text = _short_repr(value)
        if self.redaction is not None:
            text = self.redaction.clean(text)
        return _summary(_type_name(value), {"repr": text})


@dataclasses.dataclass(slots=True)
class _Plain:
    """A recognised value that has a plain form."""

    value: Any


@dataclasses.dataclass(slots=True)
class _About:
    """A recognised value that is summarised."""

    about: dict[str, Any]


def _standard(value: Any) -> _Plain | None:
    if isinstance(value, enum.Enum):
        return _Plain(value.value)
    if isinstance(value, bool | int | float | str | bytes):  # subclasses of plain types, numpy.float64 among them
        return _Plain(next(plain for base, plain in _PLAIN_FORMS if isinstance(value, base))(value))
    if isinstance(value, datetime.date | datetime.time):
        return _Plain(value.isoformat())
    if isinstance(value, datetime.timedelta):
        return _Plain(value.total_seconds())
    if isinstance(value, uuid.UUID | pathlib.PurePath):
        return _Plain(str(value))
    if isinstance(value, dict):
        return _Plain(dict.copy(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _Plain(dict(zip(value._fields, value, strict=False)))
    if isinstance(value, list | tuple | set | frozenset):
        return _Plain(next(plain for base, plain in _PLAIN_FORMS if isinstance(value, base))(value))
    return None


_WHOLE = slice(None)
_PLAIN_FORMS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (bool, bool),
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, lambda value: bytes.__getitem__(value, _WHOLE)),
    (list, lambda value: list.__getitem__(value, _WHOLE)),
    (tuple, lambda value: tuple.__getitem__(value, _WHOLE)),
    (set, set),
    (frozenset, frozenset),
)
"""Subclasses of plain types as these: by the base's own methods, whatever the subclass made of them."""


def _numpy(value: Any) -> _Plain | _About | None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.generic):
        plain = value.item()
        return None if isinstance(plain, numpy.generic) else _Plain(plain)
    if not isinstance(value, numpy.ndarray):
        return None
    about: dict[str, Any] = {"dtype": str(value.dtype), "shape": list(value.shape)}
    if not value.dtype.hasobject:
        flat = value.reshape(-1)
        if value.nbytes > WHOLE_HASH_BYTES:  # slices before bytes: never a copy of the whole array
            edge = max(1, EDGE_HASH_BYTES // value.itemsize)
            about["digest"] = digest(
                flat[:edge].tobytes() + flat[-edge:].tobytes() + value.nbytes.to_bytes(8, "little")
            )
        else:
            about["digest"] = digest(value.tobytes())
        if value.size <= SMALL_ARRAY:
            about["values"] = value.tolist()
    return _About(about)


def _exception(value: Any) -> _About | None:
    return _About({"message": _short_str(value)}) if isinstance(value, BaseException) else None


def _record(value: Any) -> _About | None:
    """Dataclasses, pydantic models and attrs classes, as mappings of their fields (not followed into methods)."""
    kind = type(value)
    names: Iterable[str] | None = None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
    elif isinstance(getattr(kind, "model_fields", None), dict):
        names = kind.model_fields
    elif hasattr(kind, "__attrs_attrs__"):
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    return None if names is None else _About({"fields": {name: getattr(value, name, None) for name in names}})


def _object_ref(value: Any) -> _About | None:
    if type(value).__name__ == "ObjectRef" and type(value).__module__.startswith("ray"):
        return _About({"id": value.hex()})
    return None


def _tensor(value: Any) -> _About | None:
    """JAX, torch and friends: shape and dtype; their values may live on a device."""
    if type(value).__module__.partition(".")[0] in ("jax", "jaxlib", "torch", "tensorflow"):
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape is not None and dtype is not None:
            return _About({"dtype": str(dtype), "shape": [int(side) for side in shape]})
    return None


_RECOGNISERS: tuple[Callable[[Any], _Plain | _About | None], ...] = (
    _standard,
    _numpy,
    _tensor,
    _exception,
    _object_ref,
    _record,
)


def _type_name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _short_str(value: Any) -> str:
    try:
        text = str(value)
    except Exception as error:  # a broken __str__ is the user's; what is known is its type
        return f"<{type(value).__name__}: str() raised {type(error).__name__}>"
    return _clip(text)


def _short_repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # as above
        return f"<{type(value).__name__}: repr() raised {type(error).__name__}>"
    return _clip(text)


def _clip(text: str) -> str:
    """Memory addresses differ from run to run and say nothing; they are taken out so that equal things look equal."""
    clipped = text if len(text) <= REPR_CHARS else f"{text[: REPR_CHARS - 60]}…{text[-59:]}"
    return re.sub(r" at 0x[0-9a-f]+", "", clipped).encode("utf-8", "replace").decode()


def _bigint(value: int) -> Any:
    if value.bit_length() > 8192:  # Python refuses to print very long ones, and nobody reads them
        return _summary("int", {"bits": value.bit_length()})
    return msgpack.ExtType(EXT_BIGINT, str(value).encode())


def _digest_of_edges(data: bytes | bytearray) -> bytes:
    edges = bytes(data[:EDGE_HASH_BYTES]) + bytes(data[-EDGE_HASH_BYTES:])
    return digest(edges + len(data).to_bytes(8, "little"))


def _summary(type_name: str, about: dict[str, Any]) -> msgpack.ExtType:
    return msgpack.ExtType(EXT_SUMMARY, msgpack.packb({"type": type_name, **about}))


def _cut(kind: str, length: int, head: Any, tail: Any, code: bytes | None) -> msgpack.ExtType:
    body = {"type": kind, "length": length, "head": head, "tail": tail, "digest": code}
    return msgpack.ExtType(EXT_CUT, msgpack.packb(body))


def _again(value: Summary | Cut) -> msgpack.ExtType:
    again = _Normaliser(2 * DEFAULT_LIMIT, None)
    if isinstance(value, Cut):
        head, tail = again.any(value.head, 0), again.any(value.tail, 0)
        return _cut(value.type, value.length, head, tail, value.digest)
    return _summary(value.type, {key: again.any(part, 0) for key, part in value.about.items()})


def _ext_hook(depth: int, code: int, data: bytes) -> Any:
    """The value of an extension, itself inside `depth` others. Raises ValueError, which msgpack passes on."""
    if code == EXT_BIGINT:
        return int(data)
    if code == EXT_SURROGATES:
        return data.decode("utf-8", "surrogatepass")
    if depth >= MAX_EXTENSIONS:
        raise ValueError(f"extensions in extensions, {MAX_EXTENSIONS} deep")
    body = unpack_bounded(data, any_keys=True, ext_hook=_EXT_HOOKS[depth + 1], parts=_parts) if data else None
    if code == EXT_TUPLE and isinstance(body, list):
        return tuple(body)
    if code == EXT_SUMMARY and isinstance(body, dict):
        return _as_summary(body)
    if code == EXT_CUT and isinstance(body, dict):
        return _as_cut(body)
    raise ValueError(f"unknown extension type {code}")


_EXT_HOOKS = tuple(functools.partial(_ext_hook, depth) for depth in range(MAX_EXTENSIONS + 1))


def _as_summary(body: dict[Any, Any]) -> Summary:
    kind = body.pop("type", "")
    if not isinstance(kind, str) or not isinstance(body.get("fields", {}), dict):
        raise ValueError("a summary whose type is no text, or whose fields are no map")
    return Summary(kind, body)


def _as_cut(body: dict[Any, Any]) -> Cut:
    kind, length, code = body.get("type"), body.get("length"), body.get("digest")
    if not isinstance(kind, str) or type(length) is not int or not isinstance(code, bytes | None):
        raise ValueError("a cut value whose type is no text, whose length no integer, or whose digest no bytes")
    return Cut(kind, length, body.get("head"), body.get("tail"), code)


def _parts(value: Any) -> Iterable[Any]:
    """What an unpacked value holds."""
    if isinstance(value, Summary):
        return plain_parts(value.about)
    return (value.head, value.tail) if isinstance(value, Cut) else plain_parts(value)


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return float("nan")
    if isinstance(value, list | tuple):
        return [_canonical(part) for part in value]
    if isinstance(value, dict):
        pairs = [(canonical(key), canonical(part)) for key, part in value.items()]
        return msgpack.ExtType(EXT_TUPLE, b"".join(key + part for key, part in sorted(pairs)))
    if isinstance(value, Summary):
        return msgpack.ExtType(EXT_SUMMARY, canonical({"type": value.type, **value.about}))
    if isinstance(value, Cut):
        told = [value.digest] if value.digest is not None else [value.head, value.tail]  # edges depend on the limit
        return msgpack.ExtType(EXT_CUT, canonical([value.type, value.length, *told]))
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 64:
        return msgpack.ExtType(EXT_BIGINT, str(value).encode())
    return value
