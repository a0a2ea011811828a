"""What is sent to a foreign server, and what it should have afterwards."""

from __future__ import annotations

from typing import Any, NamedTuple

from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.interop.otlp_spans import Spans
from support.forests import Story
from support.otlp_receiver import attributes

PROJECT = "embertrace-interop"
RUN = "interop-1"


class Node(NamedTuple):
    """A span as every server can tell it: name, OpenInference kind, parent's span id, and whether it failed."""

    name: str
    kind: str
    parent: str | None
    failed: bool


class Found(NamedTuple):
    """What a server has: spans by (trace id, span id), the names of events by span id, and of linked spans."""

    nodes: dict[tuple[str, str], Node]
    events: dict[str, list[str]]
    links: dict[str, list[str]]


def told() -> Story:
    """Two items: an ensemble of three with a judge and a member that raised; and a task that was tried twice."""
    story = Story(run=RUN, first_id=0x1000)
    story.describe_run(RUN, name="interop", project=PROJECT, status="running")
    root = story.begin("pipeline", item={"key": "q-1", "truth": "a"}, tags={"split": "test"}, args=["Who was it?"])
    panel = story.begin("panel", "ensemble", "ensemble_1", root)
    for number, answer in enumerate(["a", "b", ValueError]):
        story.member(panel, f"m{number}", answer)
    story.end(panel, ["a", "b", None], took=9_000_000)
    judge = story.judge("a", parent=root, links=[panel])
    story.score(judge, confidence=0.75)
    story.end(root, "a", took=20_000_000)
    second = story.begin("pipeline", item={"key": "q-2", "truth": "b"})
    for attempt in (0, 1):
        task = story.begin("task", parent=second, call_id=0x2000, attempt=attempt, slot=0)
        story.end(task, "b", error="TimeoutError" if attempt == 0 else None)
    story.end(second, "b")
    story.describe_run(RUN, status="finished")
    return story


def analysis() -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(told().forest()))


def expected() -> Found:
    """What a server should have, by the spans themselves."""
    spans = [span for _, span in Spans(analysis().selection(every_attempt=True))]
    return Found(
        {
            (span.trace_id.hex(), span.span_id.hex()): Node(
                span.name,
                attributes(span)["openinference.span.kind"],
                span.parent_span_id.hex() or None,
                span.status.code == span.status.STATUS_CODE_ERROR,
            )
            for span in spans
        },
        {span.span_id.hex(): [event.name for event in span.events] for span in spans if span.events},
        {span.span_id.hex(): sorted(link.span_id.hex() for link in span.links) for span in spans if span.links},
    )


def differences(found: Found, *, links: bool = True) -> list[str]:
    """What a server has otherwise than was sent, in a sentence each; none is as it should be."""
    wanted = expected()
    said = [f"{wanted.nodes[key].name} is missing" for key in wanted.nodes if key not in found.nodes]
    said += [f"{found.nodes[key].name} was never sent" for key in found.nodes if key not in wanted.nodes]
    said += [
        f"{node.name} is {found.nodes[key]}, not {node}"
        for key, node in wanted.nodes.items()
        if key in found.nodes and found.nodes[key] != node
    ]
    compared: list[tuple[str, Any, Any]] = [("events", found.events, wanted.events)]
    compared += [("links", found.links, wanted.links)] if links else []
    return said + [f"{what} are {has}, not {should}" for what, has, should in compared if has != should]
