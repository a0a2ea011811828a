"""llm_call: one request to a language model as a call of its own, with what it used.

Rules:
- It is an operator of type "llm" below the current call: below a member it is a part of that member, directly below an
  ensemble it is a member.
- What it used is one score event of the call, under the names of OpenTelemetry's gen_ai conventions, so that exports
  need no guesses; and as `tokens_in`, `tokens_out` and `usd`, which `cost()` sums. It is emitted when the block ends,
  also by an exception: what failed was paid for too.
- Nothing here knows any client, and nothing raises because of tracing. With tracing off nothing is recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from embertrace.decorate import OperatorCall, operator
from embertrace.metric import score

OWN_NAMES = {
    "gen_ai.usage.input_tokens": "tokens_in",
    "gen_ai.usage.output_tokens": "tokens_out",
    "gen_ai.usage.cost": "usd",
}
"""What `cost()` sums, by its gen_ai name. OpenTelemetry has no name for money; this one is in use, for US dollars."""


class LlmCall:
    """The running call of an `llm_call(...)` block. Of each field the last word counts."""

    def __init__(self, call: OperatorCall, known: dict[str, Any]) -> None:
        self._call = call
        self._known = known

    def usage(
        self, *, input_tokens: int | None = None, output_tokens: int | None = None, usd: float | None = None
    ) -> None:
        """State what the request used: tokens read and written, US dollars. None leaves a field as it is."""
        told = {
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
            "gen_ai.usage.cost": usd,
        }
        self._known.update({name: value for name, value in told.items() if value is not None})

    def response(self, value: Any, *, model: str | None = None, id: str | None = None) -> None:
        """State what came back: its text, say; with the model that answered and the provider's id, where known."""
        self._call.result(value)
        told = {"gen_ai.response.model": model, "gen_ai.response.id": id}
        self._known.update({name: text for name, text in told.items() if text is not None})


@contextlib.contextmanager
def llm_call(
    model: str,
    *,
    prompt: Any = None,
    provider: str | None = None,
    operation: str = "chat",
    name: str | None = None,
    stage: str | None = None,
) -> Iterator[LlmCall]:
    """Trace one request to a model: `with et.llm_call("small-1", prompt=text) as call: …; call.usage(input_tokens=…)`.

    `prompt` is recorded as the argument, subject to the limits and redaction of all values. `provider` and `operation`
    ("chat", "text_completion", "embeddings", …) are as in gen_ai.provider.name and gen_ai.operation.name. `name` is the
    operator's id (default: the model). Works around `await` too; safe in threads and asyncio tasks.
    """
    known: dict[str, Any] = {"gen_ai.operation.name": operation, "gen_ai.request.model": model}
    if provider is not None:
        known["gen_ai.provider.name"] = provider
    given = () if prompt is None else (prompt,)
    with operator(name or model, type="llm", stage=stage, args=given) as call:
        try:
            yield LlmCall(call, known)
        finally:
            score(**known, **{own: known[gen_ai] for gen_ai, own in OWN_NAMES.items() if gen_ai in known})
