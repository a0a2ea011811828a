"""What part of all that happened was recorded, and what a recorded call therefore stands for.

Rules:
- Calls know the share of all items that is recorded, theirs among them. A call stands for 1/share calls: so totals are
  estimated (Horvitz and Thompson 1952). Rates, means and quantiles of calls of one share need no weights: each call's
  is the same.
- Calls of different shares are not taken together where something is estimated: a question for that is refused, and
  says how to ask instead. What only lists or counts (see `Verb.pools`) has all of them.
- Every answer says that it is from a sample, and how many calls filters kept out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embertrace.analysis.results import Result, Rows
from embertrace.analysis.statistics import rounded
from embertrace.analysis.table.shares import WHOLE
from embertrace.errors import QueryError

if TYPE_CHECKING:
    from embertrace.analysis.query import Selection

ESTIMATED = "estimated_"
"""Before the name of a column: what that of the recorded calls is estimated to be of all."""


class Sample(NamedTuple):
    """How many calls a question is about, by their share (0: kept for their errors), and how many were withheld below
    them: a partial state."""

    calls: Counter[float]
    withheld: int

    def merge(self, other: Sample) -> Sample:
        return Sample(self.calls + other.calls, self.withheld + other.withheld)

    @property
    def shares(self) -> list[float]:
        """Those of the calls that estimates are made from."""
        return sorted(share for share in self.calls if share)

    @property
    def share(self) -> float:
        """The one share of all those calls; 1 of none."""
        return self.shares[0] if self.shares else WHOLE

    def check(self) -> None:
        """Raises QueryError where calls are of several shares: taken together they would be no sample."""
        if len(self.shares) > 1:
            listed = ", ".join(f"{self.calls[share]} of {share:.12g}" for share in self.shares)
            raise QueryError(
                f"calls of {len(self.shares)} shares are in question: {listed}; choose with share(…), or with run(…)"
            )

    def notes(self) -> Iterator[str]:
        """What an answer says of this."""
        shares = self.shares
        if shares and shares[0] < WHOLE:
            of_items = " and ".join(f"{share:.6%}".rstrip("%").rstrip("0").rstrip(".") + "%" for share in shares)
            calls = sum(self.calls[share] for share in shares)
            stands = f"; each stands for {number(worth(shares[0])):.6g}" if len(shares) == 1 else ""
            yield f"a sample of {of_items} of all items: {calls} calls{stands}"
        if self.calls[0.0]:
            yield f"{self.calls[0.0]} calls are of items outside the sample, kept because a call raised"
        if self.withheld:
            yield f"{self.withheld} calls below these were filtered out; ensembles that miss members are incomplete"


def sample_of(selection: Selection) -> Sample:
    """What the selected calls are a sample of."""
    shape = selection.trees.shape
    known = shape.contexts.shares
    if not selection.filtered and not known.is_sampled and not known.is_filtered:
        return Sample(+Counter({WHOLE: len(shape)}), 0)
    mask = selection.mask
    calls = Counter({WHOLE: int(mask.sum())})
    if known.is_sampled:
        shares, times = np.unique(shape.share[mask], return_counts=True)
        calls = Counter(dict(zip(shares.tolist(), times.tolist(), strict=True)))
    return Sample(+calls, int(shape.withheld[mask].sum()) if known.is_filtered else 0)


def worth(share: float) -> Fraction:
    """How many calls one stands for. The share is taken as it is written: 0.1 is a tenth."""
    return 1 / Fraction(repr(share))


def number(value: Fraction) -> int | float:
    """A sum as a plain number: whole ones as integers, as long as data has such (64 bits)."""
    return int(value) if value.denominator == 1 and abs(value) < 1 << 63 else rounded(value)


def with_estimates(result: Result, totals: tuple[str, ...], share: float) -> Result:
    """A result whose records have columns that are totals, each followed by what it is estimated to be of all."""
    if share == WHOLE:
        return result
    if isinstance(result, Rows):
        return type(result)((_estimated(row, totals, share) for row in result), result.left_out, result.notes)
    if isinstance(result, dict):
        for name, rows in result.items():
            if isinstance(rows, list):
                result[name] = [_estimated(row, totals, share) for row in rows]
    return result


def _estimated(row: dict[str, Any], totals: tuple[str, ...], share: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        found[name] = value
        if name in totals:
            found[ESTIMATED + name] = None if value is None else number(value * worth(share))
    return found
