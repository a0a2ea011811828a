"""Recorded values as text that other tools read: JSON, or the text itself. Pure.

Rules:
- Whatever was recorded has a text; nothing raises. What JSON has no word for becomes one: a summary or a cut value its
  short form, bytes their hexadecimal digits, a number that is not finite its name, a key that is no text its text.
- The text is valid UTF-8: lone surrogates become question marks.
- Equal values have equal text. What was never recorded, as a set in an event made by hand, is told as it would be.
"""

from __future__ import annotations

import json
import math
from typing import Any

from embertrace.payload import Cut, Summary, pack, unpack


def as_json(value: Any) -> str:
    """The value as one JSON document, on one line."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def as_text(value: Any) -> str:
    """A text as it is, anything else as JSON: what a person would compare and group by."""
    return clean(value) if isinstance(value, str) else as_json(value)


def optional_text(value: Any) -> str | None:
    """As `as_text`, with None as None."""
    return None if value is None else as_text(value)


def clean(text: str) -> str:
    """The text without what UTF-8 can't carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {clean(key) if isinstance(key, str) else clean(str(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Summary | Cut):
        return clean(str(value))
    return _plain(unpack(pack(value)))
