"""What events made by hand must hold so that an analysis can take them; else one error says which field of which event.

Rules:
- Types are checked, as a reader of the wire does. A moment or a duration that is not finite is still a number: it is
  taken, and is no time.
- Values (items' keys and truths, tags, data) may be anything: what is recorded of them is what counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from embertrace.errors import QueryError
from embertrace.event import OperatorEvent, parse_call_id

NAMES = ("operator_id", "operator_type", "stage")
COUNTS = ("attempt", "parent_attempt", "slot", "slots")
IDS = ("call_id", "parent_call_id", "follows")
MAX_COUNT = (1 << 63) - 1
"""What tables and Arrow's columns hold."""


def check_event(event: Any, place: int) -> None:
    """Raises QueryError for what no analysis takes; `place` is that in the list."""
    if not isinstance(event, OperatorEvent):
        raise QueryError(f"element {place} is a {type(event).__name__}; an analysis takes OperatorEvents")
    check = _Check(f"event {place}", event)
    for name in NAMES:
        check(name, isinstance(getattr(event, name), str), "a text")
    check("timestamp", _is_real(event.timestamp), "a number of Unix seconds")
    check("duration_s", event.duration_s is None or _is_real(event.duration_s), "a number of seconds, or None")
    for name in COUNTS:
        check(name, is_count(getattr(event, name)), "a whole number from 0")
    for name in IDS:
        check(name, _is_id(getattr(event, name)), "16 hexadecimal digits, or None")
    for name in ("trace_id", "producer_id"):
        check(name, isinstance(getattr(event, name), str | None), "a text, or None")
    check("seq", event.seq is None or is_count(event.seq), "a whole number from 0, or None")
    are_ids = isinstance(event.links, list | tuple) and all(link and _is_id(link) for link in event.links)
    check("links", are_ids, "a tuple of ids of calls, 16 hexadecimal digits each")
    check("context", isinstance(event.context, Mapping), "a mapping; leave it out where there is none")
    _check_context(f"event {place}", event.context)


def _check_context(which: str, context: Mapping[str, Any]) -> None:
    run, operators = context.get("run"), context.get("operators")
    check = _Check(f"{which}: in its context", context)
    check("run", run is None or isinstance(run, str), "a text")
    check("item", isinstance(context.get("item"), Mapping | None), "a mapping, as {'key': 'q1', 'truth': 'Paris'}")
    check("tags", isinstance(context.get("tags"), Mapping | None), "a mapping of names to values")
    are_frames = operators is None or (
        isinstance(operators, list | tuple) and all(isinstance(frame, Mapping) for frame in operators)
    )
    check("operators", are_frames, "a list of mappings with id, type and stage, root first")
    for frame in operators or ():
        check = _Check(f"{which}: in a frame of its context", frame)
        for name in ("id", "type", "stage"):
            check(name, isinstance(frame.get(name), str | None), "a text")
        check("call_id", _is_id(frame.get("call_id")), "16 hexadecimal digits, or None")
        for name in ("attempt", "slot"):
            check(name, is_count(frame.get(name, 0)), "a whole number from 0")


class _Check:
    """Raises QueryError for a field that is not what it must be."""

    def __init__(self, where: str, of: Any) -> None:
        self._where, self._of = where, of

    def __call__(self, name: str, holds: bool, must_be: str) -> None:
        if not holds:
            value = self._of.get(name) if isinstance(self._of, Mapping) else getattr(self._of, name)
            raise QueryError(f"{self._where}: {name} is {value!r:.80}; it must be {must_be}")


def is_count(value: Any) -> bool:
    return isinstance(value, Integral) and 0 <= int(value) <= MAX_COUNT


def _is_real(value: Any) -> bool:
    return isinstance(value, Real)


def _is_id(value: Any) -> bool:
    """Whether it is the id of a call, or of none."""
    try:
        parse_call_id(value or None)
    except ValueError:
        return False
    return value is None or isinstance(value, str)
