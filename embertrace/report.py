"""The story of a run as text: what ran, how far the members agree, how right the judge is, what is missing. Pure.

A report is a list of sections, so that the terminal, a file and JSON show the same numbers. Plain text has no
escape codes; `width` bounds the bars.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from embertrace.analysis import Estimate, OperatorAnalysis
from embertrace.analysis.results import Rows, Table

BAR = 24
"""Characters of a full bar: enough to see a difference of 5%."""


class Section(NamedTuple):
    """A heading, lines of text under it, and the same as data."""

    title: str
    lines: list[str]
    data: Any


def report(analysis: OperatorAnalysis, answer: str | None = None) -> list[Section]:
    """The sections of one run's report. `answer` is the named rule by which answers are compared."""
    stages = analysis.stages()
    sections = [
        _runs(analysis.runs()),
        _activity(stages, analysis.operators()),
        *(_ensemble(analysis.stage(stage), stage, answer) for stage in _stages_of(analysis, "ensemble")),
        *(_judge(analysis.stage(stage), stage, answer) for stage in _stages_of(analysis, "judge")),
        _scores(analysis.accuracy_distribution()),
        _health(analysis.health()),
    ]
    return [section for section in sections if section.lines]


def as_text(sections: Iterable[Section]) -> str:
    """The report as plain text."""
    return "\n\n".join("\n".join([section.title, *(f"  {line}" for line in section.lines)]) for section in sections)


def as_data(sections: Iterable[Section]) -> dict[str, Any]:
    """The report as plain data, by section title."""
    return {section.title: section.data for section in sections}


def _stages_of(analysis: OperatorAnalysis, operator_type: str) -> list[str]:
    flow = analysis.flow()
    return sorted({node["stage"] for node in flow["nodes"] if node["type"] == operator_type})


def _runs(runs: Rows) -> Section:
    lines = [
        f"{run.get('name')}  {run.get('status')}"
        + (f"  project {run['project']}" if run.get("project") else "")
        + (f"  {run['calls']} calls" if "calls" in run else "")
        for run in runs
    ]
    return Section("Runs", lines, runs.to_data())


def _activity(stages: Rows, operators: Rows) -> Section:
    rows = [("stage", row["stage"], row) for row in stages]
    rows += [("operator", f"{row['operator']} · {row['stage']}", row) for row in operators]
    width = max((len(name) for _, name, _ in rows), default=0)
    lines = [f"{kind:<8} {name:<{width}} {_activity_of(row)}" for kind, name, row in rows]
    return Section("Calls", lines, {"stages": stages.to_data(), "operators": operators.to_data()})


def _activity_of(row: Mapping[str, Any]) -> str:
    times = f"p50 {_time(row['p50_s']):>8}   p95 {_time(row['p95_s']):>8}"
    failed = "".join(f"   {row[name]} {name}" for name in ("errors", "lost", "open") if row[name])
    return f"{row['calls']:>8} calls   {times}{failed}"


def _ensemble(selected: OperatorAnalysis, stage: str, answer: str | None) -> Section:
    rows = {
        "disagreement": selected.ensemble_disagreement(answer=answer),
        "not unanimous": selected.non_unanimous_rate(answer=answer),
        "majority accuracy": selected.majority_accuracy(answer=answer),
    }
    return Section(f"Ensemble {stage}", _estimates(rows), _data(rows))


def _judge(selected: OperatorAnalysis, stage: str, answer: str | None) -> Section:
    summary = {
        "judge accuracy": selected.judge_accuracy(answer=answer),
        "majority accuracy": selected.majority_accuracy(answer=answer),
        "lift over majority": selected.judge_lift(answer=answer),
    }
    agreement = selected.judge_accuracy_by_agreement(answer=answer)
    lines = [*_estimates(summary), *(["by agreement of the members:"] if agreement else [])]
    lines += [f"  {name:<6} {_bar(value)} {_estimate(value)}" for name, value in agreement.items()]
    return Section(f"Judge {stage}", lines, {**_data(summary), "by agreement": agreement.to_data()})


def _scores(scores: Table) -> Section:
    lines = [
        f"{name:<28} mean {row['mean']:.4f}   std {row['std']:.4f}   {row['samples']} samples"
        for name, row in scores.items()
    ]
    return Section("Accuracy scores", lines, scores.to_data())


def _health(health: Table) -> Section:
    """What is missing or went wrong; nothing to say is said, too."""
    named = ("errors", "lost", "open", "missing", "unlinked", "gaps", "undecodable", "damaged_bytes")
    wrong = [f"{health[name]} {name}" for name in named if health.get(name)]
    if health.get("removed_segments"):
        wrong.append(f"{health['removed_segments']} segments were removed by retention")
    return Section("Missing or failed", [*wrong, *health.notes] or ["nothing"], health.to_data())


def _estimates(rows: Mapping[str, Estimate]) -> list[str]:
    return [f"{name:<20} {_estimate(value)}" for name, value in rows.items() if value.n or value.left_out]


def _estimate(value: Estimate) -> str:
    if not value.n:
        number = "–"
    else:
        low, high = value.interval
        number = f"{value:.4f}" + ("" if math.isnan(low) else f"  [{low:.4f}, {high:.4f}]") + f"  n = {value.n}"
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(value.left_out.items()))
    return number + (f"  (left out: {left_out})" if left_out else "")


def _data(rows: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: value.to_data() for name, value in rows.items()}


def _bar(share: float) -> str:
    full = 0 if math.isnan(share) else round(max(0.0, min(1.0, share)) * BAR)
    return "█" * full + "·" * (BAR - full)


def _time(seconds: float | None) -> str:
    """Three digits with a unit: 1.23 ms."""
    if seconds is None or math.isnan(seconds):
        return "–"
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
