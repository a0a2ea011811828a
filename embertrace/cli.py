"""`embertrace …`: what people type. Each command asks the library and prints; nothing is computed here.

Rules: results on stdout, everything else on stderr; `--json` prints one JSON document; colours and progress bars only
on a terminal. Exit codes: 0 done, 1 the answer is bad news (a damaged recording), 2 it could not be done.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from embertrace.errors import EmbertraceError, MissingExtraError

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
except ImportError:
    raise SystemExit(f"embertrace: {MissingExtraError('the command line', 'cli')}") from None

from embertrace import OperatorAnalysis, __version__, sources
from embertrace.report import as_data, as_text, report

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
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def main() -> None:
    """The console script: every embertrace error is one line on stderr and exit code 2."""
    try:
        app()
    except EmbertraceError as error:
        print(f"embertrace: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


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
    insecure_bind: Annotated[bool, typer.Option(help="Listen beyond this machine without keys or encryption.")] = False,
) -> None:
    """Run an aggregator: it records the events that operators send, and answers questions about them."""
    import subprocess

    command = [sys.executable, "-m", "aggregator", str(directory), "--bind", bind]
    command += ["--name", name] if name else []
    command += ["--advertise", advertise] if advertise else []
    command += ["--keys", str(keys)] if keys else []
    command += ["--keep-bytes", keep_bytes] if keep_bytes is not None else []
    command += ["--keep-days", str(keep_days)] if keep_days is not None else []
    command += ["--insecure-bind"] if insecure_bind else []
    with subprocess.Popen(command) as process:
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:  # it got the signal too, and drains
                continue
    raise typer.Exit(code)


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


@app.command("report")
def report_command(
    source: Source,
    run: RunName = None,
    answer: Annotated[
        str | None, typer.Option(help='How answers are compared: "str", "casefold", "number", "regex:…", or a field.')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The story of a run: what ran, agreement, judge against majority, and what is missing."""
    sections = report(_analysis(source, run), answer)
    if as_json:
        _print_json(as_data(sections))
    else:
        print(as_text(sections))


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
    analysis = _analysis(source, run, attempts)
    rows = analysis.show(item)
    if not rows and _is_number(item):
        rows = analysis.show(int(item))
    if not rows:
        raise EmbertraceError(f"no item {item!r} in {source}; `embertrace report {source}` shows what there is")
    if as_json:
        _print_json(rows.to_data())
    else:
        print(rows)


@app.command()
def flow(
    source: Source,
    output: Annotated[
        pathlib.Path | None, typer.Option("-o", "--output", help="A .svg or .dot file; else DOT text.")
    ] = None,
    run: RunName = None,
) -> None:
    """Draw the flow of operators: who calls whom, whose results go where, disagreement and accuracy."""
    from embertrace.flow import visualize_operator_flow

    kind = "dot" if output is None else output.suffix.lstrip(".").lower()
    if kind not in ("dot", "svg"):
        raise EmbertraceError(f"can't draw into {output}: the name must end in .svg or .dot")
    drawn = visualize_operator_flow(_analysis(source, run), format=kind)
    if output is None:
        print(drawn)
    else:
        output.write_text(drawn, encoding="utf-8")
        print(f"wrote {output}", file=sys.stderr)


@app.command()
def replay(
    recording: RecordingPath,
    to: Annotated[str, typer.Option(help="The aggregator to send to, tcp://host:port.")],
    speed: Annotated[str, typer.Option(help='1 is the recorded pace, 10 ten times as fast, "max" flat out.')] = "1",
    new_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Make it a new run of this name.")
    ] = None,
    retime: Annotated[str | None, typer.Option(help='"now" shifts all times so that it begins now.')] = None,
    as_json: AsJson = False,
) -> None:
    """Send a recording's events to an aggregator again. Doing it twice changes nothing."""
    from embertrace.playback import replay as replay_recording

    with _progress("replaying") as advance:
        done = replay_recording(
            recording, to=to, speed=_speed(speed), as_=new_name, retime=_retime(retime), progress=advance
        )
    if as_json:
        _print_json(done.to_data())
    else:
        print(done)


@app.command()
def check(
    recording: RecordingPath,
    repair: Annotated[pathlib.Path | None, typer.Option(metavar="OUT", help="Write a repaired copy here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify every checksum of a recording. Exit code 1 if anything is damaged, whether or not it was repaired."""
    from embertrace.recording import check as check_recording
    from embertrace.recording import repair as repair_recording

    with _progress("checking") as advance:
        found = check_recording(recording, progress=advance)
    if not as_json:
        print(found)
    data = found.to_data()
    if repair is not None:
        done, copy = repair_recording(recording, repair), check_recording(repair)
        data["repair"] = {**done.to_data(), "check": copy.to_data()}
        if not as_json:
            print(done, copy, sep="\n")
    if as_json:
        _print_json(data)
    if not found.ok:
        raise typer.Exit(1)


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
    with _progress("draining") as advance:
        done = emit.drain(chosen, to=to, key=keys.load(collect.settings.key), progress=advance)
    if as_json:
        _print_json(done.to_data())
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
        _print_json(found.to_data())
    else:
        print(found)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def demo(
    directory: Annotated[pathlib.Path, typer.Argument(help="Where the recording goes.")] = pathlib.Path("runs/demo"),
    items: Annotated[int | None, typer.Option(min=1, help="Only so many items of each data set.")] = None,
) -> None:
    """Trace two real ensembles, record them, and show what can be asked. A minute at most, no network."""
    from embertrace.demo.show import show_demo

    show_demo(directory, items, lambda title, total: _progress(title, total))


@app.command()
def version(as_json: AsJson = False) -> None:
    """Versions of embertrace, of its formats, and of what it runs on."""
    import platform

    from embertrace.recording.layout import FORMAT
    from embertrace.wire.batch import VERSION

    versions = {"embertrace": __version__, "wire": VERSION, "recording": FORMAT, "python": platform.python_version()}
    if as_json:
        _print_json(versions)
    else:
        print("\n".join(f"{name} {number}" for name, number in versions.items()))


def _analysis(source: str, run: str | None, attempts: Any = "selected") -> OperatorAnalysis:
    """The analysis of a recording or an endpoint; of its only run, or the one asked for."""
    if source.startswith("tcp://"):
        analysis = sources.connect(source, attempts=attempts)
    else:
        with _progress("reading") as advance:
            analysis = sources.open(source, attempts=attempts, progress=advance)
    return analysis.run(run) if run is not None else analysis


@contextlib.contextmanager
def _progress(title: str, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
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


def _speed(text: str) -> Any:
    if text == "max":
        return text
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise EmbertraceError(f'--speed is {text!r}; it must be a positive number, or "max"')
    return speed


def _retime(text: str | None) -> Any:
    if text not in (None, "now"):
        raise EmbertraceError(f'--retime is {text!r}; it must be "now"')
    return text


def _is_number(text: str) -> bool:
    return text.lstrip("-").isascii() and text.lstrip("-").isdecimal()


def _print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2, default=lambda value: value.hex()))
