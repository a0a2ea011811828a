"""What all commands share: the application, the arguments that mean the same everywhere, printing."""

from __future__ import annotations

import contextlib
import json
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from embertrace import OperatorAnalysis, sources
from embertrace.analysis.runs import check_run

app = typer.Typer(
    name="embertrace",
    help="Trace compound-AI operators and answer questions about them: ensembles, judges, verifiers, chains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[
    str, typer.Argument(metavar="RECORDING|ENDPOINT", help="A recording's directory, or tcp://host:port.")
]
RecordingPath = Annotated[pathlib.Path, typer.Argument(metavar="RECORDING", help="A recording's directory.")]
RunName = Annotated[str | None, typer.Option("--run", help="Which run, by name or id, if there are several.")]
AnswerRule = Annotated[
    str | None,
    typer.Option("--answer", help='How answers are compared: "str", "casefold", "number", "regex:…", a field.'),
]
Abstained = Annotated[
    list[str] | None,
    typer.Option("--abstain", help="An answer that counts as none; a number also as one. May be given several times."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
"""As people and JSON write one. Python also reads "nan", "1_000", " 5 " and the digits of other scripts."""


def analysis_of(
    source: str, run: str | None, attempts: Any = "selected", abstain: Iterable[str] | None = None
) -> OperatorAnalysis:
    """The analysis of a recording or an endpoint; of its only run, or the one asked for.

    Raises QueryError for a run that is not there.
    """
    none = [answer for text in abstain or () for answer in as_values(text)]
    if source.startswith("tcp://"):
        analysis = sources.connect(source, attempts=attempts, abstain=none)
    else:
        with progress("reading") as advance:
            analysis = sources.open(source, attempts=attempts, abstain=none, progress=advance)
    if run is None:
        return analysis
    check_run(run, analysis.runs())
    return analysis.run(run)


def as_values(text: str) -> Iterator[Any]:
    """What a key or an answer may be that somebody typed: the text, and the number that it is, if it plainly is one."""
    yield text
    written = _NUMBER.fullmatch(text)
    if written and any(written.groups()):
        if math.isfinite(number := float(text)):
            yield number
    elif written:
        with contextlib.suppress(ValueError):  # more digits than Python reads
            yield int(text)


@contextlib.contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal's stderr, nothing elsewhere: `advance(done, of)`."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2, default=lambda value: value.hex()))
