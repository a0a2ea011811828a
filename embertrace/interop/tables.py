"""Calls and events as rows of two tables, whose columns are a promise: `docs/interop.md` describes them. Pure.

Rules:
- A column keeps its name, meaning and type within a schema version. New columns come last and leave the version;
  anything else raises it.
- Values are text: JSON where the column says so; "text or JSON" is a text as it is, and anything else as JSON.
- What `analysis.calls.to_pandas()` and the like have (`analysis.frames`) is the same here: fewer columns, of one name,
  type and meaning.
- `events.packed` is the event as it was recorded, byte for byte: from it everything else can be had again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from embertrace.analysis import Call, OperatorAnalysis
from embertrace.analysis.plain import as_json, clean, optional_text
from embertrace.errors import QueryError
from embertrace.event import EVENT_TYPES, call_hex, optional_call_hex
from embertrace.lineage import Lineage, to_operator_event
from embertrace.wire.event import pack_event, to_nanoseconds

SCHEMA_VERSION = 1
TableName = Literal["calls", "events"]
Type = Literal["text", "int64", "bool", "nanoseconds", "texts", "binary"]


class Column(NamedTuple):
    """A column: its name, its type, and what it holds."""

    name: str
    type: Type
    holds: str


CALLS = (
    Column("call_id", "text", "16 hexadecimal digits"),
    Column("attempt", "int64", "0 first; a retry is the next"),
    Column("selected", "bool", "whether this attempt is the one that counts"),
    Column("parent_call_id", "text", "null for a root"),
    Column("parent_attempt", "int64", "a child belongs to (parent, parent attempt)"),
    Column("trace_id", "text", "32 hexadecimal digits"),
    Column("run", "text", "the run's id"),
    Column("operator_id", "text", "which operator"),
    Column("operator_type", "text", "its type, as `ensemble` or `judge`"),
    Column("stage", "text", "its stage"),
    Column("slot", "int64", "the place among its siblings"),
    Column("member", "bool", "whether it may vote in the ensemble it runs in"),
    Column("start", "nanoseconds", "on one clock for all hosts, UTC"),
    Column("duration_ns", "int64", "null while it has not ended"),
    Column("outcome", "text", "result, error, open or lost"),
    Column("item_key", "text", "the item's key, text or JSON"),
    Column("item_epoch", "int64", "which repetition of the item"),
    Column("item_group", "text", "the item's group, text or JSON"),
    Column("truth", "text", "what is right, labels included, text or JSON"),
    Column("answer", "text", "what it answered, text or JSON"),
    Column("args", "text", "JSON"),
    Column("kwargs", "text", "JSON"),
    Column("result", "text", "JSON"),
    Column("error_type", "text", "the exception's type"),
    Column("error_message", "text", "its message"),
    Column("scores", "text", "JSON, one object"),
    Column("tags", "text", "JSON, one object; inherited ones too"),
    Column("links", "texts", "the calls whose results it consumed"),
    Column("follows", "text", "the call that ended or was submitted before it in its execution context"),
    Column("producer_id", "text", "who emitted it: one process's stream"),
)
EVENTS = (
    Column("producer_id", "text", "who emitted it"),
    Column("seq", "int64", "its place in that producer's order"),
    Column("event_type", "text", "call, result, error or metric"),
    Column("time", "nanoseconds", "the producer's clock, UTC"),
    Column("operator_id", "text", "which operator"),
    Column("operator_type", "text", "its type"),
    Column("stage", "text", "its stage"),
    Column("trace_id", "text", "32 hexadecimal digits"),
    Column("call_id", "text", "null outside any call"),
    Column("parent_call_id", "text", "null for a root"),
    Column("attempt", "int64", "of the call"),
    Column("parent_attempt", "int64", "of its parent"),
    Column("slot", "int64", "the place among its siblings"),
    Column("duration_ns", "int64", "on result and error"),
    Column("run", "text", "the run's id"),
    Column("context", "text", "JSON: operators, run, item, tags"),
    Column("data", "text", "JSON: args and kwargs, result and answer, error, or scores"),
    Column("item_key", "text", "the item's key, inherited too, text or JSON"),
    Column("tags", "text", "JSON, one object; inherited ones too"),
    Column("packed", "binary", "the event as recorded (docs/wire-format.md)"),
)
TABLES: dict[TableName, tuple[Column, ...]] = {"calls": CALLS, "events": EVENTS}

Row = tuple[Any, ...]
"""Values in the order of the columns."""


def rows(analysis: OperatorAnalysis, table: TableName) -> Iterator[Row]:
    """The rows of a table, in the order of their begin (calls) or time (events). Raises QueryError for another name.

    Calls are the selected ones with every attempt. Events are those of these calls, and, of events outside any call,
    those of their runs, or of no run.
    """
    if table not in TABLES:
        raise QueryError(f"there is no table {table!r}; known are {', '.join(TABLES)}")
    makers: Mapping[str, Callable[[OperatorAnalysis], Iterator[Row]]] = {"calls": _calls, "events": _events}
    return makers[table](analysis)


def _calls(analysis: OperatorAnalysis) -> Iterator[Row]:
    selection = analysis.selection(every_attempt=True)
    by_id, truth = selection.trees.by_id, selection.trees.labels.truth
    for call in selection.calls:
        yield _call(call, by_id.get(call.call_id) is call, truth(call))


def _call(call: Call, selected: bool, truth: Any) -> Row:
    item, error, data = call.item, call.error or {}, call.data
    epoch = item.get("epoch")
    return (
        call_hex(call.call_id),
        _int64(call.attempt),
        selected,
        optional_call_hex(call.parent_key[0]),
        _int64(call.parent_key[1]) if call.parent_key[0] else None,
        call.trace_id,
        _text(call.run),
        _text(call.operator_id),
        _text(call.operator_type),
        _text(call.stage),
        _int64(call.slot),
        call.member,
        _int64(call.start_ns),
        _int64(call.duration_ns),
        call.outcome,
        optional_text(item.get("key")),
        _int64(epoch) if isinstance(epoch, int) else None,
        optional_text(item.get("group")),
        optional_text(truth),
        optional_text(data.get("answer", data.get("result"))),
        _json(call.args),
        _json(call.kwargs),
        _json(data.get("result")),
        optional_text(error.get("type")),
        optional_text(error.get("message")),
        _json(call.scores),
        _json(call.tags),
        [call_hex(link) for link in call.links],
        optional_call_hex(call.follows),
        call.origin.producer.hex(),
    )


def _events(analysis: OperatorAnalysis) -> Iterator[Row]:
    selection = analysis.selection(every_attempt=True)
    ids = {call.call_id for call in selection.calls}
    runs = {call.run for call in selection.calls}
    sightings, lineage = selection.forest.sightings(), Lineage()
    for seen in sightings:
        lineage.observe(seen.event)
    for origin, raw in sightings:
        context = lineage.context(raw)
        about = context.get("run")
        if raw.call_id not in ids and selection.filtered and (raw.call_id or about not in {*runs, None}):
            continue
        event = to_operator_event(raw, context, origin.producer, origin.seq)
        yield (
            event.producer_id,
            origin.seq,
            EVENT_TYPES[raw.type],
            _int64(to_nanoseconds(raw.timestamp)),
            _text(raw.operator_id),
            _text(raw.operator_type),
            _text(raw.stage),
            event.trace_id,
            event.call_id,
            event.parent_call_id,
            _int64(raw.attempt),
            _int64(raw.parent_attempt),
            _int64(raw.slot),
            None if raw.duration is None else _int64(to_nanoseconds(raw.duration)),
            _text(about),
            _json(context),
            _json(event.data),
            optional_text((context.get("item") or {}).get("key")),
            _json(context.get("tags") or {}),
            pack_event(raw),
        )


def _text(value: str | None) -> str | None:
    return None if value is None else clean(value)


def _json(value: Any) -> str | None:
    return None if value is None else as_json(value)


def _int64(value: int | None) -> int | None:
    """None for what 64 bits with a sign can't hold: a damaged stream's numbers, not a program's."""
    return None if value is None or not -(1 << 63) <= value < 1 << 63 else value
