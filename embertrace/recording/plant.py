"""Records into a forest: the one way from recorded bytes to analysis, live and offline alike. Pure.

What can't be decoded is counted and skipped; everything else counts.
"""

from __future__ import annotations

from embertrace.analysis.forest import Forest
from embertrace.recording.layout import BEGIN, END, Damage, Record
from embertrace.wire.batch import BATCH, GAP
from embertrace.wire.event import BadEvent, iter_events


def plant(forest: Forest, record: Record | Damage) -> None:
    """Take one record, or what a reader found in the place of one, into `forest`."""
    if isinstance(record, Damage):
        if not record.tail:  # what was cut short while it was written was never acknowledged
            forest.damaged_bytes += record.length
    elif record.kind == BATCH:
        _plant_batch(forest, record)
    elif record.kind == GAP:
        forest.note_gap(record.producer, record.first_seq, record.count)
    elif record.kind == BEGIN:
        forest.note_begin(record.producer, record.received_ns)
    elif record.kind == END:
        forest.note_end(record.producer, record.received_ns, record.first_seq)


def _plant_batch(forest: Forest, record: Record) -> None:
    seq = record.first_seq
    for event in iter_events(record.payload, record.count):
        if isinstance(event, BadEvent):
            forest.undecodable += event.lost
            seq += event.lost
        else:
            forest.add(record.producer, seq, event)
            seq += 1
