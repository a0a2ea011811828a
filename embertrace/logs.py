"""Which call a log line was written in: a filter for `logging`, a processor for structlog. Neither writes anything.

Rules: nothing is imported but the standard library; nothing raises; with tracing off there is no call.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from embertrace import context
from embertrace.event import call_hex

FIELDS = ("trace_id", "call_id", "operator")
NO_CALL = "-"
"""What a log record says outside any call: a format string needs something."""


def _here() -> dict[str, str]:
    """The fields of the current call; empty outside any."""
    where = context.position()[0]
    if where is None:
        return {}
    return dict(zip(FIELDS, (where.trace_id.hex(), call_hex(where.call_id), where.operator_id), strict=True))


class CallFilter(logging.Filter):
    """Lets every record pass, and gives it `trace_id`, `call_id` and `operator`; "-" outside any call.

    A record that has a field of that name keeps its own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        here = _here()
        for field in FIELDS:
            if not hasattr(record, field):
                setattr(record, field, here.get(field, NO_CALL))
        return True


def logging_filter() -> CallFilter:
    """A filter for a handler: `handler.addFilter(et.logging_filter())`; then formats may use `%(call_id)s`.

    On a handler it sees the records of every logger; on a logger only those made with that one. Where a queue stands
    between, it belongs on the handler before the queue: behind it, another thread has another call, or none.
    """
    return CallFilter()


def structlog_processor(_: Any, __: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: adds `trace_id`, `call_id` and `operator` inside a call, and nothing outside any.

    What the event says of these itself stays.
    """
    for field, value in _here().items():
        event_dict.setdefault(field, value)
    return event_dict
