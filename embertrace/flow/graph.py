"""The flow graph of an analysis: one node per operator and stage, calls and links counted on the edges."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from embertrace.analysis import OperatorAnalysis, Table, notebook
from embertrace.event import DEFAULT_STAGE, OperatorEvent
from embertrace.flow.dot import to_dot
from embertrace.flow.mermaid import to_mermaid
from embertrace.flow.model import FlowEdge, FlowGraph, FlowNode
from embertrace.flow.svg import to_svg


def visualize_operator_flow(
    events: Iterable[OperatorEvent] | OperatorAnalysis, *, format: str = "dot", trace: str | None = None
) -> str:
    """The flow of operators as "dot" (Graphviz), "mermaid" or "svg": who called whom, whose results went where.

    One node per operator and stage, edges with how often; of all calls, or of one `trace` (its id). Ensembles show
    their disagreement, edges to members how far each differs from the others, labelled operators their accuracy.
    Links, dashed, are apart from calls. Takes events or an analysis (then with its filters). No events give an empty
    drawing. Raises QueryError where they are of several runs; an analysis with `pool=True` takes them as one.
    """
    if format not in DRAWINGS:
        raise ValueError(f"format is {format!r}; it must be one of {', '.join(DRAWINGS)}")
    analysis = events if isinstance(events, OperatorAnalysis) else OperatorAnalysis(events)
    return DRAWINGS[format](flow_graph((analysis if trace is None else analysis.trace(trace)).flow()))


def _picture(analysis: OperatorAnalysis) -> str:
    return visualize_operator_flow(analysis, format="svg")


notebook.draw_flow = _picture
DRAWINGS = {"dot": to_dot, "mermaid": to_mermaid, "svg": to_svg}


def flow_graph(flow: Table) -> FlowGraph:
    """The graph of what `OperatorAnalysis.flow` answered."""
    callers = Counter(row["target"] for row in flow["edges"] if row["kind"] == "call")
    return FlowGraph(
        nodes=tuple(_node(row) for row in flow["nodes"]),
        edges=tuple(_edge(row, callers[row["target"]] > 1) for row in flow["edges"]),
    )


def _edge(row: Mapping[str, Any], shared: bool) -> FlowEdge:
    """`shared`: other edges of calls lead there, too; else its accuracy is the node's, and stands there."""
    notes = [f"differs {row['disagreement']:.2f}"] if _known(row.get("disagreement")) else []
    notes += [f"right {row['accuracy']:.2f}"] if shared and _known(row.get("accuracy")) else []
    return FlowEdge(row["source"], row["target"], row["kind"], row["count"], notes=tuple(notes))


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
