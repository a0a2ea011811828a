"""What an embertrace call is to OpenTelemetry: one table, with a version.

Rules:
- Everything that decides which attribute a span gets, and which kind it is, stands in this file. `docs/interop.md`
  shows the same tables; a test holds that they agree.
- MAPPING_VERSION goes up when a name or a meaning changes or is removed; what is only added leaves it.
- Nothing here needs OpenTelemetry installed. A value of None is an attribute that is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from embertrace.analysis import Call
from embertrace.analysis.plain import as_json, as_text, optional_text

MAPPING_VERSION = 1
"""Every exported resource carries it as `embertrace.mapping_version`."""

SCOPE = "embertrace"
"""The instrumentation scope of all spans."""

KINDS = {
    "ensemble": "CHAIN",
    "judge": "EVALUATOR",
    "verifier": "EVALUATOR",
    "llm": "LLM",
    "agent": "AGENT",
    "tool": "TOOL",
    "retriever": "RETRIEVER",
    "embedding": "EMBEDDING",
    "reranker": "RERANKER",
    "guardrail": "GUARDRAIL",
}
"""Operator types with an OpenInference kind of their own."""

MEMBER_KIND, MEMBER_WITH_CALLS_KIND, OTHER_KIND = "LLM", "AGENT", "CHAIN"
"""A member of an ensemble that calls nothing traced; one that does; every other operator (pipelines, functions)."""

OPERATIONS = {
    "LLM": "chat",
    "AGENT": "invoke_agent",
    "TOOL": "execute_tool",
    "EMBEDDING": "embeddings",
    "RETRIEVER": "retrieval",
}
"""`gen_ai.operation.name` by kind; other kinds have none unless `llm_call` recorded one."""

JSON, TEXT = "application/json", "text/plain"


class Seen(NamedTuple):
    """A call as the table looks at it, decoded once. `truth` is the item's, labels included; `kind` OpenInference's."""

    call: Call
    kind: str
    truth: Any
    input: Any
    data: Mapping[str, Any]


class Attribute(NamedTuple):
    """A row of the table: the attribute, what it holds, and how that is read off a call."""

    name: str
    holds: str
    value: Callable[[Seen], Any]


def kind_of(call: Call) -> str:
    """The OpenInference kind of a call."""
    named = KINDS.get(call.operator_type.lower())
    if named is not None:
        return named
    if "gen_ai.request.model" in call.scores:
        return "LLM"
    if call.parent is not None and call.parent.operator_type == "ensemble" and call.member:
        return MEMBER_WITH_CALLS_KIND if call.slots or call.children else MEMBER_KIND
    return OTHER_KIND


def input_of(call: Call) -> Any:
    """What the call was given: its only argument, or all of them."""
    args, kwargs = call.args, call.kwargs
    if not args and not kwargs:
        return None
    if not kwargs:
        return args[0] if isinstance(args, list) and len(args) == 1 else args
    return {"args": args, "kwargs": kwargs} if args else kwargs


def _mime(value: Any) -> str | None:
    return None if value is None else TEXT if isinstance(value, str) else JSON


def _score(*names: str) -> Callable[[Seen], Any]:
    """The first of these scores that the call has."""
    return lambda seen: next((seen.call.scores[name] for name in names if name in seen.call.scores), None)


def _only(kind: str, value: Callable[[Seen], Any]) -> Callable[[Seen], Any]:
    return lambda seen: value(seen) if seen.kind == kind else None


def _tokens(seen: Seen) -> Any:
    parts = [_INPUT_TOKENS(seen), _OUTPUT_TOKENS(seen)]
    known = [part for part in parts if isinstance(part, int | float)]
    return sum(known) if known else None


_MODEL = _score("gen_ai.request.model")
_INPUT_TOKENS = _score("gen_ai.usage.input_tokens", "tokens_in")
_OUTPUT_TOKENS = _score("gen_ai.usage.output_tokens", "tokens_out")
_COST = _score("gen_ai.usage.cost", "usd")

ATTRIBUTES = (
    # OpenInference
    Attribute("openinference.span.kind", "the kind, always", lambda seen: seen.kind),
    Attribute("input.value", "the only argument, or all of them", lambda seen: optional_text(seen.input)),
    Attribute("input.mime_type", f"{TEXT} or {JSON}", lambda seen: _mime(seen.input)),
    Attribute("output.value", "the result", lambda seen: optional_text(seen.data.get("result"))),
    Attribute("output.mime_type", f"{TEXT} or {JSON}", lambda seen: _mime(seen.data.get("result"))),
    Attribute("graph.node.id", "the operator's id", lambda seen: seen.call.operator_id),
    Attribute(
        "graph.node.parent_id",
        "the id of the operator that called it",
        lambda seen: seen.call.parent.operator_id if seen.call.parent is not None else None,
    ),
    Attribute("metadata", "the tags, as JSON", lambda seen: as_json(seen.call.tags) if seen.call.tags else None),
    Attribute("llm.model_name", "the model of an `llm_call`", _MODEL),
    Attribute("llm.token_count.prompt", "tokens read", _INPUT_TOKENS),
    Attribute("llm.token_count.completion", "tokens written", _OUTPUT_TOKENS),
    Attribute("llm.token_count.total", "their sum", _tokens),
    Attribute("llm.cost.total", "US dollars", _COST),
    Attribute("tool.name", "the operator's id, of kind TOOL", _only("TOOL", lambda seen: seen.call.operator_id)),
    # OpenTelemetry's semantic conventions
    Attribute(
        "gen_ai.operation.name",
        "as `llm_call` recorded it, else by kind",
        lambda seen: seen.call.scores.get("gen_ai.operation.name", OPERATIONS.get(seen.kind)),
    ),
    Attribute("gen_ai.provider.name", "the provider of an `llm_call`", _score("gen_ai.provider.name")),
    Attribute("gen_ai.request.model", "the model of an `llm_call`", _MODEL),
    Attribute("gen_ai.response.model", "the model that answered", _score("gen_ai.response.model")),
    Attribute("gen_ai.response.id", "the provider's id of the answer", _score("gen_ai.response.id")),
    Attribute("gen_ai.usage.input_tokens", "tokens read", _INPUT_TOKENS),
    Attribute("gen_ai.usage.output_tokens", "tokens written", _OUTPUT_TOKENS),
    Attribute("gen_ai.agent.name", "the operator's id, of kind AGENT", _only("AGENT", lambda s: s.call.operator_id)),
    Attribute("gen_ai.tool.name", "the operator's id, of kind TOOL", _only("TOOL", lambda seen: seen.call.operator_id)),
    Attribute(
        "error.type",
        "the exception's type",
        lambda seen: _error_type(seen),
    ),
    # embertrace's own
    Attribute("embertrace.call_id", "the call's id", lambda seen: f"{seen.call.call_id:016x}"),
    Attribute("embertrace.attempt", "0 first; a retry is the next", lambda seen: seen.call.attempt),
    Attribute("embertrace.operator.id", "the operator's id", lambda seen: seen.call.operator_id),
    Attribute("embertrace.operator.type", "its type", lambda seen: seen.call.operator_type),
    Attribute("embertrace.stage", "its stage", lambda seen: seen.call.stage),
    Attribute("embertrace.slot", "the place among its siblings", lambda seen: seen.call.slot),
    Attribute("embertrace.outcome", "result, error, open or lost", lambda seen: seen.call.outcome),
    Attribute("embertrace.answer", "the answer, where one was extracted", lambda seen: _answer(seen)),
    Attribute("embertrace.item.key", "the item's key", lambda seen: optional_text(seen.call.item.get("key"))),
    Attribute("embertrace.item.epoch", "which repetition of the item", lambda seen: seen.call.item.get("epoch")),
    Attribute("embertrace.item.group", "the item's group", lambda seen: optional_text(seen.call.item.get("group"))),
    Attribute("embertrace.item.truth", "the truth, labels included", lambda seen: optional_text(seen.truth)),
)
"""The attributes of a span."""


def look(call: Call, truth: Any = None) -> Seen:
    """A call for the table."""
    return Seen(call, kind_of(call), truth, input_of(call), call.data)


def _answer(seen: Seen) -> str | None:
    return as_text(seen.data["answer"]) if "answer" in seen.data else None


def _error_type(seen: Seen) -> Any:
    outcome = seen.call.outcome
    return (seen.call.error or {}).get("type") if outcome == "error" else "lost" if outcome == "lost" else None


RESOURCE: tuple[tuple[str, str, str], ...] = (
    ("service.name", "the run's project, else embertrace", "project"),
    ("openinference.project.name", "the run's project, else embertrace", "project"),
    ("embertrace.run.id", "the run's id", "id"),
    ("embertrace.run.name", "the run's name", "name"),
    ("embertrace.run.status", "running, finished, failed, crashed or unknown", "status"),
)
"""The attributes of a resource, which stands for one run: name, what it holds, and the run's field."""

