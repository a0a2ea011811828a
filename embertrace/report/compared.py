"""Two runs side by side as a report: the numbers of a comparison, what flipped, and what could not be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embertrace.analysis import Comparison, Rows
from embertrace.report.model import Block, Grid, Lines, Picture, Report, Section
from embertrace.report.plots import Point, intervals

MOST_NAMED = 20


def comparison_report(comparison: Comparison) -> Report:
    """The sections of a comparison. `to_data` of the whole is that of the comparison itself."""
    what = f"score {comparison.score} of {comparison.on}" if comparison.score else f"right answers of {comparison.on}"
    sides = [", ".join(map(str, side)) or "?" for side in comparison.runs]
    sections = [_difference(comparison), _flips(comparison), _left_out(comparison), _config(comparison)]
    shown = [section for section in sections if section.blocks]
    return Report(" → ".join(sides), shown, comparison.notes, about=what)


def _difference(found: Any) -> Section:
    rows = [_row("of those answered" if found.of_attempted is not None else "all items", found)]
    if found.of_attempted is not None:
        rows.append(_row("failed taken as wrong", found.of_attempted))
    points = [Point(row["items"], row["difference"], row["low"], row["high"], row["n"]) for row in rows]
    drawn: list[Block] = [Picture(intervals(points, within=None, described="difference"), "after − before")]
    told = f"{found.only_after} gained, {found.only_before} lost, {found.equal} equal; {found.test}"
    shown = [*(drawn if found.n else []), Grid(Rows(rows)), Lines([told])]
    return Section("Difference", shown, found.to_data())


def _row(name: str, side: Any) -> dict[str, Any]:
    low, high = side.interval
    numbers = {"before": side.before, "after": side.after, "difference": side.difference, "low": low, "high": high}
    return {"items": name, **numbers, "p": side.p_value, "n": side.n}


def _flips(found: Any) -> Section:
    return Section("What flipped", [Grid(found.flips)] if found.flips else [], found.flips.to_data())


def _left_out(found: Any) -> Section:
    lines = [
        f"{len(items)} items {side} only: {_listed(items)}"
        for side, items in zip(("before", "after"), found.unmatched, strict=True)
        if items
    ]
    if found.uncompared:
        lines.append(f"{len(found.uncompared)} items without a value on one side: {_listed(found.uncompared)}")
    for side, reasons in zip(("before", "after"), found.left_out, strict=True):
        lines += [f"left out {side}: {_reasons(reasons)}"] if reasons else []
    if any(found.failed):
        lines.append(f"failed attempts: {found.failed[0]} before, {found.failed[1]} after")
    return Section("What is not compared", [Lines(lines)] if lines else [], lines)


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))


def _listed(items: Any) -> str:
    more = ", …" if len(items) > MOST_NAMED else ""
    return ", ".join(str(item)[:80] for item in list(items)[:MOST_NAMED]) + more


def _config(found: Any) -> Section:
    rows = Rows({"setting": name, "before": old, "after": new} for name, (old, new) in found.config.items())
    return Section("Settings that differ", [Grid(rows)] if rows else [], rows.to_data())
