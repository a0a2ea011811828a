"""What waits to be sent, and what became of it. The thin shell around one connection; `step` never waits.

Rules:
- One request at a time, in order. One that fails is tried again after pauses that double, or after what the receiver
  asks for, never longer than half a minute; after GIVE_UP_S it is given up and counted, and the next has its turn.
- Refusals that speak of the address or of who asks (401, 404, …) are waited for as failures are: somebody may mend it.
- What a receiver finds too large is halved; other refusals are final and counted.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence

from embertrace.interop.otlp import HOPELESS, TOO_LARGE, verdict
from embertrace.interop.otlp_http import Answer, Failed, Poster

GIVE_UP_S = 3600.0
"""An hour of nobody there; what was recorded meanwhile waits in the recording, not here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One request: `parts` (spans of calls, or else evaluations) and how they are packed into a body."""

    poster: Poster
    pack: Callable[[Sequence[object]], bytes]
    parts: Sequence[object]
    is_spans: bool


@dataclasses.dataclass(slots=True)
class Counts:
    """What became of everything so far. `refused` by the receiver, `given_up` after too long, both in spans and
    evaluations."""

    spans: int = 0
    evaluations: int = 0
    refused: int = 0
    given_up: int = 0
    requests: int = 0
    retries: int = 0


class Outbox:
    """Messages in order. `now` is given with each step (monotonic seconds). Not thread-safe."""

    def __init__(self, give_up_s: float = GIVE_UP_S) -> None:
        self.counts = Counts()
        self.trouble = ""
        """Why the first message still waits; "" where none failed."""
        self._waiting: deque[Message] = deque()
        self._give_up_s = give_up_s
        self._failures = 0
        self._failed_at = self._again_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed, and another is due."""
        return self._failures > 0

    def put(self, messages: Sequence[Message]) -> None:
        self._waiting += messages

    def due_s(self, now: float) -> float | None:
        """Seconds until there is something to do; None where nothing waits."""
        return max(0.0, self._again_at - now) if self._waiting else None

    def step(self, now: float) -> None:
        """Try the first message once, if it is time."""
        if not self._waiting or now < self._again_at:
            return
        message = self._waiting[0]
        self.counts.requests += 1
        self.counts.retries += bool(self._failures)
        answer = message.poster.once(message.pack(message.parts))
        if isinstance(answer, Failed):
            self._fail(message, answer, now)
        elif answer.status in HOPELESS:
            self._fail(message, Failed(f"it answered {answer.status}", None), now)
        else:
            self._answered(message, answer)

    def _fail(self, message: Message, failed: Failed, now: float) -> None:
        if not self._failures:
            self._failed_at = now
        self.trouble = f"{message.poster.url}: {failed.why}"
        self._again_at = now + failed.pause_s(self._failures)
        self._failures += 1
        if now - self._failed_at >= self._give_up_s:
            self.counts.given_up += len(message.parts)
            self._done()

    def _answered(self, message: Message, answer: Answer) -> None:
        if answer.status == TOO_LARGE and len(message.parts) > 1:
            half = len(message.parts) // 2
            self._done()
            halves = (message.parts[:half], message.parts[half:])
            self._waiting.extendleft(dataclasses.replace(message, parts=parts) for parts in reversed(halves))
            return
        refused, why = verdict(answer, len(message.parts))
        self.counts.refused += refused
        if message.is_spans:
            self.counts.spans += len(message.parts) - refused
        else:
            self.counts.evaluations += len(message.parts) - refused
        self._done()
        self.trouble = f"{message.poster.url}: {why}" if refused else ""

    def _done(self) -> None:
        self._waiting.popleft()
        self._failures = 0
        self._again_at = 0.0
