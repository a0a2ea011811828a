"""What was sent lately: late scores and labels find by it the spans they are about. Pure.

Rules: bounded by number, the oldest go first; what is not remembered can't be found, and that is counted by who asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from embertrace.analysis import Call
from embertrace.analysis.labels import NOTHING, Target
from embertrace.analysis.plain import optional_text
from embertrace.interop.evaluations import Evaluation
from embertrace.payload import canonical

MAX_CALLS = 100_000
"""Some 50 MB; at ten calls an item, labels that come within the last ten thousand items."""

Said = tuple[str, str | None, str | None]


class Sent(NamedTuple):
    """A span that was sent: where it is, of which run; and what was said of it."""

    trace_id: bytes
    span_id: bytes
    run: str | None
    said: set[Said]

    def is_news(self, evaluation: Evaluation) -> bool:
        """Whether that was not said before; from now on it was."""
        news = (evaluation.name, evaluation.by, optional_text(evaluation.value))
        if news in self.said:
            return False
        self.said.add(news)
        return True


class Memory:
    """Spans by their calls, and first roots by trace and item."""

    def __init__(self) -> None:
        self._sent: OrderedDict[tuple[int, int], Sent] = OrderedDict()
        self._attempts: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._roots: OrderedDict[bytes, Sent] = OrderedDict()
        self._items: OrderedDict[bytes, dict[tuple[bytes, str | None], Sent]] = OrderedDict()

    def remember(self, call: Call, sent: Sent) -> None:
        """A call's span was sent."""
        _put(self._sent, call.key, sent)
        _put(self._attempts, call.call_id, max(call.key, self._attempts.get(call.call_id, call.key)))
        if call.parent_key[0]:
            return
        if sent.trace_id not in self._roots:
            _put(self._roots, sent.trace_id, sent)
        if "key" in call.item:
            key, epoch = canonical(call.item["key"]), canonical(call.item.get("epoch"))
            places = self._items.get(key, {})
            places.setdefault((epoch, call.run), sent)
            _put(self._items, key, places)

    def of_call(self, call_id: int, attempt: int) -> Sent | None:
        return self._sent.get((call_id, attempt))

    def last_of_call(self, call_id: int) -> Sent | None:
        """The highest attempt of a call that was sent."""
        key = self._attempts.get(call_id)
        return None if key is None else self._sent.get(key)

    def root_of(self, trace_id: bytes) -> Sent | None:
        return self._roots.get(trace_id)

    def of_item(self, target: Target, names: Mapping[str, str]) -> Iterator[Sent]:
        """The first roots of an item, in each run and epoch that a label may mean. `names` are the runs'."""
        for (epoch, run), sent in self._items.get(target.key, {}).items():
            if target.epoch in (NOTHING, epoch) and target.run in (None, run, names.get(run or "")):
                yield sent


def _put(held: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    held[key] = value
    held.move_to_end(key)
    if len(held) > MAX_CALLS:
        held.popitem(last=False)
