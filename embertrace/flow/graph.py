"""The flow graph of an analysis: one node per operator and stage, calls and links counted on the edges."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from embertrace.analysis import OperatorAnalysis
from embertrace.event import DEFAULT_STAGE, OperatorEvent
from embertrace.flow.dot import to_dot
from embertrace.flow.model import FlowEdge, FlowGraph, FlowNode
from embertrace.flow.svg import to_svg


def visualize_operator_flow(events: Iterable[OperatorEvent] | OperatorAnalysis, *, format: str = "dot") -> str:
    """The flow of operators as "dot" (Graphviz) or "svg" text: who called whom how often, whose results went where.

    Ensembles show their disagreement, labelled operators their accuracy. Takes events or an analysis (then with its
    filters). No events give an empty drawing. Raises QueryError where they are of several runs; an analysis with
    `pool=True` takes them as one.
    """
    drawings = {"dot": to_dot, "svg": to_svg}
    if format not in drawings:
        raise ValueError(f"format is {format!r}; it must be one of {', '.join(drawings)}")
    analysis = events if isinstance(events, OperatorAnalysis) else OperatorAnalysis(events)
    return drawings[format](flow_graph(analysis))


def flow_graph(analysis: OperatorAnalysis, title: str = "") -> FlowGraph:
    """The graph of the selected calls."""
    flow = analysis.flow()
    return FlowGraph(
        nodes=tuple(_node(row) for row in flow["nodes"]),
        edges=tuple(FlowEdge(row["source"], row["target"], row["kind"], row["count"]) for row in flow["edges"]),
        title=title,
    )


def _node(row: Mapping[str, Any]) -> FlowNode:
    notes = [f"{name} {row[name]:.3f}" for name in ("disagreement", "accuracy") if _known(row.get(name))]
    return FlowNode(
        id=row["id"],
        label=row["operator"],
        type=row["type"],
        stage=row["stage"] if row["stage"] != DEFAULT_STAGE else "",
        calls=row["calls"],
        errors=row["errors"],
        notes=tuple(notes),
    )


def named(node_id: str) -> str:
    """A node's operator and stage, out of its id: what a table of edges shows."""
    operator, _, stage = json.loads(node_id)
    return f"{operator} · {stage}" if stage != DEFAULT_STAGE else str(operator)


def _known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)
