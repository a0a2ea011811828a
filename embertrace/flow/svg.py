"""A flow graph as an SVG document: its own writer, light and dark by the reader's theme.

Rules of this file: every rule of CSS is scoped to the drawing's own class, so that it can stand in any page and no
page's rules are needed. Nothing has an id, a link, a script, an event handler or an address; arrow heads are drawn,
not referred to. User text enters through `escape` only. The output is well-formed XML whatever the names hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from embertrace.flow.layout import LINE_HEIGHT, PADDING_Y, Box, Layout, Point, Route, layout
from embertrace.flow.model import FlowGraph, FlowNode
from embertrace.flow.text import EDGE_FONT_SIZE, FONT_SIZE, node_lines, text_width, tooltip
from embertrace.markup import escape

MARGIN = 24.0
LEGEND_SIZE, LEGEND_HEIGHT, LEGEND_GAP = 11.0, 40.0, 22.0
MIN_WIDTH = 240.0
EMPTY_TEXT, EMPTY_HEIGHT = "No operator was called.", 24.0
HEAD_LENGTH, HEAD_HALF = 8.0, 3.6
CORNER = 7.0

ROLES = ("ensemble", "judge", "operator")
EDGE_NAMES = {"call": "calls (how often)", "link": "its result is used by"}

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif"

# (selector, property, light, dark). Both themes hold a contrast of at least 4.5 for text against what is behind it.
COLOURS = (
    (".page", "fill", "#ffffff", "#14171c"),
    (".box", "fill", "#f6f7f9", "#20252d"),
    (".box", "stroke", "#c3c9d2", "#465061"),
    (".bar.ensemble", "fill", "#2f6fd0", "#6ea8ff"),
    (".bar.judge", "fill", "#b4690e", "#f0b04f"),
    (".bar.operator", "fill", "#2b8a6b", "#5fcaa6"),
    (".label", "fill", "#1b1f26", "#eef1f5"),
    (".kind, .count, .note, .legend, .edge-text", "fill", "#505a68", "#aeb8c6"),
    (".errors", "fill", "#b3261e", "#ff8a80"),
    (".edge-text", "stroke", "#ffffff", "#14171c"),
    (".call", "stroke", "#6b7686", "#8793a5"),
    (".link", "stroke", "#a85a00", "#e0a040"),
    (".head.call", "fill", "#6b7686", "#8793a5"),
    (".head.link", "fill", "#a85a00", "#e0a040"),
)


def to_svg(graph: FlowGraph) -> str:
    """The graph as a complete SVG document (text, ends in a newline). An empty graph gives a page that says so."""
    plan = layout(graph)
    entries = _legend_entries(graph)
    legend = sum(width for _, _, width in entries)
    inner = max(plan.width, legend, MIN_WIDTH)
    bottom = MARGIN + (plan.height if graph.nodes else EMPTY_HEIGHT)
    height = bottom + (LEGEND_HEIGHT if entries else 0.0) + MARGIN
    width = inner + 2 * MARGIN
    body = [f'<rect class="page" width="{_n(width)}" height="{_n(height)}"/>']
    if graph.nodes:
        # A drawing narrower than its legend stands in the middle.
        body.append(f'<g transform="translate({_n(MARGIN + (inner - plan.width) / 2)} {_n(MARGIN)})">')
        body += _drawing(graph, plan)
        body.append("</g>")
    else:
        body.append(f'<text class="note" x="{_n(MARGIN)}" y="{_n(MARGIN + 16)}">{EMPTY_TEXT}</text>')
    body += _legend(entries, bottom + LEGEND_HEIGHT - 10)
    return _document(graph, width, height, body)


def _document(graph: FlowGraph, width: float, height: float, body: Sequence[str]) -> str:
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    described = f"{len(graph.nodes)} operators and {len(graph.edges)} edges"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="embertrace-flow" role="img" {size}>',
        "<title>Operator flow</title>",
        f"<desc>{described}</desc>",
        f"<style>\n{_style()}\n</style>",
    )
    return "\n".join((*head, *body, "</svg>")) + "\n"


def _style() -> str:
    base = [
        _rule("text", f"font-family: {FONTS}"),
        _rule(".label", f"font-size: {FONT_SIZE['label']:g}px; font-weight: 600"),
        _rule(".kind, .count, .errors, .note, .legend", f"font-size: {FONT_SIZE['note']:g}px"),
        _rule(
            ".edge-text",
            f"font-size: {EDGE_FONT_SIZE:g}px; text-anchor: middle; paint-order: stroke; stroke-width: 3.5px; "
            "stroke-linejoin: round",
        ),
        _rule(".edge", "fill: none; stroke-width: 1.4px"),
        _rule(".edge.link", "stroke-dasharray: 5 4"),
        _rule(".head", "stroke: none"),
    ]
    light = [_rule(selector, f"{name}: {colour}") for selector, name, colour, _ in COLOURS]
    dark = [_rule(selector, f"{name}: {colour}") for selector, name, _, colour in COLOURS]
    return "\n".join([*base, *light, "@media (prefers-color-scheme: dark) {", *dark, "}"])


def _rule(selectors: str, declarations: str) -> str:
    scoped = ", ".join(f".embertrace-flow {selector.strip()}" for selector in selectors.split(","))
    return f"{scoped} {{ {declarations} }}"


def _drawing(graph: FlowGraph, plan: Layout) -> Iterator[str]:
    # Calls over links, boxes over edges, what is written at edges over all.
    for kind in ("link", "call"):
        for route in plan.routes:
            if route.edge.kind == kind:
                yield from _edge(route)
    for node in graph.nodes:
        yield from _node(node, plan.boxes[node.id])
    for route in plan.routes:
        if route.text:
            x, y = route.at
            yield f'<text class="edge-text" x="{_n(x)}" y="{_n(y + EDGE_FONT_SIZE * 0.36)}">{escape(route.text)}</text>'


def _edge(route: Route) -> Iterator[str]:
    before, tip = route.curve[-2], route.curve[-1]
    length = math.hypot(tip[0] - before[0], tip[1] - before[1]) or 1.0
    along = ((tip[0] - before[0]) / length, (tip[1] - before[1]) / length)
    base = (tip[0] - along[0] * HEAD_LENGTH, tip[1] - along[1] * HEAD_LENGTH)
    # The line ends inside its head: a blunt end would show beside the tip.
    points = [*route.curve[:-1], (base[0] + along[0], base[1] + along[1])]
    kind = route.edge.kind
    yield f'<path class="edge {kind}" d="{_path(points)}"/>'
    side = (-along[1] * HEAD_HALF, along[0] * HEAD_HALF)
    corners = (tip, (base[0] + side[0], base[1] + side[1]), (base[0] - side[0], base[1] - side[1]))
    yield f'<polygon class="head {kind}" points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in corners)}"/>'


def _path(points: Sequence[Point]) -> str:
    start, *rest = [f"{_n(x)} {_n(y)}" for x, y in points]
    return f"M{start}C{' '.join(rest)}"


def _node(node: FlowNode, box: Box) -> Iterator[str]:
    lines = node_lines(node)
    yield f"<g><title>{escape(tooltip(node))}</title>"
    yield (
        f'<rect class="box" x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(box.height)}" '
        f'rx="{CORNER:g}"/>'
    )
    bar = max(box.height - 2 * CORNER, 4.0)
    yield f'<rect class="bar {role(node)}" x="{_n(box.x)}" y="{_n(box.y + CORNER)}" width="4" height="{_n(bar)}"/>'
    # A node grown by its ports keeps its text in the middle.
    y = box.y + PADDING_Y + (box.height - 2 * PADDING_Y - sum(LINE_HEIGHT[line.kind] for line in lines)) / 2
    for line in lines:
        y += LINE_HEIGHT[line.kind]
        yield f'<text class="{line.kind}" x="{_n(box.x + 14)}" y="{_n(y - 4.5)}">{escape(line.text)}</text>'
    yield "</g>"


def role(node: FlowNode) -> str:
    """The colour a node's type gets: that of an ensemble, of a judge (or verifier), or of any other operator."""
    kind = node.type.lower()
    if "ensemble" in kind:
        return "ensemble"
    return "judge" if "judge" in kind or "verifier" in kind else "operator"


