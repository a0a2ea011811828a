"""What is held against msgpack bytes of strangers: lengths that are not true, and nesting that nobody can follow.

Rules:
- msgpack makes an array as long as its header says, one inside the other: five bytes for each of a thousand levels
  would cost gigabytes. So the bytes are first passed over, which makes nothing and stops where they end.
- msgpack nests 1,024 deep; code that walks a value recurses, and Python's stack ends sooner. MAX_NESTED is the limit.
- Most payloads hold few bytes that can begin a container. They can do neither, and cost one look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from embertrace.errors import WireError

MAX_NESTED = 100
"""Levels. Twice what our own payloads reach (payload.MAX_DEPTH, with what stands for a value in between); the deepest
walk takes five frames a level, of the thousand Python has."""
_FEW = 16
"""Arrays whose untrue lengths may pass: each costs eight bytes for every byte of the input at most."""
_SHOWN = 60

_CONTAINERS = {*range(0x80, 0xA0), 0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9), *range(0xDC, 0xE0)}
_HARMLESS = bytes(byte for byte in range(256) if byte not in _CONTAINERS)

Parts = Callable[[Any], Iterable[Any]]


def plain_parts(value: Any) -> Iterable[Any]:
    """What a plain value holds: the elements of a list, keys and values of a map; nothing else holds anything."""
    if isinstance(value, dict):
        return (*value, *value.values())
    return value if isinstance(value, list | tuple) else ()


def unpack_bounded(
    packed: bytes,
    *,
    any_keys: bool = False,
    ext_hook: Callable[[int, bytes], Any] | None = None,
    parts: Parts = plain_parts,
) -> Any:
    """The one value in `packed`, nested at most MAX_NESTED deep. Raises WireError.

    Keys of maps are text or bytes unless `any_keys`. Extensions are refused without an `ext_hook` (type, body) that
    makes values of them; `parts` says what such a value holds. Takes about 130 bytes for each of the input's at most.
    """
    suspects = len(packed.translate(None, _HARMLESS))
    try:
        if suspects > _FEW:
            _pass_over(packed)
        value = msgpack.unpackb(packed, raw=False, strict_map_key=not any_keys, ext_hook=ext_hook or _refuse)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise WireError(f"it is not msgpack: {error or type(error).__name__}") from None
    if suspects > MAX_NESTED and _is_deep(value, parts):
        raise WireError(f"it is nested more than {MAX_NESTED} deep")
    return value


def outline(value: Any) -> str:
    """A decoded value in at most some 70 characters, for a sentence about it."""
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return f"a map of {len(value)}"
    long = isinstance(value, str | bytes) and len(value) > _SHOWN
    return f"{value[:_SHOWN]!r}…" if long else repr(value)


def _refuse(code: int, body: bytes) -> Any:
    raise ValueError(f"extension type {code}, where none is known")


def _pass_over(packed: bytes) -> None:
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(packed), 1))
    unpacker.feed(packed)
    unpacker.skip()


def _is_deep(value: Any, parts: Parts) -> bool:
    level = [value]
    for _ in range(MAX_NESTED + 1):
        level = [part for outer in level for part in parts(outer)]
        if not level:
            return False
    return True
