"""The events of other processes for `collect_events` blocks: through an aggregator, and back when the block ends.

Rules:
- The configured aggregator is used if there is one. Else a temporary one starts with the first call that leaves the
  process inside a block, and serves later blocks too; it ends with the process, or once it holds KEEP_EVENTS.
- A block gets the calls it submitted and all that ran under them, and nothing of other blocks: `Gathered` decides.
- Leaving a block never raises for lack of an aggregator: it says what is missing and goes on.
"""

from __future__ import annotations

import logging
import os
import pathlib
import tempfile
import threading
import time
from collections.abc import Iterable

from embertrace import collect, embedded, emit
from embertrace.analysis import Forest
from embertrace.client import Client
from embertrace.embedded import ADOPT_S, Embedded
from embertrace.ending import at_end
from embertrace.errors import EmbertraceError
from embertrace.event import CALL, ERROR, METRIC, call_hex
from embertrace.keys import ClientKey
from embertrace.sinks import AddressedSink, EventList
from embertrace.wire.context import unpack_context
from embertrace.wire.event import RawEvent, unpack_event

log = logging.getLogger("embertrace")

POLL_S = 0.02
"""How often a block that ends asks for more: about the time an event takes to become visible."""
QUIET_S = 0.25
"""After a call that ended with an error, how long nothing may come: another attempt may have begun."""
SKEW_NS = 60 * 10**9
"""How far the aggregator's clock may be behind ours; reading from earlier on costs little and adds nothing."""
KEEP_EVENTS = 100_000
"""Events after which the temporary aggregator is not used for a further block: a new one is empty."""
ANSWER_S = 5.0
NAMED_CALLS = 5
"""Open calls that a warning names."""

Found = tuple[bytes, int, bytes]
"""(producer, seq, packed event)"""

_lock = threading.Lock()
_temporary: Temporary | None = None
_unable: EmbertraceError | None = None
"""Why a temporary aggregator could not start: it is not tried again and again while the program runs."""


Address = tuple[str, ClientKey | None]
"""Where an aggregator is, and the key for it."""


def reach(events: EventList, configured: Address | None) -> Address:
    """The aggregator for the events of a call that leaves the process in the block of `events`.

    That is the configured one, if there is one, else the temporary one. Raises AggregatorError if that can't start.
    """
    if configured is None:
        with _lock:
            elsewhere = next((one for one in events.elsewhere.values() if isinstance(one, Temporary)), None)
            elsewhere = elsewhere or _open_temporary()
            events.elsewhere.setdefault(elsewhere.endpoint, elsewhere)
        return elsewhere.endpoint, elsewhere.key
    if configured[0] not in events.elsewhere:
        events.elsewhere[configured[0]] = Configured(*configured)
    return configured


class Configured:
    """The aggregator of the process: it has many events, of which a block wants few."""

    def __init__(self, endpoint: str, key: ClientKey | None) -> None:
        self.endpoint = endpoint
        self.key = key
        self._since_ns = time.time_ns() - SKEW_NS

    def bring(self, events: EventList, deadline: float) -> list[Found]:
        """See `sinks.Elsewhere`."""
        own = emit.emitter_for(self.endpoint, key=self.key)
        own.flush(max(0.0, deadline - time.monotonic()))
        return _bring((self.endpoint, self.key), Gathered(events, own.producer), self._since_ns, deadline)


class Temporary:
    """An aggregator that holds nothing but what blocks of this process sent it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.taken = 0
        self._directory = tempfile.TemporaryDirectory(prefix="embertrace-", ignore_cleanup_errors=True)
        self._aggregator = Embedded(pathlib.Path(self._directory.name) / "recording")
        self.endpoint, self.key = self._aggregator.endpoint, self._aggregator.key

    def bring(self, events: EventList, deadline: float) -> list[Found]:
        """See `sinks.Elsewhere`."""
        gathered = Gathered(events, b"")
        found = _bring((self.endpoint, self.key), gathered, 0, deadline)
        self.taken = max(self.taken, gathered.seen)
        return found

    def close(self) -> None:
        if self.owner == os.getpid():
            self._aggregator.stop()
            self._directory.cleanup()


def before_fork() -> None:
    """The child will need an aggregator: what it put into a list of its own, nobody would see."""
    for sink in collect.sinks:
        if isinstance(sink, EventList):
            try:
                reach(sink, _configured())
            except EmbertraceError as error:
                log.warning("events of forked processes will be missing: %s", error)


def _after_fork_in_child() -> None:
    """Lists are the parent's: what is put into them here goes through their aggregator."""
    global _lock
    _lock = threading.Lock()
    lists = [sink for sink in collect.sinks if isinstance(sink, EventList)]
    reached = {place: elsewhere.key for events in lists for place, elsewhere in events.elsewhere.items()}
    for events in lists:
        collect.remove_sink(events)
    if _configured() is None:
        for endpoint, key in reached.items():
            collect.add_sink(emit.emitter_for(endpoint, key=key))


os.register_at_fork(after_in_child=_after_fork_in_child)


def _configured() -> Address | None:
    """The aggregator that this process's events go to anyway."""
    return next(((sink.endpoint, sink.key) for sink in collect.sinks if isinstance(sink, AddressedSink)), None)


