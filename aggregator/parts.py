"""All that was recorded, in bounded memory: what is new and unfinished in a live forest, the rest in parts on disk.

Rules:
- The live forest may take half of the memory. When it takes more, traces that are over go: a part remembers which they
  are and where in the recording their events lie, and reads them again for each question that nobody asked before. A
  part is read into the other half, and dropped before the next.
- Each trace is in one part or in the live forest, so that answers of all together are those of one large forest. What
  comes late for a part's trace is noted there, and read with it. Labels and descriptions of runs stay in the live
  forest, and are lent to each part.
- What the parts together said to a question is kept for the last few questions, until a label, a late event or another
  cut could change it.
- A trace that is too large itself is spread over several parts; each answer says so.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Protocol, Self, TypeVar

from aggregator.child import MEMORY
from embertrace.analysis import Forest
from embertrace.analysis.cutting import Cut, cut, shared_rows
from embertrace.analysis.results import Result
from embertrace.analysis.sieves import NotOwned, Only
from embertrace.analysis.table.marks import Marks, joined
from embertrace.analysis.table.traces import Owners, among, has, key_of
from embertrace.analysis.verbs import understood
from embertrace.payload import canonical
from embertrace.recording import Damage, Record, Recording
from embertrace.recording.plant import plant
from embertrace.wire.batch import BATCH

LOOKS = 64
"""The live forest is looked at so often while it grows to its bound, so that it is not much beyond."""
REGROWTH = 1.25
"""What stays after a cut may be more than the bound (labels, open calls): then it grows by a quarter to the next."""
FOREVER = 1 << 63
"""Beyond every position."""
MAX_KEPT = 4
"""Answers of all parts that are kept: a page that is looked at asks a few questions again and again."""


class State(Protocol):
    def merge(self, other: Self) -> Self: ...


S = TypeVar("S", bound=State)
Seen = tuple[bytes, int, Any]
"""A producer, a seq, and the event."""


@dataclasses.dataclass(slots=True)
class Piece:
    """The events of one trace between two positions; `spine` are begins from before of calls that were open then."""

    since: int
    until: int
    spine: list[Seen]


@dataclasses.dataclass(slots=True)
class Part:
    """Traces that went: their keys, and the stretches of the recording in which their events lie.

    `open_calls` are the ids of the spine that it left to the next piece. `changes` counts what came late.
    """

    keys: Any
    stretches: list[tuple[int, int]]
    pieces: dict[int, Piece]
    open_calls: list[int]
    changes: int = 0

    def note(self, start: int, end: int) -> None:
        """Something of it came late, between two positions."""
        self.stretches = joined([*self.stretches, (start, end)])
        self.changes += 1


class Parts:
    """`live` is what is in memory; `take` what is recorded, in order. One thread."""

    def __init__(self, recording: Recording, memory: int = MEMORY) -> None:
        self._recording, self._bound = recording, memory // 2
        self.live = Forest()
        self._parts: dict[int, Part] = {}
        """By number, the oldest first."""
        self._cuts = 0
        self._owners = Owners()
        self._pieces: dict[int, Piece] = {}
        """The pieces that are in the live forest, by the keys of their traces."""
        self._marks = Marks()
        self._end = 0
        self._untold = 0
        """Bytes since the live forest was looked at."""
        self._next_cut = self._bound
        self._read: tuple[Any, Part, Forest] | None = None
        self._kept: dict[bytes, tuple[Any, Any]] = {}

    def __len__(self) -> int:
        """How many parts there are, beside the live forest."""
        return len(self._parts)

    def take(self, item: Record | Damage) -> None:
        """Take in what the recording holds next."""
        self._end = max(self._end, item.end)
        if isinstance(item, Record) and item.kind == BATCH:
            if not self.live.waits:
                self._marks.put(self.live.rows, item.position)
            self._untold += len(item.payload)
        plant(self.live, item)
        if self._untold * LOOKS >= self._bound:
            self._untold = 0
            if self.live.nbytes >= self._next_cut:
                self._cut()

    def _came_late(self, part: int) -> None:
        self._parts[part].note(self._marks.last, self._end)

    def _cut(self) -> None:
        """Let go of what is over."""
        live, found = self.live, cut(self.live)
        if len(found.closed):
            self._read = None
            self._parts[self._cuts] = self._part(found)
            self._owners.put(found.closed[~among(found.closed, found.pieces)], self._cuts)
            self._cuts += 1
            self._marks = self._marks.carried(found.stays, self._end)
            self.live = live.going_on(found.stays, NotOwned(self._owners, self._came_late))
        self._next_cut = max(self._bound, int(self.live.nbytes * REGROWTH))

    def _part(self, found: Cut) -> Part:
        live = self.live
        pieces = {key: self._pieces.pop(key) for key in [*self._pieces] if has(found.closed, key)}
        spine = [(*live.table.origin(row)[1:], live.table.event(row)) for row in found.spine.tolist()]
        for key in found.pieces.tolist():
            live.known.in_pieces += key not in pieces
            pieces.setdefault(key, Piece(0, FOREVER, [])).until = self._end
            own = [seen for seen in spine if key_of(seen[2].trace_id) == key]
            self._pieces[key] = Piece(self._end, FOREVER, own)
        stretches = self._marks.stretches(found.gone, self._end)
        return Part(found.closed, stretches, pieces, [event.call_id for *_, event in spine])

    # Asking.

    def ask(self, query: Mapping[str, Any]) -> Result:
        """The result of a query (see `verbs`), of everything. Raises QueryError."""
        question = understood(query)
        here = question.of(self.live)
        older = self.older(query, question.of)
        return question.finish(here if older is None else older.merge(here), self.live)

    def older(self, name: Any, partial: Callable[[Forest], S]) -> S | None:
        """What all parts say together, beside the live forest; None where there are no parts.

        `name` (plain data) stands for the question that `partial` is.
        """
        self._forget_removed()
        if not self._parts:
            return None
        packed, state = canonical(name), self._state()
        kept = self._kept.pop(packed, None)
        if kept is None or kept[0] != state:
            kept = state, _packed(self._merged(partial))
        while len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[packed] = kept
        found: S = pickle.loads(kept[1])
        return found

    def _merged(self, partial: Callable[[Forest], S]) -> S:
        found: S | None = None
        for part in self._parts.values():
            said: S = pickle.loads(_packed(partial(self._forest_of(part))))  # so it holds on to nothing there
            found = said if found is None else found.merge(said)
        assert found is not None
        return found

    def progress(self, run: str | None) -> dict[str, int]:
        """As `Forest.progress`, of everything."""
        here = Progress(self.live.progress(run))
        older = self.older(["progress", run], lambda forest: Progress(forest.progress(run)))
        found = here if older is None else here.merge(older)
        return {**found.counts, "events": self.live.events} if run is None else found.counts

    def holding(self, trace: bytes | None) -> Iterator[Forest]:
        """The forests that can hold calls of a trace, the oldest first. Each is dropped before the next is taken."""
        key = key_of(trace)
        for part in [*self._parts.values()]:
            if has(part.keys, key):
                yield self._forest_of(part)
        yield self.live

    def where(self, holds: Callable[[Forest], bool]) -> Forest:
        """The forest for which something holds, of several the newest; the live one where it holds for none."""
        if not holds(self.live):
            read = [part for part in self._parts.values() if self._read is not None and self._read[1] is part]
            for part in [*read, *reversed(self._parts.values())]:
                if holds(self._forest_of(part)):
                    return self._forest_of(part)
        return self.live

    # Reading parts.

    def _state(self) -> Any:
        """What an answer of the parts depends on. Its elements only grow."""
        known = self.live.known
        changes = [(number, part.changes) for number, part in self._parts.items()]
        return changes, known.changes, len(known.ended), len(shared_rows(self.live))

    def _forest_of(self, part: Part) -> Forest:
        """The events of one part; those of the part that was read last are still there, if nothing changed."""
        state = self._state()
        if self._read is None or self._read[1] is not part or self._read[0] != state:
            self._read = None  # first: there is room for one
            self._read = state, part, self._scan(part)
        return self._read[2]

    def _scan(self, part: Part) -> Forest:
        sieve = Only(part.keys)
        forest = self.live.part(sieve, part.open_calls)
        forest.adopt(self.live, shared_rows(self.live))
        changes: list[tuple[int, int, bool]] = []
        for key, piece in part.pieces.items():
            for producer, seq, event in piece.spine:
                forest.add(producer, seq, event)
            changes += [(piece.since, key, True), (piece.until, key, False)]
        forest.flush()
        for key in part.pieces:
            sieve.change(key, False)
        changes.sort(reverse=True)
        for start, stop in part.stretches:
            for record in self._recording.records(start, stop):
                while changes and changes[-1][0] <= record.position:
                    forest.flush()
                    sieve.change(*changes.pop()[1:])
                if isinstance(record, Record) and record.kind == BATCH:
                    plant(forest, record)
        forest.flush()
        return forest

    def _forget_removed(self) -> None:
        """Parts of which retention removed everything have nothing more to say."""
        before = self._recording.removed().before if self._parts else 0
        for number, part in [*self._parts.items()]:
            if part.stretches[-1][1] <= before:
                del self._parts[number]
                self._owners.drop(number)


class _Packer(pickle.Pickler):
    """Fractions, of which sums are made, as two integers: Python's own way is to print and to parse them."""

    dispatch_table = {Fraction: lambda number: (Fraction, (number.numerator, number.denominator))}  # noqa: RUF012


def _packed(state: Any) -> bytes:
    """A state as bytes, which stay in this process."""
    buffer = io.BytesIO()
    _Packer(buffer, pickle.HIGHEST_PROTOCOL).dump(state)
    return buffer.getvalue()


class Progress:
    """How far a run is, by one part."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    def merge(self, other: Progress) -> Progress:
        return Progress({name: count + other.counts[name] for name, count in self.counts.items()})
