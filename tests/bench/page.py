"""docs/performance.md, written from the results alone: no figure and no verdict in it was typed by anybody. Pure.

A result is what `store` keeps of one group: its name, what it says of itself, the command, date, machine, versions,
and its figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.harness import VERDICTS, rows_of

HEAD = """# Performance

What embertrace costs and carries, measured beside its peers in the same run. This page is written from the files in
`tests/bench/results` by `python3 dev.py bench`, whole; a missed target stands here as one. Timings are medians of
several runs, with the least and the largest in brackets. Where the load before a run was well above 0, others used
the machine too.
"""

TARGETS = {
    "P1": "a traced call while tracing is off",
    "P2": "a traced call while it is on, in the caller",
    "P3": "CPU of the whole process per traced call, delivered and acknowledged",
    "P4": "Ray tasks a second, traced against untraced",
    "P5": "durable, acknowledged events a second",
    "P6": "acknowledgement at half of that load, beside heavy queries",
    "P7": "loading a recording for analysis",
    "P8": "the first questions over ten million events",
    "P9": "bytes of a sealed recording per operator call",
    "P10": "rolling statistics of a live aggregator",
    "P11": "doing nothing",
}


def page(results: Iterable[Mapping[str, Any]]) -> str:
    """The whole page, from the results of the groups in the order in which they are to stand."""
    results = list(results)
    parts = [HEAD, *_overview(results)]
    for result in results:
        parts += _section(result)
    return "\n".join(parts)


def _overview(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each figure that has a target; a target that nothing measured says so."""
    judged: dict[str, list[list[str]]] = {row: [] for row in TARGETS}
    for result in results:
        about = ""
        for figure in result["figures"]:
            about = about if figure["what"].startswith(" ") else figure["what"]
            if figure["met"] is not None:
                what = figure["what"] if about == figure["what"] else f"{about}: {figure['what'].strip()}"
                judged.setdefault(figure["row"], []).append(
                    [figure["row"], what, figure["shown"], figure["target"], VERDICTS[figure["met"]]]
                )
    lines = [["target", "what", "measured", "to reach", "verdict"]]
    for row, found in judged.items():
        lines += found or [[row, TARGETS[row], "", "", "not measured"]]
    return ["## Targets", "", *_markdown(lines), ""]


def _section(result: Mapping[str, Any]) -> list[str]:
    figures = [{**figure, "what": _indented(figure["what"])} for figure in result["figures"]]
    return [
        f"## {result['name']}",
        "",
        result["about"].strip(),
        "",
        *_markdown(rows_of(figures)),
        "",
        f"`{result['command']}`, {result['date']}, {result['seconds']:.0f} s. {_host(result['machine'])} "
        f"{_versions(result['versions'])}",
        "",
    ]


def _host(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['system']} on {machine['processor'] or machine['machine']}, {machine['cores']} cores, "
        f"{machine['memory_gib']:g} GiB; load before: {machine['load']:g}."
    )


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def _indented(what: str) -> str:
    """Markdown drops leading spaces, which say to what a line belongs."""
    return "… " + what.strip() if what.startswith(" ") else what


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]]
