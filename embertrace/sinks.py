"""What events can go to in this process: a function, a list in memory; and what sends them to an aggregator.

A sink takes packed events from any thread, and never raises. Which sinks there are is `collect`'s business.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload

from embertrace import context, lineage
from embertrace.context import NOBODY, Sink
from embertrace.event import OperatorEvent
from embertrace.execution import ExecutionContext
from embertrace.wire.context import unpack_context
from embertrace.wire.event import RawEvent, to_nanoseconds, unpack_event

if TYPE_CHECKING:
    from embertrace.keys import ClientKey


def as_one(sinks: tuple[Sink, ...]) -> Sink:
    """A sink that puts into all of them: the sink itself where there is one, NOBODY where there is none."""
    if len(sinks) == 1:
        return sinks[0]
    return Fan(sinks) if sinks else NOBODY


def each(sink: Sink) -> tuple[Sink, ...]:
    """The sinks that `as_one` made `sink` of."""
    if isinstance(sink, Fan):
        return sink.sinks
    return () if sink is NOBODY else (sink,)


class Fan:
    """Several sinks as one. Lists come last: they need the least room, so that at the limit of recursion what fails
    fails before anybody has the event."""

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        self.sinks = tuple(sorted(sinks, key=lambda sink: isinstance(sink, EventList)))

    def put(self, packed: bytes) -> None:
        for sink in self.sinks:
            sink.put(packed)


class CallableSink:
    """A sink around a function that takes decoded events, each a snapshot with its full context.

    `on_failure(self)` is called where the function raises.
    """

    def __init__(
        self, function: Callable[[OperatorEvent], object], on_failure: Callable[[CallableSink], object]
    ) -> None:
        self.function = function
        self._on_failure = on_failure

    def put(self, packed: bytes) -> None:
        try:
            self._hand_over(packed)
        except RecursionError:  # the traced program left no room for it, and that is no fault of the function's
            pass
        except Exception:  # whatever a function does, the operator goes on
            self._on_failure(self)

    def _hand_over(self, packed: bytes) -> None:
        event = unpack_event(packed)
        position = context.current.get()[0]
        if position is not None and position.call_id == event.call_id:
            full: Mapping[str, Any] = ExecutionContext.current()
            if not unpack_context(event.context).member:
                full = {**full, "member": False}
        else:
            full = _stated_context(event)
        self.function(lineage.to_operator_event(event, full))

    def __repr__(self) -> str:
        return repr(self.function)


def _stated_context(event: RawEvent) -> dict[str, Any]:
    """The context as far as the event itself states it."""
    return lineage.Lineage().context(event)


class AddressedSink:
    """What sinks are that send to an aggregator: other processes can send there too.

    A base class, not a protocol: submissions ask of every sink whether it is one, and a protocol answers slowly.
    """

    endpoint: str
    key: ClientKey | None


class Elsewhere(Protocol):
    """An aggregator to which other processes send events that a list wants."""

    key: ClientKey | None

    def bring(self, events: EventList, deadline: float) -> list[tuple[bytes, int, bytes]]:
        """Those events as (producer, seq, packed), once they are complete or the monotonic clock shows `deadline`."""


class EventList(Sequence[OperatorEvent]):
    """The events of a `collect_events` block, in the order they were emitted: a sequence that decodes on access.

    Holds packed bytes, exactly as a recording would, up to `limit` bytes; later events are dropped and counted in
    `dropped`. Appending is thread-safe; reading while events arrive sees those so far. The events of other processes
    join when the block ends, each producer's in its order, all together by time.
    """

    def __init__(self, limit: int) -> None:
        self.producer = os.urandom(16)
        self.dropped = 0
        self.elsewhere: dict[str, Elsewhere] = {}
        """By endpoint: where other processes send the events of calls that were submitted in the block."""
        self.expected: dict[int, None] = {}
        """Ids of those calls."""
        self.traces: dict[bytes, None] = {}
        """Traces that begin in other processes, with calls whose ids are not known here."""
        self._events: list[bytes] = []
        self._origins: list[tuple[bytes, int]] = []
        """(producer, seq) of each event, once there is more than one producer."""
        self._left = limit
        self._lineage = lineage.Lineage()
        self._observed = 0

    def put(self, packed: bytes) -> None:
        if self._left < len(packed):
            self.dropped += 1
            return
        self._left -= len(packed)
        self._events.append(packed)

    def packed(self) -> Iterator[tuple[bytes, int, bytes]]:
        """(producer, seq, packed event) in order; seqs of this process start at 1."""
        for place, event in enumerate(self._events):
            yield *self._origin(place), event

    def join(self, found: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Add the events of other producers; `found` has each producer's in its order."""
        streams: dict[bytes, list[tuple[bytes, int, bytes]]] = {self.producer: list(self.packed())}
        for producer, seq, packed in found:
            if self._left < len(packed):
                self.dropped += 1
                continue
            self._left -= len(packed)
            streams.setdefault(producer, []).append((producer, seq, packed))
        merged = list(heapq.merge(*streams.values(), key=lambda one: to_nanoseconds(unpack_event(one[2]).timestamp)))
        self._events = [packed for _, _, packed in merged]
        self._origins = [(producer, seq) for producer, seq, _ in merged]
        self._lineage, self._observed = lineage.Lineage(), 0

    def _origin(self, place: int) -> tuple[bytes, int]:
        return self._origins[place] if place < len(self._origins) else (self.producer, place + 1)

    @overload
    def __getitem__(self, index: int) -> OperatorEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[OperatorEvent]: ...
    def __getitem__(self, index: int | slice) -> OperatorEvent | list[OperatorEvent]:
        self._observe()
        if isinstance(index, slice):
            return [self._decode(place) for place in range(*index.indices(len(self._events)))]
        place = index + len(self._events) if index < 0 else index
        if not 0 <= place < len(self._events):
            raise IndexError(f"event {index} of {len(self._events)}")
        return self._decode(place)

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        return f"<{len(self)} events{dropped}>"

    def _observe(self) -> None:
        for packed in self._events[self._observed :]:
            self._lineage.observe(unpack_event(packed))
            self._observed += 1

    def _decode(self, place: int) -> OperatorEvent:
        event = unpack_event(self._events[place])
        return lineage.to_operator_event(event, self._lineage.context(event), *self._origin(place))
