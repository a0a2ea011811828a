"""Where everything of a flow graph stands, in pixels: boxes in columns from left to right, edges as cubic curves.

Rules of this file: pure; the same graph gives the same numbers. A column is a rank: operators stand to the right of
those that called them and of those whose results they consumed. Text is measured by `text`, never by a font.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from embertrace.flow.coordinates import place_rows
from embertrace.flow.layers import Layers, Neighbours, build_layers
from embertrace.flow.model import FlowEdge, FlowGraph, FlowNode
from embertrace.flow.text import EDGE_FONT_SIZE, FONT_SIZE, LineKind, edge_text, node_lines, text_width

LINE_HEIGHT: dict[LineKind, float] = {"label": 18.0, "kind": 15.0, "count": 15.0, "errors": 15.0, "note": 15.0}
PADDING_X, PADDING_Y = 14.0, 9.0
MIN_WIDTH = 84.0
PORT_STEP = 13.0
MIN_PORT_STEP = 7.0
"""Closer than this, arrow heads at one node cover each other: the node grows instead."""

MAX_PORT_HEIGHT = 400.0
NODE_GAP, MIXED_GAP, BEND_GAP = 22.0, 16.0, 11.0
COLUMN_GAP = 58.0
STEEP, MOST_STEEP_GAP = 0.14, 110.0
"""Edges that climb far get this share of their climb as room, so that they don't run along the boxes."""

LOOP_WIDTH, LOOP_HEIGHT = 34.0, 24.0
TEXT_PLACES = (0.55, 0.66, 0.44, 0.74, 0.34, 0.8, 0.26)
CELL = 64.0

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A node's rectangle: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """One edge: `curve` is a start point, then three points for each cubic piece; `text` stands centred at `at`."""

    edge: FlowEdge
    curve: tuple[Point, ...]
    text: str
    at: Point


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """A drawing's size, a box and a rank for each node id, and a route for each edge in the graph's order."""

    width: float
    height: float
    boxes: dict[str, Box]
    ranks: dict[str, int]
    routes: tuple[Route, ...]


def layout(graph: FlowGraph) -> Layout:
    """Lay a graph out. All coordinates are ≥ 0; an empty graph has size 0 × 0. Boxes never overlap."""
    if not graph.nodes:
        return Layout(0.0, 0.0, {}, {}, ())
    index = {node.id: number for number, node in enumerate(graph.nodes)}
    arcs = [(index[edge.source], index[edge.target]) for edge in graph.edges]
    layers, neighbours = build_layers(len(graph.nodes), arcs, [edge.kind == "call" for edge in graph.edges])
    return _Drawing(graph, layers, neighbours).finish()


