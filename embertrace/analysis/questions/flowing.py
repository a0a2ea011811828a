"""The flow of operators as counts: nodes are (operator, type, stage), edges are calls between them and links.

A link runs from the operator whose result was consumed to the one that consumed it: from the ensemble that fed a
judge, else from whatever calls the consumer names. An edge of calls has the accuracy of what was called there; from an
ensemble to a member also its disagreement: the mean share of the other members that answered otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from typing import Any

from embertrace.analysis.answers import Answers
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble, is_ensemble, is_judge, read_ensemble
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.voting import disagreement_of, leaders_of, majority_share, why_left_out
from embertrace.analysis.results import Table

Node = tuple[str, str, str]
Edge = tuple[Node, Node, str]
Sums = dict[Any, tuple[Fraction, int]]


class Flow:
    """Counts that merge: per node, and per edge (source, target, kind)."""

    def __init__(self) -> None:
        self.calls: Counter[Node] = Counter()
        self.errors: Counter[Node] = Counter()
        self.right: Sums = {}  # by node, and by edge
        self.disagreement: Sums = {}
        self.edges: Counter[Edge] = Counter()

    def merge(self, other: Flow) -> Flow:
        self.calls += other.calls
        self.errors += other.errors
        self.edges += other.edges
        for mine, theirs in ((self.right, other.right), (self.disagreement, other.disagreement)):
            for node, (total, count) in theirs.items():
                _add(mine, node, total, count)
        return self

    def finish(self) -> Table:
        """{"nodes": [{id, operator, type, stage, calls, errors, disagreement, accuracy}], "edges":
        [{source, target, kind,
        count, disagreement, accuracy}]}."""
        nodes = [
            {
                "id": _name(node),
                "operator": node[0],
                "type": node[1],
                "stage": node[2],
                "calls": self.calls[node],
                "errors": self.errors[node],
                "disagreement": _mean(self.disagreement.get(node)),
                "accuracy": _mean(self.right.get(node)),
            }
            for node in sorted(self.calls)
        ]
        edges = [
            {
                "source": _name(edge[0]),
                "target": _name(edge[1]),
                "kind": edge[2],
                "count": count,
                "disagreement": _mean(self.disagreement.get(edge)),
                "accuracy": _mean(self.right.get(edge)),
            }
            for edge, count in sorted(self.edges.items())
        ]
        return Table({"nodes": nodes, "edges": edges})


def flow(selection: Selection) -> Flow:
    """Count the selected calls, the calls between them, and what judges consumed."""
    found = Flow()
    answers = Answers(None)
    right = Correctness(answers, selection.trees.labels, None)
    for call in selection.calls:
        node = _node(call)
        found.calls[node] += 1
        found.errors[node] += call.outcome == "error"
        if is_ensemble(call):
            ensemble = read_ensemble(call, answers)
            if why_left_out(ensemble) is None:
                _add_ensemble(found, node, ensemble, right)
        edge = (_node(call.parent), node, "call") if call.parent is not None and selection.has(call.parent) else None
        if not is_ensemble(call) and call.outcome == "result" and (value := right.of_call(call)) is not None:
            for place in (node, edge) if edge is not None else (node,):
                _add(found.right, place, Fraction(value), 1)
        if edge is not None:
            found.edges[edge] += 1
        for source in _consumed(call, selection):
            found.edges[_node(source), node, "link"] += 1
    return found


def _add_ensemble(found: Flow, node: Node, ensemble: Ensemble, right: Correctness) -> None:
    """An ensemble's disagreement, and as its accuracy that of its majority."""
    disagreement = disagreement_of(ensemble)
    if disagreement is not None:
        _add(found.disagreement, node, disagreement, 1)
    votes = ensemble.votes()
    others = votes.total() - 1
    for member in ensemble.members:
        if member.key is not None and member.call is not None and others:
            _add(found.disagreement, (node, _node(member.call), "call"), 1 - Fraction(votes[member.key] - 1, others), 1)
    leaders = leaders_of(ensemble)
    share = majority_share(ensemble, leaders, right, "expected") if leaders else None
    if share is not None:
        _add(found.right, node, share, 1)


def _consumed(call: Call, selection: Selection) -> list[Call]:
    """The calls whose results this one took in."""
    if is_judge(call):
        feeds = selection.links.feeds(call)
        sources = [source for feed in feeds for source in feed.members or (feed.ensemble,)]
        return [source for source in sources if source is not None and selection.has(source)]
    linked = (selection.trees.by_id.get(link) for link in call.links)
    return [source for source in linked if source is not None and selection.has(source) and source is not call.parent]


def _node(call: Call) -> Node:
    return call.operator_id, call.operator_type, call.stage


def _name(node: Node) -> str:
    return json.dumps(node, ensure_ascii=False)


def _add(sums: Sums, node: Node | Edge, value: Fraction, count: int) -> None:
    total, seen = sums.get(node, (Fraction(0), 0))
    sums[node] = total + value, seen + count


def _mean(entry: tuple[Fraction, int] | None) -> Any:
    return float(entry[0] / entry[1]) if entry is not None else None
