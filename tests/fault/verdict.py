"""The verdict: what became of every event whose emit returned. Pure, but for the two readers at the end.

An event is (name of its worker, number); workers number their events from 0. The oracle is what each worker wrote down
after its emit had returned; the recording is what there is. An event that is recorded though its emit never returned is
no fault: its worker died in between.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import embertrace as et
from embertrace.recording import BATCH, GAP, Damage, Recording
from embertrace.wire.event import RawEvent, iter_events

WORKER = "fault.worker"
"""The operator type of events that count; others (a run's description) are passed over."""

EventId = tuple[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded event, or (without an id) one seq of a declared gap."""

    producer: bytes
    seq: int
    event: EventId | None


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`returned` and `recorded` count; the others name what is wrong, in the order it was found."""

    returned: int
    recorded: int
    missing: tuple[EventId, ...]
    """Not recorded."""
    twice: tuple[EventId, ...]
    disordered: tuple[EventId, ...]
    """Recorded behind a later one of the same producer, or of the same worker by that producer."""
    declared: int
    """Seqs in gaps: events that were given up, and counted."""

    @property
    def lost(self) -> int:
        """How many are missing beyond those that gaps declare. A gap says how many it stands for, not which."""
        return max(0, len(self.missing) - self.declared)

    @property
    def clean(self) -> bool:
        """Everything is there once, in order, and nothing was given up."""
        return not (self.missing or self.twice or self.disordered or self.declared)


def judge(returned: Mapping[str, Iterable[int]], recorded: Iterable[Recorded]) -> Verdict:
    """Compare the oracles (per worker, the numbers whose emit returned) with a recording, in its order."""
    seen: Counter[EventId] = Counter()
    seqs: set[tuple[bytes, int]] = set()
    twice: list[EventId] = []
    disordered: list[EventId] = []
    last_seq: dict[bytes, int] = {}
    last_number: dict[tuple[bytes, str], int] = {}
    declared = 0
    for one in recorded:
        if one.event is None:
            declared += 1
        else:
            name, number = one.event
            seen[one.event] += 1
            if seen[one.event] > 1 or (one.producer, one.seq) in seqs:
                twice.append(one.event)
            elif one.seq <= last_seq.get(one.producer, 0) or number <= last_number.get((one.producer, name), -1):
                disordered.append(one.event)
            last_number[one.producer, name] = number
        seqs.add((one.producer, one.seq))
        last_seq[one.producer] = one.seq
    expected = [(name, number) for name, numbers in returned.items() for number in numbers]
    return Verdict(
        returned=len(expected),
        recorded=sum(seen.values()),
        missing=tuple(event for event in expected if event not in seen),
        twice=tuple(twice),
        disordered=tuple(disordered),
        declared=declared,
    )


def read_oracle(path: pathlib.Path) -> list[int]:
    """The numbers in a worker's oracle. Its last line is cut if the worker died in the middle of it."""
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [int(line) for line in lines]


def read_recording(directory: pathlib.Path) -> Iterator[Recorded]:
    """The events of workers in a recording, in its order, and its gaps.

    Raises ValueError for damage and for an event that can't be decoded: here nobody damaged anything.
    """
    for record in Recording.open(directory).records():
        if isinstance(record, Damage):
            raise ValueError(f"{directory} is damaged: {record}")
        if record.kind == GAP:
            for seq in range(record.first_seq, record.first_seq + record.count):
                yield Recorded(record.producer, seq, None)
        elif record.kind == BATCH:
            for place, event in enumerate(iter_events(record.payload, record.count)):
                if not isinstance(event, RawEvent):
                    raise ValueError(f"{directory} at {record.position} holds what is no event: {event.reason}")
                if event.operator_type == WORKER:
                    yield Recorded(record.producer, record.first_seq + place, (event.operator_id, event.slot))


def event_of(name: str, number: int, data: object) -> et.OperatorEvent:
    """The event that `read_recording` finds again."""
    return et.OperatorEvent(operator_id=name, operator_type=WORKER, slot=number, data=data)
