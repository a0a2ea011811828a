"""The sending side of the delivery protocol, as a state machine: it knows no socket, no thread and no clock.

A producer is one stream of events into one recording. Whoever runs it tells it what happened (`tick`, `receive`) and
does what it answers (actions). The rules, all of them:

1. Say hello first, and again whenever nothing that was sent was acknowledged for HELLO_S (or nobody ever answered, or
   nobody answered an alive). An ack that acknowledges nothing new is no progress: what it waits for may be lost. A
   hello states the oldest seq still held, so that the aggregator can tell a loss from a delay. After REDIAL_HELLOS in
   vain the connection itself is made anew.
2. A welcome states the mark: everything up to it is durable. Forget that, and go on from mark + 1 *over a fresh PUSH
   socket*: what lingers in the old one must not arrive late. Duplicates do no harm, an aggregator refuses them. But a
   welcome is only an ack where its mark reaches what had been sent when its hello was said (nothing was lost), or its
   hello was said before another welcome made this start anew: late answers, and heaps of them, cost nothing.
3. An ack states the mark too. One that does not reach what was sent changes nothing: the rest is on its way, or rule 1
   finds out that it is not. But one that ends within a batch, or a hole, tells that an earlier cut of it, sent over a
   socket that was given up, arrived after all. This one will be refused: go on from mark + 1 over a fresh socket.
4. No batch goes out while WINDOW_BYTES are unacknowledged. One of up to BATCH_BYTES goes out when half of that waits,
   or as soon as it may when somebody waits for it (`hurry`); else at the next beat, a multiple of BATCH_S of the clock.
   So the processes of a machine send at the same times, and an aggregator writes, syncs and answers once for all of
   them. In a steady stream nobody need be told of the first event; and while no more than one small batch is on its
   way, and nobody waits, what there is to hear is soon enough at the next beat (`may_rest`).
5. Dropped events are holes: a gap message takes their place in the stream, and is acknowledged like a batch. A hole
   that goes on growing is told in one piece once its beginning is acknowledged: nobody hurries for what is lost.
6. Whoever was welcomed says that it is alive: once at the start, so that both sides know how far their clocks are
   apart, and again whenever it has had nothing to say for HEARTBEAT_S: silence means its end. An aggregator that
   answers no alive believes that this stream has ended, or is another one than it was: rule 1 tells it.
7. A stream that is complete (`end`) says so once nothing is owed, and again each HELLO_S, until an end is the answer.
   From then on it is silent.
8. A refusal, and a welcome of another recording than the first one's, are reported once. Nothing is sent; hello is
   said again after REFUSED_S, since whoever refused may be replaced. So is, once, that nobody answered for UNHEARD_S.
"""

from __future__ import annotations

import os
import platform
from collections import deque
from typing import Protocol

from embertrace.emit.actions import Action, Connect, Push, Redial, Report, Say
from embertrace.emit.spool import Batch, Hole
from embertrace.wire.batch import BATCH, MAX_BATCH_EVENTS, pack_batch, pack_gap
from embertrace.wire.control import Ack, Alive, Control, End, Hello, Refuse, Welcome

BATCH_BYTES = 64 * 1024
"""A batch worth a send of its own: at this size loopback TCP moves gigabytes per second."""
BATCH_S = 0.1
"""How long an event waits for others at most, half as long on average: with all that follows below what a person
notices. On its way into the recording a batch costs a millisecond of CPU, of which its events are a small part."""
WINDOW_BYTES = 1024 * 1024
"""Unacknowledged bytes on the way: bounds what the aggregator buffers per producer, and what a reconnect repeats."""
HELLO_S = 1.0
"""Time without progress after which something is wrong: a group commit takes milliseconds."""
REDIAL_HELLOS = 3
"""Hellos without an answer after which the connection is taken for dead, whatever TCP still hopes for: left alone, it
waits ever longer to try again, and so long after a network has healed."""
HELLOS_KEPT = 64
"""Hellos whose answers still count: an answer that comes after more than a minute is old news."""
HEARTBEAT_S = 8
"""A process that died without a word is known dead after three of them: under half a minute, for a message a while."""
REFUSED_S = 5.0
UNHEARD_S = 5.0
"""Silence from the start after which the user is told that nobody is there."""


class Held(Protocol):
    """What a producer sends from: a Spool, or the records of a replay."""

    @property
    def oldest(self) -> int: ...
    @property
    def next(self) -> int: ...
    def gave_out(self, seq: int) -> bool: ...
    def cut(self, from_seq: int, max_bytes: int, max_events: int) -> Batch | Hole | None: ...
    def trim(self, mark: int) -> None: ...


