"""Stories: wire events of ensembles, judges and items, told in a few words, without any tracing.

A story is one producer's stream. Calls get consecutive ids, timestamps a nanosecond apart; each call follows the one
that ended before it under the same parent, as in a sequential program, unless it is told otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from embertrace import payload
from embertrace.analysis.forest import Forest
from embertrace.event import CALL, ERROR, METRIC, RESULT
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import RawEvent

Placed = tuple[bytes, int, RawEvent]


@dataclasses.dataclass
class Begun:
    """A call that a story began."""

    call_id: int
    operator: str
    type: str
    stage: str
    parent: Begun | None
    attempt: int
    slot: int
    trace: bytes
    children: int = 0
    last: int = 0  # the call that ended last under it


class Story:
    """Builds events; `events` are (producer, seq, event) as a forest takes them."""

    def __init__(self, producer: str = "driver", run: str | None = None, first_id: int = 1, share: float = 1.0) -> None:
        self.producer = producer.encode().ljust(16, b".")
        self.events: list[Placed] = []
        self.run, self.share = run, share
        self._next_id = first_id
        self._roots = Begun(0, "", "", "", None, 0, 0, b"")
        self._now = 1_700_000_000_000_000_000

    def begin(
        self,
        operator: str,
        type: str = "function",
        stage: str = "default",
        parent: Begun | None = None,
        *,
        item: dict[str, Any] | None = None,
        tags: dict[str, Any] | None = None,
        member: bool = True,
        links: Iterable[Begun] = (),
        follows: Begun | int | None = None,
        attempt: int = 0,
        call_id: int | None = None,
        slot: int | None = None,
        args: Any = None,
        at: float | None = None,
        share: float | None = None,
    ) -> Begun:
        above = parent or self._roots
        call_id = call_id or self._take_id()
        trace = parent.trace if parent else call_id.to_bytes(16, "big")
        call = Begun(call_id, operator, type, stage, parent, attempt, above.children if slot is None else slot, trace)
        above.children += slot is None
        context = Added(
            run=self.run if parent is None else None,
            item=payload.pack(item) if item else b"",
            tags=payload.pack(tags) if tags else b"",
            member=member,
            share=share if share is not None else self.share if parent is None else 1.0,
        )
        if follows is None:
            follows = above.last
        self._emit(
            call,
            CALL,
            {"args": [call_id] if args is None else args, "kwargs": {}},
            links=tuple(link.call_id for link in links),
            follows=follows.call_id if isinstance(follows, Begun) else follows,
            context=pack_context(context),
            at=at,
        )
        return call

    def end(
        self,
        call: Begun,
        result: Any = None,
        *,
        error: str | None = None,
        missing: int = 0,
        took: float = 1000,
        withheld: int = 0,
        **more: Any,
    ) -> Begun:
        """The call returned, or raised; `missing` children it announces were never seen, of which a filter withheld
        some; it `took` nanoseconds."""
        data = {"error": {"type": error, "message": "", "traceback": ""}} if error else {"result": result, **more}
        told = {"context": pack_context(Added(withheld=withheld))} if withheld else {}
        self._emit(call, ERROR if error else RESULT, data, duration=took, slots=call.children + missing, **told)
        (call.parent or self._roots).last = call.call_id
        return call

    def call(self, operator: str, result: Any = None, **options: Any) -> Begun:
        return self.end(self.begin(operator, **options), result)

    def ensemble(
        self,
        answers: Iterable[Any],
        *,
        stage: str = "ensemble_1",
        missing: int = 0,
        withheld: int = 0,
        **options: Any,
    ) -> Begun:
        """An ensemble of members m0, m1, …; an answer that is an exception's class is a failed member's."""
        panel = self.begin("panel", "ensemble", stage, **options)
        given = list(answers)
        for place, value in enumerate(given):
            self.member(panel, f"m{place}", value)
        returned = [None if isinstance(value, type) else value for value in given]
        return self.end(panel, returned, missing=missing + withheld, withheld=withheld)

    def member(self, panel: Begun, operator: str, value: Any, **options: Any) -> Begun:
        member = self.begin(operator, "member", "members", panel, **options)
        if isinstance(value, type):
            return self.end(member, error=value.__name__)
        return self.end(member, value)

    def judge(self, answer: Any, *, stage: str = "judge_1", **options: Any) -> Begun:
        return self.end(self.begin("chooser", "judge", stage, **options), answer)

    def question(self, key: Any, answers: Iterable[Any], verdict: Any = None, truth: Any = None, **item: Any) -> None:
        """One item: an ensemble, and a judge after it where there is a verdict."""
        about = {"key": key, **({} if truth is None else {"truth": truth}), **item}
        root = self.begin("pipeline", item=about)
        self.ensemble(answers, parent=root)
        if verdict is not None:
            self.judge(verdict, parent=root)
        self.end(root)

    def withhold(self, operator: str, parent: Begun | None = None, slot: int | None = None, times: int = 1) -> None:
        """A process that a call entered says, of each attempt, that a filter withholds it."""
        above = parent or self._roots
        trace = parent.trace if parent else b"withheld".ljust(16)
        call = Begun(self._take_id(), operator, "member", "members", parent, 0, slot or above.children, trace)
        above.children += slot is None
        for attempt in range(times):
            about = pack_context(Added(run=self.run, withheld=1))
            self._emit(dataclasses.replace(call, attempt=attempt), METRIC, {}, context=about)

    def score(self, call: Begun | None = None, **values: Any) -> None:
        self._emit(call or self._roots, METRIC, values)

    def label(self, key: Any, truth: Any, by: str = "", **more: Any) -> None:
        self._emit(self._roots, METRIC, {"label": {"key": key, "truth": truth, "by": by, **more}})

    def describe_run(self, run: str, **fields: Any) -> None:
        self._emit(dataclasses.replace(self._roots, type="run"), METRIC, {"run": {"id": run, **fields}})

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _emit(self, call: Begun, kind: int, data: Any, at: float | None = None, **fields: Any) -> None:
        self._now += 1
        parent = call.parent
        event = RawEvent(
            type=kind,
            timestamp=self._now if at is None else at,
            trace_id=call.trace or None,
            call_id=call.call_id,
            parent_call_id=parent.call_id if parent else 0,
            attempt=call.attempt,
            parent_attempt=parent.attempt if parent else 0,
            slot=call.slot,
            operator_id=call.operator,
            operator_type=call.type,
            stage=call.stage,
            duration=None,
            slots=0,
            follows=0,
            links=(),
            context=b"",
            data=payload.pack(data),
        )
        self.events.append((self.producer, len(self.events) + 1, event._replace(**fields)))

    def forest(self) -> Forest:
        return grown(self.events)


def grown(events: Iterable[Placed]) -> Forest:
    forest = Forest()
    for producer, seq, event in events:
        forest.add(producer, seq, event)
    return forest
