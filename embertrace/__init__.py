"""embertrace: tracing and statistics for compound-AI operators (ensembles, judges, verifiers, chains)."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from embertrace import collect, config
from embertrace.collect import EventCollector, collect_events
from embertrace.continuation import call_id, continue_trace, link, linked, traceparent
from embertrace.decorate import TracedOperator, operator, trace
from embertrace.event import OperatorEvent
from embertrace.execution import ExecutionContext, item
from embertrace.metric import AccuracyMetric, label, score
from embertrace.operators import Ensemble, Judge, Operator
from embertrace.sinks import EventList
from embertrace.spec import OperatorMetadata

if TYPE_CHECKING:
    from embertrace.analysis import OperatorAnalysis
    from embertrace.embedded import session
    from embertrace.flow import visualize_operator_flow
    from embertrace.llm import llm_call
    from embertrace.logs import logging_filter, structlog_processor
    from embertrace.monitor import OperatorMonitor
    from embertrace.playback import replay
    from embertrace.run import init
    from embertrace.sources import connect, open
    from embertrace.threads import Executor, bind, instrument_threads, uninstrument_threads

__version__ = "0.1.0"

_LAZY = {
    "Executor": "embertrace.threads",
    "OperatorAnalysis": "embertrace.analysis",
    "OperatorMonitor": "embertrace.monitor",
    "bind": "embertrace.threads",
    "connect": "embertrace.sources",
    "init": "embertrace.run",
    "instrument_threads": "embertrace.threads",
    "llm_call": "embertrace.llm",
    "logging_filter": "embertrace.logs",
    "open": "embertrace.sources",
    "replay": "embertrace.playback",
    "session": "embertrace.embedded",
    "structlog_processor": "embertrace.logs",
    "uninstrument_threads": "embertrace.threads",
    "visualize_operator_flow": "embertrace.flow",
}
"""Names that need numpy or zmq, or that few programs need, loaded when first used: `import embertrace` stays small."""

__all__ = [
    "AccuracyMetric",
    "Ensemble",
    "EventCollector",
    "EventList",
    "ExecutionContext",
    "Executor",
    "Judge",
    "Operator",
    "OperatorAnalysis",
    "OperatorEvent",
    "OperatorMetadata",
    "OperatorMonitor",
    "TracedOperator",
    "bind",
    "call_id",
    "collect_events",
    "connect",
    "continue_trace",
    "init",
    "instrument_threads",
    "item",
    "label",
    "link",
    "linked",
    "llm_call",
    "logging_filter",
    "open",
    "operator",
    "replay",
    "score",
    "session",
    "structlog_processor",
    "trace",
    "traceparent",
    "uninstrument_threads",
    "visualize_operator_flow",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'embertrace' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    if name == "OperatorAnalysis":
        importlib.import_module("embertrace.flow")  # an analysis shows its flow in a notebook
    globals()[name] = value  # so that a submodule of the same name, once imported, does not hide it
    return value


def _before_fork() -> None:
    if any(isinstance(sink, EventList) for sink in collect.sinks):
        importlib.import_module("embertrace.gather").before_fork()


os.register_at_fork(before=_before_fork)

if config.endpoint_is_set():
    importlib.import_module("embertrace.run").start_from_environment()
