"""What replaying changes in events: nothing, unless asked for another run or another time. Pure.

Another run gets ids of its own everywhere: run, traces and calls. Otherwise its calls would be taken for the original
ones wherever both are recorded. Ids are mapped one to one (exclusive or with one random number), so trees stay trees.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable

from embertrace import payload
from embertrace.errors import WireError
from embertrace.event import METRIC, Frame
from embertrace.wire.context import Added, pack_context, unpack_context
from embertrace.wire.event import RawEvent


@dataclasses.dataclass(frozen=True, slots=True)
class NewRun:
    """The run that a replay makes of the recorded one."""

    name: str
    id: str
    calls: int
    """64 random bits, not 0: call ids are mapped with them."""
    traces: int
    """128 random bits."""

    @classmethod
    def named(cls, name: str, clock: Callable[[], float] = time.time) -> NewRun:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(clock()))
        return cls(name, f"{stamp}-{secrets.token_hex(4)}", secrets.randbits(64) | 1, secrets.randbits(128))


def rewrite(event: RawEvent, run: NewRun | None, shift_ns: int) -> RawEvent:
    """The event as it is to be replayed: under another run if one is given, `shift_ns` later."""
    if shift_ns:
        event = event._replace(timestamp=_later(event.timestamp, shift_ns))
    if run is None:
        return event
    return event._replace(
        trace_id=_map_trace(event.trace_id, run),
        call_id=_map_call(event.call_id, run),
        parent_call_id=_map_call(event.parent_call_id, run),
        follows=_map_call(event.follows, run),
        links=tuple(_map_call(link, run) for link in event.links),
        context=pack_context(_map_context(unpack_context(event.context), run)),
        data=_map_description(event, run),
    )


def _later(timestamp: int | float, shift_ns: int) -> int | float:
    return timestamp + shift_ns if isinstance(timestamp, int) else timestamp + shift_ns / 1e9


def _map_call(call_id: int, run: NewRun) -> int:
    """0 names no call and stays; the one id that would become 0 stays too, so the mapping is one to one."""
    return call_id if call_id in (0, run.calls) else call_id ^ run.calls


def _map_trace(trace_id: bytes | None, run: NewRun) -> bytes | None:
    if trace_id is None:
        return None
    return (int.from_bytes(trace_id, "big") ^ run.traces).to_bytes(16, "big")


def _map_context(added: Added, run: NewRun) -> Added:
    frames = tuple(
        Frame(frame.id, frame.type, frame.stage, _map_call(frame.call_id, run), frame.attempt, frame.slot)
        for frame in added.frames
    )
    return added._replace(frames=frames, run=run.id if added.run is not None else None)


def _map_description(event: RawEvent, run: NewRun) -> bytes:
    """The data of an event; a run's description is put in the new run's words."""
    if event.type != METRIC or event.operator_type != "run":
        return event.data
    try:
        data = payload.unpack(event.data)
    except WireError:
        return event.data
    if not isinstance(data, dict) or not isinstance(data.get("run"), dict):
        return event.data
    return payload.pack({**data, "run": {**data["run"], "id": run.id, "name": run.name}})
