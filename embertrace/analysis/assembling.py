"""Ensembles that never ran: made of answers to the same items, in whatever runs, at whatever times.

Rules:
- Of each item (key and epoch) there is one ensemble. Its members are calls about that item: those of an operator, or
  of a run its roots. A member without a call there is missing, so that ensemble is incomplete: left out, and counted.
- The calls keep their ids, answers and scores; what ran below them stays behind, and so do their runs: the ensembles
  are of none. Members that are one operator in several runs are called after both: "gpt@monday".
- A judge is linked to the ensemble of its item. The truth is that of the first member that has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from embertrace import payload
from embertrace.analysis.calls import Call, Metric
from embertrace.analysis.ensembles import is_judge
from embertrace.analysis.forest import Forest
from embertrace.analysis.labels import is_label
from embertrace.analysis.query import Selection
from embertrace.analysis.runs import is_run
from embertrace.errors import QueryError
from embertrace.event import CALL, ERROR, RESULT
from embertrace.payload import canonical, digest
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import RawEvent

PRODUCER = b"assembled".ljust(16, b".")
STAGE = "assembled"
"""Stage of the ensembles; their operator's id is "assembled" too."""
Item = tuple[bytes, bytes]


def assemble(selection: Selection, members: Sequence[str] | None, judge: str | None) -> Forest:
    """The ensembles of the selected calls. `members` are operators or runs (None: every run). Raises QueryError."""
    run_names = selection.trees.labels.run_names
    calls = [call for call in selection.calls if "key" in call.item]
    chosen = _members(calls, members, run_names)
    judges = [call for call in calls if is_judge(call) and call.operator_id == judge]
    if judge is not None and not judges:
        raise QueryError(f"no judge {judge!r} has a call about an item with a key")
    writer = _Writer()
    judged: dict[Item, list[Call]] = {}
    for call in judges:
        judged.setdefault(_item(call), []).append(call)
    by_item: dict[Item, dict[str, list[Call]]] = {}
    for name, call in chosen:
        by_item.setdefault(_item(call), {}).setdefault(name, []).append(call)
    names = list(dict.fromkeys(name for name, _ in chosen))
    for item in sorted(by_item):
        found = by_item[item]
        votes = [(name, call) for name in names for call in found.get(name, ())]
        writer.ensemble(item, votes, len(names) - len(found), _truth(selection, votes))
        for call in judged.get(item, ()):
            writer.judge(call, item)
    writer.metrics(selection.trees.metrics)
    return writer.forest


def _members(calls: Iterable[Call], members: Sequence[str] | None, names: dict[str, str]) -> list[tuple[str, Call]]:
    """(member's name, call), in the order of the members that were asked for."""
    if isinstance(members, str):
        raise QueryError(f"members={members!r} is one name; members are a list of them")
    known = [call for call in calls if not is_judge(call)]
    runs = {run: names.get(run, run) for run in dict.fromkeys(call.run for call in known) if run is not None}
    if members is None:
        return [(runs[call.run], call) for call in known if call.parent is None and call.run is not None]
    found: list[tuple[str, Call]] = []
    for member in members:
        of_operator = [call for call in known if call.operator_id == member]
        of_run = [call for call in known if call.parent is None and member in (call.run, names.get(call.run or ""))]
        if not of_operator and not of_run:
            operators = sorted({call.operator_id for call in known})
            raise QueryError(
                f"no member {member!r}: operators with items are {', '.join(operators[:20]) or 'none'}, "
                f"runs {', '.join([*runs.values()][:20]) or 'none'}"
            )
        several = len({call.run for call in of_operator}) > 1
        found += [(f"{member}@{runs.get(call.run or '', '')}" if several else member, call) for call in of_operator]
        found += [] if of_operator else [(member, call) for call in of_run]
    twice = [name for name, times in Counter(call.key for _, call in found).items() if times > 1]
    if twice:
        raise QueryError(f"members={list(members)!r} name the same calls twice: of a run and its operator, choose one")
    return found


def _item(call: Call) -> Item:
    return canonical(call.item["key"]), canonical(call.item.get("epoch"))


