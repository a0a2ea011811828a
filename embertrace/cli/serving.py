"""Commands about what runs: aggregators, their keys, and what processes left for them."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Annotated

import typer

from embertrace.cli.shell import AsJson, app, print_json, progress
from embertrace.errors import EmbertraceError


@app.command()
def aggregate(
    directory: Annotated[pathlib.Path, typer.Argument(help="The recording: a directory, made if need be.")],
    bind: Annotated[str, typer.Option(help="Where to listen; the next ports are used too.")] = "tcp://127.0.0.1:5557",
    name: Annotated[str | None, typer.Option(help="The recording's name (default: the directory's).")] = None,
    advertise: Annotated[
        str | None, typer.Option(help="The host to tell callers, if not the one they dialled.")
    ] = None,
    keys: Annotated[
        pathlib.Path | None, typer.Option(help="Take only clients that have a key in this directory; see `keys`.")
    ] = None,
    keep_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Remove the oldest segments beyond this, such as 10GB.")
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Remove segments that are older than this.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What events may take in memory, such as 8GiB; older ones are read again."),
    ] = None,
    otlp: Annotated[
        str | None, typer.Option(metavar="URL", help="Send spans to this OTLP/HTTP receiver as they come about.")
    ] = None,
    phoenix: Annotated[
        bool, typer.Option("--phoenix", help="Give it scores and labels as Arize Phoenix's annotations.")
    ] = False,
    insecure_bind: Annotated[bool, typer.Option(help="Listen beyond this machine without keys or encryption.")] = False,
) -> None:
    """Run an aggregator: it records the events that operators send, and answers questions about them."""
    command = [sys.executable, "-m", "aggregator", str(directory), "--bind", bind]
    command += ["--name", name] if name else []
    command += ["--advertise", advertise] if advertise else []
    command += ["--keys", str(keys)] if keys else []
    command += ["--keep-bytes", keep_bytes] if keep_bytes is not None else []
    command += ["--keep-days", str(keep_days)] if keep_days is not None else []
    command += ["--memory", memory] if memory is not None else []
    command += ["--otlp", otlp] if otlp is not None else []
    command += ["--phoenix"] if phoenix else []
    command += ["--insecure-bind"] if insecure_bind else []
    os.execv(command[0], command)  # to become it: signals, and the exit code, are its own


@app.command()
def keys(
    directory: Annotated[pathlib.Path, typer.Argument(help="The aggregator's keys: a directory, made if need be.")],
    client: Annotated[list[str] | None, typer.Option(help="A name for each client that gets a key.")] = None,
) -> None:
    """Make keys for an aggregator and its clients, so that it can listen beyond its machine.

    The aggregator is started with `--keys DIRECTORY`; a client gets its one file and names it in EMBERTRACE_KEY.
    A client that is added is let in at once; one whose .pub file is removed, not again. `http.token` is for HTTP.
    """
    from embertrace.handshake import new_pair
    from embertrace.keys import make_keys

    for path in make_keys(directory, client or (), new_pair):
        print(path)
    for name in client or ():
        print(f"give {directory / 'clients' / (name + '.key')} to {name}: EMBERTRACE_KEY=…/{name}.key", file=sys.stderr)


@app.command()
def drain(
    directory: Annotated[
        pathlib.Path | None, typer.Argument(help="Where spools lie (default: where this user's processes keep them).")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="The aggregator to send to, if not the one each stream was meant for.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Deliver what processes that died left undelivered on this machine. Exit code 1 if anything is still left."""
    from embertrace import collect, emit, keys

    chosen = directory or emit.spool_path(collect.settings)
    if chosen is None:
        raise EmbertraceError("no spool directory is configured; name one: `embertrace drain DIRECTORY`")
    with progress("draining") as advance:
        done = emit.drain(chosen, to=to, key=keys.load(collect.settings.key), progress=advance)
    if as_json:
        print_json(done.to_data())
    else:
        print(done)
    if done.left:
        raise typer.Exit(1)


@app.command()
def doctor(
    endpoint: Annotated[
        str | None,
        typer.Argument(metavar="ENDPOINT", help="The aggregator to look at (default: EMBERTRACE_ENDPOINT)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What is running, reachable, behind, dropped or undelivered, and what to do about it. Exit code 1 if it is bad.

    Changes nothing. Looks at versions, settings, this machine's spools, and one aggregator; at most 5 s each.
    """
    from embertrace.doctor import examine

    found = examine(endpoint)
    if as_json:
        print_json(found.to_data())
    else:
        print(found)
    if not found.ok:
        raise typer.Exit(1)
