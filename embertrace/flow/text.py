"""What is written on nodes and edges, made safe to draw, and how wide it will be.

Rules of this file: names come from user code and may hold anything. What leaves here has no control characters, no
lone surrogates, none of the marks that turn the direction of text around, and a bounded length. Escaping belongs
to each format and is done there. Widths are estimates for a sans-serif face, leaning to the wide side: nothing
here may ask a font.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple

from embertrace.flow.model import FlowEdge, FlowNode
from embertrace.markup import ELLIPSIS, printable

LineKind = Literal["label", "kind", "count", "errors", "note"]

FONT_SIZE: dict[LineKind, float] = {"label": 13.0, "kind": 11.0, "count": 11.0, "errors": 11.0, "note": 11.0}
EDGE_FONT_SIZE = 10.5

LINE_WIDTH = 216.0
"""The widest a line on a node may be: about thirty letters, which holds most class names with their module."""

EDGE_TEXT_WIDTH = 170.0
MAX_EDGE_NOTES = 2
MAX_NOTES = 6
"""More lines make a node a page; the rest is named in its tooltip."""

MAX_TOOLTIP_CHARS = 400

NARROW = frozenset("iljtfrI.,:;'`|!()[]{}/\\ -")
WIDE = frozenset("mwMW@%<>=+~")
# Emphasised text is set in bold, which is about this much wider.
BOLD = 1.13


class Line(NamedTuple):
    """One line of text on a node, cut to fit."""

    kind: LineKind
    text: str


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The estimated width in pixels of one line at a font size."""
    return sum(_advance(char) for char in text) * size * (BOLD if bold else 1.0)


def _advance(char: str) -> float:
    if char in NARROW:
        return 0.36
    if char in WIDE:
        return 0.92
    if char.isascii():
        return 0.68 if char.isupper() else 0.6
    if unicodedata.combining(char):
        return 0.0
    return 1.05 if unicodedata.east_asian_width(char) in "WF" else 0.7


def fit(text: str, width: float, size: float, bold: bool = False) -> str:
    """`text` made printable and, where it is wider than `width`, cut in the middle: both ends tell names apart."""
    # Cut by length first: what can't fit needs no measuring.
    most = int(width / (size * 0.3)) + 1
    shown = printable(text if len(text) <= 2 * most else text[:most] + ELLIPSIS + text[-most:])
    if text_width(shown, size, bold) <= width:
        return shown
    room = width - text_width(ELLIPSIS, size, bold)
    head = "".join(_within(shown, room * 0.55, size, bold))
    tail = "".join(_within(reversed(shown), room - text_width(head, size, bold), size, bold))[::-1]
    while tail and unicodedata.combining(tail[0]):
        tail = tail[1:]
    return head + ELLIPSIS + tail


def _within(chars: Iterator[str] | str, room: float, size: float, bold: bool) -> Iterator[str]:
    for char in chars:
        room -= text_width(char, size, bold)
        if room < 0:
            return
        yield char


def node_lines(node: FlowNode) -> list[Line]:
    """What is written on a node, from top to bottom; at least its label."""
    described = " · ".join(part for part in (node.type, node.stage if node.stage != "default" else "") if part)
    lines: list[tuple[LineKind, str]] = [("label", node.label)]
    if described and described != node.label:
        lines.append(("kind", described))
    if node.calls or node.errors:
        lines.append(("count", counted(node.calls, "call")))
    if node.errors:
        lines.append(("errors", counted(node.errors, "error")))
    lines += [("note", note) for note in node.notes[:MAX_NOTES]]
    return [Line(kind, fit(text, LINE_WIDTH, FONT_SIZE[kind], kind == "label") or " ") for kind, text in lines]


def counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def tooltip(node: FlowNode) -> str:
    """Everything a node knows, for those who point at it: one line each, each bounded."""
    label = [node.label] if node.label != node.id else []
    parts = [*label, node.id, node.type, node.stage, *node.notes]
    return "\n".join(cut(part) for part in parts[: 4 + 4 * MAX_NOTES] if part)


def cut(text: str) -> str:
    """`text` made printable and at most MAX_TOOLTIP_CHARS long."""
    if len(text) <= MAX_TOOLTIP_CHARS:
        return printable(text)
    half = MAX_TOOLTIP_CHARS // 2
    return printable(text[:half]) + ELLIPSIS + printable(text[-half + 1 :])


def edge_text(edge: FlowEdge) -> str:
    """What is written at an edge, on one line; "" for nothing."""
    if edge.label:
        return fit(edge.label, EDGE_TEXT_WIDTH, EDGE_FONT_SIZE)
    parts = [f"{edge.count:,}×"] if edge.count else []
    return fit(" · ".join([*parts, *edge.notes[:MAX_EDGE_NOTES]]), EDGE_TEXT_WIDTH, EDGE_FONT_SIZE)
