"""The flow of operators laid out for a page: where each box stands, what is written in it, how each edge runs. Pure.

The layout is that of `embertrace.flow`, so that the page, a report and a DOT file show one picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from embertrace.analysis import Table
from embertrace.analysis.results import Result
from embertrace.errors import QueryError
from embertrace.flow import FlowNode, Layout, flow_graph, layout
from embertrace.flow.layout import LINE_HEIGHT, PADDING_Y
from embertrace.flow.text import node_lines

Ask = Callable[[Mapping[str, Any]], Result]
MAX_NODES = 400
"""More operators are no picture any more, and their layout would hold up everybody's questions."""
THICKEST = 2.5
"""Pixels of the edge that was passed most often; others by the logarithm of theirs."""


def drawing(ask: Ask, params: Mapping[str, Any]) -> dict[str, Any]:
    """{width, height, nodes, edges, left_out, notes} of the calls that `filters` leave; no nodes where there are none.

    A node has its place and size, its operator, type and stage, and `lines`: {kind, text, y}. An edge has its kind, its
    `curve` (a point, then three for each cubic piece), `text` at `at`, and `weight`, its width.
    """
    found = ask({"verb": "flow", "filters": params.get("filters") or [], "options": params.get("options") or {}})
    assert isinstance(found, Table)
    rows = {row["id"]: row for row in found["nodes"]}
    if len(rows) > MAX_NODES:
        raise QueryError(f"{len(rows)} operators are too many for a picture of at most {MAX_NODES}: filter them")
    graph = flow_graph(found)
    plan = layout(graph)
    most = max((edge.count for edge in graph.edges), default=0)
    edges = [
        {
            "kind": route.edge.kind,
            "curve": [list(point) for point in route.curve],
            "text": route.text,
            "at": list(route.at),
            "weight": 1 + (THICKEST - 1) * math.log1p(route.edge.count) / math.log1p(most) if most else 1.0,
        }
        for route in plan.routes
    ]
    nodes = [_node(node, rows[node.id], plan) for node in graph.nodes]
    about = {"left_out": found.left_out, "notes": list(found.notes)}
    return {"width": plan.width, "height": plan.height, "nodes": nodes, "edges": edges, **about}


def _node(node: FlowNode, row: Mapping[str, Any], plan: Layout) -> dict[str, Any]:
    box = plan.boxes[node.id]
    lines = node_lines(node)
    y = PADDING_Y + (box.height - 2 * PADDING_Y - sum(LINE_HEIGHT[line.kind] for line in lines)) / 2
    placed = []
    for line in lines:
        y += LINE_HEIGHT[line.kind]
        placed.append({"kind": line.kind, "text": line.text, "y": y - 4})
    place = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    return {**{name: row[name] for name in ("operator", "type", "stage")}, **place, "lines": placed}
