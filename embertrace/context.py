"""Where in the hierarchy the running code is: the one ContextVar, and everything that reads or moves it.

The variable holds a position: (context, scope, follows).

- `Context` is the innermost active call, None below a root. It is shared by all code that runs inside that call, in
  whatever task or thread; so the counter that numbers its children is atomic.
- `Scope` is what all calls of a trace share: run, item, tags, sink. It changes only at `item()`, where a
  remote call enters a process, and with `set_ground`, the scope of everything that has none.
- `follows` is the call that ended or was submitted last *in this execution context*: asyncio tasks inherit it and
  change it without disturbing each other. That makes it the honest answer to "what came before me?".

Leaving a call *sets* the position (outer context, outer scope, this call); nothing is reset by token, because
generators resume in other contexts than they started in.

A process that takes over a position from another (a forked child, a task) can't share its counters: what it begins
under an inherited call gets foreign slots.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeVar

from embertrace import lineage, payload
from embertrace.event import FOREIGN_SLOT, Frame
from embertrace.sampling import Sampling
from embertrace.wire.event import Place


class Sink(Protocol):
    """Where packed events go. `put` returns quickly, and may be called from any thread.

    It raises nothing but RecursionError, where there was no room to begin: the event was not taken then.
    """

    def put(self, packed: bytes) -> None: ...


class Nobody:
    """The sink of what is not recorded."""

    def put(self, packed: bytes) -> None:
        """Nothing is kept."""


NOBODY: Sink = Nobody()


class Arrival(NamedTuple):
    """A call that was submitted elsewhere and starts here: its place in the tree was decided by its caller."""

    call_id: int
    slot: int
    attempt: int = 0
    links: tuple[int, ...] = ()


class Roots:
    """How many roots a run has begun or submitted so far. `next(count)` is one step, and needs no lock."""

    def __init__(self) -> None:
        self.count = itertools.count()
        self.withdrawn = itertools.count()

    def withdraw(self) -> None:
        """One that was counted came to nothing."""
        next(self.withdrawn)

    def number(self) -> int:
        """How many, now. One thread at a time asks: that counts as one, begun and withdrawn."""
        return next(self.count) - next(self.withdrawn)


class Scope(NamedTuple):
    """What the calls of one trace share."""

    run: str | None = None
    item: bytes = b""
    tags: bytes = b""
    sink: Sink | None = None
    """Where the events go; None means wherever this process sends its own."""
    trace_id: bytes | None = None
    """Of the item; a root outside any item begins a trace of its own."""
    roots: Iterator[int] = itertools.count()
    """Numbers the roots of an item, or of the run outside items."""
    begun: Roots | None = None
    """All roots of the run; None where nobody counts them."""
    arrival: Arrival | None = None
    """The next call begun here is this one."""
    share: float | None = None
    """The share of items that are recorded, these calls among them; 0 where they are not. None: not yet decided."""
    aside: Scope | None = None
    """Of calls that are not recorded: what their scope would be, with the sink that gets the errors among them."""

    def begun_here(self) -> Scope:
        """This scope once the call that arrives has begun."""
        run, item, tags, sink, trace_id, roots, begun, _, share, aside = self
        return Scope(run, item, tags, sink, trace_id, roots, begun, None, share, aside)

    def chosen(self, share: float) -> Scope:
        """This scope where its calls are recorded, as that share of all."""
        return self._replace(share=share)

    def passed_over(self) -> Scope:
        """This scope where its calls are not recorded: nobody hears of them, and nobody counts them."""
        return self._replace(sink=NOBODY, begun=None, share=0.0, aside=self)

    def decided(self, key: object = None) -> Scope:
        """This scope with the decision about its item, or without one about what `key` stands for."""
        if sampling is None or sampling.share == 1 or self.share is not None:
            return self
        chooses = sampling.chooses_item(self.item) if self.item else sampling.chooses(key)
        return self.chosen(sampling.share) if chooses else self.passed_over()


Names = tuple[str, str, str]
"""Operator id, type and stage."""


class Context:
    """One active call. Its identity never changes; `slots` hands out the positions of its children.

    What most calls never have stands on the class, and there is no `__init__`: making one is a good part of what a
    traced call costs. `begin` and `arrive` make them.
    """

    announced: Sink | None = None
    """To whom this process sent its call event: for it, children need not repeat its frame."""
    owner: object = None
    spec: Any = None
    """The operator instance and what began it, so that super().__call__ is recognised as the same call."""
    unended: Any = None
    """Calls below whose end could not be emitted where they ended (see `traced`)."""
    withdrawn = 0
    """Slots given to children that came to nothing."""
    withheld = 0
    """Children that a filter keeps from being recorded."""
    is_recorded = True
    """False where a filter keeps this call itself from it."""
    attempt = 0
    slots: Iterator[int] | None = None
    """Hands out the positions of its children; None before the first. See `next_slot`."""
    parent: Context | None
    names: Names
    trace_id: bytes
    call_id: int
    slot: int
    scope: Scope
    """What its children share. Its whole position would refer back to the call, and what refers to itself is freed
    late, by the garbage collector: that took a twentieth of a traced call."""

    @property
    def place(self) -> Place:
        """What all its events say of it."""
        parent_id, parent_attempt = self.below
        return self.trace_id, self.call_id, parent_id, self.attempt, parent_attempt, self.slot, *self.names

    @property
    def below(self) -> tuple[int, int]:
        """Call id and attempt of its parent; zeros for a root."""
        return (0, 0) if self.parent is None else (self.parent.call_id, self.parent.attempt)

    @property
    def operator_id(self) -> str:
        return self.names[0]

    @property
    def stage(self) -> str:
        return self.names[2]

    @property
    def frame(self) -> Frame:
        return Frame(*self.names, self.call_id, self.attempt, self.slot)

    def frames(self) -> tuple[Frame, ...]:
        """Root → this call."""
        frames, here = [], self
        while True:
            frames.append(here.frame)
            if here.parent is None:
                return tuple(reversed(frames))
            here = here.parent


Position = tuple[Context | None, Scope, int]

NO_SCOPE = Scope()
NOWHERE: Position = (None, NO_SCOPE, 0)
current: ContextVar[Position] = ContextVar("embertrace_position", default=NOWHERE)

redaction: payload.Redaction | None = None
"""Rules for what must not leave this process; items and tags are packed here already."""
sampling: Sampling | None = None
"""What is recorded; None where everything is."""
ground = NO_SCOPE
"""The scope of all calls that have none of their own; see `set_ground`."""


def set_ground(scope: Scope) -> Scope:
    """Make `scope` that of all calls that have none of their own; returns the one before."""
    global ground
    before, ground = ground, scope
    return before


def position() -> Position:
    """The current position, with the ground's scope where the code has none of its own."""
    context, scope, follows = current.get()
    return context, ground if scope is NO_SCOPE else scope, follows


