"""Calls as a Chrome trace (the JSON that Perfetto and chrome://tracing read): `write(analysis, "trace.json")`.

Rules:
- A process of the trace is one producer (one process's stream), a thread of it one lane (see `lanes`): calls that
  overlapped stand beside each other, and never pretend to be one inside the other.
- Times are microseconds since the first call, with nanoseconds as decimals; the first one's time stands in `otherData`.
- A slice is a begin and an end, and those of a lane come in the order of time: Perfetto binds an arrow to the innermost
  slice that was not ended, and a slice told by its length it ends only when the next one begins.
- Arrows lead from what was consumed to what consumed it: recorded links, and the members to their judge. None goes back
  in time: see `arrow_of`.
- Written call by call: the JSON is never in memory as a whole. The file appears under its name when it is whole.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

from embertrace.analysis import Call, OperatorAnalysis
from embertrace.analysis.plain import as_json, clean, optional_text
from embertrace.analysis.query import Selection
from embertrace.errors import ExportError
from embertrace.event import call_hex
from embertrace.interop.feeds import consumed_by
from embertrace.interop.lanes import Slice, lay_out
from embertrace.interop.times import times_of
from embertrace.recording import BEGIN, Record, Recording
from embertrace.wire.control import whereabouts

SHOWN_CHARS = 1000
"""Of arguments and results, as much as fits into the panel of a slice; the recording has the rest."""

UNKNOWN_PIDS = 1 << 23
"""Process ids from here on are given to producers that said none, or another host's: Linux has none so high."""

Process = tuple[str, int]
"""Host and process id."""


class Written(NamedTuple):
    """A trace that was written: where, and how many slices, lanes and arrows."""

    path: pathlib.Path
    slices: int
    lanes: int
    arrows: int

    def __str__(self) -> str:
        return f"wrote {self.path}: {self.slices} slices in {self.lanes} lanes, {self.arrows} arrows"


def write(
    analysis: OperatorAnalysis, output: str | os.PathLike[str], *, processes: Mapping[bytes, Process] | None = None
) -> Written:
    """Write the selected calls, every attempt of them. No calls give a valid trace without slices.

    `processes` are the hosts and process ids of producers, for their names. Raises ExportError where the file can't be
    written.
    """
    path = pathlib.Path(output)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    drawing = Drawing(analysis.selection(every_attempt=True), processes or {})
    try:
        try:
            with partial.open("w", encoding="utf-8") as file:
                _write_json(file, drawing)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error.strerror or error}") from error
    return Written(path, drawing.slices, drawing.lanes, drawing.arrows)


def processes_of(recording: str | os.PathLike[str]) -> dict[bytes, Process]:
    """Host and process id of each producer that said them, by a walk over a recording's records."""
    found: dict[bytes, Process] = {}
    for record in Recording.open(pathlib.Path(recording)).records():
        if isinstance(record, Record) and record.kind == BEGIN:
            host, number = whereabouts(record.payload)
            if host:
                found[record.producer] = (host, number)
    return found


def _write_json(file: IO[str], drawing: Drawing) -> None:
    about = {"producer": "embertrace", "began_unix_ns": str(drawing.began)}
    file.write(f'{{"displayTimeUnit":"ms","otherData":{json.dumps(about)},"traceEvents":[')
    for place, event in enumerate(drawing.events()):
        file.write(",\n" if place else "\n")
        json.dump(event, file, ensure_ascii=False, separators=(",", ":"))
    file.write("\n]}\n")


