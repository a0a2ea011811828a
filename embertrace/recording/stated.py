"""Small files of JSON that state something about a recording, under a checksum of their own.

    {…, "crc": "<CRC-32 of what stands before `, "crc"`, in 8 hexadecimal digits>"}

A statement without a checksum is of the first versions, and taken as it is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

_CRC = b', "crc": "'


def stated(fields: Mapping[str, Any]) -> bytes:
    """The bytes of the file."""
    text = json.dumps(fields).encode()[:-1]
    return text + _CRC + _checksum(text).encode() + b'"}\n'


def is_whole(text: bytes, fields: Mapping[str, Any]) -> bool:
    """Whether a file's bytes, and what they say, match its checksum."""
    return "crc" not in fields or fields["crc"] == _checksum(text.partition(_CRC)[0])


def _checksum(text: bytes) -> str:
    return f"{zlib.crc32(text):08x}"
