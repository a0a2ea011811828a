"""Events of many producers, in any order, twice, or with gaps: collected into calls, runs and labels.

Rules:
- The result depends on the set of events alone. (producer, seq) names an event; a second sighting is ignored.
  Where two different events claim the same begin or the same end of a call, the earliest `Origin` counts.
- Nothing here reads a clock or does I/O. `note_*` report what the transport knows of a producer.
- Events wait in the order in which they came until somebody asks, or until there are enough to be worth reading
  together; then they become rows of the table. `trees` is made anew when events came since. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from embertrace.analysis.calls import Origin, Sighting
from embertrace.analysis.known import Known
from embertrace.analysis.losses import Gaps, Loss
from embertrace.analysis.runs import describe_runs
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.events import EventTable
from embertrace.analysis.table.executions import Executions
from embertrace.analysis.table.intake import Intake, Keeps
from embertrace.analysis.table.texts import Texts
from embertrace.analysis.trees import Trees
from embertrace.wire.clock import Offset
from embertrace.wire.event import RawEvent


class Forest:
    """All that is known of a set of events.

    `events` counts distinct ones, `undecodable` those nobody could read, `unplaced` calls and results without a call
    id: they belong to no call (lists of such events are given ids by `handmade`). `damaged_bytes` were skipped in a
    recording; what they held is unknown. `removed_segments` were removed by retention before they could be read.
    """

    def __init__(self, keeps: Keeps | None = None, known: Known | None = None) -> None:
        """`keeps` says which of the events take a place here (None: all); `known` is what was known before."""
        self._known = Known() if known is None else known
        self._intake = Intake(self._known, keeps)
        self._elsewhere: tuple[int, ...] | None = None
        self._trees: dict[tuple[bool, bool], Trees] = {}

    def part(self, keeps: Keeps, elsewhere: Iterable[int] = ()) -> Forest:
        """An empty forest for some of the events that were seen here: its counts and its producers are this one's.

        `elsewhere` are ids of calls that go on in another part: `progress` counts them there.
        """
        found = Forest(keeps)
        found._known, found._elsewhere = self.known, tuple(elsewhere)
        return found

    def going_on(self, rows: Array, keeps: Keeps) -> Forest:
        """A forest in the place of this one, with its events in some rows (ascending) only. This one is used up."""
        found = Forest(keeps, self._known)
        found._intake.carry(self.table, rows)
        return found

    def adopt(self, other: Forest, rows: Array) -> None:
        """Take over another forest's events in some rows (ascending), as far as they are not here already."""
        self._intake.flush()
        self._intake.adopt(other.table, rows)
        self._trees.clear()

    @property
    def events(self) -> int:
        return self.known.events

    @property
    def unplaced(self) -> int:
        return self.known.unplaced

    @unplaced.setter
    def unplaced(self, count: int) -> None:
        self.known.unplaced = count

    @property
    def undecodable(self) -> int:
        return self.known.undecodable

    @undecodable.setter
    def undecodable(self, count: int) -> None:
        self.known.undecodable = count

    @property
    def damaged_bytes(self) -> int:
        return self._known.damaged_bytes

    @damaged_bytes.setter
    def damaged_bytes(self, count: int) -> None:
        self._known.damaged_bytes = count

    @property
    def removed_segments(self) -> int:
        return self._known.removed_segments

    @removed_segments.setter
    def removed_segments(self, count: int) -> None:
        self._known.removed_segments = count

    @property
    def known(self) -> Known:
        """What is known of producers, and of all events, with nothing waiting to be counted."""
        self._intake.flush()
        return self._known

    def expect(self, length: int) -> None:
        """So many bytes of batches will come: room is made for their events at once."""
        self._intake.expect(length)

    def add(self, producer: bytes, seq: int, event: RawEvent) -> None:
        """Take in one event; one that was seen already changes nothing."""
        self._intake.add(producer, seq, event)
        self._trees.clear()

    def add_batch(self, producer: bytes, first_seq: int, count: int, payload: bytes) -> None:
        """Take in a batch as it was sent: `count` events from `first_seq` on. What can't be decoded is counted."""
        self._intake.add_batch(producer, first_seq, count, payload)
        self._trees.clear()

    @property
    def _taken(self) -> Intake:
        """The intake, with nothing waiting in it."""
        self._intake.flush()
        return self._intake

    def flush(self) -> None:
        """Read what waits."""
        self._intake.flush()

    @property
    def waits(self) -> bool:
        """Whether something waits to be read."""
        return self._intake.waits

    def note_begin(self, producer: bytes, at_ns: int, host: str = "", pid: int = 0) -> None:
        """A producer's stream began, or went on, at a time of whoever recorded it. `host` is "" if it said none."""
        self._note_life(producer, (at_ns, True, 0))
        if host:
            self._known.hosts[producer] = min((host, pid), self._known.hosts.get(producer, (host, pid)))

    def note_end(self, producer: bytes, at_ns: int, last_seq: int) -> None:
        """A producer was gone at that time, after `last_seq`: what it left without an end is lost.

        Its runs did not finish. A later begin, or an event beyond, withdraws that.
        """
        self._note_life(producer, (at_ns, False, last_seq))

    def note_offset(self, producer: bytes, offset: Offset) -> None:
        """How far a producer's clock is from the aggregator's."""
        self._known.note_offset(producer, offset)
        self._trees.clear()

    def _note_life(self, producer: bytes, sign: tuple[int, bool, int]) -> None:
        self._known.note_life(producer, sign)
        self._trees.clear()

    @property
    def ended(self) -> set[bytes]:
        """The producers that are known to be gone."""
        return self.known.ended

    def note_gap(self, producer: bytes, first_seq: int, count: int, reason: str = "dropped") -> None:
        """`count` events from `first_seq` on were dropped or trimmed, and will not come."""
        if count > 0:
            self._known.gaps.setdefault(producer, Gaps()).add(first_seq, count, reason)

    @property
    def gaps(self) -> int:
        """How many events are known to be missing; overlapping reports count once."""
        return sum(loss.events for loss in self.losses)

    @property
    def losses(self) -> list[Loss]:
        """Where those were lost, and why."""
        return self._known.losses

    @property
    def producers(self) -> int:
        return len(self.known.seen)

    @property
    def table(self) -> EventTable:
        """The events that are here, as columns."""
        return self._taken.events

    @property
    def executions(self) -> Executions:
        return self._taken.executions

    @property
    def texts(self) -> Texts:
        return self._taken.texts

    @property
    def rows(self) -> int:
        """How many events are in the table, beside those that wait."""
        return len(self._intake.events)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns and payloads that are here, and of what waits."""
        return self._intake.nbytes

    @property
    def trees(self) -> Trees:
        """The calls as trees, over everything added so far: of each call the attempt that counts."""
        return self.trees_of()

    @property
    def payload_bytes(self) -> int:
        """Bytes of links, contexts and data, which stay packed."""
        return self._taken.events.payload_bytes

    def trees_of(self, *, every_attempt: bool = False, partial: bool = False) -> Trees:
        """As `trees`, or with every attempt as a call of its own.

        `partial`: also with those calls of items that were not chosen that were recorded since one of them raised.
        """
        kept = every_attempt, False
        if kept not in self._trees:
            self._trees[kept] = Trees(self._taken, self.ended, self._known.offsets, every_attempt)
        if not partial or not self._taken.contexts.shares.is_sampled:
            return self._trees[kept]
        kept = every_attempt, True
        if kept not in self._trees:
            self._trees[kept] = Trees(self._taken, self.ended, self._known.offsets, every_attempt, partial=True)
        return self._trees[kept]

    def runs(self) -> list[dict[str, Any]]:
        """Every run seen, in the order in which they began: `id`, `status`, `calls` and whatever its events say of it.

        `status` is "running", "finished", "failed", "crashed" (its producers ended, it never did) or "unknown" (the
        run is known from contexts only).
        """
        return [run.about for run in describe_runs(self.trees, self.ended).values()]

    def progress(self, run: str | None = None) -> dict[str, int]:
        """How far a run is (all runs for None): counts of `calls`, `open`, `lost`, `missing`, `roots`, `events`.

        `open` calls have no end yet, `missing` are children that ended calls announced and nobody saw, `roots` are
        distinct calls under no other. A run is complete when nothing is open or missing and its roots are all there.
        Calls that a filter withheld are not awaited: as roots they count as there, below others not as missing.
        """
        return self.trees.progress(run, self.events, self._elsewhere)

    def sightings(self) -> list[Sighting]:
        """Every event that is kept, in the order of their origins."""
        taken = self._taken
        return [Sighting(Origin(*taken.events.origin(row)), taken.events.event(row)) for row in taken.kept_rows()]