class Producer:
    """One stream's state. `mark` is the last acknowledged seq; `welcomed` the last welcome, None while disconnected."""

    def __init__(
        self,
        producer: bytes,
        held: Held,
        now: float,
        library: str = "",
        heartbeat_s: int = HEARTBEAT_S,
        whereabouts: tuple[str, int] | None = None,
    ) -> None:
        """`whereabouts` are host and process of whom the events are, where that is not this process."""
        self.id = producer
        self.mark = held.oldest - 1
        self.recording: str | None = None
        self.welcomed: Welcome | None = None
        self._held = held
        self._library = library
        self._host, self._pid = whereabouts if whereabouts is not None else (platform.node(), os.getpid())
        self._heartbeat_s = heartbeat_s
        self._said = now
        self._sent = self.mark
        self._in_flight: deque[tuple[int, int, int]] = deque()
        """What was sent and not acknowledged: first seq, last seq, bytes."""
        self._in_flight_bytes = 0
        self._in_growing_hole = False
        self._awaited = 0
        """The last seq that somebody waits for."""
        self._beat: float | None = None
        """When the batch that is gathered goes out, even if it is empty so far; None where nothing came for a beat."""
        self._started = now
        self._moved = now
        self._hello_due = now
        self._hellos = 0
        self._unanswered = 0
        self._sent_at: dict[int, int] = {}
        """For the latest hellos since this last started anew, what had been sent when they were said."""
        self._reported: set[str] = set()
        self._asked = False
        """Whether an alive waits for its answer."""
        self._ending = False
        self._end_due = now
        self._end_heard = -1

    @property
    def owes(self) -> bool:
        """Whether something that was taken in is not yet acknowledged."""
        return self._held.gave_out(self.mark + 1)

    @property
    def ended(self) -> bool:
        """Whether the aggregator has recorded that the stream is complete."""
        return self._ending and self._end_heard >= self._held.next - 1

    @property
    def is_settled(self) -> bool:
        """Whether nothing is owed, nor (once `end` was called) the news that the stream is complete."""
        return not self.owes and (self.ended or not self._ending)

    @property
    def may_send(self) -> bool:
        """Whether an event that is taken in now could be sent: somebody is there, and nothing must be heard first."""
        return self.welcomed is not None and self._in_flight_bytes < WINDOW_BYTES and not self._in_growing_hole

    @property
    def may_rest(self) -> bool:
        """Whether what is said to this process need not be heard before the batch goes out that is gathered."""
        is_little = len(self._in_flight) <= 1 and self._in_flight_bytes < BATCH_BYTES // 2
        is_steady = self.welcomed is not None and not self._asked and not self._ending
        return self._beat is not None and is_steady and is_little and self.mark >= self._awaited

    def tick(self, now: float, hurry: bool = False) -> list[Action]:
        """Time passed, or events were taken in; `hurry` where somebody waits for those that are there now."""
        actions: list[Action] = []
        if hurry:
            self._awaited = self._held.next - 1
        if self.welcomed is None or self._is_stuck(now):
            actions += self._greet(now)
        if self.welcomed is not None:
            actions += self._send(now)
            if self._ending and not self.owes:
                actions += self._say_end(now)
            elif not actions and self._heartbeat_s and now - self._said >= self._heartbeat_s:
                actions += self._say_alive(now)
        if actions:
            self._said = now
        return actions

    def receive(self, message: Control, now: float) -> list[Action]:
        """A control message came."""
        self._unanswered = 0
        if isinstance(message, Welcome) and message.producer == self.id:
            return self._on_welcome(message, now)
        if isinstance(message, Ack) and message.producer == self.id:
            return self._on_ack(message.mark, now)
        if isinstance(message, End) and message.producer == self.id:
            self._end_heard = max(self._end_heard, message.last)
        elif isinstance(message, Refuse) and message.producer in (None, self.id):
            self.welcomed = None
            self._hello_due = now + REFUSED_S
            return self._report(f"refused this process's events: {message.reason}")
        return []

    def end(self) -> None:
        """The stream is complete: say so once nothing is owed. `ended` turns True with the answer. Safe to repeat."""
        self._ending = True

    def wait_s(self, now: float) -> float | None:
        """How long nothing needs to be done unless something happens; None for as long as it takes."""
        due: list[float] = []
        if self.welcomed is None:
            due.append(self._hello_due)
        elif self._ending and not self.owes:
            due += [] if self.ended else [self._end_due]
        elif self.owes or self._asked:
            due.append(max(self._moved, self._hello_due - HELLO_S) + HELLO_S)
        if self.welcomed is not None and self._heartbeat_s and not self.ended:
            due.append(self._said + self._heartbeat_s)
        if self._beat is not None and self._in_flight_bytes < WINDOW_BYTES and self.welcomed is not None:
            due.append(self._beat)
        return max(0.0, min(due) - now) if due else None

    def _is_stuck(self, now: float) -> bool:
        return ((self.owes and bool(self._in_flight)) or self._asked) and now - self._moved >= HELLO_S

    def _greet(self, now: float) -> list[Action]:
        if now < self._hello_due:
            return []
        self._hello_due = now + HELLO_S
        self._hellos += 1
        self._sent_at[self._hellos] = self._sent
        self._sent_at.pop(self._hellos - HELLOS_KEPT, None)
        hello = Hello(
            self.id, self._held.oldest, self._held.next, self.recording, self._host, self._pid, self._library,
            self._heartbeat_s, number=self._hellos,
        )  # fmt: skip
        self._unanswered += 1
        redial: list[Action] = [Redial()] if self._unanswered % REDIAL_HELLOS == 0 else []
        unheard = self.welcomed is None and self.recording is None and now - self._started >= UNHEARD_S
        report = self._report("did not answer; events are held, and dropped when the spool is full") if unheard else []
        return [*report, *redial, Say(hello)]

    def _say_alive(self, now: float) -> list[Action]:
        self._asked = True
        if not self._in_flight:
            self._moved = now
        return [Say(Alive(self.id))]

    def _say_end(self, now: float) -> list[Action]:
        self._asked = False  # the end is what is to be answered
        if self.ended or now < self._end_due:
            return []
        self._end_due = now + HELLO_S
        return [Say(End(self.id, self._held.next - 1))]

    def _on_welcome(self, welcome: Welcome, now: float) -> list[Action]:
        if self.recording is not None and welcome.recording != self.recording:
            self.welcomed = None
            self._hello_due = now + REFUSED_S
            return self._report(
                f"now records into {welcome.recording}, but these events belong to {self.recording}; they are held"
            )
        if not self._tells_loss(welcome):
            return self._on_ack(welcome.mark, now)
        self._sent_at.clear()
        self.recording = welcome.recording
        self._moved = now
        self._asked = False
        alive = self._say_alive(now) if self.welcomed is None and self._heartbeat_s else []
        self.welcomed = welcome
        self._acknowledge(welcome.mark)
        self.mark = max(welcome.mark, self._held.oldest - 1)
        return [*alive, *self._go_back(welcome, now)]

    def _tells_loss(self, welcome: Welcome) -> bool:
        """Whether what was sent may not have arrived, or is to go elsewhere from now on."""
        if welcome.number not in self._sent_at:
            return False
        there = self.welcomed
        is_elsewhere = there is None or (there.push_port, there.host) != (welcome.push_port, welcome.host)
        return is_elsewhere or welcome.mark < self._sent_at[welcome.number]

    def _on_ack(self, mark: int, now: float) -> list[Action]:
        before = self.mark
        self._asked = False
        self._acknowledge(mark)
        if self.mark > before or not self._in_flight:
            self._moved = now
        first = self._in_flight[0][0] if self._in_flight else self.mark + 1
        if first <= self.mark and self.welcomed is not None:
            return self._go_back(self.welcomed, now)
        return []

    def _go_back(self, welcome: Welcome, now: float) -> list[Action]:
        """Send everything from mark + 1 on, over a fresh socket."""
        self._sent = self.mark
        self._in_flight.clear()
        self._in_flight_bytes = 0
        return [Connect(welcome.push_port, welcome.host), *self._send(now, hurry=True)]

    def _acknowledge(self, mark: int) -> None:
        if mark > self._sent:
            mark = min(mark, self._held.next - 1)
        if mark <= self.mark:
            return
        self.mark = mark
        self._sent = max(self._sent, mark)
        self._held.trim(mark)
        while self._in_flight and self._in_flight[0][1] <= mark:
            self._in_flight_bytes -= self._in_flight.popleft()[2]

    def _send(self, now: float, hurry: bool = False) -> list[Action]:
        actions: list[Action] = []
        self._in_growing_hole = False
        while self._in_flight_bytes < WINDOW_BYTES:
            found = self._held.cut(self._sent + 1, BATCH_BYTES, MAX_BATCH_EVENTS)
            self._in_growing_hole = isinstance(found, Hole) and bool(self._in_flight) and not self._in_flight[-1][2]
            if found is None or self._in_growing_hole:
                break
            if self._beat is None:
                self._beat = _next_beat(now)
            is_small = isinstance(found, Batch) and len(found.payload) < BATCH_BYTES // 2
            if is_small and not hurry and self._sent >= self._awaited and now < self._beat:
                return actions
            actions.append(Push(self._pack(found)))
            if not self._in_flight:
                self._moved = now  # the time that matters begins with what is owed
            size = len(found.payload) if isinstance(found, Batch) else 0
            self._sent = found.first_seq + found.events - 1
            self._in_flight.append((found.first_seq, self._sent, size))
            self._in_flight_bytes += size
        if self._in_growing_hole:
            self._beat = None
        elif actions or self._held.gave_out(self._sent + 1):
            self._beat = _next_beat(now)
        elif self._beat is not None and now >= self._beat:
            self._beat = None
        return actions

    def _pack(self, found: Batch | Hole) -> bytes:
        if isinstance(found, Hole):
            return pack_gap(self.id, found.first_seq, found.events, found.reason)
        return pack_batch(BATCH, self.id, found.first_seq, found.events, found.payload)

    def _report(self, text: str) -> list[Action]:
        if text in self._reported:
            return []
        self._reported.add(text)
        return [Report(text)]


def _next_beat(now: float) -> float:
    return (now // BATCH_S + 1) * BATCH_S


__all__ = ["Action", "Connect", "Held", "Producer", "Push", "Report", "Say"]
