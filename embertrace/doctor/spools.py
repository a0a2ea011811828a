"""Findings about undelivered events on this machine. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from embertrace.config import Settings
from embertrace.doctor.facts import Aggregator, Facts, Spools, Unknown
from embertrace.doctor.findings import Finding, Severity, many, size, span
from embertrace.emit.adopter import KEEP_S
from embertrace.emit.storage import EXTENT_BYTES
from embertrace.emit.survey import Owner, Stream
from embertrace.keys import EMBEDDED
from embertrace.wire.control import Welcome

WHERE = "spools"
NEAR_END_S = 2 * 24 * 3600.0
"""Undelivered events that will be deleted within two days are bad news: a weekend is as long."""
NEARLY_FULL = 0.8
MOST_FATES = 20
"""Lines about streams, the largest first: sessions that were killed leave one each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fate:
    """What streams have in common that share a fate; None throughout where their meta can't be read."""

    owner: Owner
    endpoint: str | None = None
    recording: str | None = None
    key: str | None = None
    host: str | None = None
    uid: int | None = None


def find_spools(facts: Facts) -> Iterator[Finding]:
    """Whether spools work here, and what lies in them."""
    spools = facts.spools
    if spools is None:
        yield Finding("ok", WHERE, "undelivered events are held in memory, and die with their process")
        return
    if isinstance(spools, Unknown):
        yield Finding("bad", WHERE, spools.why, "set EMBERTRACE_SPOOL_DIR to a directory on a local disk")
        return
    settings = facts.settings if isinstance(facts.settings, Settings) else Settings()
    yield from _find_directory(spools)
    yield from _find_room(spools, settings)
    groups: dict[Fate, list[Stream]] = {}
    for stream in spools.streams:
        groups.setdefault(_fate(stream), []).append(stream)
    largest = sorted(groups.items(), key=lambda group: -sum(stream.bytes for stream in group[1]))
    for fate, streams in largest[:MOST_FATES]:
        yield _find_streams(fate, streams, facts, spools)
    rest = [stream for _, streams in largest[MOST_FATES:] for stream in streams]
    if rest:
        yield Finding("warn", WHERE, f"and {many(len(rest), 'stream')} more ({_amount(rest)}) to other aggregators")


def _fate(stream: Stream) -> Fate:
    meta = stream.meta
    if meta is None:
        return Fate(stream.owner)
    return Fate(stream.owner, meta.endpoint, meta.recording, meta.key, meta.host, meta.uid)


def _find_directory(spools: Spools) -> Iterator[Finding]:
    if spools.fault is not None:
        yield Finding(
            "bad",
            WHERE,
            f"{spools.directory} can't hold spools ({spools.fault}): events die with their process",
            "set EMBERTRACE_SPOOL_DIR to a directory on a local disk that you may write to",
        )
    elif not spools.exists:
        yield Finding("ok", WHERE, f"{spools.directory} is not there yet; the first event makes it")
    else:
        yield Finding("ok", WHERE, f"{spools.directory} works, and holds {many(len(spools.streams), 'stream')}")


def _find_room(spools: Spools, settings: Settings) -> Iterator[Finding]:
    free, held = spools.free_bytes, sum(stream.bytes for stream in spools.streams)
    if free is not None and free < settings.spool_bytes:
        severity: Severity = "bad" if free < 2 * EXTENT_BYTES else "warn"
        what = f"{size(free)} are free in {spools.directory}, less than the {size(settings.spool_bytes)} of one spool"
        yield Finding(
            severity, WHERE, what, "free some space, or set EMBERTRACE_SPOOL_DIR; what does not fit is dropped"
        )
    if held + EXTENT_BYTES > settings.spool_node_bytes * NEARLY_FULL:
        is_full = held + EXTENT_BYTES > settings.spool_node_bytes
        what = f"{size(held)} of the {size(settings.spool_node_bytes)} that all spools may hold are taken"
        todo = "deliver them (`embertrace drain`), or raise EMBERTRACE_SPOOL_NODE_BYTES; what does not fit is dropped"
        yield Finding("bad" if is_full else "warn", WHERE, what, todo)


