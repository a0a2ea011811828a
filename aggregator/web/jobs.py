"""Questions on their way to the one thread that owns the forest, and their answers on the way back.

Rules:
- So many wait at most; one more is refused at once, which says more than a late answer.
- Who no longer waits (its deadline passed, its connection broke) cancels; what was not begun then never is.
- A few are answered at a time; what is new in the recording, and RPC, come in between.
- An answer may be a future: then it comes when that does.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from aggregator.handing import TooMany
from embertrace.errors import EmbertraceError

log = logging.getLogger("aggregator")

LABEL = "label"
"""The one method that is no question: what a reader says, to be recorded. RPC has none: producers record by
themselves."""
MAX_WAITING = 64
"""Questions: at a typical few milliseconds each, a fraction of a second."""
PER_ROUND = 8
STOPS = "the aggregator stops"


class Busy(Exception):
    """Too many questions are waiting."""


class Fault(Exception):
    """A question failed through no fault of who asked."""


Answering = Callable[[str, Mapping[str, Any]], Any]


class Job(NamedTuple):
    method: str
    params: Mapping[str, Any]
    answer: Future[Any]


class Jobs:
    """The queue. `put` may be called by any thread; `serve` by the one that owns the state. `wanted` is readable
    then."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        """Those whose answer comes later."""
        self._stopped = False
        self.wanted = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, method: str, params: Mapping[str, Any]) -> Future[Any]:
        """Ask; the answer comes in the future. Raises Busy."""
        job = Job(method, params, Future())
        with self._lock:
            if self._stopped:
                raise Busy(STOPS)
            if len(self._waiting) >= self._limit:
                raise Busy(f"{self._limit} questions are waiting already")
            self._waiting.append(job)
        os.eventfd_write(self.wanted, 1)
        return job.answer

    def serve(self, answer: Answering) -> None:
        """Answer what is waiting, PER_ROUND at most."""
        os.eventfd_read(self.wanted)
        for _ in range(PER_ROUND):
            with self._lock:
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            if job.answer.set_running_or_notify_cancel():
                self._answer(job, answer)
        os.eventfd_write(self.wanted, 1)  # there may be more

    def stop(self) -> None:
        """Nobody answers any more: who waits is told so. Called by the thread that serves."""
        with self._lock:
            self._stopped = True
            waiting, self._waiting = [*self._waiting], deque()
        asked = {job.answer for job in waiting if job.answer.set_running_or_notify_cancel()}
        for answer in asked | self._open:
            answer.set_exception(Busy(STOPS))
        self._open.clear()

    def close(self) -> None:
        self.stop()
        os.close(self.wanted)

    def _answer(self, job: Job, answer: Answering) -> None:
        try:
            found = answer(job.method, job.params)
            if isinstance(found, Future):
                self._open.add(job.answer)
                found.add_done_callback(lambda done: self._answer_late(job.answer, done))
            else:
                job.answer.set_result(found)
        except TooMany as error:
            job.answer.set_exception(Busy(str(error)))
        except EmbertraceError as error:
            job.answer.set_exception(error)
        except Exception as error:  # a fault of ours must not take the analyst down with it
            log.exception("%s failed", job.method)
            job.answer.set_exception(Fault(f"{job.method} failed inside the aggregator: {type(error).__name__}"))

    def _answer_late(self, answer: Future[Any], found: Future[Any]) -> None:
        if answer in self._open:
            self._open.remove(answer)
            answer.set_result(found.result())
