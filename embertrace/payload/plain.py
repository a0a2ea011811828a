"""The short way: values of plain types, packed as they are."""

from __future__ import annotations

from typing import Any

import msgpack

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
        try:
            packer = _spare_packers.pop()
        except IndexError:
            packer = msgpack.Packer()
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