# Ids: a random base per process and a counter. 0 names nothing, so it is never handed out.

_ids = itertools.count()
_trace_base = b""


def _new_base() -> None:
    """Fresh id ranges: at import, and in a forked child. They begin at 2**63 at most, and so never leave 64 bits."""
    global _ids, _trace_base
    _ids = itertools.count(1 + (int.from_bytes(os.urandom(8)) >> 1))
    _trace_base = os.urandom(8)


_new_base()
os.register_at_fork(after_in_child=_new_base)


def new_call_id() -> int:
    """64 bits, unique with overwhelming likelihood across processes; never 0."""
    return next(_ids)


def new_trace_id() -> bytes:
    """128 bits, as above."""
    return _trace_base + next(_ids).to_bytes(8, "big")


C = TypeVar("C", bound=Context)


def begin(kind: type[C], parent: Context | None, scope: Scope, names: Names) -> C:
    """A new active call under `parent`, made current: the one that arrives, or one begun here.

    At the limit of recursion making it fails, and then it has not taken a slot yet.
    """
    call = kind()
    call.parent = parent
    call.names = names
    call.trace_id = (scope.trace_id or new_trace_id()) if parent is None else parent.trace_id
    arrival = scope.arrival
    if arrival is None:
        call.slot = next_slot(parent, scope)
        call.call_id = next(_ids)
    else:
        call.call_id, call.slot, call.attempt, _ = arrival
        scope = scope.begun_here()
    call.scope = scope
    current.set((call, scope, 0))
    return call


