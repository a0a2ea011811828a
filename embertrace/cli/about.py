"""Commands about embertrace itself: what it shows, and which one this is."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from embertrace import __version__
from embertrace.cli.shell import AsJson, app, print_json, progress


@app.command()
def demo(
    directory: Annotated[pathlib.Path, typer.Argument(help="Where the recording goes.")] = pathlib.Path("runs/demo"),
    items: Annotated[int | None, typer.Option(min=1, help="Only so many items of each data set.")] = None,
) -> None:
    """Trace two real ensembles, record them, and show what can be asked. A minute at most, no network."""
    from embertrace.demo.show import show_demo

    show_demo(directory, items, lambda title, total: progress(title, total))


@app.command()
def version(as_json: AsJson = False) -> None:
    """Versions of embertrace, of its formats, and of what it runs on."""
    import platform

    from embertrace.recording.layout import FORMAT
    from embertrace.wire.batch import VERSION

    versions = {"embertrace": __version__, "wire": VERSION, "recording": FORMAT, "python": platform.python_version()}
    if as_json:
        print_json(versions)
    else:
        print("\n".join(f"{name} {number}" for name, number in versions.items()))
