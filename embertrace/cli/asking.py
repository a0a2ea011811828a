"""Commands that ask a recording or an aggregator: the same questions of both."""

from __future__ import annotations

import pathlib
import sys
from typing import Annotated, Any

import typer

from embertrace.cli.shell import Abstained, AnswerRule, AsJson, RunName, Source, analysis_of, app, as_values, print_json
from embertrace.errors import EmbertraceError
from embertrace.report import Report, as_html, as_text, comparison_report, report

DRAWN_AS = {".svg": "svg", ".dot": "dot", ".mmd": "mermaid"}
HtmlFile = Annotated[
    pathlib.Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML file, instead of text.")
]


@app.command("report")
def report_command(
    source: Source,
    run: RunName = None,
    answer: AnswerRule = None,
    abstain: Abstained = None,
    html: HtmlFile = None,
    as_json: AsJson = False,
) -> None:
    """The story of a run: what ran, agreement, judges, members, time, cost, errors, and what is missing."""
    made = report(analysis_of(source, run, abstain=abstain), answer)
    if html is not None:
        _write_page(html, made, "Report")
    if as_json:
        print_json(made.to_data())
    elif html is None:
        print(as_text(made))


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A recording's directory, or tcp://host:port.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another, or the same one with another run.")],
    run: Annotated[str | None, typer.Option("--run", help="Which run of BEFORE, by name or id.")] = None,
    other_run: Annotated[str | None, typer.Option("--other-run", help="Which run of AFTER.")] = None,
    on: Annotated[
        str | None, typer.Option(help='Whose answers: "judge", "majority", or all "calls" (of --stage).')
    ] = None,
    score: Annotated[str | None, typer.Option(help="Compare the scores of this name instead.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only calls of this stage.")] = None,
    answer: AnswerRule = None,
    abstain: Abstained = None,
    html: HtmlFile = None,
    as_json: AsJson = False,
) -> None:
    """Two runs of the same items, item by item: the difference, a paired test, what flipped, what is not in both."""
    sides = [analysis_of(side, one, abstain=abstain) for side, one in ((before, run), (after, other_run))]
    if stage is not None:
        sides = [side.stage(stage) for side in sides]
    chosen: Any = on
    found = sides[0].compare(sides[1], on=chosen, score=score, answer=answer)
    if html is not None:
        _write_page(html, comparison_report(found), "Comparison")
    if as_json:
        print_json(found.to_data())
    elif html is None:
        print(found)


@app.command()
def show(
    source: Source,
    item: Annotated[str, typer.Argument(help="The item's key; a number is also looked up as one.")],
    run: RunName = None,
    attempts: Annotated[
        str, typer.Option(help='Of calls that were tried again: the attempt that counts ("selected"), or "all".')
    ] = "selected",
    as_json: AsJson = False,
) -> None:
    """One item: its calls as a tree, with answers, times and errors."""
    analysis = analysis_of(source, run, attempts)
    rows = next((rows for key in as_values(item) if (rows := analysis.show(key))), None)
    if rows is None:
        raise EmbertraceError(f"no item {item!r} in {source}; `embertrace report {source}` shows what there is")
    if as_json:
        print_json(rows.to_data())
    else:
        print(rows)


@app.command()
def flow(
    source: Source,
    output: Annotated[
        pathlib.Path | None, typer.Option("-o", "--output", help="A .svg, .dot or .mmd (Mermaid) file; else DOT text.")
    ] = None,
    run: RunName = None,
    trace: Annotated[str | None, typer.Option(help="Only one trace, by its id.")] = None,
) -> None:
    """Draw the flow of operators: who calls whom, whose results go where, disagreement and accuracy."""
    from embertrace.flow import visualize_operator_flow

    kind = "dot" if output is None else DRAWN_AS.get(output.suffix.lower())
    if kind is None:
        raise EmbertraceError(f"can't draw into {output}: the name must end in .svg, .dot or .mmd")
    drawn = visualize_operator_flow(analysis_of(source, run), format=kind, trace=trace)
    if output is None:
        print(drawn)
    else:
        output.write_text(drawn, encoding="utf-8")
        print(f"wrote {output}", file=sys.stderr)


def _write_page(path: pathlib.Path, made: Report, kind: str) -> None:
    path.write_text(as_html(made, kind=kind), encoding="utf-8")
    print(f"wrote {path}", file=sys.stderr)