class _Drawing:
    """The numbers of one layout while it is made."""

    def __init__(self, graph: FlowGraph, layers: Layers, neighbours: Neighbours) -> None:
        self.graph, self.layers, self.neighbours = graph, layers, neighbours
        self.nodes = len(graph.nodes)
        items = len(neighbours.before)
        self.rank = [0] * items
        for rank, row in enumerate(layers.rows):
            for item in row:
                self.rank[item] = rank
        number = {node.id: item for item, node in enumerate(graph.nodes)}
        self.loops = [0] * items
        for edge, chain in zip(graph.edges, layers.chains, strict=True):
            if not chain:
                self.loops[number[edge.source]] += 1
        sides = self._ports()
        sizes = [_node_size(node) for node in graph.nodes]
        self.widths = [width for width, _ in sizes] + [0.0] * (items - self.nodes)
        self.heights = [
            max(height, min(MAX_PORT_HEIGHT, MIN_PORT_STEP * (max(sides[item]) + 1)))
            for item, (_, height) in enumerate(sizes)
        ] + [0.0] * (items - self.nodes)

    def _ports(self) -> list[tuple[int, int]]:
        """How many edges end on the left and on the right side of each node."""
        sides = [[0, 0] for _ in range(self.nodes)]
        for chain in self.layers.chains:
            if chain:
                sides[chain[0]][1] += 1
                sides[chain[-1]][0] += 1
        return [(left, right) for left, right in sides]

    def finish(self) -> Layout:
        rows = self.layers.rows
        slots = place_rows(rows, self.neighbours.before, self.neighbours.after, self._gap, self.nodes)
        top = min(slots[item] - self._slot(item) / 2 for item in range(len(slots)))
        # Eighths of a pixel are exact in binary: no border is off by the last digit of a sum.
        self.centres = [
            round((slot - top) * 8) / 8 + self.loops[item] * LOOP_HEIGHT / 2 for item, slot in enumerate(slots)
        ]
        self.columns = [max(self.widths[item] for item in row) for row in rows]
        self.lefts = self._lefts()
        boxes = {
            node.id: Box(
                self.lefts[self.rank[item]],
                self.centres[item] - self.heights[item] / 2,
                self.columns[self.rank[item]],
                self.heights[item],
            )
            for item, node in enumerate(self.graph.nodes)
        }
        routes = self._routes(boxes)
        width = max(
            max(box.x + box.width for box in boxes.values()),
            max((route.at[0] + _edge_width(route.text) / 2 for route in routes), default=0.0),
        )
        height = max(self.centres[item] + self.heights[item] / 2 for item in range(len(slots)))
        ranks = {node.id: self.rank[item] for item, node in enumerate(self.graph.nodes)}
        return Layout(width, height, boxes, ranks, routes)

    def _slot(self, item: int) -> float:
        """The height an item needs in its column: a node's, with its loops above it."""
        return self.heights[item] + self.loops[item] * LOOP_HEIGHT

    def _gap(self, first: int, second: int) -> float:
        bends = (first >= self.nodes) + (second >= self.nodes)
        return (self._slot(first) + self._slot(second)) / 2 + (NODE_GAP, MIXED_GAP, BEND_GAP)[bends]

    def _lefts(self) -> list[float]:
        """The left border of each column: wide enough gaps for what is written there and for steep edges."""
        room = [0.0] * len(self.columns)
        for edge, chain in zip(self.graph.edges, self.layers.chains, strict=True):
            written = _edge_width(edge_text(edge))
            for upper, lower in itertools.pairwise(chain):
                climb = abs(self.centres[upper] - self.centres[lower])
                needed = written + min(MOST_STEEP_GAP, climb * STEEP)
                room[self.rank[upper]] = max(room[self.rank[upper]], needed)
        lefts, x = [], 0.0
        for column, more in zip(self.columns, room, strict=True):
            lefts.append(x)
            x += column + COLUMN_GAP + more
        return lefts

    def _routes(self, boxes: dict[str, Box]) -> tuple[Route, ...]:
        leaving = self._port_places(first=True)
        arriving = self._port_places(first=False)
        taken = _Taken()
        drawn: dict[str, int] = {}
        routes = []
        for index, (edge, chain) in enumerate(zip(self.graph.edges, self.layers.chains, strict=True)):
            text = edge_text(edge)
            if not chain:
                drawn[edge.source] = drawn.get(edge.source, 0) + 1
                routes.append(_loop(edge, boxes[edge.source], drawn[edge.source], text))
                continue
            curve = self._curve(chain, leaving[index], arriving[index])
            if self.layers.backward[index]:
                curve.reverse()
            at = taken.place(curve, at_start=edge.kind == "link", width=_edge_width(text)) if text else curve[0]
            routes.append(Route(edge, tuple(curve), text, at))
        return tuple(routes)

    def _port_places(self, first: bool) -> dict[int, float]:
        """The height at which each edge leaves its first item, or reaches its last: in the order of the far ends."""
        ends: dict[int, list[tuple[float, float, int]]] = {}
        for index, chain in enumerate(self.layers.chains):
            if chain:
                own, near, far = (chain[0], chain[1], chain[-1]) if first else (chain[-1], chain[-2], chain[0])
                ends.setdefault(own, []).append((self.centres[near], self.centres[far], index))
        places = {}
        for item, edges in ends.items():
            step = min(PORT_STEP, self.heights[item] / (len(edges) + 1))
            for order, (_, _, index) in enumerate(sorted(edges)):
                places[index] = self.centres[item] + (order - (len(edges) - 1) / 2) * step
        return places

    def _curve(self, chain: Sequence[int], start: float, end: float) -> list[Point]:
        """A curve through a chain, by rising rank: level at each end and straight through the columns it crosses."""
        x = self.lefts[self.rank[chain[0]]] + self.columns[self.rank[chain[0]]]
        points: list[Point] = [(x, start)]
        for item in chain[1:-1]:
            left = self.lefts[self.rank[item]]
            _reach(points, (left, self.centres[item]))
            _reach(points, (left + self.columns[self.rank[item]], self.centres[item]))
        _reach(points, (self.lefts[self.rank[chain[-1]]], end))
        return points


