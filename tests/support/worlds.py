"""Worlds: a model of what happened, drawn at random, and what an aggregator would have recorded of it.

Calls have attempts, each in a producer of its own choosing, with children under the attempt that made them. Ensembles
have members; a question is an ensemble and a judge that read it. Producers end, fall silent, or come back. Only packed
events leave a world: what they say of it is for the analysis to find out.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from hypothesis import strategies as st

from embertrace import payload
from embertrace.event import CALL, ERROR, METRIC, RESULT, Frame
from embertrace.recording import BATCH, BEGIN, END, Record
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import RawEvent, pack_event

PRODUCERS = [bytes([65 + place]) * 16 for place in range(3)]
FATES = ("lives", "gone", "back", "gone again", "gone too early")
"""Of a producer. One that was taken for gone too early has perhaps sent more, and said nothing of its return."""
READS = ("link", "follows", "linked later")
"""How it is known what a judge read: by a link of its call, by what it followed, by a link that was told afterwards."""


@dataclasses.dataclass
class Attempt:
    number: int
    producer: bytes
    end: str | None
    result: Any
    score: float | None
    children: list[Happened]


@dataclasses.dataclass
class Happened:
    """A call as it happened. `read` is the call id of the ensemble that a judge read, known by `reads`."""

    type: str
    operator: str
    item: int | None
    run: str | None
    votes: bool
    reads: str
    attempts: list[Attempt]
    call_id: int = 0
    slot: int = 0
    read: int = 0

    @property
    def counting(self) -> Attempt:
        """The highest attempt that ended; where none did, the highest."""
        ended = [attempt for attempt in self.attempts if attempt.end is not None]
        return (ended or self.attempts)[-1]


def _below(kind: str, depth: int) -> st.SearchStrategy[list[Happened]]:
    """The children of an attempt of a call of one type."""
    if kind == "question":
        return st.tuples(calls(depth + 1, "ensemble"), calls(depth + 1, "judge")).map(list)
    if kind == "ensemble":
        return st.lists(calls(depth + 1, "member"), max_size=3)
    return st.lists(_anything(depth + 1), max_size=3 - depth) if depth < 3 and kind != "judge" else st.just([])


@st.composite
def calls(draw: st.DrawFn, depth: int, kind: str) -> Happened:
    tried = [
        Attempt(
            number,
            draw(st.sampled_from(PRODUCERS)),
            draw(st.sampled_from(["result", "result", "error", None])),
            draw(st.sampled_from(["a", "b", None])),
            draw(st.sampled_from([None, 0.0, 0.5])),
            draw(_below(kind, depth)),
        )
        for number in sorted(draw(st.sets(st.integers(0, 3), min_size=1, max_size=2)))
    ]
    item = draw(st.sampled_from([None, 1, 2])) if kind in ("function", "question") else None
    run = draw(st.sampled_from([None, "r1", "r2"])) if depth == 0 else None
    votes = kind != "member" or draw(st.integers(0, 4)) > 0
    return Happened(kind, draw(st.sampled_from("xyz")), item, run, votes, draw(st.sampled_from(READS)), tried)


def _anything(depth: int) -> st.SearchStrategy[Happened]:
    return st.sampled_from(["function", "question", "ensemble"]).flatmap(lambda kind: calls(depth, kind))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    roots = draw(st.lists(_anything(0), min_size=1, max_size=3))
    fates = draw(st.lists(st.sampled_from(FATES), min_size=len(PRODUCERS), max_size=len(PRODUCERS)))
    return World(roots, fates, draw(st.randoms(use_true_random=False)))


class World:
    """`roots` happened; `emitted` is what each producer says of it; `gone` are those known to be, at the end."""

    def __init__(self, roots: list[Happened], fates: list[str], cutter: random.Random) -> None:
        self.roots, self._cutter = roots, cutter
        self.emitted: dict[bytes, list[RawEvent]] = {producer: [] for producer in PRODUCERS}
        self.gone: set[bytes] = set()
        self._clock = self._last_id = 0
        for slot, root in enumerate(roots):
            self._happen(root, slot, (0, 0), ())
        self.records = self._recorded([self._stream(*pair) for pair in zip(PRODUCERS, fates, strict=True)])

    # What happens, and what is emitted of it.

    def _happen(
        self, call: Happened, slot: int, parent: tuple[int, int], path: tuple[tuple[Frame, bytes], ...], before: int = 0
    ) -> None:
        """`path`: every call above, with its producer. `before`: the call that ran before this one under its parent."""
        self._last_id += 1
        call.call_id, call.slot, call.read = self._last_id, slot, before
        for attempt in call.attempts:
            event = self._event(call, attempt, parent)
            self._begin(call, attempt, event, path)
            frame = Frame(call.operator, call.type, "default", call.call_id, attempt.number, slot)
            ahead = 0
            for place in self._order(call, attempt):
                child = attempt.children[place]
                self._happen(child, place, (call.call_id, attempt.number), (*path, (frame, attempt.producer)), ahead)
                ahead = child.call_id
            if attempt.score is not None:
                self._emit(attempt, event, METRIC, {"accuracy": attempt.score})
            if call.type == "judge" and call.reads == "linked later":
                self._emit(attempt, event, METRIC, {}, links=(before,))
            if attempt.end == "result":
                self._emit(attempt, event, RESULT, {"result": attempt.result}, slots=len(attempt.children))
            elif attempt.end == "error":
                self._emit(attempt, event, ERROR, {"error": {"type": "E"}}, slots=len(attempt.children))

    def _order(self, call: Happened, attempt: Attempt) -> list[int]:
        """In which order the children of an attempt run: any, but for a judge, which reads what is done."""
        places = list(range(len(attempt.children)))
        if call.type != "question":
            self._cutter.shuffle(places)
        return places

    def _begin(self, call: Happened, attempt: Attempt, event: RawEvent, path: tuple[tuple[Frame, bytes], ...]) -> None:
        """The call event: only one that enters a process brings the frames above along."""
        enters = bool(path) and path[-1][1] != attempt.producer
        added = Added(
            frames=tuple(frame for frame, _ in path) if enters else (),
            run=call.run,
            item=payload.pack({"key": call.item}) if call.item is not None else b"",
            member=call.votes,
        )
        judge = call.type == "judge"
        links = (call.read,) if judge and call.reads == "link" else ()
        follows = call.read if not judge or call.reads == "follows" else 0
        data = {"args": [call.call_id]}
        self._emit(attempt, event, CALL, data, links=links, follows=follows, context=pack_context(added))

    def _event(self, call: Happened, attempt: Attempt, parent: tuple[int, int]) -> RawEvent:
        return RawEvent(
            CALL, 0, b"t" * 16, call.call_id, parent[0], attempt.number, parent[1], call.slot, call.operator, call.type,
            "default", None, 0, 0, (), b"", b"",
        )  # fmt: skip

    def _emit(self, attempt: Attempt, event: RawEvent, kind: int, data: Any, **fields: Any) -> None:
        self._clock += 1
        event = event._replace(type=kind, timestamp=self._clock, data=payload.pack(data), **fields)
        self.emitted[attempt.producer].append(event)

    # What is recorded.

    def _stream(self, producer: bytes, fate: str) -> list[Record]:
        """The records of one producer, in order."""
        count = len(self.emitted[producer])
        before = self._cutter.randint(0, count) if fate not in ("lives", "gone") else count
        stream = [_record(BEGIN, producer, 1), *self.batches(producer, 0, before)]
        if fate != "lives":
            stream.append(_record(END, producer, before))
        if fate in ("back", "gone again"):
            stream.append(_record(BEGIN, producer, before + 1))
        stream += self.batches(producer, before, count)
        if fate == "gone again":
            stream.append(_record(END, producer, count))
        if fate in ("gone", "gone again") or (fate == "gone too early" and before == count):
            self.gone.add(producer)
        return stream

    def batches(self, producer: bytes, start: int, stop: int) -> list[Record]:
        """Events start + 1 … stop of a producer, cut anyhow."""
        found = []
        while start < stop:
            upto = self._cutter.randint(start + 1, stop)
            packed = b"".join(map(pack_event, self.emitted[producer][start:upto]))
            found.append(_record(BATCH, producer, start + 1, upto - start, packed))
            start = upto
        return found

    def _recorded(self, streams: list[list[Record]]) -> list[Record]:
        """The streams interleaved; a record's place is also the time at which it came."""
        records: list[Record] = []
        while any(streams):
            record = self._cutter.choice([stream for stream in streams if stream]).pop(0)
            records.append(record._replace(received_ns=len(records) + 1, position=len(records)))
        return records

    def delivered(self) -> list[Record]:
        """All that was recorded in any order, some of it twice, and every event once more in other batches."""
        again = [record for record in self.records if self._cutter.random() < 0.3]
        recut = [record for producer, sent in self.emitted.items() for record in self.batches(producer, 0, len(sent))]
        delivered = [*self.records, *again, *recut]
        self._cutter.shuffle(delivered)
        return delivered


def _record(kind: int, producer: bytes, first_seq: int, count: int = 0, packed: bytes = b"") -> Record:
    return Record(kind, 0, producer, first_seq, count, packed, 0, 0)
