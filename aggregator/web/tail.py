"""Events of the recording from a position on, read beside the analyst: they need no forest, and slow no question.

Rules:
- Windows are bounded, whatever lies in them; nobody holds a segment in memory for being slow.
- A position is where a record begins, or the end of one. From any other, the next record is found by its magic.
- What is damaged is passed over and counted; what is not durable yet is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from embertrace.analysis.results import plain
from embertrace.errors import WireError
from embertrace.event import EVENT_TYPES, call_hex
from embertrace.lineage import unpack_mapping
from embertrace.payload import unpack
from embertrace.recording import BATCH, Damage, Record, Recording
from embertrace.recording.layout import scan, scan_segment
from embertrace.wire.context import unpack_context
from embertrace.wire.event import BadEvent, RawEvent, iter_events, to_nanoseconds

WINDOW_BYTES = 4 * 1024 * 1024
"""Read at once: a few of the largest records."""
MAX_EVENTS = 1000
"""After so many a window ends with the record it is in."""

Row = dict[str, Any]

COLUMNS = {
    "producer": "string",
    "seq": "int64",
    "type": "string",
    "timestamp": "float64",
    "trace_id": "string",
    "call_id": "string",
    "parent_call_id": "string",
    "attempt": "int64",
    "slot": "int64",
    "operator_id": "string",
    "operator_type": "string",
    "stage": "string",
    "duration_s": "float64",
    "run": "string",
    "item": "string",
    "tags": "string",
    "links": "string",
    "data": "string",
}
"""What is told of an event, with its type in Arrow."""


class Window(NamedTuple):
    """Events of a few records. `position` is where the next window begins; `undecodable` of the events are missing."""

    events: list[Row]
    undecodable: int
    position: int


def read_window(
    recording: Recording, start: int, stop: int, max_events: int = MAX_EVENTS, *, payloads: bool = True
) -> Window:
    """Events from `start` on and before `stop`, both positions; with at least one record where there is any."""
    events: list[Row] = []
    undecodable, position = 0, start
    if start >= stop:
        return Window(events, 0, start)
    for item in _records(recording, start, stop):
        if len(events) >= max_events:
            break
        position = item.end
        if isinstance(item, Record) and item.kind == BATCH:
            for row in _rows_of(item, payloads):
                if isinstance(row, int):
                    undecodable += row
                else:
                    events.append(row)
    else:
        position = max(position, min(stop, _end_of_gap(recording, position, stop)))
    return Window(events, undecodable, position)


def _records(recording: Recording, start: int, stop: int) -> Iterator[Record | Damage]:
    """What lies in one window; the torn record at its end is left for the next."""
    base = max((base for base in recording.bases() if base <= start), default=None)
    if base is None:
        return
    after = min((other for other in recording.bases() if other > start), default=stop)
    end = min(stop, after, start + WINDOW_BYTES)
    part = recording.read(base, start - base, end - base)
    items = scan_segment(part, base) if start == base else scan(part, 0, start)
    for item in items:
        if isinstance(item, Damage) and item.tail and end == start + WINDOW_BYTES and item.position > start:
            return
        yield item


def _end_of_gap(recording: Recording, position: int, stop: int) -> int:
    """Where the next segment begins, if nothing lies at a position."""
    bases = recording.bases()
    base = max((base for base in bases if base <= position), default=None)
    if base is not None and recording.read(base, position - base, position - base + 1):
        return position
    return min((base for base in bases if base > position), default=stop)


def _rows_of(record: Record, payloads: bool) -> Iterator[Row | int]:
    """The events of a batch; a number stands for so many that can't be decoded."""
    seq = record.first_seq
    for event in iter_events(record.payload, record.count):
        if isinstance(event, BadEvent):
            yield event.lost
            seq += event.lost
        else:
            yield row_of(record.producer, seq, event, payloads)
            seq += 1


def row_of(producer: bytes, seq: int, event: RawEvent, payloads: bool = True) -> Row:
    """An event as plain data, with what it brings itself of its context."""
    added = unpack_context(event.context)
    duration = None if event.duration is None else to_nanoseconds(event.duration) / 1e9
    row = {
        "producer": producer.hex(),
        "seq": seq,
        "type": EVENT_TYPES[event.type],
        "timestamp": to_nanoseconds(event.timestamp) / 1e9,
        "trace_id": event.trace_id.hex() if event.trace_id is not None else None,
        "call_id": call_hex(event.call_id) if event.call_id else None,
        "parent_call_id": call_hex(event.parent_call_id) if event.parent_call_id else None,
        "attempt": event.attempt,
        "slot": event.slot,
        "operator_id": event.operator_id,
        "operator_type": event.operator_type,
        "stage": event.stage,
        "duration_s": duration,
        "run": added.run,
        "item": unpack_mapping(added.item),
        "tags": unpack_mapping(added.tags),
        "links": [call_hex(link) for link in event.links],
    }
    return dict(plain({**row, "data": _data_of(event)} if payloads else row))


def _data_of(event: RawEvent) -> Any:
    try:
        return unpack(event.data)
    except WireError:
        return None
