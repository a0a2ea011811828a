"""From when to when a call is drawn elsewhere. Pure.

Rules: times are on one clock for all hosts, and none is negative. A call that has not ended lasts until the end of what
is known below it; one whose begin was lost began its duration before its end.
"""

from __future__ import annotations

from embertrace.analysis import Call


def times_of(call: Call) -> tuple[int, int]:
    """Start and end in Unix nanoseconds. Of a call that did not end, the latest that is known below it."""
    start = max(0, call.start_ns)
    duration = call.duration_ns
    if duration is not None:
        if call.begin is None:  # what is known is when it ended
            return max(0, start - max(0, duration)), start
        return start, start + max(0, duration)
    end, waiting = start, list(call.children)
    while waiting:
        below = waiting.pop()
        end = max(end, below.start_ns + max(0, below.duration_ns or 0))
        waiting += below.children
    return start, end
