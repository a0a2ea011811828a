"""A filtered, lazy sequence of events as users see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import Any, overload

from embertrace.event import OperatorEvent, parse_call_id


class EventsView(Sequence[OperatorEvent]):
    """The events of chosen calls; of events without a call id, those that pass every test. Filtered when first read."""

    def __init__(self, events: Iterable[OperatorEvent], ids: Set[int], tests: Sequence[Callable[[Any], bool]]) -> None:
        self._events, self._ids, self._tests = events, ids, tests

    @cached_property
    def _chosen(self) -> list[OperatorEvent]:
        return [event for event in self._events if self._passes(event)]

    def _passes(self, event: OperatorEvent) -> bool:
        if event.call_id:
            return parse_call_id(event.call_id) in self._ids
        return all(test(_Looked(event)) for test in self._tests)

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, place: int) -> OperatorEvent: ...
    @overload
    def __getitem__(self, place: slice) -> list[OperatorEvent]: ...
    def __getitem__(self, place: int | slice) -> OperatorEvent | list[OperatorEvent]:
        return self._chosen[place]

    def __iter__(self) -> Iterator[OperatorEvent]:
        return iter(self._chosen)


class _Looked:
    """An event with what filters look at: run, item and tags out of its context, the rest its own."""

    def __init__(self, event: OperatorEvent) -> None:
        self._event = event
        context = event.context
        self.run: str | None = context.get("run")
        self.item: Mapping[str, Any] = context.get("item") or {}
        self.tags: Mapping[str, Any] = context.get("tags") or {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event, name)
