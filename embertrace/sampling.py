"""Which items and which calls are recorded: the decisions, pure.

Rules:
- An item is chosen by a hash of (seed, key, epoch): every run, process and language decides alike, and a larger share
  keeps all that a smaller one keeps. docs/wire-format.md has the bytes.
- Calls are chosen by their stage and type. That is another matter: a call that is filtered out belongs to its tree,
  where it is missing.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from functools import lru_cache

from embertrace import lineage
from embertrace.config import Settings
from embertrace.payload import canonical

_BITS = 64
KINDS_KNOWN = 1024
"""Pairs of type and stage whose verdict is remembered: matching patterns would cost more than all else."""


class Sampling:
    """What the settings of a process choose. Immutable; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.share = float(settings.sample)
        """Of all items. 1: every one."""
        self.keep_errors = settings.keep_errors
        self.filters = bool(settings.stages or settings.types)
        self._seed = settings.sample_seed
        self._below = int(self.share * (1 << _BITS))  # exact: a float times a power of two
        self._stages, self._types = settings.stages, settings.types
        self.records = lru_cache(KINDS_KNOWN)(self._records)
        """Whether calls of a (type, stage) are recorded."""

    def chooses(self, key: object, epoch: object = None) -> bool:
        """Whether the item with this key is recorded, in this epoch."""
        hashed = hashlib.blake2b(canonical([self._seed, key, epoch]), digest_size=_BITS // 8).digest()
        return int.from_bytes(hashed, "big") < self._below

    def chooses_item(self, packed: bytes) -> bool:
        """As `chooses`, of an item as contexts have it."""
        item = lineage.unpack_mapping(packed)
        return self.chooses(item.get("key"), item.get("epoch"))

    def _records(self, operator_type: str, stage: str) -> bool:
        return _passes(stage, self._stages) and _passes(operator_type, self._types)


def of(settings: Settings) -> Sampling | None:
    """What these settings choose; None where they record everything."""
    found = Sampling(settings)
    return found if found.share < 1 or found.filters else None


def _passes(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name matches one of the patterns (where any is given without !), and none of those with !."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if any(fnmatchcase(name, pattern) for pattern in unwanted):
        return False
    return not wanted or any(fnmatchcase(name, pattern) for pattern in wanted)
