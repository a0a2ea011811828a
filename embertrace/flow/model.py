"""The flow of operators as data: which called which how often, and whose results went where.

Rules of this file: pure and immutable; it knows nothing of events, layout or file formats. Whoever builds a graph
(the analysis) fills in counts and notes; whoever draws one (`layout`, `svg`, `dot`) takes every text as hostile.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

EdgeKind = Literal["call", "link"]


@dataclasses.dataclass(frozen=True, slots=True)
class FlowNode:
    """One operator. `id` is unique in its graph; `label` is what people read, by default the id.

    `calls` and `errors` are counts ≥ 0, shown when `calls` is not 0. `notes` are further lines, in order, such as
    "disagreement 0.25" or "accuracy 0.91 of 240".
    """

    id: str
    label: str = ""
    type: str = ""
    stage: str = ""
    calls: int = 0
    errors: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.calls < 0 or self.errors < 0:
            raise ValueError(f"node {self.id!r} has {self.calls} calls and {self.errors} errors; counts are ≥ 0")
        object.__setattr__(self, "notes", tuple(self.notes))
        if not self.label:
            object.__setattr__(self, "label", self.id)


@dataclasses.dataclass(frozen=True, slots=True)
class FlowEdge:
    """`source` called `target` (kind "call"), or `target` consumed results of `source` (kind "link").

    `count` says how often, 0 for unknown; `label` replaces the count where it is drawn. `notes` stand beside the
    count, such as "differs 0.12".
    """

    source: str
    target: str
    kind: EdgeKind = "call"
    count: int = 0
    label: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(self.notes))
        if self.kind not in ("call", "link"):
            raise ValueError(f"edge {self.source!r} → {self.target!r} has kind {self.kind!r}; it is 'call' or 'link'")
        if self.count < 0:
            raise ValueError(f"edge {self.source!r} → {self.target!r} has count {self.count}; counts are ≥ 0")


@dataclasses.dataclass(frozen=True, slots=True)
class FlowGraph:
    """Nodes and edges, in the order in which they are best shown (first seen first). May be empty or cyclic.

    Raises ValueError when two nodes share an id, or an edge names a node that is not there.
    """

    nodes: tuple[FlowNode, ...] = ()
    edges: tuple[FlowEdge, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "edges", tuple(self.edges))
        ids: set[str] = set()
        for node in self.nodes:
            if node.id in ids:
                raise ValueError(f"two nodes of the flow graph share the id {node.id!r}; ids must differ")
            ids.add(node.id)
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in ids:
                    raise ValueError(f"edge {edge.source!r} → {edge.target!r}: the graph has no node {end!r}")
