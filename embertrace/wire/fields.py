"""Checked access to small msgpack maps (control messages, carriers, RPC): bounded decoding and typed fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from embertrace.errors import WireError
from embertrace.wire.bounds import outline, unpack_bounded

T = TypeVar("T")


def unpack_map(packed: bytes, what: str, limit: int) -> dict[str, Any]:
    """The string-keyed map in `packed` (at most `limit` bytes). Raises WireError naming `what`."""
    if len(packed) > limit:
        raise WireError(f"a {what} of {len(packed)} bytes; the limit is {limit}")
    try:
        value = unpack_bounded(packed)
    except WireError as error:
        raise WireError(f"a {what} that can't be read: {error}") from None
    if type(value) is not dict or bytes in map(type, value):  # other keys than text and bytes can't be
        raise WireError(f"a {what} must be a map with string keys")
    return value


def field(message: Mapping[str, Any], key: str, kind: type[T], what: str, default: T | None = None) -> T:
    """The value at `key`, of exactly type `kind`; `default` where it is absent or nil and a default is given."""
    value = message.get(key, default)
    if value is None and default is not None:
        return default
    if type(value) is not kind:
        raise WireError(f"a {what} with {key} = {outline(value)}; it must be {kind.__name__}")
    return value


def optional(message: Mapping[str, Any], key: str, kind: type[T], what: str) -> T | None:
    """As `field`, with None where the key is absent or nil."""
    return None if message.get(key) is None else field(message, key, kind, what)


def unsigned(message: Mapping[str, Any], key: str, what: str, default: int | None = None) -> int:
    """An integer ≥ 0 that fits 64 bits at `key`."""
    value = field(message, key, int, what, default)
    if not 0 <= value < 1 << 64:
        raise WireError(f"a {what} with {key} = {value}; it must be an unsigned 64-bit integer")
    return value
