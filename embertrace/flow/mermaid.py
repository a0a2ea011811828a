"""A flow graph as Mermaid text, for pages and notes that draw it: Markdown on code hosts, notebooks.

Rules of this file: nodes are named n0, n1, …, so that no user text is ever a name. User text stands only in quoted
labels, in which every character that is no plain letter, digit or space of any script is a numeric entity: no quote,
bracket, backtick, tag, directive or address is left for Mermaid or the page around it to read.
"""

from __future__ import annotations

from embertrace.flow.model import FlowGraph
from embertrace.flow.text import edge_text, node_lines
from embertrace.markup import printable

PLAIN = frozenset(" .,-_×·…–")
"""Marks that mean nothing to Mermaid within quotes, and that names are full of."""


def quote(text: str) -> str:
    """`text` as a quoted Mermaid label; a newline becomes a line break."""
    return '"' + "<br/>".join(map(_entities, text.split("\n"))) + '"'


def _entities(text: str) -> str:
    return "".join(char if char.isalnum() or char in PLAIN else f"#{ord(char)};" for char in printable(text))


def to_mermaid(graph: FlowGraph) -> str:
    """The graph as a Mermaid flowchart, ending in a newline; calls are solid, links dotted. May be empty."""
    names = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        text = "\n".join(line.text for line in node_lines(node))
        lines.append(f"  {names[node.id]}[{quote(text)}]")
    for edge in graph.edges:
        arrow = "-.->" if edge.kind == "link" else "-->"
        text = edge_text(edge)
        label = f"|{quote(text)}|" if text else ""
        lines.append(f"  {names[edge.source]} {arrow}{label} {names[edge.target]}")
    return "\n".join(lines) + "\n"
