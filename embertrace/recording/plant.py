"""Records into a forest: the one way from recorded bytes to analysis, live and offline alike. Pure.

What can't be decoded is counted and skipped; everything else counts.
"""

from __future__ import annotations

from typing import NamedTuple

from embertrace.analysis.forest import Forest
from embertrace.recording.layout import BEGIN, CLOCK, END, Damage, Record
from embertrace.wire.batch import BATCH, GAP, gap_reason
from embertrace.wire.clock import unpack_offset
from embertrace.wire.control import whereabouts


def plant(forest: Forest, record: Record | Damage) -> None:
    """Take one record, or what a reader found in the place of one, into `forest`."""
    if isinstance(record, Damage):
        if not record.tail:  # what was cut short while it was written was never acknowledged
            forest.damaged_bytes += record.length
    elif record.kind == BATCH:
        forest.add_batch(record.producer, record.first_seq, record.count, record.payload)
    else:
        plant_sign(forest, sign_of(record))


class Sign(NamedTuple):
    """What a record that is no batch says of its producer; also how it crosses RPC, as a list."""

    kind: int
    producer: bytes
    received_ns: int
    first_seq: int
    events: int
    about: bytes


def sign_of(record: Record) -> Sign:
    return Sign(record.kind, record.producer, record.received_ns, record.first_seq, record.count, record.payload)


def plant_sign(forest: Forest, sign: Sign) -> None:
    """Take what is known of a producer into `forest`."""
    if sign.kind == GAP:
        forest.note_gap(sign.producer, sign.first_seq, sign.events, gap_reason(sign.about))
    elif sign.kind == BEGIN:
        forest.note_begin(sign.producer, sign.received_ns, *whereabouts(sign.about))
    elif sign.kind == END:
        forest.note_end(sign.producer, sign.received_ns, sign.first_seq)
    elif sign.kind == CLOCK and (offset := unpack_offset(sign.about)) is not None:
        forest.note_offset(sign.producer, offset)
