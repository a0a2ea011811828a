"""How far the clocks of producers are from the aggregator's: what is worth a record. Pure.

Rules:
- What readings tell of one pair of clocks is intersected. Where that leaves nothing, a clock was stepped or has
  drifted: the latest reading counts from then on.
- A record is written when the first bounds are known, when they have shrunk to less than half of what is recorded, and
  when they start anew: a handful for each producer, however long it lives.
"""

from __future__ import annotations

from embertrace.wire.clock import Offset, Reading, bounds


class Clocks:
    """The bounds of all producers heard of since the start."""

    def __init__(self) -> None:
        self._known: dict[bytes, Offset] = {}
        self._recorded: dict[bytes, int] = {}
        """How wide the bounds were that were last recorded."""

    def read(self, producer: bytes, reading: Reading, received_ns: int, from_seq: int) -> Offset | None:
        """Take in a reading that came before event `from_seq`; what to record of it, if anything."""
        new = bounds(reading, received_ns, from_seq)
        if new is None:
            return None
        known = self._known.get(producer)
        is_new = known is None
        if known is not None:
            low, high = max(known.low_ns, new.low_ns), min(known.high_ns, new.high_ns)
            is_new = low > high
            if not is_new:
                new = Offset(known.from_seq, low, high)
        self._known[producer] = new
        width = new.high_ns - new.low_ns
        if not is_new and 2 * width >= self._recorded.get(producer, 0):
            return None
        self._recorded[producer] = width
        return new

    def forget(self, producer: bytes) -> None:
        """Its stream has ended."""
        self._known.pop(producer, None)
        self._recorded.pop(producer, None)