def _legend_entries(graph: FlowGraph) -> list[tuple[str, str, float]]:
    """(class, text, width) of what the drawing holds, in a fixed order."""
    kinds = {edge.kind for edge in graph.edges}
    roles = {role(node) for node in graph.nodes}
    entries: list[tuple[str, str]] = [(name, text) for name, text in EDGE_NAMES.items() if name in kinds]
    if len(roles) > 1:  # one colour alone tells nothing
        entries += [(name, name) for name in ROLES if name in roles]
    return [(name, text, 34 + text_width(text, LEGEND_SIZE) + LEGEND_GAP) for name, text in entries]


def _legend(entries: Sequence[tuple[str, str, float]], y: float) -> Iterator[str]:
    x = MARGIN
    for name, text, width in entries:
        middle = y - 4
        if name in EDGE_NAMES:
            yield f'<path class="edge {name}" d="M{_n(x)} {_n(middle)}H{_n(x + 21)}"/>'
            tip = (
                f"{_n(x + 28)},{_n(middle)} {_n(x + 20)},{_n(middle - HEAD_HALF)} {_n(x + 20)},{_n(middle + HEAD_HALF)}"
            )
            yield f'<polygon class="head {name}" points="{tip}"/>'
        else:
            yield f'<rect class="bar {name}" x="{_n(x + 18)}" y="{_n(middle - 6)}" width="10" height="12" rx="2"/>'
        yield f'<text class="legend" x="{_n(x + 34)}" y="{_n(y)}">{escape(text)}</text>'
        x += width


def _n(number: float) -> str:
    """A coordinate: a tenth of a pixel is finer than any eye, and keeps files small."""
    text = f"{number:.1f}"
    return text[:-2] if text.endswith(".0") else text
