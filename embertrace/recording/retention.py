"""What a recording keeps when it may not keep everything. Decides only: no I/O, and its clock is an argument.

Rules:
- The oldest sealed segments go, whole, in order. The segment that is being written stays, whatever the limits say.
- By bytes: as many as must go so that the rest, with the segment being written, is within the limit.
- By age: a segment goes once its newest record is older than the limit. A clock that was set back removes nothing.
- Without limits everything stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from embertrace.errors import ConfigError

DAY_NS = 24 * 60 * 60 * 1_000_000_000
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?I?)B?", re.IGNORECASE)


class Sealed(NamedTuple):
    """A sealed segment: where it begins, its size in bytes, and when it had its newest record (Unix nanoseconds)."""

    base: int
    size: int
    newest_ns: int


class Limits(NamedTuple):
    """How many bytes and how many nanoseconds of records are kept; None sets no limit."""

    keep_bytes: int | None = None
    keep_ns: int | None = None

    @classmethod
    def parse(cls, keep_bytes: str | None, keep_days: float | None) -> Limits:
        """From what people type: "10GB" or "500 MiB", and days. Raises ConfigError."""
        if keep_days is not None and not 0 < keep_days < 1e5:
            raise ConfigError(f"--keep-days is {keep_days}; it must be a number of days above 0, such as 30")
        keep_ns = None if keep_days is None else int(keep_days * DAY_NS)
        return cls(None if keep_bytes is None else parse_size(keep_bytes, "--keep-bytes"), keep_ns)


def count_expired(sealed: Sequence[Sealed], active_bytes: int, limits: Limits, now_ns: int) -> int:
    """How many of `sealed`, from its beginning (the oldest), are to be removed. 0 of none.

    `active_bytes` is the size of the segment that is being written.
    """
    total = active_bytes + sum(segment.size for segment in sealed)
    for index, segment in enumerate(sealed):
        too_much = limits.keep_bytes is not None and total > limits.keep_bytes
        too_old = limits.keep_ns is not None and now_ns - segment.newest_ns > limits.keep_ns
        if not too_much and not too_old:
            return index
        total -= segment.size
    return len(sealed)


def parse_size(text: str, option: str) -> int:
    """Bytes, from what people type for an option: "10GB" or "500 MiB". Raises ConfigError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].upper() not in _UNITS or not float(match[1]) > 0:
        raise ConfigError(f"{option} is {text!r}; it must be a size above 0, such as 10GB or 500MiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
