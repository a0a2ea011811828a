"""Some of the rows of `items`, without making the others: those of one page, or those in which a text may stand.

Which items there are, in which order, and what they say, is known from columns; the question itself is then asked of
the calls about those that are wanted. Where columns can't tell, all rows have to be made:
- calls about items without a key, whose names count their repeats;
- scores of items that no call is about;
- filters that leave judges or ensembles of items of which they leave no call.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.ballots import places_of_type
from embertrace.analysis.arrays.feeding import LEFT, feeding_of
from embertrace.analysis.ensembles import Ensemble, is_ensemble, is_judge
from embertrace.analysis.forest import Forest
from embertrace.analysis.labels import Target
from embertrace.analysis.query import Selection
from embertrace.analysis.results import Rows
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.items import NONE
from embertrace.analysis.trees import SCORE
from embertrace.analysis.verbs import Question, understood
from embertrace.payload import unpack

MOST_FOUND = 5000
"""Rows in which a text may stand: more are as well looked at one by one."""
MOST_LABELS = 100
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
    """`count` rows from the `start`-th on, as `items` has them; None where columns can't tell (see above).

    Raises QueryError as the question does.
    """
    found = begin(forest, filters, options)
    if found is None:
        return None
    question, selection, chosen = found
    known = selection.trees.items
    end = start + count
    if end < FEW * len(chosen):
        order = heapq.nsmallest(end, chosen.tolist(), key=known.identities.__getitem__)
    else:
        order = sorted(chosen.tolist(), key=known.identities.__getitem__)
    return Page(rows_about(question, selection, order[start:end]), len(chosen))


def rows_that_may_say(
    forest: Forest, filters: Sequence[Sequence[Any]], options: Mapping[str, Any], wanted: str
) -> Rows | None:
    """All rows with a text in their key, truth or answers, upper and lower case alike, and maybe others; None where
    columns can't tell (see above), or too many do. Raises QueryError as the question does."""
    found = begin(forest, filters, options)
    if found is None:
        return None
    question, selection, chosen = found
    about = _said_in(selection, wanted)
    if about is None:
        return None
    some = np.intersect1d(chosen, about)
    return rows_about(question, selection, some.tolist()) if len(some) <= MOST_FOUND else None


def begin(
    forest: Forest, filters: Sequence[Sequence[Any]], options: Mapping[str, Any]
) -> tuple[Question, Some, Array] | None:
    """What is asked, of what, and the numbers of the items that have rows."""
    question = understood({"verb": "items", "filters": filters, "options": options})
    if not question.options.keys() <= {"answer"}:
        return None
    selection = Some(forest, filters)
    chosen = _chosen(selection)
    return None if chosen is None else (question, selection, chosen)


def rows_about(question: Question, selection: Some, numbers: Sequence[int]) -> Rows:
    """The rows of the items with these keys and epochs, by number; in the order of those. Raises QueryError as the
    question does."""
    wanted = np.zeros(len(selection.trees.items.identities) + 1, bool)  # the last is that of NONE
    wanted[list(numbers)] = True
    selection.look_at(np.flatnonzero(wanted[_identities(selection)]))
    rows = question.finish(question.put_to(selection), selection.forest)
    assert isinstance(rows, Rows)
    return rows


def _said_in(selection: Selection, wanted: str) -> Array | None:
    """The numbers of the items in which a text may stand: in key or truth, in labels, in what was returned."""
    trees, shape = selection.trees, selection.trees.shape
    says = trees.items.saying(wanted)
    folded = wanted.casefold()
    labels = {label.target for label in trees.labels.history if folded in str(label.truth).casefold()}
    if len(labels) > MOST_LABELS:
        return None
    places = [trees.by_id[call].place for call in _calls_of(labels) if call in trees.by_id]
    for target in labels:
        if target.kind == "item":
            says |= trees.items.having(target.key)
    ended = np.flatnonzero(shape.end_row >= 0)
    numbers = trees.texts.numbers(shape.end_row[ended])
    heard = ended[trees.texts.which(lambda data: _says(data, folded))[numbers]]
    own = trees.items.identity()
    return np.union1d(own[says], own[shape.item[np.concatenate([heard, np.array(places, np.int64)])]])


def _calls_of(labels: Iterable[Target]) -> list[int]:
    found = (unpack(target.key) for target in labels if target.kind == "call")
    return [call for call in found if isinstance(call, int)]


def _says(data: Mapping[str, Any], folded: str) -> bool:
    """Whether what a call answered, or one of several answers, has a text in it."""
    given = [data.get("answer"), data.get("result")]
    given += [part for value in given if isinstance(value, list | tuple) for part in value]
    return any(value is not None and folded in str(value).casefold() for value in given)


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


class Some(Selection):
    """A selection of which only some places are looked at, once that was said."""

    def look_at(self, places: Array) -> None:
        self._calls = [self.trees.at(place) for place in places.tolist()]
        self._places = places[self.mask[places]]

    @property
    def places(self) -> Array:
        return self._places

    at_once = False

    def votes(self, answers: Answers) -> None:
        """None: of few ensembles each is read for itself."""

    def scored_with(self, names: tuple[str, ...]) -> tuple[Array, Array]:
        rows, places = super().scored_with(names)
        mine = np.isin(places, self._places)
        return rows[mine], places[mine]

    def ensembles(self, answers: Answers) -> Iterator[Ensemble]:
        for call in self._calls:
            found = self.ensemble(call, answers) if is_ensemble(call) else None
            if found is not None:
                yield found

    def judge_places(self, answers: Answers) -> Array:
        judges = (call for call in self._calls if is_judge(call))
        return np.array([call.place for call in judges if self.judge(call, answers) is not None], np.int64)
