"""This process's clock beside the aggregator's: what goes out is stamped, what comes in is heard.

What a sender at rest reads late widens the bounds by as much, and makes them no less true (see wire.clock).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from embertrace.wire.clock import Reading
from embertrace.wire.control import Ack, Alive, Control, End, Hello, Welcome


class Clock:
    """One connection's stamps. One thread; `now_ns` gives Unix nanoseconds."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._echo_ns = self._heard_ns = 0

    def heard(self, message: Control) -> None:
        """Remember when the aggregator said this, by its clock and by ours."""
        if isinstance(message, Welcome | Ack) and message.sent_ns:
            self._echo_ns, self._heard_ns = message.sent_ns, self._now_ns()

    def stamp(self, message: Control) -> Control:
        """The message as it is to be sent."""
        if not isinstance(message, Hello | Alive | End):
            return message
        return dataclasses.replace(message, clock=Reading(self._now_ns(), self._echo_ns, self._heard_ns))