def resume(call: Context) -> None:
    """Into the position of a call that ends: what ran in it has left another."""
    current.set((call, call.scope, 0))


def next_slot(parent: Context | None, scope: Scope) -> int:
    """The place of the next call begun or submitted here: under its parent, or among the roots."""
    if parent is not None:
        slots = parent.slots
        if slots is None:  # of several that come at once, each gets the one that is kept
            slots = parent.__dict__.setdefault("slots", itertools.count())
        return next(slots)
    if scope.begun is not None:
        next(scope.begun.count)
    return next(scope.roots)


def withdraw_slot(parent: Context | None, scope: Scope) -> None:
    """The call that `next_slot` was asked for came to nothing: nobody is to wait for it."""
    if parent is not None:
        with _withdrawing:
            parent.withdrawn += 1
    elif scope.begun is not None:
        scope.begun.withdraw()


def withhold(parent: Context) -> None:
    """A child of a call that runs here is not recorded, and nobody is to wait for it."""
    with _withdrawing:
        parent.withheld += 1


_withdrawing = threading.Lock()


class ForeignSlots:
    """Slots for children of a call that other processes begin children of too; above FOREIGN_SLOT, by time.

    Ten bits of an id tell apart those of one millisecond: to ask the system for random ones takes longer than all else.
    One is enough for a process. It has no lock, which a forked child might find taken.
    """

    _latest = FOREIGN_SLOT

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        now = FOREIGN_SLOT + (time.time_ns() // 1_000_000 << 10) + (next(_ids) & 0x3FF)
        self._latest = slot = max(now, self._latest + 1)
        return slot


foreign = ForeignSlots()


def above(frames: tuple[Frame, ...], trace_id: bytes | None) -> Context | None:
    """Active calls of another process, the innermost of which is the parent of what this one begins."""
    context: Context | None = None
    for operator_id, operator_type, stage, call_id, attempt, slot in frames:
        assert trace_id is not None, "frames belong to a trace"
        inner = Context()
        inner.parent, inner.scope, inner.slots = context, NO_SCOPE, foreign
        inner.names = (operator_id, operator_type, stage)
        inner.trace_id, inner.call_id, inner.attempt, inner.slot = trace_id, call_id, attempt, slot
        context = inner
    return context


def end(outer: Position, context: Context) -> None:
    """Back to where the call began, which now follows it."""
    scope = outer[1]
    if scope.arrival is not None:  # it has begun: this was it
        scope = scope.begun_here()
    current.set((outer[0], scope, context.call_id))


def _after_fork_in_child() -> None:
    """The calls that were active go on in the parent: here they are inherited, as if they had come with a carrier."""
    global _withdrawing, foreign
    _withdrawing = threading.Lock()
    foreign = ForeignSlots()
    set_ground(ground._replace(roots=foreign, begun=None))
    context, scope, follows = current.get()
    if scope is not NO_SCOPE:
        scope = scope._replace(roots=foreign, begun=None)
    current.set((context, scope, follows))
    while context is not None:
        context.slots, context.announced = foreign, None
        context = context.parent


os.register_at_fork(after_in_child=_after_fork_in_child)


def pack_item(key: object) -> bytes:
    """An item of which only the key is known."""
    return payload.pack({"key": key}, lineage.ITEM_BYTES, redaction)


def merge_tags(packed: bytes, tags: Mapping[str, Any]) -> bytes:
    """Packed tags with more added; later ones win."""
    if not tags:
        return packed
    return payload.pack({**lineage.unpack_mapping(packed), **tags}, lineage.TAGS_BYTES, redaction)
