"""Findings about the aggregator: reachable, of this version, behind, losing events, out of disk. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from embertrace.doctor.facts import Aggregator, Unknown
from embertrace.doctor.findings import Finding, Severity, many, size, span
from embertrace.wire.batch import VERSION
from embertrace.wire.control import State, Welcome

WHERE = "aggregator"
BEHIND_BYTES = 16 * 1024 * 1024
"""One drain of the ingest: less is what arrives while this is asked."""
LOW_DISK_BYTES = 1024**3
EMPTY_DISK_BYTES = 64 * 1024 * 1024
"""Not another segment: the next failed write ends the aggregator."""


def find_aggregator(aggregator: Aggregator | Unknown, library: str) -> Iterator[Finding]:
    """What is the matter with it. `library` is the version of this embertrace."""
    if isinstance(aggregator, Unknown):
        yield Finding("bad", WHERE, aggregator.why, "name it like tcp://127.0.0.1:5557")
        return
    if not isinstance(aggregator.welcome, Welcome):
        yield _absent(aggregator, aggregator.door or aggregator.welcome)
        return
    yield from _find_doors(aggregator, aggregator.welcome)
    if isinstance(aggregator.state, Unknown):
        todo = "update it to this version of embertrace; until then its counters are not known"
        yield Finding("warn", WHERE, f"{aggregator.endpoint} does not say how it fares: {aggregator.state.why}", todo)
    else:
        yield from _find_state(aggregator.endpoint, aggregator.state, library)
    yield from _find_analyst(aggregator)


def _absent(aggregator: Aggregator, why: Unknown) -> Finding:
    if why.refused:
        todo = "name this client's key file by EMBERTRACE_KEY; its public part must be on the aggregator's list"
        return Finding("bad", WHERE, why.why, f"{todo} (docs/security.md)")
    if aggregator.origin == "usual":
        what = f"none is configured, and none is at {aggregator.endpoint}; sessions bring their own"
        todo = f"a shared one: `embertrace aggregate runs/shared`, and EMBERTRACE_ENDPOINT={aggregator.endpoint}"
        return Finding("warn", WHERE, what, todo)
    start = f"`embertrace aggregate DIRECTORY --bind {aggregator.endpoint}`"
    todo = f"start it ({start} on its machine), or see to the way there; events are held in spools meanwhile"
    return Finding("bad", WHERE, f"none can be reached at {aggregator.endpoint}: {why.why}", todo)


def _find_doors(aggregator: Aggregator, welcome: Welcome) -> Iterator[Finding]:
    if welcome.version != VERSION:
        what = f"{aggregator.endpoint} speaks version {welcome.version} of the protocol, not {VERSION}"
        yield Finding("bad", WHERE, what, "use the same embertrace on both sides")
    ports = ", ".join(str(port) for port in (welcome.push_port, welcome.rpc_port, welcome.http_port) if port)
    for what, port, door in (
        ("events", welcome.push_port, aggregator.push),
        ("questions", welcome.rpc_port, aggregator.rpc),
        ("HTTP", welcome.http_port, aggregator.http),
    ):
        if door is not None:
            at = f"{welcome.host + ' ' if welcome.host else ''}port {port}"
            todo = f"let ports {ports} through too (firewall, container), or correct the aggregator's --advertise"
            severity: Severity = "warn" if what == "HTTP" else "bad"  # events and questions go on without
            yield Finding(severity, WHERE, f"its door for {what}, {at}, can't be reached: {door.why}", todo)
    if welcome.http_port is not None and aggregator.http is None:
        host = welcome.host or aggregator.endpoint.removeprefix("tcp://").rpartition(":")[0]
        yield Finding("ok", WHERE, f"its page is at http://{host}:{welcome.http_port}/")


def _find_state(endpoint: str, state: State, library: str) -> Iterator[Finding]:
    yield Finding("ok", WHERE, _summary(endpoint, state))
    if state.library != library:
        what = f"it runs embertrace {state.library}, this is {library}"
        yield Finding("warn", WHERE, what, "use the same on both sides")
    yield from _find_losses(state)
    yield from _find_strangers(state.counters)
    yield from _find_export(state.counters)
    free = state.free_bytes
    if free is None:
        yield Finding(
            "bad", WHERE, "its recording's file system can't be looked at", "see whether the directory is there"
        )
    elif free < LOW_DISK_BYTES:
        todo = "free some space: an aggregator that can't write stops, and events wait in spools"
        severity: Severity = "bad" if free < EMPTY_DISK_BYTES else "warn"
        yield Finding(severity, WHERE, f"{size(free)} are left for its recording", todo)


def _summary(endpoint: str, state: State) -> str:
    count = state.counters.get
    last = f"the last {span((state.now_ns - state.received_ns) / 1e9)} ago" if state.received_ns else "none ever"
    return (
        f"{state.name} ({state.recording}) at {endpoint}, process {state.pid}, embertrace {state.library}, "
        f"up {span((state.now_ns - state.started_ns) / 1e9)}: "
        f"{many(count('connected', 0), 'producer')} connected of {count('producers', 0):,}, "
        f"{many(count('events', 0), 'event')} since it started, {last}; {size(state.durable)} recorded"
    )


def _find_losses(state: State) -> Iterator[Finding]:
    lost = state.counters.get("gaps", 0)
    if lost:
        todo = "raise EMBERTRACE_SPOOL_BYTES where they run, or set EMBERTRACE_SPOOL_FULL=block"
        yield Finding("warn", WHERE, f"{many(lost, 'event')} were dropped by producers since it started", todo)
    for loss in state.losses:
        who = f"process {loss.pid} on {loss.host or 'an unknown host'}" if loss.pid else "a producer that is not named"
        yield Finding("warn", "producer", f"{who} ({loss.producer.hex()}) lost {many(loss.events, 'event')}")


def _find_strangers(counters: Mapping[str, int]) -> Iterator[Finding]:
    found = (
        ("refused", "hello was refused", "hellos were refused",
         "their processes log why: another version, or events of another recording"),
        ("malformed", "message was none of this protocol", "messages were none of this protocol",
         "see what else connects to its ports"),
        ("silent", "producer ended without a word", "producers ended without a word",
         "they were killed, or cut off; `embertrace report` shows the calls that were lost"),
    )  # fmt: skip
    for name, one, more, todo in found:
        if counters.get(name, 0):
            yield Finding("warn", WHERE, many(counters[name], one, more), todo)


def _find_export(counters: Mapping[str, int]) -> Iterator[Finding]:
    """What the OTLP exporter fares like, where there is one."""
    if counters.get("otlp_failing", 0):
        behind = size(counters.get("otlp_behind_bytes", 0))
        todo = "recording goes on and nothing is lost: see whether the receiver runs, and the aggregator's log for why"
        yield Finding("warn", "OTLP export", f"its receiver takes no spans; {behind} are not read for it yet", todo)
    for name, one, more, todo in (
        ("otlp_refused", "span or score was refused", "spans or scores were refused", "the aggregator's log says why"),
        ("otlp_given_up", "span or score was given up", "spans or scores were given up",
         "`embertrace export otlp` sends them again, with the same ids"),
        ("otlp_unfinished", "open call was let go", "open calls were let go",
         "too many calls went on at once; `embertrace export otlp` sends them once they have ended"),
    ):  # fmt: skip
        if counters.get(name, 0):
            yield Finding("warn", "OTLP export", many(counters[name], one, more), todo)


def _find_analyst(aggregator: Aggregator) -> Iterator[Finding]:
    info, state = aggregator.info, aggregator.state
    if isinstance(info, Unknown):
        todo = "recording goes on, and it is restarted if it died: ask again, and see the aggregator's log"
        yield Finding("bad", "analyst", f"it does not answer questions: {info.why}", todo)
        return
    behind = max(0, state.durable - _count(info, "position")) if isinstance(state, State) else 0
    if behind > BEHIND_BYTES:
        todo = "answers lag: wait, or give its machine a free core"
        yield Finding("warn", "analyst", f"it is {size(behind)} behind what is recorded", todo)
    else:
        what = f"answers for {info.get('directory')}: {many(_count(info, 'events'), 'event')}"
        yield Finding("ok", "analyst", f"{what} of {many(_count(info, 'producers'), 'producer')}, up to date")
    gaps, unread = _count(info, "gaps"), _count(info, "undecodable")
    if gaps:
        todo = "answers say how much is missing; the producers' logs and spools say why"
        yield Finding("warn", "analyst", f"{many(gaps, 'event')} of this recording were lost for good", todo)
    if unread:
        todo = "find the program that sends them: `embertrace check` of the recording names the places"
        yield Finding("warn", "analyst", f"{many(unread, 'event')} can't be read", todo)


def _count(info: Mapping[str, Any], name: str) -> int:
    """A number of the answer; 0 for anything else."""
    value = info.get(name)
    return value if type(value) is int else 0
