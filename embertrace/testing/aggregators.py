"""An aggregator that lives as long as a test."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from embertrace import emit
from embertrace.analysis import OperatorAnalysis
from embertrace.embedded import Embedded
from embertrace.errors import AggregatorError
from embertrace.sources import connect
from embertrace.sources import open as open_recording

FLUSH_S = 30.0
"""For a test's events to be acknowledged, whatever it did to the network."""


class Aggregator:
    """A running aggregator. `endpoint` is for `init`, `directory` its recording. Made by `aggregator`."""

    def __init__(self, directory: pathlib.Path, running: Embedded) -> None:
        self.directory = directory
        self.endpoint = running.endpoint
        self._key = running.key
        self._running: Embedded | None = running

    def analysis(self) -> OperatorAnalysis:
        """What it recorded: all that this process emitted before, and whatever came from others.

        Raises AggregatorError if this process's events are not acknowledged within FLUSH_S seconds.
        """
        if not emit.flush_all(FLUSH_S):
            raise AggregatorError(f"events of this process were not acknowledged within {FLUSH_S:.0f} s")
        if self._running is None:
            return open_recording(self.directory)
        return connect(self.endpoint, key=self._key)

    def stop(self) -> None:
        """Stop it; what it recorded can still be asked for. May be called twice."""
        if self._running is not None:
            self._running.stop()
            self._running = None


@contextlib.contextmanager
def aggregator(directory: str | os.PathLike[str] | None = None) -> Iterator[Aggregator]:
    """An aggregator on this machine while the block runs, recording into `directory` (default: a temporary one).

    Raises AggregatorError where it can't start.
    """
    with contextlib.ExitStack() as stack:
        if directory is None:
            temporary = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="embertrace-", ignore_cleanup_errors=True)
            )
            directory = pathlib.Path(temporary) / "recording"
        made = Aggregator(pathlib.Path(directory), Embedded(pathlib.Path(directory)))
        stack.callback(made.stop)
        yield made