class _Taken:
    """Where edge texts already stand, so that the next ones go elsewhere. Cells keep each look-up short."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], list[Box]] = {}

    def place(self, curve: Sequence[Point], at_start: bool, width: float) -> Point:
        """A free place on the first or last piece of a curve; the most usual one where none is free."""
        piece = curve[:4] if at_start else curve[-4:]
        places = [1 - share for share in TEXT_PLACES] if at_start else TEXT_PLACES
        low, high = sorted((piece[0][0], piece[3][0]))
        left, right = (4, 12) if piece[0][0] <= piece[3][0] else (12, 4)  # an arrow head stands at one side
        boxes = []
        for share in places:
            x, y = _on_cubic(piece, share)
            x = min(max(x, low + width / 2 + left), high - width / 2 - right)
            boxes.append(Box(x - width / 2, y - EDGE_FONT_SIZE / 2, width, EDGE_FONT_SIZE))
        chosen = next((box for box in boxes if not self._touches(box)), boxes[0])
        for cell in _cells(chosen):
            self.cells.setdefault(cell, []).append(chosen)
        return chosen.x + width / 2, chosen.y + EDGE_FONT_SIZE / 2

    def _touches(self, box: Box) -> bool:
        return any(box.overlaps(other) for cell in _cells(box) for other in self.cells.get(cell, ()))


def _cells(box: Box) -> list[tuple[int, int]]:
    columns = range(int(box.x // CELL), int((box.x + box.width) // CELL) + 1)
    rows = range(int(box.y // CELL), int((box.y + box.height) // CELL) + 1)
    return [(column, row) for column in columns for row in rows]


def _node_size(node: FlowNode) -> tuple[float, float]:
    lines = node_lines(node)
    widest = max(text_width(line.text, FONT_SIZE[line.kind], line.kind == "label") for line in lines)
    return max(MIN_WIDTH, widest + 2 * PADDING_X), sum(LINE_HEIGHT[line.kind] for line in lines) + 2 * PADDING_Y


def _edge_width(text: str) -> float:
    return text_width(text, EDGE_FONT_SIZE) + 4 if text else 0.0


def _reach(points: list[Point], end: Point) -> None:
    """Append a cubic piece to `end`, level at both ends."""
    start = points[-1]
    middle = (start[0] + end[0]) / 2
    points += [(middle, start[1]), (middle, end[1]), end]


def _on_cubic(piece: Sequence[Point], share: float) -> Point:
    rest = 1 - share
    weights = (rest**3, 3 * rest * rest * share, 3 * rest * share * share, share**3)
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, piece, strict=True)) for axis in (0, 1))
    return x, y


def _loop(edge: FlowEdge, box: Box, number: int, text: str) -> Route:
    """An edge from a node to itself: an arc over the box; further ones rise higher."""
    half = min(LOOP_WIDTH / 2 * (1 + (number - 1) * 0.35), box.width / 2 - LOOP_WIDTH / 4)
    middle, rise = box.x + box.width / 2, LOOP_HEIGHT * number
    curve = (
        (middle - half, box.y),
        (middle - half, box.y - rise),
        (middle + half, box.y - rise),
        (middle + half, box.y),
    )
    return Route(edge, curve, text, (middle, box.y - rise * 0.75))
