"""What an emitter counts."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class EmitterStats:
    """What became of the events put so far."""

    endpoint: str
    connected: bool
    emitted: int
    acknowledged: int
    held_bytes: int
    dropped: int
    recording: str | None
