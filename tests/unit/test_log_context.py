"""Log lines say which call they were written in."""

from __future__ import annotations

import io
import json
import logging
import threading

import pytest

import embertrace as et
from embertrace.logs import CallFilter


@pytest.fixture
def logged() -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(operator)s %(call_id)s %(trace_id)s %(message)s"))
    handler.addFilter(et.logging_filter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, stream


def test_records_carry_the_current_call(logged: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = logged
    logger.warning("before")
    with et.collect_events() as events, et.operator("outer"):
        with et.operator("inner"):
            logger.warning("inside")
        logger.warning("after")
    outer, inner = et.OperatorAnalysis(events).calls
    assert stream.getvalue().splitlines() == [
        "- - - before",
        f"inner {inner.call_id:016x} {inner.trace_id} inside",
        f"outer {outer.call_id:016x} {outer.trace_id} after",
    ]


def test_a_thread_that_nobody_bound_has_no_call(logged: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = logged
    with et.collect_events(), et.operator("outer"):
        thread = threading.Thread(target=logger.warning, args=("elsewhere",))
        thread.start()
        thread.join()
    assert stream.getvalue() == "- - - elsewhere\n"


def test_a_record_keeps_its_own_fields() -> None:
    record = logging.makeLogRecord({"msg": "m", "call_id": "mine"})
    with et.collect_events(), et.operator("op"):
        assert CallFilter().filter(record)
    assert (record.call_id, record.operator) == ("mine", "op")  # type: ignore[attr-defined]


def test_the_structlog_processor_adds_fields_inside_calls_only() -> None:
    assert et.structlog_processor(None, "info", {"event": "e"}) == {"event": "e"}
    with et.collect_events() as events, et.operator("op"):
        found = et.structlog_processor(None, "info", {"event": "e", "operator": "mine"})
    (call,) = et.OperatorAnalysis(events).calls
    assert found == {"event": "e", "trace_id": call.trace_id, "call_id": f"{call.call_id:016x}", "operator": "mine"}


def test_structlog_itself_writes_the_fields() -> None:
    structlog = pytest.importorskip("structlog", reason="structlog is not installed")
    stream = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream), processors=[et.structlog_processor, structlog.processors.JSONRenderer()]
    )
    logger.info("before")
    with et.collect_events() as events, et.operator("op"):
        logger.info("inside", answer=42)
    (call,) = et.OperatorAnalysis(events).calls
    before, inside = map(json.loads, stream.getvalue().splitlines())
    assert before == {"event": "before"}
    ids = {"trace_id": call.trace_id, "call_id": f"{call.call_id:016x}", "operator": "op"}
    assert inside == {"event": "inside", "answer": 42, **ids}
