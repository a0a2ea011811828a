"""Commands about ground truth that comes later: labels from a file."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from embertrace.cli.shell import AsJson, Source, app, print_json


@app.command()
def label(
    source: Source,
    file: Annotated[
        pathlib.Path, typer.Argument(metavar="LABELS.CSV", help="Columns key, truth, and if wanted epoch and by.")
    ],
    by: Annotated[str | None, typer.Option(help='Who labelled, where the file does not say: "human:ann", say.')] = None,
    run: Annotated[str | None, typer.Option(help="Label the items of this run only, by name or id.")] = None,
    truth_as: Annotated[
        str, typer.Option("--truths", help='How truths are read: "text", or "json" for numbers, lists and null.')
    ] = "text",
    as_json: AsJson = False,
) -> None:
    """Add ground truth from a CSV file. Keys that name no item are listed; the last label of each annotator counts."""
    from embertrace.labelling import label_file

    as_: Any = truth_as
    done = label_file(source, file, by=by, run=run, truth_as=as_)
    if as_json:
        print_json(done.to_data())
    else:
        print(done)