def _find_streams(fate: Fate, streams: list[Stream], facts: Facts, spools: Spools) -> Finding:
    held = f"{many(len(streams), 'stream')} ({_amount(streams)}) to {_target(fate)}"
    if fate.owner == "unknown":
        who = f"user {fate.uid}" if fate.uid is not None else "their owner"
        return Finding("warn", WHERE, f"of others, not to be looked at: {held}", f"run `embertrace doctor` as {who}")
    if fate.owner == "alive":
        if _answering(facts.aggregator) is None and _is_at(facts.aggregator, fate.endpoint):
            return Finding("warn", WHERE, f"of living processes, and waiting for an aggregator: {held}")
        return Finding("ok", WHERE, f"of living processes: {held}")
    age = f", {span(facts.now - min(created))} old" if (created := _created(streams)) else ""
    what = f"left by dead processes: {held}{age}"
    todo = _how_to_deliver(fate, facts, spools)
    orphaned = [stream.orphaned for stream in streams if stream.orphaned is not None]
    left_s = min(orphaned) + KEEP_S - facts.now if orphaned else KEEP_S
    if left_s < NEAR_END_S:
        return Finding("bad", WHERE, f"{what}; deleted in {span(left_s)} if not delivered", todo)
    return Finding("warn", WHERE, what, todo)


def _created(streams: list[Stream]) -> list[float]:
    found = [stream.meta.created for stream in streams if stream.meta is not None]
    return [created for created in found if isinstance(created, float)]  # it may be anybody's JSON


def _amount(streams: list[Stream]) -> str:
    counted = [stream.events for stream in streams]
    held = size(sum(stream.bytes for stream in streams))
    if None in counted:
        return held
    return f"up to {many(sum(count or 0 for count in counted), 'event')}, {held}"


def _target(fate: Fate) -> str:
    if fate.endpoint is None:
        return "an unknown endpoint"
    return fate.endpoint + (f" (recording {fate.recording})" if fate.recording is not None else "")


def _how_to_deliver(fate: Fate, facts: Facts, spools: Spools) -> str:
    if fate.endpoint is None:
        return "`embertrace drain --to ENDPOINT` sends them to the aggregator you name"
    if fate.host != facts.host:
        return f"run `embertrace drain {spools.directory}` on {fate.host}, whose processes they are"
    if fate.key != (facts.key if isinstance(facts.key, str) else None):
        return _which_key(fate.key)
    there = _answering(facts.aggregator)
    if there is not None and isinstance(facts.aggregator, Aggregator):
        at = facts.aggregator.endpoint
        if at == fate.endpoint and fate.recording in (None, there.recording):
            return "`embertrace drain` delivers them now"
        if fate.recording == there.recording:
            return f"`embertrace drain --to {at}` delivers them now"
        if at == fate.endpoint:
            return f"it records {there.recording} now: start one for theirs, then `embertrace drain --to` that"
    if fate.recording is None:
        return f"start an aggregator at {fate.endpoint}, then run `embertrace drain`; after 7 days they are deleted"
    return "start their recording's aggregator again, then `embertrace drain --to` it; after 7 days they are deleted"


def _which_key(key: str | None) -> str:
    if key is None:
        return "they go without a key: run `embertrace drain` with EMBERTRACE_KEY unset"
    if key.startswith(EMBEDDED):
        return (
            "their session has ended, and its key with it: `embertrace aggregate` its directory, "
            "then `embertrace drain --to` it; after 7 days they are deleted"
        )
    return f"they go with the key {key!r}: name its file by EMBERTRACE_KEY, then run `embertrace drain`"


def _answering(aggregator: Aggregator | Unknown) -> Welcome | None:
    if isinstance(aggregator, Aggregator) and isinstance(aggregator.welcome, Welcome):
        return aggregator.welcome
    return None


def _is_at(aggregator: Aggregator | Unknown, endpoint: str | None) -> bool:
    return isinstance(aggregator, Aggregator) and aggregator.endpoint == endpoint
