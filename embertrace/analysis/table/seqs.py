"""Which events of a producer were seen: spans of seqs, since they come in order but for what is sent again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Seqs:
    """A set of integers, kept as disjoint spans that do not touch."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []

    @property
    def last(self) -> int:
        """The largest; 0 of none."""
        return self._ends[-1] - 1 if self._ends else 0

    def add(self, first: int, count: int) -> list[tuple[int, int]]:
        """Put in `count` integers from `first` on; the spans (first, end) of those that were not in it."""
        end = first + count
        if self._ends and self._ends[-1] == first:
            self._ends[-1] = end
            return [(first, end)]
        low, high = bisect_left(self._ends, first), bisect_right(self._firsts, end)
        new, at = [], first
        for known_first, known_end in zip(self._firsts[low:high], self._ends[low:high], strict=True):
            if at < known_first:
                new.append((at, min(known_first, end)))
            at = max(at, known_end)
        if at < end:
            new.append((at, end))
        if low < high:
            first, end = min(first, self._firsts[low]), max(end, self._ends[high - 1])
        self._firsts[low:high], self._ends[low:high] = [first], [end]
        return new
