"""Events and calls as users see them: sequences that are made when first read, and tables of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import Any, TypeVar, overload

from embertrace.analysis import frames
from embertrace.analysis.calls import Call
from embertrace.analysis.plain import optional_text
from embertrace.event import OperatorEvent, call_hex, optional_call_hex, parse_call_id
from embertrace.lineage import ITEM_BYTES, TAGS_BYTES, recorded

T = TypeVar("T")
MAX_SECONDS = 9.2e9
"""In nanoseconds they fit into 63 bits: some 292 years."""


class View(Sequence[T]):
    """A sequence that is made when first read. It compares equal to any sequence of the same elements."""

    schema: Mapping[str, str]

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make

    @cached_property
    def _all(self) -> Sequence[T]:
        made = self._make()
        return made if isinstance(made, Sequence) else list(made)

    def _records(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        return self._all[place]

    def __iter__(self) -> Iterator[T]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(lambda a, b: a == b, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self._all[:3]))
        return f"[{shown}{f', … {len(self) - 3} more' if len(self) > 3 else ''}]"

    def to_arrow(self) -> Any:
        """A pyarrow.Table with the columns of `schema`. Raises MissingExtraError without pyarrow."""
        return frames.arrow(self._records(), self.schema)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with the columns of `schema`. Raises MissingExtraError without pandas."""
        return frames.pandas(self._records(), self.schema)

    def to_polars(self) -> Any:
        """A polars.DataFrame with the columns of `schema`. Raises MissingExtraError without polars."""
        return frames.polars(self._records(), self.schema)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return frames.stream(self._records(), self.schema, requested_schema)


class EventsView(View[OperatorEvent]):
    """Events; with tests those of the chosen calls, and of events without a call id those that pass every test."""

    schema = frames.EVENT_SCHEMA

    def __init__(
        self,
        events: Callable[[], Iterable[OperatorEvent]],
        ids: Callable[[], Set[int]] | None = None,
        tests: Sequence[Callable[[Any], bool]] = (),
    ) -> None:
        super().__init__(events if ids is None else self._chosen)
        self._given, self._choose, self._tests = events, ids, tests

    def _chosen(self) -> list[OperatorEvent]:
        assert self._choose is not None
        ids = self._choose()
        return [event for event in self._given() if self._passes(event, ids)]

    def _passes(self, event: OperatorEvent, ids: Set[int]) -> bool:
        if event.call_id:
            return parse_call_id(event.call_id) in ids
        return all(test(_Looked(event)) for test in self._tests)

    def _records(self) -> list[dict[str, Any]]:
        return [_event(event) for event in self]


class CallsView(View[Call]):
    """Calls, in the order of their begin."""

    schema = frames.CALL_SCHEMA

    def _records(self) -> list[dict[str, Any]]:
        return [_call(call) for call in self]


def _event(event: OperatorEvent) -> dict[str, Any]:
    looked = _Looked(event)
    named = {name: getattr(event, name) for name in frames.EVENT_SCHEMA if hasattr(event, name)}
    about = {"run": looked.run, "item_key": looked.item.get("key"), "tags": dict(looked.tags)}
    moments = {"time": _nanoseconds(event.timestamp), "duration_ns": _nanoseconds(event.duration_s)}
    return {**named, **about, **moments}


def _nanoseconds(seconds: float | None) -> int | None:
    """None of what is no time, or beyond what 64 bits hold of nanoseconds."""
    return None if seconds is None or not abs(seconds) < MAX_SECONDS else round(seconds * 1e9)


def _call(call: Call) -> dict[str, Any]:
    error = call.error or {}
    return {
        "start": call.start_ns,
        "operator_id": call.operator_id,
        "operator_type": call.operator_type,
        "stage": call.stage,
        "outcome": call.outcome,
        "duration_ns": call.duration_ns,
        "trace_id": call.trace_id,
        "call_id": call_hex(call.call_id),
        "parent_call_id": optional_call_hex(call.parent_key[0]),
        "attempt": call.attempt,
        "run": call.run,
        "item_key": call.item.get("key"),
        "tags": dict(call.tags),
        "answer": call.answer if call.error is None else None,
        "error_type": optional_text(error.get("type")),
        "error_message": optional_text(error.get("message")),
        "scores": dict(call.scores),
    }


class _Looked:
    """An event with what filters look at: run, item, tags and share out of its context, the rest its own.

    Item and tags are as they are recorded: an event made by hand may hold anything there.
    """

    def __init__(self, event: OperatorEvent) -> None:
        self._event = event
        context = event.context
        self.run: str | None = context.get("run")
        self.item: Mapping[str, Any] = recorded(dict(context.get("item") or {}), ITEM_BYTES)
        self.tags: Mapping[str, Any] = recorded(dict(context.get("tags") or {}), TAGS_BYTES)
        self.share: float = context.get("share", 1.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event, name)
