"""What a comparison of two runs found: its numbers, how it is printed, and its rows. Made by `compare`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from embertrace.analysis.presented import Presented
from embertrace.analysis.results import NAN, Rows, as_reasons, plain
from embertrace.analysis.statistics import UNDEFINED, Interval

MAX_SHOWN = 20
"""Flips, and unmatched keys, that are printed; `to_data` has all of them."""


class Pair(NamedTuple):
    """One item of both sides, and its values."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    was: Fraction
    now: Fraction

    def row(self) -> dict[str, Any]:
        """What a table says of it."""
        truth = self.new.get("truth")
        return {
            "item": self.old["item"],
            "before": float(self.was),
            "after": float(self.now),
            "answer_before": self.old.get("answer"),
            "answer_after": self.new.get("answer"),
            "truth": self.old.get("truth") if truth is None else truth,
        }


@dataclass(frozen=True)
class Paired:
    """The numbers: `difference` = `after` − `before`, the mean over `n` joined items.

    `only_before` and `only_after` count the items on which that side was better (McNemar's discordant counts, where
    outcomes are binary), `equal` the others. NaN with n = 0 where nothing could be joined.
    """

    n: int = 0
    before: float = NAN
    after: float = NAN
    difference: float = NAN
    interval: Interval = UNDEFINED
    p_value: float = NAN
    test: str = "no joined items"
    only_before: int = 0
    only_after: int = 0

    @property
    def equal(self) -> int:
        return self.n - self.only_before - self.only_after

    def __str__(self) -> str:
        low, high = self.interval
        interval = "" if math.isnan(low) else f" [{low:+.3g}, {high:+.3g}]"
        counts = f"{self.only_after} gained, {self.only_before} lost, {self.equal} equal"
        return (
            f"{self.before:.4g} → {self.after:.4g}: {self.difference:+.4g}{interval} n={self.n}\n"
            f"{self.test}: p = {self.p_value:.3g}; {counts}"
        )


@dataclass(frozen=True, repr=False)
class Comparison(Paired, Presented):
    """Of `on` ("judge", "majority", "calls"), or of the score named `score`; positive where the other one is better.

    `failed` counts the attempts without an answer on each side; `of_attempted` are the same numbers with those taken
    as wrong (None where nothing failed). `flips` are the items whose outcome changed: before, after, the answers of
    both, and the truth; `items()` are all that were joined, and the rows of tables of other libraries. `unmatched` are
    the keys of items of one side only, `uncompared` of those that are in both and have no value in one (unlabelled,
    failed). `config` holds settings, versions and program that differ, of one run against one. `runs` are the names of
    the runs of both sides.
    """

    on: str = "judge"
    score: str | None = None
    runs: tuple[Sequence[str], Sequence[str]] = ((), ())
    failed: tuple[int, int] = (0, 0)
    of_attempted: Paired | None = None
    flips: Rows = field(default_factory=lambda: Rows([]))
    unmatched: tuple[Sequence[Any], Sequence[Any]] = ((), ())
    uncompared: Sequence[Any] = ()
    config: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    left_out: tuple[Mapping[str, int], Mapping[str, int]] = field(default_factory=lambda: ({}, {}))
    notes: tuple[str, ...] = ()
    pairs: Sequence[Pair] = field(default=(), repr=False)

    def items(self) -> Rows:
        """A row for each joined item: before, after, the answers of both sides, and the truth."""
        return Rows(pair.row() for pair in self.pairs)

    def _records(self) -> list[dict[str, Any]]:
        return [plain(row) for row in self.items()]

    def __repr__(self) -> str:
        what = f"score {self.score} of {self.on}" if self.score is not None else f"right answers of {self.on}"
        names = " → ".join(", ".join(side) or "?" for side in self.runs)
        lines = [f"{what}, {names}" if any(self.runs) else what, Paired.__str__(self)]
        if self.of_attempted is not None:
            lines += [f"failed attempts: {self.failed[0]} before, {self.failed[1]} after; as wrong answers:"]
            lines += [f"  {line}" for line in str(self.of_attempted).splitlines()]
        for side, items in zip(("before", "after"), self.unmatched, strict=True):
            lines += [f"{len(items)} items {side} only: {_listed(items)}"] if items else []
        lines += [f"{len(self.uncompared)} items without a value on one side: {_listed(self.uncompared)}"] * bool(
            self.uncompared
        )
        for side, reasons in zip(("before", "after"), self.left_out, strict=True):
            lines += [f"left out {side}: {', '.join(f'{n} {why}' for why, n in sorted(reasons.items()))}"] * bool(
                reasons
            )
        lines += [f"config {name}: {old!r} → {new!r}" for name, (old, new) in self.config.items()]
        lines += self.notes
        if self.flips:
            more = f"\n… and {len(self.flips) - MAX_SHOWN} more" if len(self.flips) > MAX_SHOWN else ""
            lines.append(f"\n{Rows(self.flips[:MAX_SHOWN])!r}{more}")
        return "\n".join(lines)

    __str__ = __repr__

    def to_data(self) -> dict[str, Any]:
        """Everything as plain data, NaN as None: for JSON, pages, and tables of other programs."""
        config = {name: {"before": plain(old), "after": plain(new)} for name, (old, new) in self.config.items()}
        return {
            "result": "comparison",
            "on": self.on,
            "score": self.score,
            "runs": _sides(self.runs),
            **_numbers(self),
            "failed": _sides(self.failed),
            "of_attempted": _numbers(self.of_attempted) if self.of_attempted is not None else None,
            "flips": [plain(row) for row in self.flips],
            "unmatched": _sides(self.unmatched),
            "uncompared": plain(self.uncompared),
            "config": config,
            "left_out": dict(zip(("before", "after"), map(as_reasons, self.left_out), strict=True)),
            "notes": plain(self.notes),
        }


def _sides(pair: tuple[Any, Any]) -> dict[str, Any]:
    return {"before": plain(pair[0]), "after": plain(pair[1])}


def _numbers(paired: Paired) -> dict[str, Any]:
    numbers = {name: plain(getattr(paired, name)) for name in Paired.__dataclass_fields__}
    return {**numbers, "equal": paired.equal}


def _listed(items: Sequence[Any]) -> str:
    more = ", …" if len(items) > MAX_SHOWN else ""
    return ", ".join(str(item) for item in items[:MAX_SHOWN]) + more
