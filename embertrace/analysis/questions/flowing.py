"""The flow of operators as counts: nodes are (operator, type, stage), edges are calls between them and links.

A link runs from the operator whose result was consumed to the one that consumed it: from the ensemble that fed a
judge, else from whatever calls the consumer names. An edge of calls has the accuracy of what was called there; from an
ensemble to a member also its disagreement: the mean share of the other members that answered otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.ballots import places_of_type
from embertrace.analysis.arrays.feeding import LEFT, feeding_of, have_links
from embertrace.analysis.arrays.kinds import alike, kinds_of
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble, is_judge, read_ensemble, why_left_out
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.reading import shares_of
from embertrace.analysis.questions.voting import disagreement_of, leaders_of, majority_share
from embertrace.analysis.results import Table
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.shape import ERROR_OUTCOME

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
    shape, mask = selection.trees.shape, selection.mask
    right = Correctness(Answers(None), selection.trees.labels, None)
    chosen = np.flatnonzero(mask)
    found.calls.update(_counted(selection, chosen))
    found.errors.update(_counted(selection, chosen[shape.outcome[chosen] == ERROR_OUTCOME]))
    below = chosen[shape.parent[chosen] >= 0]
    below = below[mask[shape.parent[below]]]
    for (source, target), times in _counted_pairs(selection, shape.parent[below], below).items():
        found.edges[source, target, "call"] += times
    is_whole = places_of_type(selection.trees, "ensemble")
    for share, places in shares_of(selection, right, chosen[~is_whole[chosen]]):
        _add_right(found, selection, share, places, mask)
    for ensemble, times in _whole_ensembles(selection, right, mask & is_whole):
        if why_left_out(ensemble) is None:
            _add_ensemble(found, ensemble, times, right)
    _add_links(found, selection, chosen)
    return found


def _counted(selection: Selection, places: Array) -> dict[Node, int]:
    names, times = counted(selection.trees.shape.name[places])
    triples = selection.trees.table.names.triples
    return {triples[name]: count for name, count in zip(names.tolist(), times.tolist(), strict=True)}


def _counted_pairs(selection: Selection, sources: Array, targets: Array) -> dict[tuple[Node, Node], int]:
    triples, name = selection.trees.table.names.triples, selection.trees.shape.name
    pairs, times = counted(name[sources].astype(np.int64) * len(triples) + name[targets])
    codes = zip(pairs.tolist(), times.tolist(), strict=True)
    return {(triples[code // len(triples)], triples[code % len(triples)]): count for code, count in codes}


def _add_right(found: Flow, selection: Selection, share: Fraction, places: Array, mask: Array) -> None:
    for node, times in _counted(selection, places).items():
        _add(found.right, node, share * times, times)
    parents = selection.trees.shape.parent[places]
    below = np.flatnonzero(parents >= 0)
    below = below[mask[parents[below]]]
    for (source, target), times in _counted_pairs(selection, parents[below], places[below]).items():
        _add(found.right, (source, target, "call"), share * times, times)


def _whole_ensembles(selection: Selection, right: Correctness, chosen: Array) -> Iterator[tuple[Ensemble, int]]:
    """The ensembles at the chosen places, with all their members, and how many are like each."""
    trees = selection.trees
    kinds = kinds_of(trees, right.answers, right, None, by_answer=False)
    if kinds is None:
        together, alone = [], np.flatnonzero(chosen)
    else:
        selected = np.flatnonzero(chosen[kinds.place])
        together = [kinds.place[selected[at]] for at in alike(kinds.kind[selected])]
        alone = kinds.rest[chosen[kinds.rest]]
    for places in [*together, *alone[:, None]]:
        yield read_ensemble(trees.at(int(places[0])), right.answers), len(places)


def _add_ensemble(found: Flow, ensemble: Ensemble, times: int, right: Correctness) -> None:
    """Ensembles' disagreement, and as their accuracy that of their majorities."""
    node = _node(ensemble.call)
    disagreement = disagreement_of(ensemble)
    if disagreement is not None:
        _add(found.disagreement, node, disagreement * times, times)
    votes = ensemble.votes()
    others = votes.total() - 1
    for member in ensemble.members:
        if member.key is not None and member.call is not None and others:
            edge = node, _node(member.call), "call"
            _add(found.disagreement, edge, (1 - Fraction(votes[member.key] - 1, others)) * times, times)
    leaders = leaders_of(ensemble)
    share = majority_share(ensemble, leaders, right, "expected") if leaders else None
    if share is not None:
        _add(found.right, node, share * times, times)


def _add_links(found: Flow, selection: Selection, chosen: Array) -> None:
    """Edges from the calls whose results others took in; judges that one ensemble fed are counted at once."""
    trees, mask = selection.trees, selection.mask
    feeding = feeding_of(trees)
    fed = np.flatnonzero((feeding.ensemble >= 0) & mask[feeding.judge])
    fed = fed[mask[feeding.ensemble[fed]]]
    for (fed_by, judge), times in _counted_pairs(selection, feeding.ensemble[fed], feeding.judge[fed]).items():
        found.edges[fed_by, judge, "link"] += times
    is_judge = places_of_type(trees, "judge")
    left = feeding.judge[feeding.ensemble == LEFT]
    linking = chosen[have_links(trees, chosen) & ~is_judge[chosen]]
    for place in [*left[mask[left]].tolist(), *linking.tolist()]:
        call = trees.at(place)
        for source in _consumed(call, selection):
            found.edges[_node(source), _node(call), "link"] += 1


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
