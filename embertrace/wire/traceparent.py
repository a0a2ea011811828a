"""W3C trace context (Recommendation, level 1): the `traceparent` header, "00-<trace id>-<parent id>-<flags>"."""

from __future__ import annotations

import re
from typing import NamedTuple

from embertrace.errors import WireError

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 1


class Traceparent(NamedTuple):
    """`trace_id` has 16 bytes; `parent` is the id of the span."""

    trace_id: bytes
    parent: int
    sampled: bool = True


def pack_traceparent(trace_id: bytes, parent: int, sampled: bool = True) -> str:
    """The header's value."""
    return f"00-{trace_id.hex()}-{parent:016x}-{_SAMPLED if sampled else 0:02x}"


def unpack_traceparent(text: str) -> Traceparent:
    """A header's value, read. Later versions may append fields. Raises WireError for what the standard refuses."""
    match = _FORM.fullmatch(text)
    version, trace, parent, flags, more = match.groups() if match is not None else ("ff", "", "", "", None)
    if version == "ff" or trace == _NO_TRACE or parent == _NO_SPAN or (more and version == "00"):
        raise WireError(
            f"traceparent is {text[:80]!r}; it must look like 00-<32 digits, hex>-<16 digits>-01, no id zero"
        )
    return Traceparent(bytes.fromhex(trace), int(parent, 16), bool(int(flags, 16) & _SAMPLED))
