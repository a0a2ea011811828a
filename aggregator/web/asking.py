"""One call of the table of questions, from the server's thread: with a deadline, and a limit to what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aggregator.handing import NobodyRecords
from aggregator.web.formats import to_json
from aggregator.web.jobs import Busy, Fault, Jobs
from embertrace.errors import MissingExtraError, QueryError, RecordingError
from embertrace.wire.rpc import MAX_ANSWER_BYTES

DEADLINE_S = 30.0
"""For an answer, as a client over RPC waits."""
MAX_SENTENCE = 2000
"""Characters of an error: it may quote what was asked."""


class Refused(Exception):
    """An answer that says why there is none."""

    def __init__(self, status: int, code: str, error: str) -> None:
        super().__init__(error)
        self.status, self.code = status, code

    def to_data(self) -> dict[str, str]:
        return {"error": str(self)[:MAX_SENTENCE].encode("utf-8", "replace").decode(), "code": self.code}


async def ask(jobs: Jobs, method: str, params: Mapping[str, Any], deadline_s: float = DEADLINE_S) -> Any:
    """The answer as plain data. Raises Refused."""
    try:
        async with asyncio.timeout(deadline_s):
            return await asyncio.wrap_future(jobs.put(method, params))
    except TimeoutError:
        error = (
            f"{method} took longer than {deadline_s:g} s, or what precedes it did: narrow the question, or try again"
        )
        raise Refused(504, "deadline", error) from None
    except asyncio.CancelledError:
        raise
    except Exception as error:
        raise refused_for(error) from None


def refused_for(error: Exception) -> Refused:
    """What to answer for what went wrong."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Busy):
        return Refused(503, "busy", f"{error}; try again in a moment")
    if isinstance(error, NobodyRecords):
        return Refused(409, "read_only", str(error))
    if isinstance(error, QueryError):
        return Refused(400, "query", str(error))
    if isinstance(error, MissingExtraError):
        return Refused(501, "missing_extra", str(error))
    if isinstance(error, RecordingError):
        return Refused(500, "recording", str(error))
    what = str(error) if isinstance(error, Fault) else f"this failed inside the aggregator: {type(error).__name__}"
    return Refused(500, "internal", what)


async def to_bytes(value: Any) -> bytes:
    """An answer as JSON, made beside the server's loop. Raises Refused for one that is too large."""
    packed = await asyncio.to_thread(to_json, value)
    return bounded(packed)


def bounded(packed: bytes) -> bytes:
    """Raises Refused for more than an answer may have."""
    if len(packed) > MAX_ANSWER_BYTES:
        error = f"the answer has {len(packed)} bytes, over the limit of {MAX_ANSWER_BYTES}: narrow the question"
        raise Refused(422, "too_large", error)
    return packed