def _truth(selection: Selection, votes: Iterable[tuple[str, Call]]) -> Any:
    truths = (selection.trees.labels.truth(call) for _, call in votes)
    return next((truth for truth in truths if truth is not None), None)


def _ensemble_id(item: Item) -> int:
    return int.from_bytes(digest(b"".join(item))[:8], "big") | 1


class _Writer:
    """Puts events into a new forest, as one producer's stream."""

    def __init__(self) -> None:
        self.forest = Forest()
        self._seq = 0
        self._kept: set[tuple[int, int]] = set()

    def ensemble(self, item: Item, votes: Sequence[tuple[str, Call]], missing: int, truth: Any) -> None:
        call_id, first = _ensemble_id(item), votes[0][1]
        about = {**first.item, **({} if truth is None else {"truth": truth})}
        context = pack_context(Added(item=payload.pack(about), tags=payload.pack(first.tags) if first.tags else b""))
        begun = min(_times(votes))
        base = RawEvent(
            CALL, begun, call_id.to_bytes(16, "big"), call_id, 0, 0, 0, 0, STAGE, "ensemble", STAGE, None, 0, 0, (),
            context, payload.pack({"args": _arguments(first), "kwargs": {}}),
        )  # fmt: skip
        self._add(base)
        for slot, (name, call) in enumerate(votes):
            self._copy(call, base, slot, name)
        answers = [call.answer if call.outcome == "result" else None for _, call in votes]
        ended = max(_times(votes))
        self._add(
            base._replace(
                type=RESULT, timestamp=ended, duration=ended - begun, slots=len(votes) + missing, context=b"",
                data=payload.pack({"result": answers}),
            )
        )  # fmt: skip

    def judge(self, call: Call, item: Item) -> None:
        """Its own root, beside the ensemble that it is linked to."""
        about = pack_context(Added(item=payload.pack(call.item), tags=payload.pack(call.tags) if call.tags else b""))
        for event in _halves(call):
            is_begin = event.type == CALL
            self._add(
                event._replace(
                    parent_call_id=0, parent_attempt=0, slots=0, follows=0, context=about if is_begin else b"",
                    links=(_ensemble_id(item),) if is_begin else (),
                )
            )  # fmt: skip
        self._kept.add(call.key)

    def metrics(self, metrics: Iterable[Metric]) -> None:
        """The scores of what was kept, and the labels; those of one run have had their say in the truths."""
        for metric in metrics:
            data = metric.data
            if is_label(data):
                if data["label"].get("run") is None:
                    self._add(metric.event)
            elif not is_run(data) and (metric.event.call_id, metric.event.attempt) in self._kept:
                self._add(metric.event._replace(links=()))

    def _copy(self, call: Call, ensemble: RawEvent, slot: int, name: str) -> None:
        own = pack_context(Added(tags=payload.pack(call.tags) if call.tags else b""))
        for event in _halves(call):
            self._add(
                event._replace(
                    trace_id=ensemble.trace_id, parent_call_id=ensemble.call_id, parent_attempt=0, slot=slot, slots=0,
                    operator_id=name, operator_type="member",
                    follows=0, links=(), context=own if event.type == CALL else b"",
                )
            )  # fmt: skip
        self._kept.add(call.key)

    def _add(self, event: RawEvent) -> None:
        self._seq += 1
        self.forest.add(PRODUCER, self._seq, event)


def _halves(call: Call) -> Iterator[RawEvent]:
    """Its begin and its end; of a call that is lost an end that says so, for nobody here has ended."""
    for seen in (call.begin, call.end):
        if seen is not None:
            yield seen.event
    if call.outcome == "lost" and call.begin is not None:
        error = {"type": "lost", "message": "its producer ended before it did", "traceback": ""}
        yield call.begin.event._replace(type=ERROR, links=(), data=payload.pack({"error": error}))


def _times(votes: Iterable[tuple[str, Call]]) -> list[int]:
    return [seen.origin.nanoseconds for _, call in votes for seen in (call.begin, call.end) if seen is not None]


def _arguments(call: Call) -> list[Any]:
    """Of the members all were asked the same: what the first was."""
    args = call.args
    return args if isinstance(args, list) else []
