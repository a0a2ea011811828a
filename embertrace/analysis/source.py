"""Where an analysis gets its answers: the protocol, and the source over a forest in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from embertrace.analysis.checking import check_event
from embertrace.analysis.forest import Forest
from embertrace.analysis.handmade import raw_events
from embertrace.analysis.verbs import answer
from embertrace.errors import WireError
from embertrace.event import CALL, OperatorEvent
from embertrace.lineage import Lineage, to_operator_event
from embertrace.wire.event import unpack_event


@runtime_checkable
class Source(Protocol):
    """Something that can be asked. `answer` takes a query (see `verbs`) and gives a result as plain data.

    One may also have a `name`: in a few words, where its events are from; asking for it costs nothing.
    """

    def answer(self, query: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def events(self) -> Iterable[OperatorEvent]: ...

    def forest(self) -> Forest: ...


class LocalSource:
    """Answers from a forest in this process. `events` are those given, else all that the forest keeps.

    `place` is where they were read from, if anywhere.
    """

    def __init__(self, forest: Forest, events: Iterable[OperatorEvent] | None = None, place: str = "") -> None:
        self._forest = forest
        self._events = events
        self._place = place

    @property
    def name(self) -> str:
        return counted(self._forest.events) + (f" in {self._place}" if self._place else "")

    def forest(self) -> Forest:
        return self._forest

    def answer(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        return answer(self._forest, query)

    def events(self) -> Iterable[OperatorEvent]:
        return self._events if self._events is not None else list(events_of(self._forest))


def counted(events: int) -> str:
    """So many events, in words."""
    return f"{events:,} event{'' if events == 1 else 's'}"


def events_of(forest: Forest) -> Iterator[OperatorEvent]:
    """The events a forest keeps, in the order of their times, with their full context."""
    lineage = Lineage()
    sightings = forest.sightings()
    for seen in sightings:
        if seen.event.type == CALL:
            lineage.observe(seen.event)
    for origin, event in sightings:
        yield to_operator_event(event, lineage.context(event), origin.producer, origin.seq)


def forest_of(events: Any) -> Forest:
    """A forest of OperatorEvents, or of packed ones where `events` has them. Raises QueryError for anything else."""
    forest = Forest()
    if hasattr(events, "packed"):
        for producer, seq, packed in events.packed():
            try:
                forest.add(producer, seq, unpack_event(packed))
            except WireError:
                forest.undecodable += 1
        if not forest.unplaced:
            if getattr(events, "dropped", 0):
                forest.note_gap(events.producer, len(events) + 1, events.dropped, "dropped (the list is full)")
            return forest
        forest = Forest()  # users emitted events of their own without call ids: place them by their frames
    for place, event in enumerate(events):
        check_event(event, place)
    for producer, seq, raw in raw_events(events):
        forest.add(producer, seq, raw)
    return forest