class Drawing:
    """The trace events of a selection; `slices`, `lanes` and `arrows` are counted while `events` gives them."""

    def __init__(self, selection: Selection, processes: Mapping[bytes, Process]) -> None:
        self.slices = self.lanes = self.arrows = 0
        self._selection, self._processes = selection, processes
        self._calls: dict[bytes, list[Call]] = {}
        self.began = 0
        for call in selection.calls:
            self._calls.setdefault(call.origin.producer, []).append(call)
        if selection.calls:
            self.began = min(times_of(call)[0] for call in selection.calls)

    def events(self) -> Iterator[dict[str, Any]]:
        """Names of processes and lanes, slices, and last the arrows."""
        drawn: dict[int, tuple[int, int, int, int]] = {}  # of selected attempts: process, lane, start, end
        for place, (pid, producer) in enumerate(self._pids().items()):
            yield from self._names_of_process(pid, place, producer)
            open_in: list[list[int]] = []  # of each lane, when its open slices end, the innermost last
            for piece in lay_out(self._calls[producer]):
                while len(open_in) <= piece.lane:
                    open_in.append([])
                    yield _named("thread_name", pid, len(open_in), "lane")
                    yield _named("thread_sort_index", pid, len(open_in), len(open_in) - 1, "sort_index")
                if self._selection.trees.by_id.get(piece.call.call_id) is piece.call:
                    drawn[piece.call.call_id] = (pid, piece.lane + 1, piece.start, piece.end)
                yield from self._ends(pid, piece.lane, open_in[piece.lane], piece.start)
                yield self._begin(pid, piece)
                open_in[piece.lane].append(piece.end)
            for lane, ends in enumerate(open_in):
                yield from self._ends(pid, lane, ends, None)
            self.lanes += len(open_in)
        for call in self._selection.calls:
            if self._selection.trees.by_id.get(call.call_id) is call:
                yield from self._arrows(call, drawn)

    def _pids(self) -> dict[int, bytes]:
        """The producers by the process ids they are shown with: their own, or one that nobody has."""
        pids: dict[int, bytes] = {}
        for place, producer in enumerate(self._calls):
            number = self._processes.get(producer, ("", 0))[1]
            pids[number if number and number not in pids else UNKNOWN_PIDS + place] = producer
        return pids

    def _names_of_process(self, pid: int, place: int, producer: bytes) -> Iterator[dict[str, Any]]:
        host, _ = self._processes.get(producer, ("", 0))
        yield _named("process_name", pid, 0, clean(host) or f"producer {producer.hex()[:8]}")
        yield _named("process_sort_index", pid, 0, place, "sort_index")

    def _ends(self, pid: int, lane: int, ends: list[int], before: int | None) -> Iterator[dict[str, Any]]:
        """The ends of a lane's open slices, up to a time or all of them; those that are over leave the list."""
        while ends and (before is None or ends[-1] <= before):
            yield {"ph": "E", "pid": pid, "tid": lane + 1, "ts": self._microseconds(ends.pop())}

    def _begin(self, pid: int, piece: Slice) -> dict[str, Any]:
        self.slices += 1
        call = piece.call
        return {
            "ph": "B",
            "name": clean(call.operator_id) or "call",
            "cat": clean(call.operator_type) or "call",
            "pid": pid,
            "tid": piece.lane + 1,
            "ts": self._microseconds(piece.start),
            "args": _told(call),
        }

    def _arrows(self, call: Call, drawn: Mapping[int, tuple[int, int, int, int]]) -> Iterator[dict[str, Any]]:
        if call.call_id not in drawn:
            return
        to_pid, to_lane, *consumer = drawn[call.call_id]
        for consumed in consumed_by(call, self._selection):
            if consumed not in drawn or consumed == call.call_id:
                continue
            pid, lane, *giver = drawn[consumed]
            hold = arrow_of((giver[0], giver[1]), (consumer[0], consumer[1]))
            if hold is None:
                continue
            leaves, arrives = hold
            self.arrows += 1
            about = {"cat": "link", "name": "link", "id": self.arrows}
            yield {"ph": "s", **about, "pid": pid, "tid": lane, "ts": self._microseconds(leaves)}
            # "e": bound to the slice that encloses the time, not to the next one that begins
            yield {"ph": "f", "bp": "e", **about, "pid": to_pid, "tid": to_lane, "ts": self._microseconds(arrives)}

    def _microseconds(self, nanoseconds: int) -> float:
        return (nanoseconds - self.began) / 1000


def arrow_of(giver: tuple[int, int], consumer: tuple[int, int]) -> tuple[int, int] | None:
    """When an arrow leaves one slice and arrives at another, each as (start, end); None where it would go back in time.

    From the last nanosecond to the first, where the consumer began later; else to its last, since it consumed while it
    ran; else, where clocks contradict that, from the first to the last. Perfetto drops arrows that go back.
    """
    first, last = giver[0], giver[1] - 1
    for leaves, arrives in ((last, consumer[0]), (last, consumer[1] - 1), (first, consumer[1] - 1)):
        if leaves <= arrives:
            return leaves, arrives
    return None


def _named(kind: str, pid: int, tid: int, value: Any, field: str = "name") -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {field: value}}


def _told(call: Call) -> dict[str, Any]:
    """What a person sees on a slice; what is unknown is left out."""
    told = {
        "call_id": call_hex(call.call_id),
        "stage": clean(call.stage),
        "outcome": call.outcome,
        "attempt": call.attempt or None,
        "item": optional_text(call.item.get("key")),
        "trace_id": call.trace_id,
        "arguments": as_json([call.args, call.kwargs])[:SHOWN_CHARS] if call.args or call.kwargs else None,
        "answer": (optional_text(call.answer) or "")[:SHOWN_CHARS] or None,
        "error": optional_text((call.error or {}).get("message")),
        "scores": as_json(call.scores) if call.scores else None,
    }
    return {name: value for name, value in told.items() if value is not None}
