"""`embertrace top`, as people type it: on a terminal the screen, elsewhere lines, with --json one document."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer

from embertrace import collect, keys
from embertrace.analysis.window import DEFAULT_WINDOW, MAX_WINDOW
from embertrace.errors import MissingExtraError
from embertrace.top.feed import AggregatorFeed, Feed
from embertrace.top.model import Reading, as_data
from embertrace.top.plain import block

MIN_INTERVAL_S = 0.1
"""Less is no longer cheap for the aggregator."""


def top(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="The aggregator, tcp://host:port.")],
    interval: Annotated[
        float, typer.Option(min=MIN_INTERVAL_S, metavar="SECONDS", help="How long from one look to the next.")
    ] = 2.0,
    window: Annotated[
        int, typer.Option(min=1, max=MAX_WINDOW, metavar="EVENTS", help="Over how many of the last events.")
    ] = DEFAULT_WINDOW,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a screen, as off a terminal.")] = False,
    once: Annotated[bool, typer.Option("--once", help="One block of lines, and no more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One look as one JSON document.")] = False,
) -> None:
    """Watch an aggregator: rates, stages, disagreement, judge accuracy, slowest calls, errors, and its health.

    Keys on the screen: s sorts, r reverses, / filters, p pauses, z zooms, d is dark or light, q quits. Off a terminal,
    it is a block of lines every --interval seconds, until Ctrl-C (exit code 0).
    """
    feed = AggregatorFeed(endpoint, keys.load(collect.settings.key), window)
    try:
        first = feed.read()
        if as_json:
            print(json.dumps(as_data(first), ensure_ascii=False, indent=2))
        elif once:
            print(block(first))
        elif plain or not _on_a_terminal():
            follow(feed, first, interval, print_flushed, time.sleep)
        else:
            _show(feed, first, interval)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        feed.close()


def follow(
    feed: Feed, first: Reading, interval_s: float, write: Callable[[str], object], wait: Callable[[float], object]
) -> None:
    """Write a block for each reading, for ever."""
    reading = first
    while True:
        write(block(reading))
        wait(interval_s)
        reading = feed.read()


def print_flushed(text: str) -> None:
    print(text, flush=True)


def _on_a_terminal() -> bool:
    """Textual draws on stderr, and would write its codes into a file; its keys come from stdin."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"


def _show(feed: Feed, first: Reading, interval_s: float) -> None:
    if importlib.util.find_spec("textual") is None:
        raise MissingExtraError("the screen (--plain does without)", "top")
    from embertrace.top.screen import TopApp

    app = TopApp(feed, first, interval_s)
    app.run()
    if app.return_code:
        raise typer.Exit(app.return_code)
