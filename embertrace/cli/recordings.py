"""Commands about a recording as such: sent again, verified, repaired, packed."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from embertrace.cli.shell import AsJson, RecordingPath, app, print_json, progress
from embertrace.errors import EmbertraceError


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

    with progress("replaying") as advance:
        done = replay_recording(
            recording, to=to, speed=_speed(speed), as_=new_name, retime=_retime(retime), progress=advance
        )
    if as_json:
        print_json(done.to_data())
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

    with progress("checking") as advance:
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
        print_json(data)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def pack(recording: RecordingPath, as_json: AsJson = False) -> None:
    """Compress the segments of a recording that nobody writes to any more. Reading it gives the same."""
    from embertrace.recording import pack as pack_recording

    with progress("packing") as advance:
        done = pack_recording(recording, progress=advance)
    if as_json:
        print_json(done.to_data())
    else:
        print(done)


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