def _open_temporary() -> Temporary:
    global _temporary, _unable
    if _unable is not None:
        raise _unable
    if _temporary is not None and _temporary.taken > KEEP_EVENTS:
        _temporary.close()
        _temporary = None
    elif _temporary is not None and _temporary.key is None and embedded.address_beyond() is not None:
        at_end(_temporary.close)  # other blocks may still use it, but operators on other machines can't
        _temporary = None
    if _temporary is None or _temporary.owner != os.getpid():
        try:
            _temporary = Temporary()
        except EmbertraceError as error:
            _unable = error
            raise
    return _temporary


def _close_temporary() -> None:
    if _temporary is not None:
        _temporary.close()


at_end(_close_temporary)


def _bring(address: Address, gathered: Gathered, since_ns: int, deadline: float) -> list[Found]:
    """Read the aggregator's events until they are complete, or the deadline."""
    try:
        with Client(address[0], timeout_s=max(ANSWER_S, deadline - time.monotonic()), key=address[1]) as client:
            recording = client.call("info")["recording"]
            adopted_at = _adopt(address, recording, deadline)
            page = client.call("events", since_ns=since_ns)
            quiet_since = time.monotonic()
            while True:
                if gathered.add(page["events"]):
                    quiet_since = time.monotonic()
                more = page["next"]
                if more is None:
                    now = time.monotonic()
                    if gathered.is_complete() and (now - quiet_since >= QUIET_S or not gathered.has_failed()):
                        break
                    if now >= deadline:
                        gathered.warn()
                        break
                    time.sleep(POLL_S)
                    if now - adopted_at >= ADOPT_S:
                        adopted_at = _adopt(address, recording, deadline)
                page = client.call("events", start=page["position"] if more is None else more)
    except EmbertraceError as error:
        log.warning("the events of other processes are missing: %s", error)
    return gathered.found()


def _adopt(address: Address, recording: str, deadline: float) -> float:
    """Let what dead workers left come too; when that was done."""
    emit.adopt_orphans(address[0], recording, address[1], deadline - time.monotonic())
    return time.monotonic()


class Gathered:
    """Which of an aggregator's events belong to one block, and whether they are complete. Pure.

    An event belongs to the block if its call, or one above it, was submitted in the block or began in it locally, or
    if its trace was begun for the block. `own` is this process's producer: the list has its events already.
    """

    def __init__(self, events: EventList, own: bytes) -> None:
        self.seen = 0
        self._expected = set(events.expected)
        self._traces = set(events.traces)
        self._within = {unpack_event(packed).call_id for _, _, packed in events.packed()} | self._expected
        self._within.discard(0)
        self._own = own
        self._waiting: list[tuple[bytes, int, bytes, RawEvent]] = []
        """Events whose call is not known to belong to the block, so far."""
        self._found: dict[tuple[bytes, int], tuple[bytes, RawEvent]] = {}
        self._ended: set[int] = set()

    def add(self, events: Iterable[list[object]]) -> bool:
        """Take in a page of events; whether any of it belongs here."""
        before = len(self._found)
        for producer, seq, packed in events:
            assert isinstance(producer, bytes)
            assert isinstance(seq, int)
            assert isinstance(packed, bytes)
            self.seen += 1
            if producer != self._own:
                self._waiting.append((producer, seq, packed, unpack_event(packed)))
        grows = True
        while grows:  # a child's events may lie before its parent's
            grows = False
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if self._belongs(one[3]):
                    grows = self._keep(*one) or grows
                else:
                    self._waiting.append(one)
        return len(self._found) > before

    def is_complete(self) -> bool:
        """Whether every expected call, and every call announced below, has begun and ended."""
        if not self._expected <= self._ended:
            return False
        progress = self._forest().progress()
        return not progress["open"] and not progress["missing"]

    def has_failed(self) -> bool:
        """Whether a call ended with an error: then another attempt may follow."""
        return any(event.type == ERROR for _, event in self._found.values())

    def found(self) -> list[Found]:
        """What belongs to the block, each producer's events in their order."""
        return [(producer, seq, packed) for (producer, seq), (packed, _) in sorted(self._found.items())]

    def warn(self) -> None:
        """Say which calls are incomplete."""
        open_calls = [call for call in self._forest().trees.calls if not call.ended]
        unseen = self._expected - {event.call_id for _, event in self._found.values()}
        names = [f"{call.operator_id} ({call_hex(call.call_id)})" for call in open_calls] + [*map(call_hex, unseen)]
        if names:
            rest = f" and {len(names) - NAMED_CALLS} more" if len(names) > NAMED_CALLS else ""
            log.warning("calls of a collect_events block are still open: %s%s", ", ".join(names[:NAMED_CALLS]), rest)

    def _belongs(self, event: RawEvent) -> bool:
        return event.call_id in self._within or event.parent_call_id in self._within or event.trace_id in self._traces

    def _keep(self, producer: bytes, seq: int, packed: bytes, event: RawEvent) -> bool:
        """Keep an event; whether more may belong here because of it."""
        self._found[producer, seq] = (packed, event)
        if event.type not in (CALL, METRIC) or (event.type == METRIC and unpack_context(event.context).withheld):
            self._ended.add(event.call_id)
        is_new = bool(event.call_id) and event.call_id not in self._within
        if is_new:
            self._within.add(event.call_id)
        return is_new

    def _forest(self) -> Forest:
        forest = Forest()
        for (producer, seq), (_, event) in self._found.items():
            forest.add(producer, seq, event)
        return forest