EVENTS = {
    "exception": "what a call raised: exception.type, exception.message, exception.stacktrace",
    "gen_ai.evaluation.result": (
        "a score or a label: gen_ai.evaluation.name, gen_ai.evaluation.score.value (numbers) or "
        "gen_ai.evaluation.score.label (all else), embertrace.label.by (the annotator)"
    ),
}
"""The events of a span."""

LINKS = {
    "link": "a call whose result this call consumed",
    "member": "a member of the ensemble that this judge judged",
}
"""The span links, by their attribute `embertrace.link`. They lead from the later call to the earlier."""

NO_EVALUATION = ("gen_ai.", "tokens_in", "tokens_out", "usd")
"""Scores with these beginnings say what a call used, not how good it was: attributes, not evaluations."""


def attributes_of(seen: Seen) -> dict[str, Any]:
    """All attributes of a span that have a value."""
    found = ((row.name, row.value(seen)) for row in ATTRIBUTES)
    return {name: value for name, value in found if value is not None}


def evaluation_attributes(name: str, value: Any, by: str | None) -> dict[str, Any]:
    """A score or a label as attributes: of the event on its call's span, or of the span that comes later."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "gen_ai.evaluation.name": name,
        "gen_ai.evaluation.score.value": float(value) if is_number else None,
        "gen_ai.evaluation.score.label": None if is_number else optional_text(value),
        "embertrace.label.by": by,
    }


def resource_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a run's resource, from what `runs()` says of it; {} for calls of no run."""
    known = {**run, "project": run.get("project") or SCOPE}
    found = {name: known[field] for name, _, field in RESOURCE if known.get(field) is not None}
    return {**found, "embertrace.mapping_version": MAPPING_VERSION}


def is_evaluation(score: str) -> bool:
    return not score.startswith(NO_EVALUATION)
