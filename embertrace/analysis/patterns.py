"""Regular expressions in rules, and how long they may take.

Python's are searched by trying; a few characters such as (a+)+$ can take years over a short text. A process that
answers others bounds that (`bound_patterns`): what one question spends in searching ends with an error, and all else
goes on.
In the user's own process a pattern takes what it takes, and Ctrl-C ends it.
"""

from __future__ import annotations

import re
import signal
import time

from embertrace.errors import QueryError

MAX_PATTERN = 500
"""Characters of a regular expression that crosses RPC: long enough to find an answer in a text."""
PATTERN_S = 5.0
"""A million short texts take an honest pattern about one second."""

_bound_s: float | None = None


class _TooLong(Exception):
    """The alarm rang."""


def bound_patterns(seconds: float = PATTERN_S) -> None:
    """From now on the patterns of one question may search this process's main thread so long. Takes SIGALRM."""
    global _bound_s
    _bound_s = seconds
    signal.signal(signal.SIGALRM, _ring)


def _ring(number: int, frame: object) -> None:
    raise _TooLong


class Pattern:
    """A compiled pattern for one question. Raises QueryError for what is none, and once it took too long."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN:
            raise QueryError(f"answer='regex:…' has a pattern of {len(text)} characters; the limit is {MAX_PATTERN}")
        try:
            self._compiled = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise QueryError(f"answer='regex:{text}' is no regular expression: {error}") from None
        self._left_s = _bound_s

    def find(self, text: str) -> str | None:
        """The first group of the first match, or all of it where there are no groups; None without a match."""
        match = self._compiled.search(text) if self._left_s is None else self._search_bounded(text, self._left_s)
        if match is None:
            return None
        return match.group(1) if self._compiled.groups else match.group()

    def _search_bounded(self, text: str, left_s: float) -> re.Match[str] | None:
        began = time.monotonic()
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, max(left_s, 1e-3))  # 0 would be no alarm
                return self._compiled.search(text)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._left_s = left_s - (time.monotonic() - began)
        except _TooLong:
            raise QueryError(
                f"answer='regex:{self._compiled.pattern}' searched for more than {_bound_s:g} s, at last in a text of "
                f"{len(text)} characters: nested repetitions such as (a+)+ try too much; match one way only"
            ) from None
