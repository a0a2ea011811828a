"""Which events take a place in a forest that holds a part of them: what a forest's `keeps` can be.

Rules:
- A trace belongs to one part. What labels something or describes a run belongs to all of them.
- A metric event without a trace that does nothing but link belongs wherever its call is; elsewhere it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from embertrace.analysis.calls import mapping_of
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.traces import NO_KEY, NOBODY, Owners, among, keys_of
from embertrace.analysis.trees import LABEL, LINKS_ONLY, RUN, kind_of_metric
from embertrace.event import METRIC
from embertrace.wire.columns import LINKS, Columns, data_of


class NotOwned:
    """Refuses the traces that went to a part, and says of which parts something came late."""

    def __init__(self, owners: Owners, late: Callable[[int], None]) -> None:
        self._owners, self._late = owners, late

    def __call__(self, columns: Columns) -> Array:
        owners = self._owners.of(keys_of(columns.trace, columns.flags))
        refused = owners != NOBODY
        if refused.any():
            metrics = np.flatnonzero(refused & (columns.kind == METRIC))
            refused[metrics[_of_kinds(columns, metrics, (LABEL, RUN))]] = False
            for part in np.unique(owners[refused]).tolist():
                self._late(part)
        kept: Array = ~refused
        return kept


class Only:
    """Keeps some traces. `keys` (sorted) may change while events come."""

    def __init__(self, keys: Iterable[int] | Array = ()) -> None:
        self.keys = np.unique(np.array(keys if isinstance(keys, np.ndarray) else list(keys), np.uint64))

    def __call__(self, columns: Columns) -> Array:
        keys = keys_of(columns.trace, columns.flags)
        kept = among(keys, self.keys)
        bare = ~kept & (keys == NO_KEY) & (columns.kind == METRIC) & ((columns.flags & LINKS) != 0)
        rows = np.flatnonzero(bare)
        kept[rows[_of_kinds(columns, rows, (LINKS_ONLY,))]] = True
        return kept

    def change(self, key: int, kept: bool) -> None:
        """From now on, keep a trace, or keep it no more."""
        self.keys = (np.union1d if kept else np.setdiff1d)(self.keys, np.array([key], np.uint64))


def _of_kinds(columns: Columns, rows: Array, kinds: tuple[int, ...]) -> Array:
    """Of metric events whether they are of some kinds."""
    ends = np.cumsum(columns.tail_length)[rows]
    starts = ends - columns.tail_length[rows]
    tails = map(columns.tails.__getitem__, map(slice, starts.tolist(), ends.tolist()))
    return np.fromiter((kind_of_metric(mapping_of(data_of(tail))) in kinds for tail in tails), bool, len(rows))
