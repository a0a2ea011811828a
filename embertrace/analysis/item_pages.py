"""One page of the rows of `items`, in the order of their keys, without making the others.

Which items there are, and their order, is known from columns; the question itself is then asked of the calls about
those of the page alone. Where that can't be told from columns there is no page, and all rows have to be made:
- calls about items without a key, whose names count their repeats;
- scores of items that no call is about;
- filters that leave judges or ensembles of items of which they leave no call.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.feeding import LEFT, feeding_of
from embertrace.analysis.arrays.votes import places_of_type
from embertrace.analysis.calls import Call, Metric
from embertrace.analysis.ensembles import Ensemble, is_ensemble, is_judge
from embertrace.analysis.forest import Forest
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.items import finish_items, items
from embertrace.analysis.results import Rows
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.items import NONE
from embertrace.analysis.trees import SCORE
from embertrace.analysis.verbs import with_gaps

MOST_READ = 1000
"""Judges that are looked at one by one."""
FEW = 1 / 8
"""Of all items: to find the first of so few, all need not be sorted."""


class Page(NamedTuple):
    """Some rows, and how many there are of all."""

    rows: Rows
    total: int


def page_of_items(
    forest: Forest, filters: Sequence[Sequence[Any]], options: Mapping[str, Any], start: int, count: int
) -> Page | None:
    """`count` rows from the `start`-th on, as `items` has them; None where there is no page (see above).

    Raises QueryError as the question does.
    """
    if not options.keys() <= {"answer", "pool"}:
        return None
    selection = _Some(forest, filters)
    selection.check_runs(bool(options.get("pool")))
    chosen = _chosen(selection)
    if chosen is None:
        return None
    known = selection.trees.items
    end = start + count
    if end < FEW * len(chosen):
        order = heapq.nsmallest(end, chosen.tolist(), key=known.identities.__getitem__)
    else:
        order = sorted(chosen.tolist(), key=known.identities.__getitem__)
    wanted = np.zeros(len(known.identities) + 1, bool)  # the last is that of NONE
    wanted[order[start:end]] = True
    selection.look_at(np.flatnonzero(wanted[_identities(selection)]))
    rows = with_gaps(finish_items(items(selection, answer=options.get("answer"))), forest)
    assert isinstance(rows, Rows)
    return Page(rows, len(chosen))


def _identities(selection: Selection) -> Array:
    """By place the number of the key and epoch of a call's item."""
    found: Array = selection.trees.items.identity()[selection.trees.shape.item]
    return found


def _chosen(selection: Selection) -> Array | None:
    """The numbers of all keys and epochs that have rows."""
    trees = selection.trees
    places, known = trees.places_of_metrics
    if ((trees.metric_kinds == SCORE) & (places < 0) & ~known).any():
        return None
    at = _identities(selection)
    chosen = np.unique(at[selection.mask])
    if len(chosen) and chosen[0] == NONE:
        return None
    if selection.filtered and _counts_elsewhere(selection, ~np.isin(at, chosen)):
        return None
    return chosen


def _counts_elsewhere(selection: Selection, elsewhere: Array) -> bool:
    """Whether an ensemble or a judge may count, for its members, that is about an item of which no call is selected."""
    trees = selection.trees
    counts = selection.mask.copy()
    above = trees.shape.parent[selection.mask]
    counts[above[above >= 0]] = True
    if (counts & elsewhere & places_of_type(trees, "ensemble")).any():
        return True
    judges, fed = feeding_of(trees)
    fed, judges = fed[elsewhere[judges]], judges[elsewhere[judges]]
    if counts[fed[fed >= 0]].any() or (fed == LEFT).sum() > MOST_READ:
        return True
    return any(selection.judge(trees.at(place), Answers()) is not None for place in judges[fed == LEFT].tolist())


class _Some(Selection):
    """A selection of which only some places are looked at, once that was said."""

    _places: list[int]

    def look_at(self, places: Array) -> None:
        self._looked_at = places
        self._calls = [self.trees.at(place) for place in places.tolist()]

    @property
    def calls(self) -> list[Call]:
        return [call for call in self._calls if self.has(call)]

    def scores(self) -> Iterator[Metric]:
        trees = self.trees
        places, _ = trees.places_of_metrics
        mine = np.isin(places, self._looked_at[self.mask[self._looked_at]]) & (trees.metric_kinds == SCORE)
        at = np.flatnonzero(mine)
        for row, place in zip(trees.metric_rows[at].tolist(), places[at].tolist(), strict=True):
            metric = Metric(trees.sighting(row))
            metric.belongs_to(trees.at(place))
            yield metric

    def ensembles(self, answers: Answers) -> Iterator[Ensemble]:
        for call in self._calls:
            found = self.ensemble(call, answers) if is_ensemble(call) else None
            if found is not None:
                yield found

    def judges(self, answers: Answers) -> Iterator[tuple[Call, list[Ensemble], bool]]:
        for call in self._calls:
            found = self.judge(call, answers) if is_judge(call) else None
            if found is not None:
                yield found
