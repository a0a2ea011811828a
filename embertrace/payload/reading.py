"""What a snapshot held, from bytes that may be anything."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from embertrace.errors import WireError
from embertrace.payload.forms import EXT_BIGINT, EXT_CUT, EXT_SUMMARY, EXT_SURROGATES, EXT_TUPLE, Cut, Summary
from embertrace.payload.snapshot import MAX_DEPTH
from embertrace.wire.bounds import plain_parts, unpack_bounded

MAX_EXTENSIONS = MAX_DEPTH + 8
"""Extensions inside extensions that are read: more than `pack` makes. Each takes 40 KB of the thread's C stack."""


def unpack(packed: bytes) -> Any:
    """The value in `packed`, with Summary and Cut where it was summarised or cut. Raises WireError."""
    if not packed:
        return None
    try:
        return unpack_bounded(packed, any_keys=True, ext_hook=_EXT_HOOKS[0], parts=_parts)
    except WireError as error:
        raise WireError(f"a payload of {len(packed)} bytes can't be read: {error}") from None


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
