"""The results on disk: one JSON file for each group, which the pages are written from."""

from __future__ import annotations

import datetime
import inspect
import json
import pathlib
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from bench import host
from bench.harness import Figure, Options

RESULTS = pathlib.Path(__file__).with_name("results")


def result(
    name: str, module: ModuleType, options: Options, machine: dict[str, Any], seconds: float, figures: Sequence[Figure]
) -> dict[str, Any]:
    """What is kept of one group. What it says of itself is its module's docstring."""
    return {
        "name": name,
        "about": inspect.cleandoc(module.__doc__ or ""),
        "command": command_of(name, options),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seconds": round(seconds, 1),
        "machine": machine,
        "versions": host.versions(),
        "figures": [figure.to_data() for figure in figures],
    }


def command_of(name: str, options: Options) -> str:
    """The command that measures this group again, with the same options."""
    said = [] if options.events is None else [f"--events {options.events}"]
    said += [] if options.runs == Options.runs else [f"--runs {options.runs}"]
    said += ["--short"] if options.short else []
    return " ".join(["python3 dev.py bench", name, *said])


def write(directory: pathlib.Path, kept: dict[str, Any]) -> None:
    """Keep a group's result, in place of its last one."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    (directory / f"{kept['name']}.json").write_text(text, encoding="utf-8")


def read(directory: pathlib.Path, names: Iterable[str]) -> list[dict[str, Any]]:
    """The results of those groups that were ever measured, in the order of `names`."""
    paths = [directory / f"{name}.json" for name in names]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
