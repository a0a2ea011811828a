"""What is known of producers, and how many events came: of all events, also where several forests hold them.

Rules:
- Several forests may hold parts of the same events (see `Forest.part`): what stands here is of all of them together.
- Nothing is forgotten. `changes` counts what could change an answer about events that were taken in long ago.
"""

from __future__ import annotations

from embertrace.analysis.losses import Gaps, Loss
from embertrace.analysis.table.seqs import Seqs
from embertrace.wire.clock import Offset


class Known:
    """`events` counts distinct ones; `undecodable`, `unplaced`, `damaged_bytes`, `removed_segments` as of a Forest.

    `in_pieces` is how many traces are spread over several parts.
    """

    def __init__(self) -> None:
        self.events = self.undecodable = self.unplaced = 0
        self.damaged_bytes = self.removed_segments = self.in_pieces = 0
        self.changes = 0
        self.seen: dict[bytes, Seqs] = {}
        self.gaps: dict[bytes, Gaps] = {}
        self.hosts: dict[bytes, tuple[str, int]] = {}
        self.offsets: dict[bytes, set[Offset]] = {}
        self._lives: dict[bytes, tuple[int, bool, int]] = {}
        """Of each producer the last that is known of its life: (when, whether it goes on, the last seq till then)."""

    def meet(self, producer: bytes) -> Seqs:
        """The seqs seen of a producer, which is known from now on."""
        return self.seen.setdefault(producer, Seqs())

    def note_life(self, producer: bytes, sign: tuple[int, bool, int]) -> None:
        self.meet(producer)
        before = self._lives.get(producer)
        self._lives[producer] = max(sign, before or sign)
        self.changes += before is not None or not sign[1]

    def note_offset(self, producer: bytes, offset: Offset) -> None:
        known = self.offsets.setdefault(producer, set())
        self.changes += offset not in known
        known.add(offset)

    @property
    def ended(self) -> set[bytes]:
        """The producers that are known to be gone: nothing came after what was their last seq."""
        return {
            producer
            for producer, (_, goes_on, last_seq) in self._lives.items()
            if not goes_on and self.seen[producer].last <= last_seq
        }

    @property
    def losses(self) -> list[Loss]:
        """Where events were lost, and why."""
        return [
            Loss(producer, *self.hosts.get(producer, ("", 0)), events, reason)
            for producer, gaps in sorted(self.gaps.items())
            for reason, events in sorted(gaps.by_reason().items())
        ]
