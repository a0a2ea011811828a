"""Which sections a report has, in which order, and what stands in each.

A section is a line in PARTS. Most say which question is asked and how its answer is drawn: `asking("latency",
draw=of_durations)`; a question that this analysis does not have, or that answers nothing, gives no section. What needs
an extra that is not installed says so in its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from embertrace.analysis import Estimate, OperatorAnalysis, Rows, Table
from embertrace.errors import MissingExtraError
from embertrace.flow import flow_graph, to_svg
from embertrace.flow.graph import named
from embertrace.report import pictures
from embertrace.report.model import Block, Grid, Lines, Numbers, Picture, Report, Section


class Subject(NamedTuple):
    """What a section is about. `flow` is that of the whole report, asked once: it says which stages there are."""

    analysis: OperatorAnalysis
    answer: str | None
    flow: Table

    def stages(self, operator_type: str) -> list[str]:
        return sorted({node["stage"] for node in self.flow["nodes"] if node["type"] == operator_type})


Build = Callable[[Subject], Section | None]
MOST_DRAWN = 60
"""More operators than this are no picture any more."""
MOST_ERRORS = 12


class Part(NamedTuple):
    """One section: its title, who builds it, one sentence on what it shows. `of`: one for each stage of this type.

    The title then names it where it says {stage}.
    """

    title: str
    build: Build
    about: str = ""
    of: str = ""


def report(analysis: OperatorAnalysis, answer: str | None = None) -> Report:
    """The whole story of a run. `answer` is the named rule by which answers are compared.

    Raises QueryError where the calls are of several runs and nobody chose one. An empty run has few sections.
    """
    health = analysis.health()
    subject = Subject(analysis, answer, analysis.flow())
    sections = [section for part in PARTS for section in _built(part, subject) if section.blocks]
    names = [str(run.get("name") or run.get("id")) for run in analysis.runs()]
    return Report(", ".join(names[:3]) or "no run", sections, tuple(health.notes))


def _built(part: Part, subject: Subject) -> Iterable[Section]:
    for stage in subject.stages(part.of) if part.of else [""]:
        title = part.title.replace("{stage}", stage)
        selected = subject._replace(analysis=subject.analysis.stage(stage)) if stage else subject
        try:
            section = part.build(selected)
        except MissingExtraError as error:
            section = Section(title, [Lines([str(error)])], None)
        if section is not None:
            yield Section(title, section.blocks, section.data, part.about, _headed(section, stage))


def _headed(section: Section, stage: str) -> dict[str, Estimate]:
    return {f"{name} · {stage}" if stage else name: value for name, value in section.headline.items()}


def asking(
    verb: str,
    *,
    draw: pictures.Draw | None = None,
    columns: Sequence[str] = (),
    table: bool = True,
    **options: Any,
) -> Build:
    """A section that asks one question. `draw` gives its pictures, `columns` those of its rows that are shown."""

    def build(subject: Subject) -> Section | None:
        question = getattr(subject.analysis, verb, None)
        if question is None:
            return None
        takes = {"answer": subject.answer} if "answer" in inspect.signature(question).parameters else {}
        result = question(**takes, **options)
        drawn: list[Block] = list(draw(result)) if draw is not None and len(result) else []
        return Section("", [*drawn, *(blocks_of(result, columns) if table else [])], result.to_data())

    return build


def blocks_of(result: Any, columns: Sequence[str] = ()) -> list[Block]:
    """Any result as blocks; none where it says nothing at all."""
    if isinstance(result, Estimate):
        return [Numbers({"": result})] if result.n or result.left_out else []
    if isinstance(result, Rows):
        return [Grid(result, columns=columns)] if result else []
    if isinstance(result, Table):
        inner = {name: value for name, value in result.items() if isinstance(value, Table)}
        own = {name: value for name, value in result.items() if not isinstance(value, dict | list) and _says(value)}
        rows = [{"name": name, **value} for name, value in result.items() if type(value) is dict]
        blocks: list[Block] = [Numbers(own)] if own else []
        blocks += [Grid(Rows(rows))] if rows else []
        return [*blocks, *(Numbers(dict(value), title=name, bars=True) for name, value in inner.items() if value)]
    return []


def _says(value: Any) -> bool:
    return not isinstance(value, Estimate) or bool(value.n or value.left_out)


def _numbers(**rows: Estimate) -> dict[str, Estimate]:
    return {name.replace("_", " "): value for name, value in rows.items() if _says(value)}


def _first(rows: dict[str, Estimate], *names: str) -> dict[str, Estimate]:
    return {name: rows[name] for name in names if name in rows and rows[name].n}


def _data(rows: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to_data() for name, value in rows.items()}


def _runs(subject: Subject) -> Section:
    runs = subject.analysis.runs()
    columns = ("name", "status", "project", "calls", "id")
    return Section("", [Grid(runs, columns=columns)] if runs else [], runs.to_data())


def _flow(subject: Subject) -> Section:
    flow = subject.flow
    edges = Rows(
        {"from": named(row["source"]), "to": named(row["target"]), "kind": row["kind"], "count": row["count"]}
        for row in flow["edges"]
    )
    drawn = [Picture(to_svg(flow_graph(flow)))] if 0 < len(flow["nodes"]) <= MOST_DRAWN else []
    return Section("", [*drawn, Grid(edges)] if edges else drawn, flow.to_data())


def _calls(subject: Subject) -> Section:
    stages, operators = subject.analysis.stages(), subject.analysis.operators()
    columns = ("calls", "errors", "lost", "open", "p50_s", "p95_s")
    data = {"stages": stages.to_data(), "operators": operators.to_data()}
    if not stages:
        return Section("", [], data)
    shown = [
        Grid(_failed(stages), columns=("stage", *columns)),
        Grid(_failed(operators), columns=("operator", "stage", *columns)),
    ]
    return Section("", shown, data)


def _failed(rows: Rows) -> Rows:
    """Without the columns of what did not happen to any of them."""
    happened = [name for name in ("errors", "lost", "open") if any(row.get(name) for row in rows)]
    dropped = {"errors", "lost", "open"} - set(happened)
    return Rows([{name: cell for name, cell in row.items() if name not in dropped} for row in rows], rows.left_out)


def _ensemble(subject: Subject) -> Section:
    selected, answer, _ = subject
    rows = _numbers(
        disagreement=selected.ensemble_disagreement(answer=answer),
        not_unanimous=selected.non_unanimous_rate(answer=answer),
        majority_accuracy=selected.majority_accuracy(answer=answer),
        oracle_accuracy=selected.oracle_accuracy(answer=answer),
    )
    first = _first(rows, "disagreement", "majority accuracy")
    return Section("", [Numbers(rows)] if rows else [], _data(rows), headline=first)


def _judge(subject: Subject) -> Section:
    selected, answer, _ = subject
    accuracy, lift = selected.judge_accuracy(answer=answer), selected.judge_lift(answer=answer)
    rows = _numbers(
        judge_accuracy=accuracy,
        lift_over_majority=lift,
        right_given_any_member_is=selected.selection_accuracy(answer=answer),
    )
    agreement = selected.judge_accuracy_by_agreement(answer=answer)
    blocks: list[Block] = [Numbers(rows)] if rows else []
    if agreement:
        blocks += pictures.of_agreement(agreement, accuracy - lift if lift.n == accuracy.n else None)
        blocks.append(Numbers(dict(agreement), title="by agreement of the members", bars=True))
    first = _first(rows, "judge accuracy", "lift over majority")
    return Section("", blocks, {**_data(rows), "by agreement": agreement.to_data()}, headline=first)


def _errors(subject: Subject) -> Section:
    rows = Rows([*subject.analysis.errors(), *subject.analysis.lost()])
    columns = ("item", "operator", "stage", "outcome", "error", "duration_s")
    return Section("", [Grid(rows, columns=columns, most=MOST_ERRORS)] if rows else [], rows.to_data())


def _health(subject: Subject) -> Section:
    """What is missing or went wrong; nothing to say is said, too."""
    health = subject.analysis.health()
    named_counts = ("errors", "lost", "open", "missing", "unlinked", "gaps", "undecodable", "damaged_bytes")
    wrong = [f"{health[name]} {name}" for name in named_counts if health.get(name)]
    if health.get("removed_segments"):
        wrong.append(f"{health['removed_segments']} segments were removed by retention")
    return Section("", [Lines([*wrong, *health.notes] or ["nothing"])], health.to_data())


PARTS: tuple[Part, ...] = (
    Part("Runs", _runs),
    Part("Flow", _flow, "Who called whom how often, and whose results went where."),
    Part("Calls", _calls),
    Part("Ensemble {stage}", _ensemble, "How far the members agree, and what a vote of them is worth.", of="ensemble"),
    Part("Judge {stage}", _judge, "Against a plain majority, and by how far the members agreed.", of="judge"),
    Part("Accuracy scores", asking("accuracy_distribution")),
    Part(
        "Agreement of members",
        asking("pairwise_agreement", draw=pictures.of_pairs("agreement")),
        "Share of calls in which two members give the same answer.",
    ),
    Part("Entropy of votes", asking("vote_entropy"), "Bits; 0 is unanimity."),
    Part(
        "Accuracy by number of members",
        asking("accuracy_vs_size", draw=pictures.of_sizes),
        "Expected accuracy of the majority of so many members, drawn at random.",
    ),
    Part(
        "What members are worth",
        asking("member_value", draw=pictures.of_members("shapley")),
        "Shapley values: a member's part in the accuracy of the majority.",
    ),
    Part(
        "Errors that members share",
        asking("error_correlation", draw=pictures.of_pairs("correlation")),
        "Correlation of being wrong: the lower, the more a vote helps.",
    ),
    Part("Effective votes", asking("effective_votes"), "How many independent members these are worth."),
    Part(
        "Agreement as a probability in {stage}",
        asking("agreement_calibration", draw=pictures.of_calibration),
        "Accuracy by agreement; ece and brier are 0 where agreement says how often a vote is right.",
        of="ensemble",
    ),
    Part(
        "What {stage} overrides",
        asking("judge_overrides"),
        "Whether the majority or the judge was right.",
        of="judge",
    ),
    Part("Latency", asking("latency", draw=pictures.of_durations)),
    Part(
        "Critical path", asking("critical_path"), "The time for which an operator, and nothing below it, is waited for."
    ),
    Part("Stragglers", asking("stragglers"), "Which member ends last, and what share of the wall time that costs."),
    Part(
        "Slowest trace",
        asking(
            "slowest",
            draw=pictures.of_trace,
            columns=("operator", "stage", "outcome", "start_s", "duration_s", "answer", "error"),
        ),
    ),
    Part("Cost", asking("cost"), "Tokens and money, as they were scored."),
    Part("Errors", _errors),
    Part("Missing or failed", _health),
)
"""All sections, in the order in which they tell the story."""
