"""Calls put into trees: attempts chosen, parents found, contexts inherited, scores and labels attached.

Rules:
- The selected attempt of a call is the highest that ended; where none ended, the highest. What ran under another
  attempt is left out, with everything below it. Of a parent that never emitted, the highest attempt named counts.
- A call inherits run, item and tags from its parent, nearest first; what it brings along itself goes before.
- Calls whose parents run in a circle (a damaged stream) become roots, all of the circle alike.
- Order of arrival never decides: calls and metrics are sorted by the origin of their first event, children by slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embertrace.analysis.calls import Call, Metric, Sighting
from embertrace.analysis.labels import Labels, is_label
from embertrace.analysis.runs import is_run
from embertrace.lineage import CallKey


class Trees:
    """A finished picture of a forest: `calls` (selected attempts), `roots`, `scores`, `runs`, `labels`."""

    def __init__(
        self,
        begins: Mapping[CallKey, Sighting],
        ends: Mapping[CallKey, Sighting],
        metrics: Iterable[Sighting],
        ended: set[bytes],
    ) -> None:
        chosen = _selected_attempts(begins, ends, ended)
        kept = _plant(chosen)
        self.calls: list[Call] = sorted(kept, key=lambda call: call.origin)
        self.by_id: dict[int, Call] = {call.call_id: call for call in self.calls}
        for call in self.calls:
            call.children.sort(key=lambda child: (child.slot, child.origin))
        self.roots: list[Call] = [call for call in self.calls if call.parent is None]
        self.metrics: list[Metric] = [Metric(seen) for seen in sorted(metrics, key=lambda seen: seen.origin)]
        self.run_events: list[Metric] = [metric for metric in self.metrics if is_run(metric.data)]
        self.labels = Labels(metric for metric in self.metrics if is_label(metric.data))
        self.scores: list[Metric] = self._attach_scores()

    def _attach_scores(self) -> list[Metric]:
        """Merge scores into their calls, later ones over earlier; those of attempts left out are left out."""
        scores = []
        for metric in self.metrics:
            if is_run(metric.data) or is_label(metric.data):
                continue
            call = self.by_id.get(metric.event.call_id)
            if call is not None and call.attempt == metric.event.attempt:
                call.links = tuple(dict.fromkeys(call.links + metric.event.links))
                if not metric.data:  # it only links
                    continue
                call.scores.update(metric.data)
                metric.belongs_to(call)
                scores.append(metric)
            elif call is None:
                scores.append(metric)
        return scores


def _selected_attempts(
    begins: Mapping[CallKey, Sighting], ends: Mapping[CallKey, Sighting], ended: set[bytes]
) -> dict[int, Call]:
    best: dict[int, tuple[bool, int]] = {}
    for keys, has_end in ((begins, False), (ends, True)):
        for call_id, attempt in keys:
            best[call_id] = max(best.get(call_id, (False, -1)), (has_end, attempt))
    chosen = {}
    for call_id, (_, attempt) in best.items():
        key = (call_id, attempt)
        begin = begins.get(key)
        chosen[call_id] = Call(key, begin, ends.get(key), begin is not None and begin.origin.producer in ended)
    return chosen


def _plant(chosen: Mapping[int, Call]) -> list[Call]:
    """Connect calls to their parents; the calls that remain, each below a parent that remains."""
    phantom_attempts: dict[int, int] = {}
    for call in chosen.values():
        parent_id, attempt = call.parent_key
        if parent_id not in chosen:
            phantom_attempts[parent_id] = max(phantom_attempts.get(parent_id, 0), attempt)
    verdicts: dict[int, bool] = {}
    for call in chosen.values():
        path: dict[int, Call] = {}
        above: Call | None = call
        while above is not None and above.call_id not in verdicts and above.call_id not in path:
            path[above.call_id] = above
            above = chosen.get(above.parent_key[0])
        circle = _circle(path, above)
        for below in reversed(path.values()):
            parent = chosen.get(below.parent_key[0])
            if below.call_id in circle:
                verdicts[below.call_id] = True
            elif parent is None:
                verdicts[below.call_id] = below.parent_key[1] == phantom_attempts[below.parent_key[0]]
            else:
                verdicts[below.call_id] = verdicts[parent.call_id] and parent.attempt == below.parent_key[1]
                if verdicts[below.call_id]:
                    _adopt(parent, below)
    return [call for call in chosen.values() if verdicts[call.call_id]]


def _circle(path: Mapping[int, Call], reached: Call | None) -> set[int]:
    """The calls of `path` that are their own ancestors: those from where the walk came back to itself."""
    if reached is None or reached.call_id not in path:
        return set()
    ids = list(path)
    return set(ids[ids.index(reached.call_id) :])


def _adopt(parent: Call, child: Call) -> None:
    child.parent, child.root = parent, parent.root
    parent.children.append(child)
    child.run = child.run or parent.run
    child.item = child.item or parent.item
    child.tags = {**parent.tags, **child.tags} if child.tags else parent.tags
