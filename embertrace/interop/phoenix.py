"""Scores and labels as Arize Phoenix keeps them: span annotations, over its own API. Pure.

Rules:
- A span has one annotation of each name and annotator: said again, it is replaced.
- A label is of a person, or of a model where its annotator says so ("llm:…", "judge…"); a score is of code.
- They may come before their spans: Phoenix looks for these a few times, some seconds in all.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable
from typing import Any

from embertrace.analysis.plain import clean, optional_text
from embertrace.interop.evaluations import Evaluation
from embertrace.interop.otlp_http import TRACES_PATH

PATH = "/v1/span_annotations"
CONTENT_TYPE = "application/json"
MAX_ANNOTATIONS = 500
SCORED = "embertrace"
"""The annotator of scores: without one, Phoenix would keep every repetition."""
MODELS = ("llm", "judge")
RESERVED = ("note",)
"""Names that Phoenix keeps for itself."""


def annotations_url(traces_url: str) -> str:
    """Where annotations go, from where traces go."""
    parts = urllib.parse.urlsplit(traces_url)
    return parts._replace(path=parts.path.removesuffix(TRACES_PATH) + PATH).geturl()


def pack_annotations(said: Iterable[tuple[bytes, Evaluation]]) -> bytes:
    """The body of one request, for evaluations of spans by their ids."""
    return json.dumps({"data": [_annotation(span_id, evaluation) for span_id, evaluation in said]}).encode()


def _annotation(span_id: bytes, evaluation: Evaluation) -> dict[str, Any]:
    name, value, by = clean(evaluation.name), evaluation.value, evaluation.by
    is_number = isinstance(value, int | float)
    return {
        "span_id": span_id.hex(),
        "name": f"{name}_" if name in RESERVED else name,
        "annotator_kind": "CODE" if by is None else "LLM" if by.lower().startswith(MODELS) else "HUMAN",
        "identifier": clean(by) if by else SCORED,
        "result": {
            "score": _finite(float(value)) if is_number else None,
            "label": None if is_number and not isinstance(value, bool) else optional_text(value),
        },
    }


def _finite(value: float) -> float | None:
    """JSON has no other numbers."""
    return value if abs(value) < float("inf") else None
