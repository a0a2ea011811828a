"""The members one waits for: who ends last, and what share of a fan-out's time is owed to that.

Shares are counted in BILLIONTHS: sums of fractions of nanoseconds have a denominator as long as all of them together,
and take for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.chains import Spans, Waits, spans_of, waits_of
from embertrace.analysis.arrays.rolls import Roll, name_of, roll_of
from embertrace.analysis.arrays.sums import shares_by_unit, units_of_calls
from embertrace.analysis.arrays.votes import Votes
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.ballots import columns
from embertrace.analysis.results import Rows
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted, grouped
from embertrace.analysis.table.items import Unit
from embertrace.analysis.tally import Tally
from embertrace.analysis.trees import Trees
from embertrace.analysis.units import unit_of

BILLION = 10**9
MOST_AT_ONCE = 1 << 22
"""So many shares in billionths are summed in 53 bits."""
FLOAT_NS = 1 << 53
"""Nanoseconds up to here are exact as floats: a quarter of a year."""
TOO_FEW, IN_TURN = "with fewer than two durations", "one after the other"
Name = tuple[str, str]
"""Stage and member."""


class Stragglers:
    """A partial state: per stage and member, how often it was the last, and what share of the time it was owed."""

    def __init__(self) -> None:
        self.last: dict[Name, Tally] = {}
        self.owed: dict[Name, Tally] = {}
        self.left_out: Counter[str] = Counter()

    def _at(self, name: Name) -> tuple[Tally, Tally]:
        share = self.owed.setdefault(name, Tally())
        share.binary = False  # shares, even where each happens to be 0 or 1
        return self.last.setdefault(name, Tally()), share

    def add(self, name: Name, unit: Unit, owed: Fraction | None) -> None:
        """Of one ensemble; None where the member is not the last."""
        last, share = self._at(name)
        last.add(unit, Fraction(owed is not None))
        share.add(unit, owed or Fraction(0))

    def add_all(self, name: Name, trees: Trees, ensembles: Array, is_last: Array, billionths: Array) -> None:
        """The same of many ensembles, by their places."""
        last, share = self._at(name)
        units = units_of_calls(trees)
        for start in range(0, len(ensembles), MOST_AT_ONCE):
            part = slice(start, start + MOST_AT_ONCE)
            codes = units.codes(ensembles[part])
            last.add_sums(shares_by_unit(units, codes, is_last[part], 1, binary=True))
            share.add_sums(shares_by_unit(units, codes, billionths[part], BILLION, binary=False))

    def merge(self, other: Stragglers) -> Stragglers:
        for mine, theirs in ((self.last, other.last), (self.owed, other.owed)):
            for name, tally in theirs.items():
                mine[name] = mine[name].merge(tally) if name in mine else tally
        self.left_out.update(other.left_out)
        return self


def stragglers(selection: Selection) -> Stragglers:
    found, answers = Stragglers(), Answers()
    votes, spans = selection.votes(answers), spans_of(selection.trees)
    if votes is not None and spans is not None:
        roll = roll_of(selection.trees, answers, votes, selection.mask if selection.filtered else None)
        waits = _waits(selection.trees, votes, roll, spans)
        if not len(waits.whole) or int(waits.whole.max()) < FLOAT_NS:
            found.left_out[TOO_FEW] += waits.too_few + len(votes.rest)  # those vote through a list
            found.left_out[IN_TURN] += waits.in_turn
            _add_waits(found, selection.trees, roll, waits)
            return found
    _add_ensembles(found, selection.ensembles(answers))
    return found


def _waits(trees: Trees, votes: Votes, roll: Roll, spans: Spans) -> Waits:
    numbers = counted(roll.identity)[0].tolist()
    by_name = sorted(numbers, key=lambda number: name_of(trees, number))
    rank = np.zeros(max(numbers, default=0) + 1, np.int64)
    rank[by_name] = np.arange(len(by_name))
    group = np.searchsorted(votes.place, roll.ensemble)
    return waits_of(spans, roll.member, group, rank[roll.identity], len(votes.place))


def _add_waits(found: Stragglers, trees: Trees, roll: Roll, waits: Waits) -> None:
    is_last, billionths = np.zeros(len(roll.member), np.int64), np.zeros(len(roll.member), np.int64)
    is_last[waits.last] = 1
    billionths[waits.last] = np.rint(waits.waited / waits.whole * BILLION).astype(np.int64)
    width = int(roll.identity.max(initial=0)) + 1
    of_ensemble = trees.shape.name[roll.ensemble[waits.counted]].astype(np.int64)
    for code, at in grouped(of_ensemble * width + roll.identity[waits.counted], waits.counted):
        stage = trees.table.names.triples[code // width][2]
        name = stage, name_of(trees, code % width)
        found.add_all(name, trees, roll.ensemble[at], is_last[at], billionths[at])


def _add_ensembles(found: Stragglers, ensembles: Iterable[Ensemble]) -> None:
    for ensemble in ensembles:
        timed = [(one.identity, one.call) for one in ensemble.members if one.call is not None and one.call.ended]
        spans = sorted(
            (call.start_ns + call.duration_ns, name, call.start_ns)
            for name, call in timed
            if call.duration_ns is not None
        )
        if len(spans) < 2:
            found.left_out[TOO_FEW] += 1
            continue
        (before, _, _), (end, slowest, start) = spans[-2:]
        if start >= before:
            found.left_out[IN_TURN] += 1
            continue
        wall = end - min(start for _, _, start in spans)
        owed = Fraction(round((end - before) / wall * BILLION), BILLION)
        for _, name, _ in spans:
            found.add((ensemble.call.stage, name), unit_of(ensemble.call), owed if name == slowest else None)


def finish_stragglers(found: Stragglers) -> Rows:
    """Per stage and member, sorted by name."""
    rows = []
    for stage, member in sorted(found.owed):
        last = found.last[stage, member].finish()
        rows.append(
            {"stage": stage, "member": member, "slowest": last.value, **columns(found.owed[stage, member], "owed")}
        )
    return Rows(rows, found.left_out)
