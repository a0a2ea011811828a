"""Calls put into trees: attempts chosen, parents found, contexts inherited, scores and labels attached.

Rules:
- The selected attempt of a call is the highest that ended; where none ended, the highest. What ran under another
  attempt is left out, with everything below it. Of a parent that never emitted, the highest attempt named counts.
- With `every_attempt` nothing is left out: each attempt is a call of its own, with what ran under it.
- A call inherits run, item and tags from its parent, nearest first; what it brings along itself goes before.
- Calls whose parents run in a circle (a damaged stream) become roots, all of the circle alike.
- Order of arrival never decides: calls and metrics are sorted by the origin of their first event, children by slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embertrace.analysis.calls import Call, Metric, Sighting
from embertrace.analysis.clocks import place_in_time
from embertrace.analysis.labels import Labels, is_label
from embertrace.analysis.runs import is_run
from embertrace.lineage import CallKey
from embertrace.wire.clock import Offset


class Trees:
    """A finished picture of a forest: `calls`, `roots`, `scores`, `runs`, `labels`.

    `by_id` leads to the selected attempt of a call: that is what links and scores mean.
    """

    def __init__(
        self,
        begins: Mapping[CallKey, Sighting],
        ends: Mapping[CallKey, Sighting],
        metrics: Iterable[Sighting],
        ended: set[bytes],
        offsets: Mapping[bytes, Iterable[Offset]],
        every_attempt: bool = False,
    ) -> None:
        selected = _selected_attempts(begins, ends)
        self._keys = {*begins, *ends}
        keys = dict.fromkeys((*begins, *ends)) if every_attempt else selected
        kept = _plant({key: _call(key, begins, ends, ended) for key in keys}, every_attempt)
        self.calls: list[Call] = sorted(kept, key=lambda call: call.origin)
        self._by_key: dict[CallKey, Call] = {call.key: call for call in self.calls}
        self.by_id: dict[int, Call] = {key[0]: self._by_key[key] for key in selected if key in self._by_key}
        for call in self.calls:
            call.children.sort(key=lambda child: (child.slot, child.origin))
        place_in_time(self.calls, offsets)
        self.roots: list[Call] = [call for call in self.calls if call.parent is None]
        self.metrics: list[Metric] = [Metric(seen) for seen in sorted(metrics, key=lambda seen: seen.origin)]
        self.run_events: list[Metric] = [metric for metric in self.metrics if is_run(metric.data)]
        self.labels = Labels((metric for metric in self.metrics if is_label(metric.data)), self.run_events)
        self.scores: list[Metric] = self._attach_scores()

    def _attach_scores(self) -> list[Metric]:
        """Merge scores into their calls, later ones over earlier; those of attempts left out are left out."""
        scores = []
        known = {call_id for call_id, _ in self._keys}
        for metric in self.metrics:
            if is_run(metric.data) or is_label(metric.data):
                continue
            call = self._by_key.get((metric.event.call_id, metric.event.attempt))
            if call is not None:
                call.links = tuple(dict.fromkeys(call.links + metric.event.links))
                if not metric.data:  # it only links
                    continue
                call.scores.update(metric.data)
                metric.belongs_to(call)
                scores.append(metric)
            elif metric.event.call_id not in known:
                scores.append(metric)
        return scores


def _selected_attempts(begins: Iterable[CallKey], ends: Iterable[CallKey]) -> list[CallKey]:
    best: dict[int, tuple[bool, int]] = {}
    for keys, has_end in ((begins, False), (ends, True)):
        for call_id, attempt in keys:
            best[call_id] = max(best.get(call_id, (False, -1)), (has_end, attempt))
    return [(call_id, attempt) for call_id, (_, attempt) in best.items()]


def _worth(call: Call) -> tuple[bool, int]:
    """Of two attempts of a call, the one that is worth more is selected."""
    return call.ended, call.attempt


def _call(
    key: CallKey, begins: Mapping[CallKey, Sighting], ends: Mapping[CallKey, Sighting], ended: set[bytes]
) -> Call:
    begin = begins.get(key)
    return Call(key, begin, ends.get(key), begin is not None and begin.origin.producer in ended)


def _plant(calls: Mapping[CallKey, Call], every_attempt: bool) -> list[Call]:
    """Connect calls to their parents; the calls that remain, each below a parent that remains."""
    ids = {call_id for call_id, _ in calls}
    phantom_attempts: dict[int, int] = {}
    for call in calls.values():
        parent_id, attempt = call.parent_key
        if parent_id not in ids:
            phantom_attempts[parent_id] = max(phantom_attempts.get(parent_id, 0), attempt)
    verdicts: dict[CallKey, bool] = {}
    for call in calls.values():
        path: dict[CallKey, Call] = {}
        above: Call | None = call
        while above is not None and above.key not in verdicts and above.key not in path:
            path[above.key] = above
            above = calls.get(above.parent_key)
        circle = _circle(path, above)
        for below in reversed(path.values()):
            parent = calls.get(below.parent_key)
            if below.key in circle:
                verdicts[below.key] = True
            elif parent is None:
                parent_id, attempt = below.parent_key
                verdicts[below.key] = every_attempt or phantom_attempts.get(parent_id) == attempt
            else:
                verdicts[below.key] = verdicts[parent.key]
                if verdicts[below.key]:
                    _adopt(parent, below)
    return [call for call in calls.values() if verdicts[call.key]]


def _circle(path: Mapping[CallKey, Call], reached: Call | None) -> set[CallKey]:
    """The calls of `path` that are their own ancestors: those from where the walk came back to itself."""
    if reached is None or reached.key not in path:
        return set()
    keys = list(path)
    return set(keys[keys.index(reached.key) :])


def _adopt(parent: Call, child: Call) -> None:
    child.parent, child.root = parent, parent.root
    parent.children.append(child)
    child.run = child.run or parent.run
    child.item = child.item or parent.item
    child.tags = {**parent.tags, **child.tags} if child.tags else parent.tags
