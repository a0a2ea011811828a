"""Of every judge the ensemble that fed it, where `links` finds it in one step; the others are left to `links`.

One step: no links, outside any ensemble, and the call it follows is an ensemble (or a member of one) under the same
parent and about the same item. A judge that follows nothing and has nothing below it is unlinked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embertrace.analysis.arrays.votes import may_vote_places, places_of_type
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
    if "feeding" not in trees.kept:
        trees.kept["feeding"] = _feeding(trees)
    found: Feeding = trees.kept["feeding"]
    return found


def _feeding(trees: Trees) -> Feeding:
    shape, events = trees.shape, trees.table
    is_ensemble = places_of_type(trees, "ensemble")
    judges = np.flatnonzero(places_of_type(trees, "judge"))
    parent = shape.parent[judges]
    fed = np.full(len(judges), LEFT, np.int64)
    outside = (parent < 0) | ~is_ensemble[parent]
    simple = outside & ~has_links(trees)[judges]
    at = _followed(trees, judges)
    _, starts = shape.children_of_all
    fed[simple & (at < 0) & (starts[judges + 1] == starts[judges])] = UNLINKED
    steps = np.flatnonzero(simple & (at >= 0) & (at != judges))
    at, judge = at[steps], judges[steps]
    above = shape.parent[at]
    is_member = may_vote_places(trees)[at] & (above >= 0) & is_ensemble[above]
    ensemble = np.where(is_ensemble[at], at, np.where(is_member, above, LEFT))
    rows, judge_rows = shape.first_row[ensemble], shape.first_row[judge]
    fits = (ensemble >= 0) & (shape.item[at] == shape.item[judge]) & (shape.item[ensemble] == shape.item[judge])
    fits &= events.parent.values[rows] == events.parent.values[judge_rows]
    fits &= events.parent_attempt.values[rows] == events.parent_attempt.values[judge_rows]
    fed[steps[fits]] = ensemble[fits]
    return Feeding(judges, fed)


def has_links(trees: Trees) -> Array:
    """By place whether a call has links: of its own events, or of a metric event."""
    shape, flags = trees.shape, trees.table.flags.values
    has: Array = (flags[shape.first_row] & LINKS) != 0
    has |= (shape.end_row >= 0) & ((flags[shape.end_row] & LINKS) != 0)
    places, _ = trees.places_of_metrics
    linking = places[(flags[trees.metric_rows] & LINKS) != 0]
    has[linking[linking >= 0]] = True
    return has


def _followed(trees: Trees, places: Array) -> Array:
    """The place of what each call follows; below 0 where that is nothing that counts."""
    shape, follows = trees.shape, trees.table.follows.values
    first, end = follows[shape.first_row[places]], follows[shape.end_row[places]]
    number = np.where((first == NO_CALL) & (shape.end_row[places] >= 0), end, first)
    found: Array = np.where(number == NO_CALL, UNLINKED, shape.by_call[number])
    return found.astype(np.int64)
