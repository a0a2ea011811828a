"""Arize Phoenix: an aggregator's exporter sends to it, late labels included; read back over its REST API."""

from __future__ import annotations

import contextlib
import pathlib
import urllib.error
import urllib.parse
from typing import Any

from embertrace.emit import emitter_for
from embertrace.wire.event import pack_event
from interop.servers import READ_S, asked, environment, running, version_of, wait_for
from interop.story import PROJECT, Found, Node, differences, expected, told
from support.aggregators import aggregator
from support.forests import Placed, Story
from support.ports import free_port

PACKAGE = "arize-phoenix"
WHAT = (
    "tree, names, kinds, status, exceptions; scores and late labels as annotations, a changed one replaced "
    "(it keeps no links)"
)


def run(directory: pathlib.Path) -> tuple[str, list[str], str]:
    """(version, differences, what was compared)."""
    programs, port = environment(PACKAGE), free_port()
    base = f"http://127.0.0.1:{port}"
    settings = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(directory),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with (
        running([str(programs / "phoenix"), "serve"], settings, directory, f"{base}/healthz"),
        aggregator(directory / "rec", "--otlp", base, "--phoenix") as (ready, _),
    ):
        emit(ready["endpoint"], told().events)
        wanted = len(expected().nodes)
        with contextlib.suppress(TimeoutError):  # then it is said what is missing
            wait_for(lambda: len(read(base).nodes) >= wanted, READ_S, "the spans did not come")
        found = differences(read(base), links=False) + label_twice(base, ready["endpoint"])
    return version_of(programs, PACKAGE), found, WHAT


def label_twice(base: str, endpoint: str) -> list[str]:
    """Differences in annotations, after a label that came late and was changed."""
    (root,) = (span for (_, span), node in expected().nodes.items() if node.name == "pipeline" and is_first(span))
    said = []
    for truth in ("b", "a"):
        labels = Story(f"labels-{truth}")
        labels.label("q-1", truth, by="human:ann")
        emit(endpoint, labels.events)
        wanted = [("truth", "human:ann", truth, None)]
        with contextlib.suppress(TimeoutError):
            wait_for(lambda wanted=wanted: annotations(base, root) == wanted, READ_S, "")  # type: ignore[misc]
        if annotations(base, root) != wanted:
            said.append(f"annotations are {annotations(base, root)}, not {wanted}")
    (judge,) = (span for (_, span), node in expected().nodes.items() if node.name == "chooser")
    scored = [("confidence", "embertrace", None, 0.75)]
    if annotations(base, judge) != scored:
        said.append(f"the judge's annotations are {annotations(base, judge)}, not {scored}")
    return said


def is_first(span: str) -> bool:
    return int(span, 16) == 0x1000


def emit(endpoint: str, events: list[Placed]) -> None:
    emitter = emitter_for(endpoint)
    for _, _, event in events:
        emitter.put(pack_event(event))
    assert emitter.flush(30)
    emitter.close(10)


def project(base: str) -> str:
    return f"{base}/v1/projects/{urllib.parse.quote(PROJECT)}"


def read(base: str) -> Found:
    """What it has of the project; nothing before there is one."""
    try:
        spans: list[dict[str, Any]] = asked(f"{project(base)}/spans?limit=1000")["data"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        spans = []
    return Found(
        {
            (span["context"]["trace_id"], span["context"]["span_id"]): Node(
                span["name"], span["span_kind"], span["parent_id"] or None, span["status_code"] == "ERROR"
            )
            for span in spans
        },
        {span["context"]["span_id"]: [event["name"] for event in span["events"]] for span in spans if span["events"]},
        {},
    )


def annotations(base: str, span: str) -> list[tuple[Any, ...]]:
    found = asked(f"{project(base)}/span_annotations?span_ids={span}")["data"]
    return sorted(
        (one["name"], one["identifier"], one["result"].get("label"), one["result"].get("score")) for one in found
    )
