"""The flow of operators as a picture: the graph, and its drawing as SVG, DOT or Mermaid text.

Rules of this package: pure Python, no font, no program beside it; the same graph gives the same bytes. Every name in
a graph comes from user code: it is escaped by its format, bounded in length, and never becomes an address, an
attribute or markup.
"""

from __future__ import annotations

from embertrace.flow.dot import to_dot
from embertrace.flow.graph import flow_graph, visualize_operator_flow
from embertrace.flow.layout import Box, Layout, Route, layout
from embertrace.flow.mermaid import to_mermaid
from embertrace.flow.model import FlowEdge, FlowGraph, FlowNode
from embertrace.flow.svg import to_svg

__all__ = [
    "Box",
    "FlowEdge",
    "FlowGraph",
    "FlowNode",
    "Layout",
    "Route",
    "flow_graph",
    "layout",
    "to_dot",
    "to_mermaid",
    "to_svg",
    "visualize_operator_flow",
]
