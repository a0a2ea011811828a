"""`python -m aggregator DIRECTORY`: what `embertrace aggregate` and `embertrace.session` start."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from aggregator.child import MEMORY
from aggregator.server import Options, Ready, serve
from embertrace.errors import EmbertraceError
from embertrace.recording import Limits
from embertrace.recording.retention import parse_size


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after a clean stop, 2 where it could not start or go on."""
    logging.basicConfig(level=logging.INFO, format="aggregator: %(message)s", stream=sys.stderr)
    given = _parser().parse_args(arguments)
    try:
        serve(_options(given), _announce_json if given.ready_json else _announce)
    except EmbertraceError as error:
        print(f"aggregator: {error}", file=sys.stderr)
        return 2
    return 0


def _options(given: argparse.Namespace) -> Options:
    return Options(
        Path(given.directory),
        given.bind,
        given.name,
        given.advertise,
        given.insecure_bind,
        given.with_parent,
        Path(given.keys) if given.keys else None,
        Limits.parse(given.keep_bytes, given.keep_days),
        parse_size(given.memory, "--memory") if given.memory is not None else MEMORY,
        given.otlp,
        given.phoenix,
    )


def _announce(ready: Ready) -> None:
    print(f"embertrace aggregator at {ready.endpoint}, recording into {ready.directory}; stop it with Ctrl-C")
    if ready.page is not None:
        print(f"its page is at {ready.page}")
    sys.stdout.flush()


def _announce_json(ready: Ready) -> None:
    print(ready.to_json(), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aggregator", description="Record operators' events and answer questions.")
    parser.add_argument("directory", help="the recording: a directory, made if need be")
    parser.add_argument("--bind", default="tcp://127.0.0.1:5557", help="where to listen; port 0 takes any")
    parser.add_argument("--name", help="the recording's name (default: the directory's)")
    parser.add_argument("--advertise", metavar="HOST", help="the host to tell callers, if not the one they dialled")
    parser.add_argument("--keys", metavar="DIR", help="take only clients that have a key in this directory")
    parser.add_argument("--keep-bytes", metavar="SIZE", help="remove the oldest segments beyond this, such as 10GB")
    parser.add_argument("--keep-days", type=float, metavar="DAYS", help="remove segments that are older than this")
    parser.add_argument("--memory", metavar="SIZE", help="what events may take in memory (default: 2GiB)")
    parser.add_argument("--otlp", metavar="URL", help="send spans to this OTLP/HTTP receiver as they come about")
    parser.add_argument("--phoenix", action="store_true", help="give it scores and labels as Phoenix's annotations")
    parser.add_argument("--insecure-bind", action="store_true", help="listen beyond this machine without keys")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input ends")
    parser.add_argument("--ready-json", action="store_true", help="print one line of JSON when ready")
    return parser


if __name__ == "__main__":
    sys.exit(main())
