"""A flow graph as DOT text, for those who draw with Graphviz.

Rules of this file: nodes are named n0, n1, …, so that no user text is ever a name. User text stands only in quoted
labels, escaped for all three readers: the DOT lexer (quotes), Graphviz's label escapes (backslashes) and its entities
(ampersands). No URL, href, tooltip or HTML label is written, whatever a name looks like.
"""

from __future__ import annotations

from embertrace.flow.model import FlowEdge, FlowGraph
from embertrace.flow.text import edge_text, node_lines
from embertrace.markup import printable

HEAD = """\
digraph flow {
  rankdir=LR;
  node [shape=box, style=rounded, fontname="Helvetica", fontsize=11];
  edge [fontname="Helvetica", fontsize=9];
"""


def quote(text: str) -> str:
    """`text` as a quoted DOT label that Graphviz shows as it is; a newline becomes a line break."""
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "\\n".join(printable(line) for line in escaped.split("\n")) + '"'


def to_dot(graph: FlowGraph) -> str:
    """The graph as DOT text, ending in a newline; calls are solid, links dashed. An empty graph is a valid digraph."""
    names = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = [HEAD]
    for node in graph.nodes:
        text = "\n".join(line.text for line in node_lines(node))
        lines.append(f"  {names[node.id]} [label={quote(text)}];\n")
    lines += [f"  {names[edge.source]} -> {names[edge.target]}{_attributes(edge)};\n" for edge in graph.edges]
    return "".join(lines) + "}\n"


def _attributes(edge: FlowEdge) -> str:
    attributes = ["style=dashed"] if edge.kind == "link" else []
    text = edge_text(edge)
    if text:
        attributes.append(f"label={quote(text)}")
    return f" [{', '.join(attributes)}]" if attributes else ""
