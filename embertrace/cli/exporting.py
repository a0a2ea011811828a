"""`embertrace export …`: recorded calls for the tools that people already use."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from embertrace.cli.shell import AsJson, RunName, Source, analysis_of, app, print_json
from embertrace.errors import ConfigError

export = typer.Typer(no_args_is_help=True, help="Give what was recorded to other tools: OTLP, Perfetto, Parquet.")
app.add_typer(export, name="export")


@export.command()
def otlp(
    source: Source,
    to: Annotated[str, typer.Option(metavar="URL", help="An OTLP/HTTP receiver, such as http://localhost:4318.")],
    run: RunName = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header for each request.")] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress requests.")] = False,
    phoenix: Annotated[
        bool, typer.Option("--phoenix", help="Give scores and labels as Arize Phoenix's annotations too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send every call as a span to an OpenTelemetry receiver. Exit code 1 if it refused any.

    Headers that OTEL_EXPORTER_OTLP_HEADERS names are sent too: so a token stays off the command line.
    """
    import os

    from embertrace.interop.otlp import OtlpExporter
    from embertrace.interop.otlp_http import HEADERS_VARIABLE, headers_of

    headers = {**headers_of(os.environ.get(HEADERS_VARIABLE, "")), **_headers(header or [])}
    exporter = OtlpExporter(to, headers=headers, compress=gzip, phoenix=phoenix)
    done = exporter.export(analysis_of(source, run, "all"))
    _print(done, done.to_data(), as_json)
    if done.rejected:
        raise typer.Exit(1)


@export.command()
def chrome(
    source: Source,
    output: Annotated[pathlib.Path, typer.Option("-o", "--output", help="The JSON file to write.")],
    run: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Write a Chrome trace, which ui.perfetto.dev and chrome://tracing show: lanes of calls, arrows for links."""
    from embertrace.interop import chrome

    analysis = analysis_of(source, run, "all")
    processes = None if source.startswith("tcp://") else chrome.processes_of(source)
    done = chrome.write(analysis, output, processes=processes)
    _print(done, {**done._asdict(), "path": str(done.path)}, as_json)


@export.command()
def parquet(
    source: Source,
    output: Annotated[
        pathlib.Path, typer.Option("-o", "--output", help="A directory for both tables, or one .parquet file.")
    ],
    table: Annotated[str, typer.Option(help="What goes into one file: calls or events.")] = "calls",
    run: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Write calls and events as Parquet, for pandas, polars, DuckDB and whatever else reads it."""
    from embertrace.interop import arrow

    done = arrow.write(analysis_of(source, run, "all"), output, table=arrow.table_name(table))
    data = [{**written._asdict(), "path": str(written.path)} for written in done]
    _print("\n".join(map(str, done)), data, as_json)


def _headers(given: list[str]) -> dict[str, str]:
    headers = {}
    for text in given:
        name, is_given, value = text.partition("=")
        if not is_given or not name:
            raise ConfigError(f"--header is {text!r}; it looks like Authorization='Bearer …'")
        headers[name] = value
    return headers


def _print(done: object, data: Any, as_json: bool) -> None:
    if as_json:
        print_json(data)
    else:
        print(done)
