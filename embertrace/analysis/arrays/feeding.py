"""Of every judge the ensemble that fed it, where `links` finds it in one step; the others are left to `links`.

One step: no links, outside any ensemble, and the call it follows is an ensemble (or a member of one) under the same
parent and about the same item. A judge that follows nothing and has nothing below it is unlinked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embertrace.analysis.arrays.ballots import is_of_type, may_vote, places_of_type
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.events import NO_CALL
from embertrace.analysis.trees import Trees
from embertrace.wire.columns import LINKS

UNLINKED, LEFT = -1, -2


class Feeding(NamedTuple):
    """By judge: its place, and the place of its ensemble: UNLINKED, or LEFT to `links`."""

    judge: Array
    ensemble: Array


def feeding_of(trees: Trees) -> Feeding:
    """Of every judge call, in order."""
    return trees.once(_feeding)


def _feeding(trees: Trees) -> Feeding:
    shape, events = trees.shape, trees.table
    ensembles = is_of_type(trees, "ensemble")

    def are_ensembles(places: Array) -> Array:
        found: Array = ensembles[shape.name[places]]
        return found

    judges = np.flatnonzero(places_of_type(trees, "judge"))
    parent = shape.parent[judges]
    fed = np.full(len(judges), LEFT, np.int64)
    outside = (parent < 0) | ~are_ensembles(parent)
    simple = outside & ~have_links(trees, judges)
    at = _followed(trees, judges)
    _, starts = shape.children_of_all
    fed[simple & (at < 0) & (starts[judges + 1] == starts[judges])] = UNLINKED
    steps = np.flatnonzero(simple & (at >= 0) & (at != judges))
    at, judge = at[steps], judges[steps]
    above = shape.parent[at]
    ensemble = np.where(are_ensembles(at), at, LEFT)
    among = np.flatnonzero(ensemble == LEFT)
    is_member = may_vote(trees, at[among]) & (above[among] >= 0) & are_ensembles(above[among])
    ensemble[among[is_member]] = above[among[is_member]]
    rows, judge_rows = shape.first_row[ensemble], shape.first_row[judge]
    fits = (ensemble >= 0) & (shape.item[at] == shape.item[judge]) & (shape.item[ensemble] == shape.item[judge])
    fits &= events.parent.values[rows] == events.parent.values[judge_rows]
    fits &= events.parent_attempt.values[rows] == events.parent_attempt.values[judge_rows]
    fed[steps[fits]] = ensemble[fits]
    return Feeding(judges, fed)


def have_links(trees: Trees, places: Array) -> Array:
    """Of calls whether each has links: of its own events, or of a metric event."""
    shape, flags = trees.shape, trees.table.flags.values
    ends = shape.end_row[places]
    has: Array = (flags[shape.first_row[places]] & LINKS) != 0
    has |= (ends >= 0) & ((flags[ends] & LINKS) != 0)
    linking = np.flatnonzero(flags[trees.metric_rows] & LINKS)
    if len(linking):
        by_metric = np.zeros(len(shape) + 1, bool)  # the last is of metrics of no call, which are at -1
        by_metric[trees.places_of_metrics[0][linking]] = True
        has |= by_metric[:-1][places]
    return has


def _followed(trees: Trees, places: Array) -> Array:
    """The place of what each call follows; below 0 where that is nothing that counts."""
    shape, follows = trees.shape, trees.table.follows.values
    first, end = follows[shape.first_row[places]], follows[shape.end_row[places]]
    number = np.where((first == NO_CALL) & (shape.end_row[places] >= 0), end, first)
    found: Array = np.where(number == NO_CALL, UNLINKED, shape.by_call[number])
    return found.astype(np.int64)
